//! The refresh transaction: exactly one refresh for all callers, durable before release, and no received reply is lost.
//!
//! ```text
//!  decide ── serve? due? ──▶ single_flight ── one in this process ──▶ transaction ── one among all processes ──▶ provider
//!  (pure)                    detached from its callers                connect · journal · claim (compare-and-set) ·
//!                                                                     deadline · send · keep · commit · release
//! ```
//!
//! From the bottom up; no file imports one below it in this list.
//!
//! | layer | files |
//! | --- | --- |
//! | rules and values | [`decide`] (every rule, pure), `circuit_breaker`, `rules`, `goal`, `outcome` |
//! | files beside the store | `journal` (one attempt), `reply_archive` (kept replies), [`decision_log`] |
//! | in memory | `unkept_replies` (replies that no file took), `findings` (answers of outcome probes) |
//! | shared by all steps | `context`, `plan` (endpoint and client), `grant_view`, `observe` |
//! | about the provider | `provider_state` (failures, for all processes), `provider_incidents`, `incident` (records of incidents), `client_refusals` (a client refused for all that use it), `moved_endpoint`, `outcome_probe` |
//! | the exchange | `verify_response` (checks a success), `steps` (writes that several share), `token_request` |
//! | traces of other attempts | `orphaned_journals` (unknown to the store), `revoke_leftovers` (after a disconnect) |
//! | one attempt | `conclude` (what follows from a reply), `attempt`, `recover` (what follows from an earlier attempt) |
//! | one flight | `transaction` (the loop), `single_flight` (its callers), `scheduler` (refreshes ahead of time) |

mod attempt;
mod circuit_breaker;
pub(crate) mod client_refusals;
mod conclude;
mod context;
pub mod decide;
pub mod decision_log;
pub(crate) mod findings;
pub(crate) mod goal;
mod grant_view;
pub(crate) mod incident;
pub(crate) mod journal;
mod moved_endpoint;
mod observe;
mod orphaned_journals;
pub(crate) mod outcome;
pub(crate) mod outcome_probe;
mod plan;
pub(crate) mod provider_incidents;
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

#[cfg(test)]
mod tests;
