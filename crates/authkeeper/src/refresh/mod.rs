//! The refresh transaction: exactly one, whoever asks; durable before release; nothing received is ever lost.
//!
//! ```text
//!  decide ── serve? due? ──▶ flight ── one in this process ──▶ claim ── one among all processes ──▶ provider
//!  (pure)                    detached from its callers          connect · journal · compare-and-set ·
//!                                                               deadline · send · keep · commit · release
//! ```
//!
//! [`decide`] holds every rule. `flight` lets any number of callers share one refresh and cancel nothing by going away.
//! `claim` is the transaction. `breaker` decides when nothing is sent after failures, `provider_state` keeps those for all
//! processes. `journals` is its journal, `orphans` are the journals that a store knows nothing of, `reply_archive` keeps the
//! answers that are not needed any more, and may be. `leftovers` are those that came after a disconnect. `worker` keeps connections fresh ahead of time.

mod attempt;
mod circuit_breaker;
mod conclude;
mod context;
pub mod decide;
pub mod decision_log;
pub(crate) mod findings;
pub(crate) mod goal;
mod grant_view;
pub(crate) mod incident;
pub(crate) mod incidents;
pub(crate) mod journal;
mod moved_endpoint;
mod observe;
mod orphaned_journals;
pub(crate) mod outcome;
pub(crate) mod outcome_probe;
mod plan;
pub(crate) mod provider_state;
pub(crate) mod recover;
pub(crate) mod reply_archive;
pub(crate) mod revoke_leftovers;
mod rules;
pub(crate) mod scheduler;
pub(crate) mod single_flight;
pub(crate) mod steps;
pub(crate) mod token_request;
pub(crate) mod transaction;
pub(crate) mod unkept_replies;
mod verify_response;

#[cfg(test)]
pub(crate) use self::grant_view::SHORTEST_IDLE;
pub(crate) use self::{
    context::{Context, GrantContext, OnBehalfOf},
    grant_view::grant_view,
};
pub use self::{grant_view::jitter_of, rules::RefreshRules};
