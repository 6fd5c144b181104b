//! Every rule and every invariant has a test that fails when it is broken. Here each is broken: `rules.toml` says what
//! must hold, `breaks.toml` what to replace in the source so that it does not, and which test then goes red.
//!
//! `cargo run -p breaks` breaks one thing after another in a copy of the tree, so nothing has to be put back, however it
//! ends. `docs/rules.md` is made of the same two files.

pub mod book;
pub mod ground;
pub mod page;
pub mod run;
