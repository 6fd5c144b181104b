//! Carries calls to servers with the token injected, recovers once from a 401, and has more asked for after a 403 that names
//! a scope.
//!
//! ```text
//! bridge ─ Bound ─┐
//! proxy ──────────┴─ Carrier ─┬─ Authority (tokens, what failed)
//!                    (Hold)   └─ HTTP client ─ server
//! ```
//!
//! A call without a token whose provider may be well again within seconds waits for that ([`Patience`]). With a [`Hold`] a
//! call that nobody is authorized to make waits for a person instead of failing.
//!
//! A token goes to the origin of its connection's URL only, and no redirect is followed.

mod authority;
mod bound;
mod connect;
mod decide;
mod headers;
mod operation;
mod patience;
mod target;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_bound;

use std::{error::Error, sync::Arc, time::Duration};

use authkeeper::{
    model::{ConnectionName, MOST_IN_VAIN, Record, Scope, ScopeRefusal},
    oauth::{
        dpop,
        resource_error::{self, Refusal},
    },
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};

pub(crate) use self::{
    authority::{Authority, CarryRefusal, CarryToken},
    bound::{Bound, told, worded},
    headers::TASK_HEADER,
    target::{BadTarget, Target},
};
use self::{connect::HttpClient, decide::Next, patience::Patience};
use crate::{
    hold::Hold,
    mcp::{ResponseBody, Waiting},
};

/// One call as it is to be carried.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// As the caller sent them: what must not cross is removed here.
    pub(crate) headers: HeaderMap,
    pub(crate) body: CallBody,
    /// Sending it again after a broken connection cannot do anything twice.
    pub(crate) idempotent: bool,
    /// From [`fingerprint`].
    pub(crate) fingerprint: String,
}

impl Call {
    /// The same call once more, if its body can be had again.
    fn again(&self) -> Option<Self> {
        let CallBody::Whole(body) = &self.body else {
            return None;
        };
        Some(Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: CallBody::Whole(body.clone()),
            idempotent: self.idempotent,
            fingerprint: self.fingerprint.clone(),
        })
    }
}

pub(crate) enum CallBody {
    /// Can be sent again.
    Whole(Bytes),
    /// Can't.
    Stream(ResponseBody),
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum CarryError {
    /// A person must act; nothing was done.
    Authority {
        record: Box<Record>,
    },
    /// A fresh token was refused; nothing was done.
    Rejected {
        record: Box<Record>,
    },
    /// The server wants a scope that signing in again has not brought; nothing was done.
    Permission {
        record: Box<Record>,
    },
    /// The provider can't be asked for a token now; nothing was done.
    Unavailable {
        message: String,
        retry_after: Option<Duration>,
    },
    /// No connection to the server; nothing was done.
    Unreachable {
        message: String,
    },
    /// The connection broke after the request had left.
    Interrupted {
        message: String,
    },
    NoSuchConnection,
    /// The provider refuses our client, or what it asks for; nothing was done.
    Refused {
        reason: &'static str,
        message: String,
    },
    BadTarget(BadTarget),
    /// Ours; nothing was done.
    Fault {
        message: String,
    },
}

impl From<CarryRefusal> for CarryError {
    fn from(refusal: CarryRefusal) -> Self {
        match refusal {
            CarryRefusal::Authority { record } => Self::Authority { record },
            CarryRefusal::Rejected { record } => Self::Rejected { record },
            CarryRefusal::Permission { record } => Self::Permission { record },
            CarryRefusal::Unavailable {
                message,
                retry_after,
                ..
            } => Self::Unavailable {
                message,
                retry_after,
            },
            CarryRefusal::NoSuchConnection => Self::NoSuchConnection,
            CarryRefusal::Refused { reason, message } => Self::Refused { reason, message },
            CarryRefusal::Fault { message, .. } => Self::Fault { message },
        }
    }
}

/// Tells the same call made again from another one, without holding what it says.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Carries calls for any connection.
pub(crate) struct Carrier {
    authority: Arc<dyn Authority>,
    client: HttpClient,
    hold: Option<Arc<Hold>>,
}

impl Carrier {
    pub(crate) fn new(authority: Arc<dyn Authority>) -> Self {
        Self {
            authority,
            client: connect::client(),
            hold: None,
        }
    }

    /// Calls without authority wait for a person.
    pub(crate) fn holding(self, hold: Option<Arc<Hold>>) -> Self {
        Self { hold, ..self }
    }

    pub(crate) fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// One authorized exchange; the response streams. A 401 is recovered from once where the body can
    /// be sent again.
    pub(crate) async fn carry(
        &self,
        connection: &ConnectionName,
        call: Call,
    ) -> Result<Response<ResponseBody>, CarryError> {
        self.carry_telling(connection, call, &Waiting::default())
            .await
    }

    /// The same, and says meanwhile whether the call waits. It was not carried out when it waits for a person, so it is
    /// made anew afterwards: where its body is gone by then, it fails at once.
    pub(crate) async fn carry_telling(
        &self,
        connection: &ConnectionName,
        mut call: Call,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CarryError> {
        let Some(hold) = &self.hold else {
            return self.carry_once(connection, call, waiting).await;
        };
        let mut patience = None;
        loop {
            let again = call.again();
            let record = match (self.carry_once(connection, call, waiting).await, again) {
                (Err(CarryError::Authority { record }), Some(again)) => {
                    call = again;
                    record
                }
                (done, _) => return done,
            };
            let patience = patience.get_or_insert_with(|| hold.patience());
            if let Err(record) = patience.wait(connection, record, waiting).await {
                return Err(CarryError::Authority { record });
            }
        }
    }

    async fn carry_once(
        &self,
        connection: &ConnectionName,
        call: Call,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CarryError> {
        let Call {
            method,
            target,
            headers,
            body,
            idempotent,
            fingerprint,
        } = call;
        let mut outgoing = Outgoing::new(method, headers, body, idempotent);
        let patience = Patience::new(waiting);
        let ask = |rejected| self.token(connection, rejected, (fingerprint.as_str(), &patience));
        let mut token = ask(None).await?;
        let (mut retried, mut steps) = (false, 0);
        loop {
            let uri = target.under(&token.url).map_err(CarryError::BadTarget)?;
            let response = self.send(&mut outgoing, &uri, &token).await?;
            let replayable = outgoing.replayable();
            if token.binding.is_some() && wants_nonce(&response) {
                // Asked for twice, or of a body that can't be sent again: no newer token would help.
                let failed = self
                    .authority
                    .call_failed(connection, &fingerprint, "dpop_nonce");
                failed.await;
                return Ok(delivered(response));
            }
            let refused = resource_error::of(response.status(), response.headers());
            match decide::after_response(&refused, token.generation, retried, replayable) {
                Next::Deliver => {
                    // An error of the server's is an answer, and no recovery of a call that had failed.
                    if response.status() < StatusCode::BAD_REQUEST {
                        self.succeeded(connection, &fingerprint, (&mut outgoing, &uri))
                            .await;
                    }
                    return Ok(delivered(response));
                }
                Next::StepUp => {
                    let refusal = ScopeRefusal {
                        operation: outgoing.operation(&uri),
                        scope: needs(refused),
                        lineage: token.lineage,
                    };
                    self.step_up(connection, &refusal, &fingerprint).await?;
                    if !replayable || steps == MOST_IN_VAIN {
                        self.authority
                            .call_failed(connection, &fingerprint, "insufficient_scope")
                            .await;
                        return Ok(delivered(response));
                    }
                    steps += 1;
                    drop(response);
                    token = ask(None).await?;
                }
                Next::Retry { rejected } => {
                    drop(response);
                    token = ask(Some(rejected)).await?;
                    retried = true;
                }
                Next::ReplaceAndDeliver { rejected } | Next::GiveUp { rejected } => {
                    self.authority
                        .call_failed(connection, &fingerprint, "unauthorized")
                        .await;
                    return self
                        .unrecovered(connection, rejected, retried, response)
                        .await;
                }
            }
        }
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
    ) -> Result<(), CarryError> {
        let stepped = self.authority.step_up(connection, refusal).await;
        self.noting(connection, fingerprint, stepped).await
    }

    /// A 401 that stays: the authority hears of it, and says whether a fresh token was refused.
    async fn unrecovered(
        &self,
        connection: &ConnectionName,
        rejected: authkeeper::model::Generation,
        retried: bool,
        response: Response<ResponseBody>,
    ) -> Result<Response<ResponseBody>, CarryError> {
        match self.authority.token(connection, Some(rejected)).await {
            Err(
                refusal @ (CarryRefusal::Rejected { .. }
                | CarryRefusal::Authority { .. }
                | CarryRefusal::NoSuchConnection),
            ) if retried => Err(refusal.into()),
            _ => Ok(delivered(response)),
        }
    }

    async fn token(
        &self,
        connection: &ConnectionName,
        rejected: Option<authkeeper::model::Generation>,
        (fingerprint, patience): (&str, &Patience<'_>),
    ) -> Result<CarryToken, CarryError> {
        let token = patience.token(&*self.authority, connection, rejected);
        let token = token.await;
        self.noting(connection, fingerprint, token).await
    }

    /// A refusal is a call that failed.
    async fn noting<T>(
        &self,
        connection: &ConnectionName,
        fingerprint: &str,
        outcome: Result<T, CarryRefusal>,
    ) -> Result<T, CarryError> {
        let refusal = match outcome {
            Ok(done) => return Ok(done),
            Err(refusal) => refusal,
        };
        let reason = match &refusal {
            CarryRefusal::Authority { record } | CarryRefusal::Permission { record } => {
                record.reason.as_str()
            }
            CarryRefusal::Rejected { .. } => "rejected",
            CarryRefusal::NoSuchConnection => "no_such_connection",
            CarryRefusal::Unavailable { reason, .. }
            | CarryRefusal::Refused { reason, .. }
            | CarryRefusal::Fault { reason, .. } => reason,
        };
        self.authority
            .call_failed(connection, fingerprint, reason)
            .await;
        Err(refusal.into())
    }

    /// Sends, and sends again over a new connection where that can't do anything twice.
    async fn send(
        &self,
        outgoing: &mut Outgoing,
        uri: &Uri,
        token: &CarryToken,
    ) -> Result<Response<ResponseBody>, CarryError> {
        let again = outgoing.idempotent && outgoing.replayable();
        let sent = match self.send_once(outgoing, uri, token).await {
            Err(CarryError::Interrupted { message }) if again => {
                tracing::debug!(message, "the connection broke; sending the call again");
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
        token: &CarryToken,
    ) -> Result<Response<ResponseBody>, CarryError> {
        let proof = proof(&outgoing.method, uri, token)?;
        let mut request = outgoing.request(uri, shown(token)?);
        if let Some(proof) = proof {
            request.headers_mut().insert(dpop::DPOP, proof);
        }
        match self.client.request(request).await {
            Ok(mut response) => {
                if let Some(binding) = &token.binding {
                    binding.hear(uri, response.headers());
                    // The number is ours to use; whoever sees it wants nothing that could be seen.
                    if !wants_nonce(&response) {
                        response.headers_mut().remove(dpop::DPOP_NONCE);
                    }
                }
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
            Err(error) if error.is_connect() => Err(CarryError::Unreachable {
                message: chain(&error),
            }),
            Err(error) => Err(CarryError::Interrupted {
                message: chain(&error),
            }),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the access token goes to the server it was issued for"
)]
fn shown(token: &CarryToken) -> Result<(HeaderName, HeaderValue), CarryError> {
    let presentation = &token.presentation;
    let unprintable = || CarryError::Fault {
        message: "the token can't stand in the header that it is shown in".to_owned(),
    };
    let text = format!("{}{}", presentation.prefix(), token.secret.expose());
    let mut value = HeaderValue::try_from(text).map_err(|_unprintable| unprintable())?;
    value.set_sensitive(true);
    let name = HeaderName::try_from(presentation.header()).map_err(|_name| unprintable())?;
    Ok((name, value))
}

fn needs(refusal: Refusal) -> Option<Scope> {
    match refusal {
        Refusal::Scope { needs } => needs,
        _ => None,
    }
}

/// The proof that a bound token is shown with, made for this one request (RFC 9449 §7.1).
fn proof(
    method: &Method,
    uri: &Uri,
    token: &CarryToken,
) -> Result<Option<HeaderValue>, CarryError> {
    let Some(binding) = &token.binding else {
        return Ok(None);
    };
    let proof = binding.proof(method, uri, Some(&token.secret));
    proof.map(Some).map_err(|unusable| CarryError::Fault {
        message: unusable.to_string(),
    })
}

fn wants_nonce<B>(response: &Response<B>) -> bool {
    dpop::wants_nonce(response.status(), response.headers())
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

struct Outgoing {
    method: Method,
    headers: HeaderMap,
    body: Option<CallBody>,
    idempotent: bool,
}

impl Outgoing {
    fn new(method: Method, mut headers: HeaderMap, body: CallBody, idempotent: bool) -> Self {
        headers::strip_hop_by_hop(&mut headers);
        headers::strip_ours(&mut headers);
        if matches!(body, CallBody::Whole(_)) {
            headers.remove(header::CONTENT_LENGTH);
        }
        Self {
            method,
            headers,
            body: Some(body),
            idempotent,
        }
    }

    /// In words, for counting and telling.
    fn operation(&self, uri: &Uri) -> String {
        let body = match &self.body {
            Some(CallBody::Whole(bytes)) => Some(bytes),
            _ => None,
        };
        operation::operation(&self.method, uri, body)
    }

    fn replayable(&self) -> bool {
        matches!(self.body, Some(CallBody::Whole(_)))
    }

    fn request(
        &mut self,
        uri: &Uri,
        (name, token): (HeaderName, HeaderValue),
    ) -> Request<ResponseBody> {
        let body = match self.body.take() {
            Some(CallBody::Whole(bytes)) => {
                self.body = Some(CallBody::Whole(bytes.clone()));
                whole(bytes)
            }
            Some(CallBody::Stream(stream)) => stream,
            None => whole(Bytes::new()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(name, token);
        request
    }
}

/// A body that is there as a whole.
pub(crate) fn whole(bytes: Bytes) -> ResponseBody {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
