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
//! | about the provider | `provider_state` and `incidents` (failures, for all processes), `moved_endpoint`, `outcome_probe` |
//! | the exchange | `verify_response` (checks a success), `steps` (writes that several share), `token_request` |
//! | traces of other attempts | `orphaned_journals` (unknown to the store), `revoke_leftovers` (after a disconnect) |
//! | one attempt | `conclude` (what follows from a reply), `attempt`, `recover` (what follows from an earlier attempt) |
//! | one flight | `transaction` (the loop), `single_flight` (its callers), `scheduler` (refreshes ahead of time) |

mod attempt;
mod circuit_breaker;
mod conclude;
mod context;
pub mod decide;
pub mod decision_log;
pub(crate) mod findings;
pub(crate) mod goal;
mod grant_view;
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

use std::time::Duration;

#[cfg(test)]
pub(crate) use self::grant_view::SHORTEST_IDLE;
pub(crate) use self::{
    context::{Context, GrantContext, OnBehalfOf},
    grant_view::grant_view,
};
pub use self::{grant_view::jitter_of, rules::RefreshRules};
use crate::model::ReplayRule;

/// What a person may set of a provider's habits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderHabits {
    /// What it does when a refresh token comes twice.
    pub replay: ReplayRule,
    /// How long its access tokens live when it does not say so.
    pub default_lifetime: Option<Duration>,
    /// Whom it wants our assertions to be for; none means the issuer (RFC 7523 §3 leaves the choice to the server).
    pub assertion_audience: Option<String>,
    /// How long its refresh tokens live unused.
    pub refresh_idle: Option<Duration>,
    /// Whether a rotation kills the access token before: one that lives proves that there was none.
    pub kills_access: bool,
    /// How long its access tokens live, whatever it says.
    pub lifetime: Option<Duration>,
    /// Where its answers hold the tokens, if not on top: `data.auth`.
    pub tokens_in: Option<String>,
    /// Whether a refresh must name the granted scope.
    pub scope_in_refresh: bool,
}

impl ProviderHabits {
    /// These habits.
    pub fn new(replay: ReplayRule, default_lifetime: Option<Duration>) -> Self {
        Self {
            replay,
            default_lifetime,
            ..Self::default()
        }
    }

    /// With access tokens that live so long, whatever the provider says.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// With tokens at this path of an answer.
    #[must_use]
    pub fn tokens_in(mut self, path: Option<String>) -> Self {
        self.tokens_in = path;
        self
    }

    /// With refreshes that name the granted scope.
    #[must_use]
    pub fn scope_in_refresh(mut self, named: bool) -> Self {
        self.scope_in_refresh = named;
        self
    }

    /// With access tokens that die when a refresh brings the next.
    #[must_use]
    pub fn kills_access(mut self, kills: bool) -> Self {
        self.kills_access = kills;
        self
    }

    /// With refresh tokens that die if they are not used for so long.
    #[must_use]
    pub fn refresh_idle(mut self, limit: Option<Duration>) -> Self {
        self.refresh_idle = limit;
        self
    }

    /// With assertions for this audience.
    #[must_use]
    pub fn assertion_audience(mut self, audience: Option<String>) -> Self {
        self.assertion_audience = audience;
        self
    }
}

#[cfg(test)]
mod tests;
