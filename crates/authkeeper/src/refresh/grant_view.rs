//! A grant as [`decide::serve`] sees it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::{
    model::{Grant, GrantId},
    refresh::{
        context::Context,
        decide::{GrantView, MAX_JITTER},
    },
};

/// What [`decide::serve`] needs to know of a grant.
pub(crate) fn grant_view(grant: &Grant) -> GrantView<'_> {
    GrantView {
        lifecycle: &grant.lifecycle,
        access: grant.access.as_ref(),
        refreshable: grant.is_refreshable(),
        refresh_lifetime: refresh_lifetime(grant),
        refresh_idle: None,
        key: grant.grant_type.is_key().then_some(grant.standby.as_ref()),
        jitter: jitter_of(&grant.id),
    }
}

impl Context {
    /// The same, with what is known of the provider's limits.
    pub(crate) fn grant_view<'a>(&self, provider: Option<&str>, grant: &'a Grant) -> GrantView<'a> {
        GrantView {
            refresh_idle: self.refresh_idle(provider, grant),
            ..grant_view(grant)
        }
    }

    /// Every caller comes by here, so the catalogue is asked only where its answer can matter.
    fn refresh_idle(&self, provider: Option<&str>, grant: &Grant) -> Option<Duration> {
        grant.refresh.as_ref()?;
        let set = self.rules.set_for(grant.issuer.as_str(), provider);
        let lives = grant.access.as_ref().map(|token| token.lifetime);
        match set.and_then(|habits| habits.refresh_idle) {
            Some(limit) => Some(limit),
            None if lives < Some(SHORTEST_IDLE) => None,
            None => {
                let habits = self.rules.habits(grant.issuer.as_str(), provider);
                habits.refresh_idle
            }
        }
    }
}

/// The catalogue knows of no idle limit that is shorter: an access token that ends before is refreshed often enough.
pub(crate) const SHORTEST_IDLE: Duration = Duration::from_hours(24);

/// How long the refresh token was good when the access token beside it was issued, where the provider says so.
fn refresh_lifetime(grant: &Grant) -> Option<Duration> {
    let ends = grant.refresh.as_ref()?.expires_at?;
    let issued = grant.access.as_ref()?.issued.wall;
    Duration::try_from(ends.duration_since(issued)).ok()
}

/// A grant's stable share of the jitter: the same in every process and after every restart.
pub fn jitter_of(grant: &GrantId) -> f64 {
    let digest = Sha256::digest(grant.as_str().as_bytes());
    let first = digest
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    f64::from(first) / f64::from(u32::MAX) * MAX_JITTER
}
