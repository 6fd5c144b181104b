//! What a plain ask for a token takes: the rows, the decision, the token made of them, and the token cache. Callers use it
//! through [`Runtime`](super::Runtime); a flight uses it once it has landed, for all who wait for it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::{
    error::TokenError,
    model::{Connection, ConnectionName, Grant, Presentation},
    refresh::{
        Context,
        decide::{self, Freshness, ServeDecision, Shortfall},
        decision_log::Decision,
        single_flight::Landing,
    },
    runtime::{
        IssuedToken,
        token_cache::{CacheLifetime, GrantSnapshot, TokenCache},
    },
};

/// How long before `rotate_by` the owner of an API key is warned.
const ROTATION_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Makes tokens of grants, and keeps them in memory.
#[derive(Clone)]
pub(crate) struct HandOut {
    context: Arc<Context>,
    token_cache: Arc<TokenCache>,
}

impl HandOut {
    pub(super) fn new(context: Arc<Context>, token_cache: Arc<TokenCache>) -> Self {
        Self {
            context,
            token_cache,
        }
    }

    /// What the store says now; those who ask together read it once.
    pub(super) async fn known(
        &self,
        name: &ConnectionName,
    ) -> Result<Arc<GrantSnapshot>, TokenError> {
        if let Some(known) = self.token_cache.shared_read(name) {
            return Ok(known);
        }
        // Before the rows: what is written in between makes them newer than their epoch, never older.
        let epoch = self.context.store.epoch().get();
        let (connection, grant) = self.find(name).await?;
        Ok(self.token_cache.share(epoch, connection, grant))
    }

    pub(super) async fn find(
        &self,
        name: &ConnectionName,
    ) -> Result<(Connection, Grant), TokenError> {
        let missing = || TokenError::NoSuchConnection { name: name.clone() };
        let store = &self.context.store;
        let connection = store.connection(name).await?.ok_or_else(missing)?;
        let id = connection.grant.clone().ok_or_else(missing)?;
        let grant = store.grant(&id).await?.ok_or_else(missing)?;
        Ok((connection, grant))
    }

    /// Decides over these rows, and logs the decision: each once, not once a call, for a line says what holds from then on.
    pub(super) fn decide(&self, known: &GrantSnapshot, ask: Freshness) -> ServeDecision {
        let grant = known.grant();
        let provider = known.connection().provider.as_deref();
        let now = self.context.seams.clock.now();
        let verdict = decide::serve(self.context.grant_view(provider, grant), ask, now);
        self.log(known.connection(), grant, verdict);
        verdict
    }

    /// Hands the token out, and from memory from now on if that is right.
    pub(super) fn hand_out(
        &self,
        known: &GrantSnapshot,
        ask: Freshness,
    ) -> Result<Arc<IssuedToken>, TokenError> {
        let clock = &self.context.seams.clock;
        let (ticks, now) = (clock.ticks(), clock.now());
        let grant = known.grant();
        let token = self.issue(known.connection(), grant, ask)?;
        let warn_in = warning_in(grant, now.wall);
        let more_to_do = grant.claim.is_some() || warn_in.is_some_and(|span| span.is_zero());
        let provider = known.connection().provider.as_deref();
        let grant_view = self.context.grant_view(provider, grant);
        let repeats = decide::repeats_for(grant_view, more_to_do, now);
        match (repeats, &grant.access) {
            // One that lives shorter than this caller asked for may be right for the next.
            (Some(_), _) if !token.min_ttl_met() => {}
            (Some(repeats), Some(access)) => {
                let until_warning = warn_in.filter(|span| !span.is_zero());
                let spans = CacheLifetime {
                    repeats: repeats.min(until_warning.unwrap_or(repeats)),
                    left: access.left(now),
                };
                self.token_cache.put(known, &token, &spans, ticks);
            }
            _ => self.token_cache.evict(&known.connection().name),
        }
        Ok(token)
    }

    pub(super) fn issue(
        &self,
        connection: &Connection,
        grant: &Grant,
        ask: Freshness,
    ) -> Result<Arc<IssuedToken>, TokenError> {
        let token = grant
            .access
            .as_ref()
            .ok_or_else(|| TokenError::Unavailable {
                why: "there is no access token".to_owned(),
                retry_after: None,
            })?;
        let binding = self.context.binding(grant);
        let binding = binding.map_err(|refused| TokenError::ClientRefused {
            issuer: grant.issuer.clone(),
            client_id: grant.client_id.clone(),
            refused,
        })?;
        // Never as a bearer token.
        let presentation = match binding {
            Some(_) => Presentation::bound(),
            None => connection.presentation.clone(),
        };
        Ok(Arc::new(IssuedToken {
            secret: token.secret.clone(),
            generation: token.generation,
            lineage: token.lineage,
            issued_at: token.issued.wall,
            expires_at: token.expires_at(),
            scope: token.scope.clone().or_else(|| connection.scope.clone()),
            resource: token.resource.clone(),
            url: connection.url.clone(),
            presentation,
            headers: grant.grant_material.requests.headers.clone(),
            binding,
            certificate: grant.grant_material.certificate.clone().map(Arc::new),
            shortfall: self.shortfall(connection, grant, ask).map(Box::new),
        }))
    }

    fn shortfall(
        &self,
        connection: &Connection,
        grant: &Grant,
        ask: Freshness,
    ) -> Option<Shortfall> {
        ask.min_ttl?;
        let provider = connection.provider.as_deref();
        let grant_view = self.context.grant_view(provider, grant);
        decide::shortfall(grant_view, ask, self.context.seams.clock.now())
    }

    fn log(&self, connection: &Connection, grant: &Grant, verdict: ServeDecision) {
        if !self
            .token_cache
            .is_new_decision(&connection.name, grant.generation, verdict)
        {
            return;
        }
        let now = self.context.seams.clock.now();
        let left = grant
            .access
            .as_ref()
            .map(|token| token.left(now))
            .unwrap_or_default();
        let why = match verdict {
            ServeDecision::ServeAndRefresh(why) | ServeDecision::RefreshFirst(why) => {
                Some(why.as_str())
            }
            ServeDecision::Serve | ServeDecision::FallBack | ServeDecision::Refuse(_) => None,
        };
        self.context.log.append(
            now,
            &Decision {
                ts: now.wall,
                connection: connection.name.to_string(),
                principal: connection.principal.to_string(),
                lineage: grant.lineage.0,
                generation: grant.generation.0,
                seconds_left: left.as_secs_f64(),
                decision: verdict.as_str(),
                why,
                outcome: None,
                latency_ms: None,
                skew_s: None,
                trace_id: None,
            },
        );
    }
}

/// Those who wait for a flight find what a plain ask gets in the token cache when they wake: it is read, decided and made
/// once, not once a waiter. Where a call has more to do than to serve, each goes the long way as it would alone.
#[async_trait]
impl Landing for HandOut {
    async fn landed(&self, name: &ConnectionName) {
        // A refresh ahead of time: the next caller reads what it has brought, if there is one.
        if !self.token_cache.is_awaited(name) {
            return;
        }
        if self.token_cache.look(&*self.context.store).is_err() {
            return;
        }
        let Ok(known) = self.known(name).await else {
            return;
        };
        let grant = known.grant();
        let warns = warning_in(grant, self.context.seams.clock.now().wall);
        let more_to_do = grant.claim.is_some() || warns.is_some_and(|span| span.is_zero());
        let plain = Freshness::default();
        if !more_to_do && self.decide(&known, plain) == ServeDecision::Serve {
            // An error is each waiter's own to meet.
            let _ = self.hand_out(&known, plain);
        }
    }
}

/// How long until a key's owner is to be told that it should be replaced: zero when that time has come.
pub(super) fn warning_in(grant: &Grant, now: Timestamp) -> Option<Duration> {
    let ahead: SignedDuration = grant.rotate_by?.duration_since(now) - ROTATION_WARNING;
    Some(Duration::try_from(ahead).unwrap_or_default())
}
