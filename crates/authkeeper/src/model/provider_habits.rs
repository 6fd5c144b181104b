//! Provider behaviour that the protocol leaves open, as the catalogue or a person's configuration describes it.

use std::time::Duration;

use super::ReplayRule;

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
