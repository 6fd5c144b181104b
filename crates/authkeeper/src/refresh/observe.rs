//! What is noticed of a provider on the way. To notice is never worth a refresh: what can't be kept is logged.

use std::time::Duration;

use crate::refresh::{
    context::{Context, OnBehalfOf},
    decide::{self, RecoveryRules},
};
use crate::{
    http::Reply,
    model::{Grant, Issuer, ObservationKind, ProviderObservation},
    oauth::unrecognized_response::unrecognized_shape,
};

/// Whose habits with a refresh token count: the issuer's, or those of the identity provider whose it is.
fn refreshes(grant: &Grant) -> &str {
    let idp = grant.grant_material.identity_provider();
    idp.map_or(grant.issuer.as_str(), |idp| &idp.token_url)
}

impl Context {
    /// How a lost answer is recovered: by what is set or known, and by what was seen where that is more careful.
    pub(crate) async fn recovery(&self, provider: Option<&str>, grant: &Grant) -> RecoveryRules {
        let rules = self.rules.recovery(refreshes(grant), provider);
        let observed = self.store.observed(Some(&grant.issuer)).await;
        let observed = observed.unwrap_or_default();
        let refused = observed
            .iter()
            .any(|observed| observed.observation.kind == ObservationKind::ReplayRefused);
        RecoveryRules {
            replay: decide::learned(rules.replay, refused),
            ..rules
        }
    }

    /// A resend was refused. Where a rule said that it would not be, the rule is not believed any more.
    pub(crate) async fn notice_refused_replay(&self, provider: Option<&str>, grant: &Grant) {
        let rules = self.rules.recovery(refreshes(grant), provider);
        let now = self.seams.clock.now();
        let before = grant.claim.as_ref();
        if before.is_some_and(|before| decide::disproves(rules.replay, before, now)) {
            tracing::warn!(issuer = %grant.issuer, rule = %rules.replay, "a replay was refused; taken for strict from now on");
            let rule = rules.replay.to_string();
            self.observation(&grant.issuer, ObservationKind::ReplayRefused, rule)
                .await;
        }
    }

    /// Whether a refresh at this provider must name the granted scope to bring an access token.
    pub(crate) async fn omits_access_token(&self, issuer: &Issuer) -> bool {
        let observed = self.store.observed(Some(issuer)).await.unwrap_or_default();
        let omitted = ObservationKind::AccessTokenOmitted;
        observed.iter().any(|one| one.observation.kind == omitted)
    }

    /// Counts an answer that fits nothing we know.
    pub(crate) async fn notice_odd_answer(&self, issuer: &Issuer, reply: &Reply) {
        let Some(shape) = unrecognized_shape(reply) else {
            return;
        };
        tracing::warn!(%issuer, shape, "an answer that fits nothing known");
        self.observation(issuer, ObservationKind::OddAnswer, shape)
            .await;
    }

    /// A token got a 401 and could be replaced: if it was not near its end, the next may end as early.
    pub(crate) async fn notice_early_end(&self, on_behalf_of: &OnBehalfOf, grant: &Grant) {
        let now = self.seams.clock.now();
        let Some(token) = grant.access.as_ref() else {
            return;
        };
        if decide::ended_early(token, now) {
            let detail = format!("{} {}", on_behalf_of.connection, token.age(now).as_secs());
            self.observation(&grant.issuer, ObservationKind::EndedEarly, detail)
                .await;
        }
    }

    /// How long this connection's tokens are believed to live for having got a 401 early.
    pub(crate) async fn learned_lifetime(
        &self,
        on_behalf_of: &OnBehalfOf,
        grant: &Grant,
    ) -> Option<Duration> {
        let observed = self.store.observed(Some(&grant.issuer)).await.ok()?;
        let early = observed
            .iter()
            .filter(|observed| observed.observation.kind == ObservationKind::EndedEarly);
        let ends = early.filter_map(|observed| {
            let (connection, age) = observed.observation.detail.split_once(' ')?;
            let mine = connection == on_behalf_of.connection.as_str();
            let age = Duration::from_secs(age.parse().ok()?);
            // The same age again and again is one row with two times.
            let times = usize::try_from(observed.times).unwrap_or(usize::MAX);
            let latest = std::iter::repeat_n((age, observed.last), times.saturating_sub(1).min(16));
            let ends = latest.chain([(age, observed.first)]);
            mine.then(|| ends.collect::<Vec<_>>())
        });
        let ends: Vec<_> = ends.flatten().collect();
        decide::learned_lifetime(&ends, self.seams.clock.now().wall)
    }

    pub(crate) async fn observation(&self, issuer: &Issuer, kind: ObservationKind, detail: String) {
        let observation = ProviderObservation {
            issuer: issuer.clone(),
            kind,
            detail,
        };
        let now = self.seams.clock.now().wall;
        if let Err(error) = self.store.observation(&observation, now).await {
            tracing::warn!(%error, kind = kind.as_str(), "what was noticed can't be kept");
        }
    }
}
