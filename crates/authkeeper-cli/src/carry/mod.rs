//! Carries calls to servers with the token injected, and recovers once from a 401.
//!
//! ```text
//! bridge ─ Bound ─┐
//! proxy ──────────┴─ Carrier ─┬─ Authority (tokens, what failed)
//!                             └─ HTTP client ─ server
//! ```
//!
//! A token goes to the origin of its connection's URL only, and no redirect is followed.

mod authority;
mod bound;
mod connect;
mod decide;
mod headers;
mod target;
#[cfg(test)]
pub(crate) mod tests;

use std::{error::Error, sync::Arc, time::Duration};

use authkeeper::model::{ConnectionName, Record};
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
use self::{connect::HttpClient, decide::Next};
use crate::mcp::ResponseBody;

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
            CarryRefusal::Unavailable {
                message,
                retry_after,
                ..
            } => Self::Unavailable {
                message,
                retry_after,
            },
            CarryRefusal::NoSuchConnection => Self::NoSuchConnection,
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
}

impl Carrier {
    pub(crate) fn new(authority: Arc<dyn Authority>) -> Self {
        Self {
            authority,
            client: connect::client(),
        }
    }

    /// One authorized exchange; the response streams. A 401 is recovered from once where the body can
    /// be sent again.
    pub(crate) async fn carry(
        &self,
        connection: &ConnectionName,
        call: Call,
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
        let mut token = self.token(connection, None, &fingerprint).await?;
        let mut retried = false;
        loop {
            let uri = target.under(&token.url).map_err(CarryError::BadTarget)?;
            let response = self.send(&mut outgoing, &uri, &token).await?;
            let replayable = outgoing.replayable();
            match decide::after_response(response.status(), token.generation, retried, replayable) {
                Next::Deliver => {
                    // An error of the server's is an answer, and no recovery of a call that had failed.
                    if response.status() < StatusCode::BAD_REQUEST {
                        self.authority
                            .call_succeeded(connection, &fingerprint)
                            .await;
                    }
                    return Ok(delivered(response));
                }
                Next::Retry { rejected } => {
                    drop(response);
                    token = self.token(connection, Some(rejected), &fingerprint).await?;
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
        fingerprint: &str,
    ) -> Result<CarryToken, CarryError> {
        let refusal = match self.authority.token(connection, rejected).await {
            Ok(token) => return Ok(token),
            Err(refusal) => refusal,
        };
        let reason = match &refusal {
            CarryRefusal::Authority { record } => record.reason.as_str(),
            CarryRefusal::Rejected { .. } => "rejected",
            CarryRefusal::NoSuchConnection => "no_such_connection",
            CarryRefusal::Unavailable { reason, .. } | CarryRefusal::Fault { reason, .. } => reason,
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
        match self.send_once(outgoing, uri, token).await {
            Err(CarryError::Interrupted { message }) if again => {
                tracing::debug!(message, "the connection broke; sending the call again");
                self.send_once(outgoing, uri, token).await
            }
            outcome => outcome,
        }
    }

    async fn send_once(
        &self,
        outgoing: &mut Outgoing,
        uri: &Uri,
        token: &CarryToken,
    ) -> Result<Response<ResponseBody>, CarryError> {
        let request = outgoing.request(uri, shown(token)?);
        match self.client.request(request).await {
            Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
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
