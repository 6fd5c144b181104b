mod kind;
mod other_names;
mod properties;
mod variant;
