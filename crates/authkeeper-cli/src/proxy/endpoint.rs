//! `/mcp/NAME`: an MCP server's Streamable HTTP endpoint as it is, with the token put in.
//!
//! Everything crosses untouched in both directions but what belongs to one connection (RFC 9110 §7.6.1), the caller's own
//! handle, cookies and origin, and a 401 that stays. What we have to say ourselves is said so that a client of either era
//! understands it, and none begins a sign-in of its own:
//!
//! | what was sent | what it gets when it could not be carried |
//! |---|---|
//! | a JSON-RPC request | 200 with a JSON-RPC error for its id: SDKs hand it to whoever made the call. Of an HTTP error some keep the number alone, and of some the call hangs |
//! | a notification, an answer, a GET, a DELETE | 403, 502 or 503: nobody waits for a message |
//!
//! Never 401, never a `WWW-Authenticate`. A call that waits for a person is told of it ([`held`]).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use authkeeper::model::ConnectionName;
use bytes::Bytes;
use http::{Method, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::watch;

use super::{
    body::Started,
    held::{self, Begun},
    refusal::{ERROR_HEADER, Refusal, carry_kind, ours},
};
use crate::{
    carry::{Call, CallBody, Carrier, CarryError, Target, fingerprint, worded},
    mcp::{BoxError, Peeked, ResponseBody, Waiting},
};

/// How soon a call may be made again whose token is being replaced.
const SOON: Duration = Duration::from_secs(1);

/// What a client sent.
pub(super) struct Message {
    call: Call,
    /// The JSON-RPC message in it, where it is one and small enough to be looked at.
    peeked: Option<Peeked>,
    /// Its answer may be a stream that nobody ends.
    listens: bool,
}

impl Message {
    pub(super) fn new(head: Parts, target: Target, started: Started) -> Self {
        let Parts {
            method, headers, ..
        } = head;
        let peeked = match &started.body {
            CallBody::Whole(body) if method == Method::POST => Peeked::at(body),
            _ => None,
        };
        let print = match &peeked {
            Some(peeked) => fingerprint(&[b"mcp", peeked.fingerprint().as_bytes()]),
            None => fingerprint(&[b"mcp-http", method.as_str().as_bytes(), &started.seen]),
        };
        Self {
            listens: method == Method::GET || peeked.as_ref().is_some_and(Peeked::listens),
            call: Call {
                fingerprint: print,
                idempotent: peeked.as_ref().is_some_and(Peeked::is_idempotent),
                method,
                target,
                headers,
                body: started.body,
            },
            peeked,
        }
    }
}

/// What came of carrying a call.
pub(super) type Carried = Result<Response<ResponseBody>, CarryError>;

/// Carries it; the answer is the server's, or says what became of it.
pub(super) async fn carry(
    carrier: &Arc<Carrier>,
    connection: &ConnectionName,
    message: Message,
    stopped: watch::Receiver<()>,
) -> Result<Response<ResponseBody>, Refusal> {
    let Message {
        call,
        peeked,
        listens,
    } = message;
    let says_all = peeked.as_ref().is_some_and(Peeked::says_all_in_its_answer);
    let tells = carrier.holds() && !listens && says_all && held::takes_events(&call.headers);
    let waiting = Waiting::default();
    let carrying = carried(
        Arc::clone(carrier),
        connection.clone(),
        call,
        waiting.clone(),
    );
    let (carried, peeked) = if tells {
        match (held::begun(carrying, &waiting).await, peeked) {
            (Begun::Waits(carrying), Some(peeked)) => {
                let connection = connection.clone();
                return Ok(held::stream(carrying, &waiting, peeked, connection));
            }
            (Begun::Waits(carrying), None) => (carrying.await, None),
            (Begun::Done(carried), peeked) => (carried, peeked),
        }
    } else {
        (carrying.await, peeked)
    };
    match carried {
        Ok(mut response) => {
            response.headers_mut().remove(ERROR_HEADER);
            if !(listens && is_stream(&response)) {
                return Ok(response);
            }
            Ok(response.map(|body| Until::new(body, stopped).boxed_unsync()))
        }
        Err(error) => refused(error, connection, peeked.as_ref()),
    }
}

/// A 401 is none of the client's.
async fn carried(
    carrier: Arc<Carrier>,
    connection: ConnectionName,
    call: Call,
    waiting: Waiting,
) -> Carried {
    let response = carrier.carry_telling(&connection, call, &waiting).await?;
    if response.status() == StatusCode::UNAUTHORIZED {
        return Err(still_unauthorized());
    }
    Ok(response)
}

/// The body is gone, or the authorization server can't be asked just now: else the 401 would have been recovered from. As it
/// is, it would send the client to the server's own authorization server.
fn still_unauthorized() -> CarryError {
    CarryError::Unavailable {
        message: "the server took the token for no longer good (401); it is being replaced"
            .to_owned(),
        retry_after: Some(SOON),
    }
}

fn refused(
    error: CarryError,
    connection: &ConnectionName,
    peeked: Option<&Peeked>,
) -> Result<Response<ResponseBody>, Refusal> {
    let Some(peeked) = peeked.filter(|peeked| peeked.asks()) else {
        return Err(Refusal::Carry(error));
    };
    let (_, word) = carry_kind(&error);
    tracing::debug!(%connection, word, "the proxy answered by itself");
    let body = peeked.refused(worded(error, connection));
    Ok(ours(StatusCode::OK, word, body))
}

pub(super) fn is_stream(response: &Response<ResponseBody>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// A stream that nobody ends, until the daemon stops: it would hold that up, and the client opens it again.
struct Until {
    body: ResponseBody,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Until {
    fn new(body: ResponseBody, mut stopped: watch::Receiver<()>) -> Self {
        let stopped = Box::pin(async move { while stopped.changed().await.is_ok() {} });
        Self { body, stopped }
    }
}

impl Body for Until {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => self.stopped.as_mut().poll(context).map(|()| None),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
