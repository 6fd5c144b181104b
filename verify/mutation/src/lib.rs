//! Mutation tests: every rule and every invariant has a test that fails when it is broken.
//!
//! `rules.toml` says what must hold. `mutations.toml` changes the source so that it does not, and names the test that must
//! then fail: it catches the mutant. `cargo run -p breaks` applies one mutation after another in a copy of the tree, so that
//! the tree itself is never changed. `caught.txt` records what was caught. `docs/rules.md` is made of these files.

pub mod catalog;
mod macro_input;
pub mod misfit;
pub mod mutation;
pub mod page;
pub mod relocate;
pub mod run;
pub mod shape;
pub mod source;
pub mod syntax;
pub mod work_tree;
