//! The waits of the refresh transaction, and the habits of providers as configured.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    catalogue,
    model::{ProviderHabits, ReplayRule},
    refresh::decide::RecoveryRules,
};

/// The waits of the refresh transaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshRules {
    /// Between the claim and the first byte: later than this nothing is sent.
    pub send_deadline: Duration,
    /// How long an answer is listened for before its absence is called unknown.
    pub exchange_limit: Duration,
    /// How long after a crash a request may still be queued at the provider.
    pub quiet_period: Duration,
    /// How much of the access token's life is kept for resending to a strict provider.
    pub reserve: Duration,
    /// How long a provider refuses in the same words of its own before a person is asked.
    pub refused_for: Duration,
    /// How long a provider may fail every token request before its owner is told.
    pub failing_after: Duration,
    /// Habits by issuer, or by the provider's name in the catalogue.
    pub providers: BTreeMap<String, ProviderHabits>,
}

impl Default for RefreshRules {
    fn default() -> Self {
        Self {
            send_deadline: Duration::from_secs(2),
            exchange_limit: Duration::from_mins(2),
            quiet_period: Duration::from_secs(90),
            reserve: Duration::from_secs(30),
            refused_for: Duration::from_hours(3),
            failing_after: Duration::from_mins(5),
            providers: BTreeMap::new(),
        }
    }
}

impl RefreshRules {
    /// What a person set for a provider: under its issuer, whether or not that ends with a slash, or under its name in the
    /// catalogue. A setting that missed its provider by a slash would change nothing, and nobody would see it.
    pub(super) fn set_for(&self, issuer: &str, provider: Option<&str>) -> Option<&ProviderHabits> {
        let bare = |issuer: &str| issuer.trim_end_matches('/').to_owned();
        let same = || {
            let mut set = self.providers.iter();
            set.find(|(set, _)| bare(set) == bare(issuer))
        };
        let by_issuer = self.providers.get(issuer);
        let by_issuer = by_issuer.or_else(|| same().map(|(_, habits)| habits));
        by_issuer.or_else(|| self.providers.get(provider?))
    }

    /// What is set for an issuer, and where nothing is, what the catalogue knows: of the provider that the connection was
    /// made by, else of the issuer's host.
    pub(crate) fn habits(&self, issuer: &str, provider: Option<&str>) -> ProviderHabits {
        let known = match provider {
            Some(name) => catalogue::named(name),
            None => catalogue::recognise(issuer),
        };
        let known = known.map(catalogue::Entry::habits).unwrap_or_default();
        let set = self.set_for(issuer, provider).cloned().unwrap_or_default();
        ProviderHabits {
            replay: match set.replay {
                ReplayRule::Unknown => known.replay,
                set => set,
            },
            default_lifetime: set.default_lifetime.or(known.default_lifetime),
            assertion_audience: set.assertion_audience.or(known.assertion_audience),
            refresh_idle: set.refresh_idle.or(known.refresh_idle),
            kills_access: set.kills_access || known.kills_access,
            lifetime: set.lifetime.or(known.lifetime),
            tokens_in: set.tokens_in.or(known.tokens_in),
            scope_in_refresh: set.scope_in_refresh || known.scope_in_refresh,
        }
    }

    pub(crate) fn recovery(&self, issuer: &str, provider: Option<&str>) -> RecoveryRules {
        RecoveryRules {
            replay: self.habits(issuer, provider).replay,
            quiet_period: self.quiet_period,
            reserve: self.reserve,
            exchange_limit: self.exchange_limit,
        }
    }
}
