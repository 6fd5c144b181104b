//! The refresh transaction as an explicit-state model.
//!
//! The decisions are the library's own ([`bridge`]); the steps between which anything may happen are written out again
//! here, after `refresh/transaction.rs` ([`flight`]), together with what surrounds them: providers ([`provider`]), the network,
//! clocks, crashes and people ([`action`]). [`explore`] goes through every order of events within a [`scenario`]'s budget
//! and checks the [`invariant`]s in every state, and at the end that is reached from it when nothing goes wrong any more
//! ([`calm`]). `docs/decisions/009-model.md` says what is not modelled and what was found.

pub mod action;
pub mod bridge;
pub mod calm;
pub mod design;
pub mod explore;
pub mod flight;
pub mod invariant;
pub mod provider;
pub mod report;
pub mod scenario;
pub mod state;
