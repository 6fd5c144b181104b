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

mod circuit_breaker;
pub mod decide;
pub mod decision_log;
pub(crate) mod incident;
pub(crate) mod incidents;
pub(crate) mod journal;
mod moved_endpoint;
mod observe;
mod orphaned_journals;
pub(crate) mod outcome_probe;
pub(crate) mod provider_state;
pub(crate) mod reply_archive;
pub(crate) mod revoke_leftovers;
pub(crate) mod scheduler;
pub(crate) mod single_flight;
pub(crate) mod token_request;
pub(crate) mod transaction;
mod verify_response;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use self::decide::{GrantView, MAX_JITTER, RecoveryRules};
use crate::{
    catalogue,
    http::{HttpUrl, Reach, Reply, Transport},
    model::{
        ClientRegistration, Connection, ConnectionName, Grant, GrantId, GrantType, Presentation,
        PrincipalId, ProviderHabits, ReplayRule, Resource, Scope, ServerMetadata,
    },
    oauth::{
        classify::{self, Outcome, Refused},
        client_auth::OurClient,
        dpop::{Binding, Heard, ProofKey},
    },
    platform::{clock::Seams, files::Folder, process_lease::Owners, tasks::Tasks},
    store::Store,
    vault::seal::Sealer,
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
    fn set_for(&self, issuer: &str, provider: Option<&str>) -> Option<&ProviderHabits> {
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

/// What every part of a refresh works with.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) seams: Seams,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) sealer: Sealer,
    pub(crate) owners: Owners,
    pub(crate) journals: Folder,
    pub(crate) reply_archive: reply_archive::ReplyArchive,
    pub(crate) rules: RefreshRules,
    pub(crate) log: decision_log::DecisionLog,
    pub(crate) findings: outcome_probe::Findings,
    pub(crate) heard: Arc<Heard>,
}

impl Context {
    /// The key that a grant's tokens are bound to, if they are bound to one. A key that is another than that one is not
    /// even shown: its proof would be refused.
    pub(crate) fn binding(&self, grant: &Grant) -> Result<Option<Binding>, Refused> {
        if !grant.is_bound() {
            return Ok(None);
        }
        let kept = grant.grant_material.proof_key.as_ref();
        let key = kept.and_then(|kept| ProofKey::read(kept).ok());
        let known = grant.subject_binding.bound_to.as_deref();
        let same = key.filter(|key| known.is_none_or(|known| known == key.thumbprint()));
        let binding = |key| Binding::new(key, Arc::clone(&self.heard), self.seams.clone());
        same.map(|key| Some(binding(key)))
            .ok_or_else(Refused::without_its_key)
    }

    /// What an answer to a refresh of this grant means.
    pub(crate) fn outcome(&self, provider: Option<&str>, grant: &Grant, reply: &Reply) -> Outcome {
        let habits = self.rules.habits(grant.issuer.as_str(), provider);
        let now = self.seams.clock.now().wall;
        let outcome = classify::classify_in(reply, now, habits.tokens_in.as_deref());
        match &grant.refresh {
            Some(sent) => outcome.without(&sent.secret),
            None => outcome,
        }
    }

    /// Our client, ready to prove itself at its issuer; whom its assertions are for is said by [`Context::audience`].
    pub(crate) fn our_client<'a>(
        &'a self,
        metadata: &'a ServerMetadata,
        registration: &'a ClientRegistration,
    ) -> OurClient<'a> {
        let endpoint = metadata.token_endpoint.as_deref();
        let skew = self.heard.skew(endpoint.unwrap_or(&metadata.issuer));
        OurClient {
            registration,
            quirks: &metadata.quirks,
            audience: None,
            seams: &self.seams,
            skew: skew.unwrap_or_default(),
        }
    }

    /// Notes what a server says of its clock, in whatever answer.
    pub(crate) fn hear(&self, endpoint: &HttpUrl, reply: &Reply) {
        self.heard.hear(endpoint.uri(), &reply.headers, &self.seams);
    }

    /// The time by the clock of this URL's server, as far as that is known.
    pub(crate) fn time_at(&self, url: &str) -> Timestamp {
        let now = self.seams.clock.now().wall;
        let skew = SignedDuration::from_secs(self.heard.skew(url).unwrap_or_default());
        now.saturating_add(skew).unwrap_or(now)
    }
}

/// The connection on whose behalf a grant is refreshed: named in records and in the log.
#[derive(Clone, Debug)]
pub(crate) struct OnBehalfOf {
    pub(crate) connection: ConnectionName,
    pub(crate) principal: PrincipalId,
    /// What its tokens are asked for, at every refresh (RFC 8707).
    pub(crate) resource: Option<Resource>,
    /// What a client's own token is asked for with; a refresh never names a scope.
    pub(crate) scope: Option<Scope>,
    /// Which entry of the catalogue its provider is.
    pub(crate) provider: Option<String>,
    /// Where its provider's endpoints may be.
    pub(crate) reach: Reach,
    /// A harmless call that proves its token, where the token is shown there as usual.
    pub(crate) check: Option<HttpUrl>,
}

impl OnBehalfOf {
    pub(crate) fn of(connection: &Connection) -> Self {
        Self {
            connection: connection.name.clone(),
            principal: connection.principal.clone(),
            resource: connection.resource.clone(),
            scope: connection.scope.clone(),
            provider: connection.provider.clone(),
            reach: Reach::of(connection.internal),
            check: check_of(connection),
        }
    }
}

/// A token goes to the origin of its connection's URL and to no other.
fn check_of(connection: &Connection) -> Option<HttpUrl> {
    let check = HttpUrl::parse(connection.check_url.as_ref()?).ok()?;
    let own = HttpUrl::parse(&connection.url).ok()?;
    let usual = connection.presentation == Presentation::default();
    Some(check).filter(|check| usual && check.same_origin(&own))
}

/// What [`decide::serve`] needs to know of a grant.
pub(crate) fn grant_view(grant: &Grant) -> GrantView<'_> {
    GrantView {
        lifecycle: &grant.lifecycle,
        access: grant.access.as_ref(),
        refreshable: grant.is_refreshable(),
        refresh_lifetime: refresh_lifetime(grant),
        refresh_idle: None,
        key: (grant.grant_type == GrantType::ApiKey).then_some(grant.standby.as_ref()),
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

#[cfg(test)]
mod tests;
