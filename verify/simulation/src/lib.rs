//! The real refresh transaction under simulated time, network, store and files: schedules and faults by seed.
//!
//! ```text
//! plan ── what a seed stands for ──▶ schedule ── drives ──▶ process: the real runtime over
//!                                       │                   store · disk · air · provider · world's clocks
//!                                       └── rest: what must be so once nothing goes wrong any more
//! ```
//!
//! Nothing of the transaction is written again here: `refresh`, `store`'s claims and `runtime` are the library's own. What is
//! simulated is everything around them, and `truth` and `check` say what must never be seen.

pub mod air;
pub mod campaign;
pub mod check;
pub mod coverage;
pub mod disk;
pub mod fault;
pub mod people;
pub mod plan;
pub mod process;
pub mod provider;
pub mod random;
pub mod rest;
pub mod schedule;
pub mod shape;
pub mod strike;
pub mod truth;
pub mod world;

pub use authkeeper::store::memory as store;

pub use self::{truth::Violation, world::TokenCall};
