mod model;
mod runtime;
mod store;
