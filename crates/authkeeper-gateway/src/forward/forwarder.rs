//! Forwards calls: a token is injected, a 401 is recovered from once, and a missing scope is asked for.

use std::{error::Error, sync::Arc, time::Duration};

use authkeeper::{
    http::{ConnectError, Network},
    model::{ConnectionName, Generation, MOST_IN_VAIN, Scope, ScopeRefusal},
    oauth::{
        dpop,
        resource_error::{self, Refusal},
    },
};
use http::{Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::time::sleep;

use super::{
    authority::{Authority, CallToken},
    call::Call,
    call_counts::{CallCounts, CallTally},
    connect::HttpClients,
    decide::{self, AfterResponse, Tried},
    headers,
    outgoing::{Outgoing, proof, wants_nonce},
    target::BadTarget,
    token_wait::TokenWait,
};
use crate::{
    body::ResponseBody,
    error::{CallError, CallErrorKind},
    lifecycle::Lifecycle,
    signin_link::Hold,
    wait::Waiting,
};

/// Why a call failed whose 401 stayed.
const UNAUTHORIZED: &str = "unauthorized";

/// Forwards calls for any connection.
pub struct Forwarder {
    authority: Arc<dyn Authority>,
    clients: HttpClients,
    hold: Option<Arc<Hold>>,
    /// How long a call waits for a token while its provider is unavailable.
    patience: Duration,
    tally: CallTally,
}

impl Forwarder {
    pub(crate) fn new(authority: Arc<dyn Authority>) -> Self {
        Self {
            authority,
            clients: HttpClients::new(&Lifecycle::default(), Arc::default()),
            hold: None,
            patience: decide::PATIENCE,
            tally: CallTally::default(),
        }
    }

    /// Calls servers over this network; its connections are tasks of `lifecycle`.
    #[must_use]
    pub fn over(self, lifecycle: &Lifecycle, network: Arc<Network>) -> Self {
        let clients = HttpClients::new(lifecycle, network);
        Self { clients, ..self }
    }

    /// Calls without authorization wait for a person.
    #[must_use]
    pub fn holding(self, hold: Option<Arc<Hold>>) -> Self {
        Self { hold, ..self }
    }

    /// Calls wait this long for a token while the provider is unavailable, if that is longer than they would anyway.
    #[must_use]
    pub fn waiting_for(self, patience: Duration) -> Self {
        let patience = patience.max(decide::PATIENCE);
        Self { patience, ..self }
    }

    /// What became of the calls over a connection.
    pub fn counts(&self, connection: &ConnectionName) -> CallCounts {
        self.tally.counts(connection)
    }

    /// The connections over which there was a call.
    pub fn called(&self) -> Vec<ConnectionName> {
        self.tally.names()
    }

    /// A call over a connection that the run does not declare.
    pub(crate) fn count_undeclared(&self, connection: &ConnectionName) {
        self.tally.undeclared(connection);
    }

    pub(crate) fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// One authorized exchange; the response streams. A 401 is recovered from once, if the body can be sent again.
    ///
    /// # Errors
    ///
    /// Why there is no response; [`CallError`] says whether the call may have been carried out.
    pub async fn forward(
        &self,
        connection: &ConnectionName,
        call: Call,
    ) -> Result<Response<ResponseBody>, CallError> {
        self.forward_reporting(connection, call, &Waiting::default())
            .await
    }

    /// The same, and reports through `waiting` whether the call waits. A call that waits for a person was not carried out,
    /// so it is sent again afterwards; it fails at once if its body is gone by then.
    pub(crate) async fn forward_reporting(
        &self,
        connection: &ConnectionName,
        call: Call,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CallError> {
        let _counted = self.tally.begin(connection, waiting);
        let error = match self.forward_holding(connection, call, waiting).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        self.tally.failed(connection, error.reason());
        if !error.kind.is_explained_by_health() {
            return Err(error);
        }
        Err(match self.authority.health(connection).await {
            Some(health) => error.with_health(health),
            None => error,
        })
    }

    async fn forward_holding(
        &self,
        connection: &ConnectionName,
        mut call: Call,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CallError> {
        let Some(hold) = &self.hold else {
            return self.forward_once(connection, call, waiting).await;
        };
        let mut wait = None;
        loop {
            let again = call.again();
            let record = match (self.forward_once(connection, call, waiting).await, again) {
                (
                    Err(CallError {
                        kind: CallErrorKind::AuthorizationMissing,
                        incident: Some(record),
                        ..
                    }),
                    Some(again),
                ) => {
                    call = again;
                    record
                }
                (done, _) => return done,
            };
            let wait = wait.get_or_insert_with(|| hold.begin());
            if let Err(record) = wait.until_resolved(connection, record, waiting).await {
                return Err(CallError::authorization_missing(record));
            }
        }
    }

    async fn forward_once(
        &self,
        connection: &ConnectionName,
        call: Call,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CallError> {
        let Call {
            method,
            target,
            headers,
            body,
            idempotent,
            in_session,
            fingerprint,
        } = call;
        let mut outgoing = Outgoing::new(method, headers, body, idempotent);
        let patience = TokenWait::new(self.patience, waiting);
        let ask = |rejected| self.token(connection, rejected, (fingerprint.as_str(), &patience));
        let mut token = ask(None).await?;
        let (mut tried, mut steps) = (Tried::Stored, 0);
        loop {
            let uri = target.under(&token.url).map_err(|bad| bad_path(&bad))?;
            let response = self.send(&mut outgoing, &uri, &token).await?;
            let replayable = outgoing.replayable();
            if token.binding.is_some() && wants_nonce(&response) {
                // Asked for twice, or of a body that can't be sent again: no newer token would help.
                self.refused(connection, &fingerprint, "dpop_nonce").await;
                return Ok(delivered(response));
            }
            let refused = resource_error::of(response.status(), response.headers());
            let challenged = resource_error::is_challenged(response.headers());
            if in_session && decide::may_be_for_the_session(&refused, challenged, tried) {
                return Ok(delivered(response));
            }
            match decide::after_response(&refused, token.generation, tried, replayable) {
                AfterResponse::Deliver => {
                    // An error of the server's is an answer, and no recovery of a call that had failed.
                    if response.status() < StatusCode::BAD_REQUEST {
                        self.succeeded(connection, &fingerprint, (&mut outgoing, &uri))
                            .await;
                    }
                    return Ok(delivered(response));
                }
                AfterResponse::StepUp => {
                    let refusal = ScopeRefusal {
                        operation: outgoing.operation(&uri),
                        scope: needs(refused),
                        lineage: token.lineage,
                    };
                    self.step_up(connection, &refusal, &fingerprint).await?;
                    if !replayable || steps == MOST_IN_VAIN {
                        self.refused(connection, &fingerprint, "insufficient_scope")
                            .await;
                        return Ok(delivered(response));
                    }
                    steps += 1;
                    drop(response);
                    token = ask(None).await?;
                }
                AfterResponse::Retry { rejected } => {
                    drop(response);
                    token = ask(Some(rejected)).await?;
                    tried = Tried::Newer;
                }
                AfterResponse::RetryLater => {
                    drop(response);
                    sleep(decide::LAG).await;
                    tried = Tried::NewerAgain;
                }
                AfterResponse::ReplaceAndDeliver { rejected }
                | AfterResponse::GiveUp { rejected } => {
                    let refused = (rejected, tried != Tried::Stored);
                    return self
                        .unrecovered(connection, &fingerprint, refused, response)
                        .await;
                }
            }
        }
    }

    /// The call failed for lack of authority: the run around this process hears of it.
    async fn failed(&self, connection: &ConnectionName, fingerprint: &str, reason: &str) {
        let failed = self.authority.call_failed(connection, fingerprint, reason);
        failed.await;
    }

    /// The same where the caller gets the server's own answer.
    async fn refused(&self, connection: &ConnectionName, fingerprint: &str, reason: &str) {
        self.tally.failed(connection, reason);
        self.failed(connection, fingerprint, reason).await;
    }

    /// What had failed before, or was refused, is over.
    async fn succeeded(
        &self,
        connection: &ConnectionName,
        fingerprint: &str,
        (outgoing, uri): (&mut Outgoing, &Uri),
    ) {
        self.authority.call_succeeded(connection, fingerprint).await;
        if self.authority.wants_scopes(connection) {
            let operation = outgoing.operation(uri);
            self.authority.scope_sufficed(connection, &operation).await;
        }
    }

    /// A token that does not reach far enough: more is asked for, or the call fails.
    async fn step_up(
        &self,
        connection: &ConnectionName,
        refusal: &ScopeRefusal,
        fingerprint: &str,
    ) -> Result<(), CallError> {
        let stepped = self.authority.step_up(connection, refusal).await;
        self.noting(connection, fingerprint, stepped).await
    }

    /// A 401 that stays: the authority says whether a fresh token was refused, and the run hears of what it says.
    async fn unrecovered(
        &self,
        connection: &ConnectionName,
        fingerprint: &str,
        (rejected, retried): (Generation, bool),
        response: Response<ResponseBody>,
    ) -> Result<Response<ResponseBody>, CallError> {
        let asked = self.authority.token(connection, Some(rejected)).await;
        let verdict = asked.err();
        let reason = verdict.as_ref().map_or(UNAUTHORIZED, CallError::reason);
        self.failed(connection, fingerprint, reason).await;
        if let Some(error) = verdict.filter(|error| retried && ends_the_call(error.kind)) {
            return Err(error);
        }
        self.tally.failed(connection, UNAUTHORIZED);
        Ok(delivered(response))
    }

    async fn token(
        &self,
        connection: &ConnectionName,
        rejected: Option<Generation>,
        (fingerprint, patience): (&str, &TokenWait<'_>),
    ) -> Result<CallToken, CallError> {
        let token = patience.token(&*self.authority, connection, rejected);
        let token = token.await;
        self.noting(connection, fingerprint, token).await
    }

    /// Without a token the call failed.
    async fn noting<T>(
        &self,
        connection: &ConnectionName,
        fingerprint: &str,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        if let Err(error) = &outcome {
            self.failed(connection, fingerprint, error.reason()).await;
        }
        outcome
    }

    /// Sends, and sends again over a new connection where that can't do anything twice.
    async fn send(
        &self,
        outgoing: &mut Outgoing,
        uri: &Uri,
        token: &CallToken,
    ) -> Result<Response<ResponseBody>, CallError> {
        let again = outgoing.idempotent && outgoing.replayable();
        let sent = match self.send_once(outgoing, uri, token).await {
            Err(error) if again && error.kind == CallErrorKind::Interrupted => {
                tracing::debug!(%error, "the connection broke; sending the call again");
                self.send_once(outgoing, uri, token).await
            }
            outcome => outcome,
        };
        match sent {
            // Nothing was done, and the token is as good as it was: it is the proof that lacked the server's number.
            Ok(response)
                if token.binding.is_some() && wants_nonce(&response) && outgoing.replayable() =>
            {
                drop(response);
                self.send_once(outgoing, uri, token).await
            }
            sent => sent,
        }
    }

    async fn send_once(
        &self,
        outgoing: &mut Outgoing,
        uri: &Uri,
        token: &CallToken,
    ) -> Result<Response<ResponseBody>, CallError> {
        let client = self.clients.showing(uri, token.certificate.as_deref());
        let client = client.map_err(|error| unconnected(&error))?;
        let proof = proof(&outgoing.method, uri, token)?;
        let mut request = outgoing.request(uri, token)?;
        if let Some(proof) = proof {
            request.headers_mut().insert(dpop::DPOP, proof);
        }
        match client.request(request).await {
            Ok(mut response) => {
                outgoing.hear(uri, response.headers());
                if let Some(binding) = &token.binding {
                    binding.hear(uri, response.headers());
                    // The nonce is for our own proofs; the caller has no use for it.
                    if !wants_nonce(&response) {
                        response.headers_mut().remove(dpop::DPOP_NONCE);
                    }
                }
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
            Err(error) if error.is_connect() => Err(unconnected(&error)),
            Err(error) => Err(CallError::interrupted(chain(&error))),
        }
    }
}

/// A 401 that a fresh token does not change is the server's to explain, unless the authority has a verdict.
const fn ends_the_call(kind: CallErrorKind) -> bool {
    matches!(
        kind,
        CallErrorKind::TokenRejected
            | CallErrorKind::AuthorizationMissing
            | CallErrorKind::NoSuchConnection
    )
}

fn bad_path(bad: &BadTarget) -> CallError {
    CallError::new(CallErrorKind::BadPath, bad.to_string())
}

fn needs(refusal: Refusal) -> Option<Scope> {
    match refusal {
        Refusal::Scope { needs } => needs,
        _ => None,
    }
}

/// Nothing was sent. Where a person has to set something first, that is said, and trying again is of no use.
fn unconnected(error: &(dyn Error + 'static)) -> CallError {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    let known = causes.find_map(|cause| cause.downcast_ref::<ConnectError>());
    match known.map(|known| (known, known.remedy())) {
        Some((known, Some(remedy))) => CallError::network_setting(known, remedy),
        _ => CallError::server_unreachable(chain(error)),
    }
}

/// An error with its causes: hyper keeps what matters in the last one. Neither holds headers or bodies.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn delivered(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    headers::strip_hop_by_hop(response.headers_mut());
    response
}
