//! One suite that every store must pass. Each check gets a fresh store, or two handles of one, as two processes have.
//!
//! A check that fails panics: this is test code, behind the feature `test-util`.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "checks panic, and compare the secrets they have made"
)]

pub(super) mod claims;
mod commits;
mod fixture;
mod incidents;
mod kept_refresh_tokens;
mod provider;
mod sharing;
mod sign_ins;
mod suite;
mod tasks;

pub use self::{fixture::Pair, suite::run};
