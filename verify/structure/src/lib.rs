//! The structure of the workspace, read from its source: which file imports which, and how long files and functions are.
//!
//! - `cargo test -p structure` fails on an import cycle between two files of a crate, and on an import that goes up
//!   against the order of layers in `verify/structure/layers.toml`.
//! - `cargo run -p structure` prints the measures.
//!
//! Tests are apart: what `#[cfg(test)]` compiles is not read.

pub mod crate_tree;
pub mod cycles;
pub mod imports;
pub mod layers;
pub mod measures;
mod paths;
pub mod variants;
