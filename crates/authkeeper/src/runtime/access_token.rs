//! Serving: a token from memory while that is known to be right ([`crate::runtime::token_cache`]), else decided over what the store says.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    error::TokenError,
    model::{ClaimPhase, Connection, ConnectionName, Event, Grant, GrantLifecycle, OwnerState},
    refresh::{
        OnBehalfOf,
        decide::{self, Freshness, Refusal, ServeDecision, Shortfall},
        goal::Goal,
        grant_view, incident,
        outcome::RefreshOutcome,
        provider_incidents, revoke_leftovers,
    },
    runtime::{
        IssuedToken, Runtime, TokenRequest, hand_out::warning_in, live_token::LiveToken,
        token_cache::GrantSnapshot,
    },
    store::StoreError,
};

/// How often one call may meet a state that changed under it before it gives up.
const ROUNDS: usize = 4;

impl Runtime {
    /// A token that may be presented now, or what has to happen before there is one. While a token is good it comes from
    /// memory: what another process writes (a disconnection, a newer token) is seen within [`decide::BELIEVED_FOR`].
    pub async fn access_token(
        &self,
        request: &TokenRequest,
    ) -> Result<Arc<IssuedToken>, TokenError> {
        if let Some(token) = self.token_cache.token(request.connection(), request.ask()) {
            return Ok(token);
        }
        let mut ended = None;
        if let Some(ticket) = self.token_cache.flight(request.connection(), request.ask()) {
            ended = unseen(ticket.landed().await);
            if let Some(token) = self.token_cache.token(request.connection(), request.ask()) {
                return Ok(token);
            }
        }
        // Boxed: the long way's state is large, and seldom needed.
        Box::pin(self.serve(request, ended)).await
    }

    /// This connection's token for somebody who needs it again and again. Fails as [`Runtime::access_token`] would now.
    pub async fn live_token(&self, name: &ConnectionName) -> Result<LiveToken, TokenError> {
        self.access_token(&TokenRequest::new(name.clone())).await?;
        let cache = Arc::clone(&self.token_cache);
        Ok(LiveToken::new(self.clone(), cache, name.clone()))
    }

    /// Decides over what the store says, and does it. `ended` is how a refresh ended that was waited for already.
    async fn serve(
        &self,
        request: &TokenRequest,
        mut ended: Option<RefreshOutcome>,
    ) -> Result<Arc<IssuedToken>, TokenError> {
        for _ in 0..ROUNDS {
            self.token_cache.look(&*self.context.store)?;
            if let Some(token) = self.token_cache.token(request.connection(), request.ask()) {
                return Ok(token);
            }
            let known = self.known(request.connection()).await?;
            let grant = known.grant();
            let on_behalf_of = known.on_behalf_of();
            let now = self.context.seams.clock.now();
            let verdict = self.hand_out.decide(&known, request.ask());
            match (verdict, ended) {
                (ServeDecision::Serve, end) => {
                    self.recover_behind(on_behalf_of, grant);
                    // To keep a warning may take its time, and the grant may have been withdrawn in it.
                    if self.warn_of_rotation(on_behalf_of, grant).await {
                        ended = end;
                        continue;
                    }
                    return self.hand_out.hand_out(&known, request.ask());
                }
                (ServeDecision::ServeAndRefresh(why), _) => {
                    if !self.is_cared_for(grant) {
                        self.flights.start(on_behalf_of, Goal::of(grant), why);
                    }
                    return self.hand_out.hand_out(&known, request.ask());
                }
                (ServeDecision::Refuse(Refusal::Reauthorize(_)), end)
                    if end.is_none()
                        && grant.refresh.is_some()
                        && decide::probe_due(&grant.lifecycle, grant.probed, now) =>
                {
                    let why = decide::Why::Probe;
                    ended = Some(
                        self.flights
                            .refresh(on_behalf_of, Goal::of(grant), why)
                            .await,
                    );
                }
                (ServeDecision::Refuse(refusal), _) => {
                    return Err(self.refuse(&known, request, refusal).await?);
                }
                (ServeDecision::FallBack, end) => {
                    self.fall_back(on_behalf_of, grant).await?;
                    ended = end;
                }
                (ServeDecision::RefreshFirst(_), Some(end)) => {
                    return self.serve_after_failure(&known, request, end).await;
                }
                (ServeDecision::RefreshFirst(why), None) => {
                    ended = self.refresh_first(&known, request, why).await;
                }
            }
        }
        Err(TokenError::Unavailable {
            why: "the connection kept changing".to_owned(),
            retry_after: None,
        })
    }

    /// The error of a refusal. A token that nothing can replace is not served again.
    async fn refuse(
        &self,
        known: &GrantSnapshot,
        request: &TokenRequest,
        refusal: Refusal,
    ) -> Result<TokenError, TokenError> {
        let (connection, grant) = (known.connection(), known.grant());
        self.token_cache.evict(&connection.name);
        self.retire_dead(grant, request).await?;
        if refusal == Refusal::Rejected
            && let Some(moved) = self.moved(connection, grant).await?
        {
            return Ok(moved);
        }
        self.refused(&OnBehalfOf::of(connection), grant, refusal)
            .await
    }

    /// Serves the current token, if it is still good, after a refresh that brought none.
    async fn serve_after_failure(
        &self,
        known: &GrantSnapshot,
        request: &TokenRequest,
        end: RefreshOutcome,
    ) -> Result<Arc<IssuedToken>, TokenError> {
        let (connection, grant) = (known.connection(), known.grant());
        let served = self.without(connection, grant, request, end);
        if served.is_err()
            && request.ask().rejected.is_some()
            && let Some(moved) = self.moved(connection, grant).await?
        {
            return Err(moved);
        }
        served
    }

    /// Refreshes; returns the outcome if the state of the grant does not show it.
    async fn refresh_first(
        &self,
        known: &GrantSnapshot,
        request: &TokenRequest,
        why: decide::Why,
    ) -> Option<RefreshOutcome> {
        let goal = Goal::of(known.grant());
        let ticket = match self.flights.board(known.on_behalf_of(), goal, why) {
            Ok(ticket) => ticket,
            Err(resting) => return unseen(resting),
        };
        if request.ask() == Freshness::default() {
            known.let_board(&ticket);
        }
        unseen(ticket.landed().await)
    }

    /// What the store says now; those who ask together read it once.
    async fn known(&self, name: &ConnectionName) -> Result<Arc<GrantSnapshot>, TokenError> {
        let known = self.hand_out.known(name).await;
        if let Err(error) = &known {
            self.token_cache.forget(name);
            if matches!(error, TokenError::NoSuchConnection { .. }) {
                self.clear_up();
            }
        }
        known
    }

    /// A new API key was refused and the one before it is still good: that one serves, and its owner is told.
    async fn fall_back(&self, on_behalf_of: &OnBehalfOf, grant: &Grant) -> Result<(), TokenError> {
        let now = self.context.seams.clock.now();
        let store = &self.context.store;
        if store.fall_back(&grant.id, grant.generation, now).await? {
            let trace_id = self.context.seams.random_id();
            let record = incident::fell_back_record(on_behalf_of, grant, now.wall, &trace_id);
            incident::keep(&self.context, grant, record).await?;
        }
        Ok(())
    }

    /// A key's owner is told ahead of its day, once.
    async fn warn_of_rotation(&self, on_behalf_of: &OnBehalfOf, grant: &Grant) -> bool {
        let now = self.now();
        let due = |_: &Timestamp| warning_in(grant, now).is_some_and(|span| span.is_zero());
        let Some(by) = grant.rotate_by.filter(due) else {
            return false;
        };
        let told = self
            .context
            .store
            .is_open(&on_behalf_of.connection, Event::RotationDue);
        if told.await.unwrap_or_default() {
            return false;
        }
        let trace_id = self.context.seams.random_id();
        let record = incident::rotation_due_record(on_behalf_of, grant, (by, now), &trace_id);
        // The key is good: a store that can't keep the warning must not keep the key from its caller.
        match incident::keep(&self.context, grant, record).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a warning can't be kept");
                false
            }
        }
    }

    /// A refresh was wanted and did not come: a token that is still good serves all the same (rule 2).
    fn without(
        &self,
        connection: &Connection,
        grant: &Grant,
        request: &TokenRequest,
        end: RefreshOutcome,
    ) -> Result<Arc<IssuedToken>, TokenError> {
        let now = self.context.seams.clock.now();
        let good = grant.access.as_ref().is_some_and(|token| {
            !token.left(now).is_zero()
                && request
                    .ask()
                    .rejected
                    .is_none_or(|old| token.generation > old)
        });
        let failed = Self::failed(connection, grant, end, now.wall);
        if good {
            let mut token = self.hand_out.issue(connection, grant, request.ask())?;
            if let Some(shortfall) = &mut Arc::make_mut(&mut token).shortfall {
                let why = failed.to_string();
                **shortfall = Shortfall::RefreshFailed { why };
            }
            return Ok(token);
        }
        Err(failed)
    }

    /// What a caller hears of a refresh that brought no token.
    pub(crate) fn failed(
        connection: &Connection,
        grant: &Grant,
        end: RefreshOutcome,
        now: Timestamp,
    ) -> TokenError {
        match end {
            RefreshOutcome::Uncertain { kind, resend_in } => TokenError::Uncertain {
                record: Box::new(incident::uncertain_record(
                    &OnBehalfOf::of(connection),
                    grant,
                    kind,
                    now,
                    "",
                )),
                retry_after: resend_in,
            },
            RefreshOutcome::Client(refused) => TokenError::ClientRefused {
                issuer: grant.issuer.clone(),
                client_id: grant.client_id.clone(),
                refused,
            },
            RefreshOutcome::Request(refused) => TokenError::RequestRefused {
                issuer: grant.issuer.clone(),
                refused,
            },
            RefreshOutcome::Store(error) => TokenError::Store(error),
            RefreshOutcome::Moved(why) => TokenError::EndpointMoved {
                why,
                action: provider_incidents::next_step(
                    connection.provider.as_deref(),
                    connection.name.as_str(),
                ),
            },
            RefreshOutcome::Later { why, retry_after } => {
                TokenError::Unavailable { why, retry_after }
            }
            RefreshOutcome::Unconnected { why, action } => {
                TokenError::NetworkSetting { why, action }
            }
            RefreshOutcome::Fresh | RefreshOutcome::Refused | RefreshOutcome::Withdrawn => {
                TokenError::Unavailable {
                    why: "the connection kept changing".to_owned(),
                    retry_after: None,
                }
            }
        }
    }

    /// Whether another living process is refreshing already: then nobody with a good token in hand needs to wait for it.
    fn is_cared_for(&self, grant: &Grant) -> bool {
        grant.claim.as_ref().is_some_and(|claim| {
            claim.phase == ClaimPhase::Spending
                && !self.context.liveness.is_me(&claim.owner)
                && self.context.liveness.state(&claim.owner) == OwnerState::Alive
        })
    }

    /// An answer that was lost is looked after even while the current token serves.
    fn recover_behind(&self, on_behalf_of: &OnBehalfOf, grant: &Grant) {
        if grant.claim.is_some() && !self.is_cared_for(grant) && grant_view(grant).refreshable {
            self.flights
                .start(on_behalf_of, Goal::of(grant), decide::Why::Recovery);
        }
    }

    /// The token got a 401 and nothing can replace it: whatever its clock says, it is handed out no more.
    async fn retire_dead(&self, grant: &Grant, request: &TokenRequest) -> Result<(), StoreError> {
        let over = matches!(
            grant.lifecycle,
            GrantLifecycle::ReauthorizationRequired { .. }
        );
        match (&grant.access, request.ask().rejected) {
            (Some(token), Some(rejected)) if over && token.generation <= rejected => {
                self.context
                    .store
                    .retire_access(&grant.id, token.generation)
                    .await
            }
            _ => Ok(()),
        }
    }

    async fn refused(
        &self,
        on_behalf_of: &OnBehalfOf,
        grant: &Grant,
        refusal: Refusal,
    ) -> Result<TokenError, TokenError> {
        let now = self.context.seams.clock.now().wall;
        let trace_id = self.context.seams.random_id();
        match refusal {
            Refusal::Reauthorize(reason) => {
                let since = match &grant.lifecycle {
                    GrantLifecycle::ReauthorizationRequired { since, .. } => *since,
                    _ => now,
                };
                let times = (since, now);
                let record =
                    incident::reauthorize_record(on_behalf_of, grant, reason, times, &trace_id);
                incident::keep(&self.context, grant, record.clone()).await?;
                let record = incident::as_kept(&self.context, record).await?;
                Ok(TokenError::ReauthorizationRequired {
                    record: Box::new(record),
                })
            }
            Refusal::Rejected => {
                let record = incident::rejected_record(on_behalf_of, grant, now, &trace_id);
                incident::keep(&self.context, grant, record.clone()).await?;
                Ok(TokenError::Rejected {
                    record: Box::new(record),
                })
            }
            Refusal::Suspended(reason) => {
                let since = match &grant.lifecycle {
                    GrantLifecycle::Suspended { since, .. } => *since,
                    _ => now,
                };
                let times = (since, now);
                let record =
                    incident::suspended_record(on_behalf_of, grant, reason, times, &trace_id);
                Ok(TokenError::Suspended {
                    record: Box::new(record),
                    reason,
                })
            }
            Refusal::Revoked => Ok(TokenError::NoSuchConnection {
                name: on_behalf_of.connection.clone(),
            }),
        }
    }

    /// A connection that is gone may have left a good token behind. It is revoked though the caller is answered at once:
    /// nobody may come by here again.
    fn clear_up(&self) {
        if self.context.journals.names().is_empty() {
            return;
        }
        let (context, aboard) = (Arc::clone(&self.context), self.flights.aboard());
        self.context.tasks.spawn(Box::pin(async move {
            revoke_leftovers::revoke_left(&context).await;
            drop(aboard);
        }));
    }

    pub(crate) async fn find(
        &self,
        name: &ConnectionName,
    ) -> Result<(Connection, Grant), TokenError> {
        self.hand_out.find(name).await
    }
}

/// How a refresh ended, where the state of the grant does not show it.
fn unseen(end: RefreshOutcome) -> Option<RefreshOutcome> {
    match end {
        RefreshOutcome::Fresh | RefreshOutcome::Refused | RefreshOutcome::Withdrawn => None,
        failed => Some(failed),
    }
}
