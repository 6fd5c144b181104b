//! `/mcp/NAME`: an MCP server's Streamable HTTP endpoint as it is, with the token put in.
//!
//! Everything is forwarded untouched in both directions, except hop-by-hop headers (RFC 9110 §7.6.1), the caller's own
//! handle, cookies and origin (a session's cookies are kept here and sent back: [`SessionCookies`]), and a 401 that stays.
//! Answers of our own are such that a client of either era understands them, and none begins a sign-in of its own:
//!
//! | what was sent | what it gets when it could not be forwarded |
//! |---|---|
//! | a JSON-RPC request | 200 with a JSON-RPC error for its id: SDKs hand it to the caller. Of an HTTP error some keep the number alone, and of some the call hangs |
//! | a notification, an answer, a GET, a DELETE | 403, 502 or 503: nobody waits for a message |
//!
//! Never 401, never a `WWW-Authenticate`. A call that waits for a person is told of it ([`wait_stream`]).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use authkeeper::{model::ConnectionName, secret::SecretString};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;

use super::{
    access::AccessRules,
    error_response::{Audience, ERROR_HEADER, Rejection, ours},
    health_endpoint::{self, HealthDetail, HealthSource},
    lifecycle::{self, Limits, RequestHandler},
    listen::Listeners,
    public_sign_in,
    request_body::{self, StartedBody},
    session_cookies::{SessionCookies, session_of},
    wait_stream::{self, FirstOutcome, Forwarded, is_stream},
};
use crate::{
    body::{BoxError, ResponseBody},
    error::CallError,
    forward::{Call, CallBody, Forwarder, Target, fingerprint},
    mcp::HttpMessage,
    signin_link::PublicSignIn,
    wait::Waiting,
};

/// How soon a call may be made again whose token is being replaced.
const SOON: Duration = Duration::from_secs(1);

/// The MCP endpoints of everything that is connected, `/healthz` and `/livez`; listens but does not serve yet.
pub struct McpEndpoint {
    listeners: Listeners,
    service: EndpointService,
    limits: Limits,
}

struct EndpointService {
    access: AccessRules,
    forwarder: Arc<Forwarder>,
    cookies: SessionCookies,
    kept_body: usize,
    /// What `/healthz` says.
    health: Arc<dyn HealthSource>,
    /// What is served at the public URL.
    pages: Option<PublicSignIn>,
}

impl McpEndpoint {
    /// Listens on this port of 127.0.0.1 and `::1`; 0 is a free one. Callers show `handle`; `health` is what `/healthz` says.
    pub async fn bind(
        forwarder: Arc<Forwarder>,
        handle: SecretString,
        port: u16,
        limits: Limits,
        health: Arc<dyn HealthSource>,
    ) -> io::Result<Self> {
        let listeners = Listeners::loopback(port).await?;
        let port = listeners.port();
        let service = EndpointService {
            access: AccessRules { port, handle },
            forwarder,
            cookies: SessionCookies::default(),
            kept_body: limits.kept_body,
            health,
            pages: None,
        };
        Ok(Self {
            listeners,
            service,
            limits,
        })
    }

    /// Serves these sign-in pages too.
    #[must_use]
    pub fn with_pages(mut self, pages: Option<PublicSignIn>) -> Self {
        self.service.pages = pages;
        self
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.listeners.port()
    }

    /// Serves until `stop` is done; answers on their way get a moment to finish.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        lifecycle::serve(self.listeners, Arc::new(self.service), self.limits, stop).await;
    }
}

impl RequestHandler for EndpointService {
    async fn answer(
        &self,
        request: Request<Incoming>,
        stopped: watch::Receiver<()>,
    ) -> Response<ResponseBody> {
        self.pass(request, stopped)
            .await
            .unwrap_or_else(|rejection| {
                tracing::debug!(?rejection, "the endpoint answered by itself");
                rejection.response(Audience::Daemon)
            })
    }
}

impl EndpointService {
    async fn pass(
        &self,
        request: Request<Incoming>,
        stopped: watch::Receiver<()>,
    ) -> Result<Response<ResponseBody>, Rejection> {
        let pages = self.pages.as_ref();
        let path = request.uri().path();
        if let Some(pages) = pages.filter(|pages| pages.url().page_of(path).is_some()) {
            return public_sign_in::answer(&self.access, pages, request).await;
        }
        let (head, body) = request.into_parts();
        let (connection, target) = match route(&self.access, &head)? {
            EndpointRoute::Call(connection, target) => (connection, target),
            EndpointRoute::Live => return Ok(health_endpoint::live()),
            EndpointRoute::Health(detail) => {
                let read = self.health.healths().await;
                return Ok(health_endpoint::healths(read, detail));
            }
        };
        let started = request_body::start(body, self.kept_body)
            .await
            .map_err(|_broken| Rejection::Body)?;
        let (asked, cookies) = (
            session_of(&head.headers),
            self.cookies.of(&connection, &head.headers),
        );
        let mut call = EndpointCall::new(head, target, started);
        call.call.headers.cookies = Some(Arc::clone(&cookies));
        let mut response = forward(&self.forwarder, &connection, call, stopped).await?;
        let session = session_of(response.headers()).or(asked);
        self.cookies.keep(&connection, session.as_ref(), cookies);
        // A cookie would be kept for 127.0.0.1 and shown to whatever else listens there.
        response.headers_mut().remove(header::SET_COOKIE);
        Ok(response)
    }
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EndpointRoute {
    /// `/mcp/NAME`.
    Call(ConnectionName, Target),
    /// `/livez`, which needs no handle.
    Live,
    /// `/healthz`, which says more to a caller with the handle.
    Health(HealthDetail),
}

pub(super) fn route(access: &AccessRules, head: &Parts) -> Result<EndpointRoute, Rejection> {
    access.check_origin(head)?;
    let path = head.uri.path();
    match path {
        "/livez" => return Ok(EndpointRoute::Live),
        "/healthz" if access.check_caller(head).is_ok() => {
            return Ok(EndpointRoute::Health(HealthDetail::Each));
        }
        "/healthz" => return Ok(EndpointRoute::Health(HealthDetail::Counts)),
        _ => {}
    }
    let name = path.strip_prefix("/mcp/").ok_or(Rejection::Route)?;
    access.check_caller(head)?;
    // An MCP endpoint is one URL: there is nothing below it, and no such name has a slash.
    let name = ConnectionName::parse(name).map_err(|_unusable| Rejection::Route)?;
    let target = Target::below("", head.uri.query()).map_err(|_bad| Rejection::Path)?;
    Ok(EndpointRoute::Call(name, target))
}

/// What a client sent.
pub(super) struct EndpointCall {
    call: Call,
    /// The JSON-RPC message in it, where it is one and small enough to be looked at.
    peeked: Option<HttpMessage>,
    /// Its answer may be a stream that nobody ends.
    listens: bool,
}

impl EndpointCall {
    pub(super) fn new(head: Parts, target: Target, started: StartedBody) -> Self {
        let Parts {
            method, headers, ..
        } = head;
        let peeked = match &started.body {
            CallBody::Whole(body) if method == Method::POST => HttpMessage::at(body),
            _ => None,
        };
        let print = match &peeked {
            Some(peeked) => fingerprint(&[b"mcp", peeked.fingerprint().as_bytes()]),
            None => fingerprint(&[b"mcp-http", method.as_str().as_bytes(), &started.seen]),
        };
        Self {
            listens: method == Method::GET || peeked.as_ref().is_some_and(HttpMessage::listens),
            call: Call {
                fingerprint: print,
                idempotent: peeked.as_ref().is_some_and(HttpMessage::is_idempotent),
                in_session: false,
                method,
                target,
                headers: headers.into(),
                body: started.body,
            },
            peeked,
        }
    }
}

/// Carries it; the answer is the server's, or says what became of it.
pub(super) async fn forward(
    forwarder: &Arc<Forwarder>,
    connection: &ConnectionName,
    message: EndpointCall,
    stopped: watch::Receiver<()>,
) -> Result<Response<ResponseBody>, Rejection> {
    let EndpointCall {
        call,
        peeked,
        listens,
    } = message;
    let says_all = peeked
        .as_ref()
        .is_some_and(HttpMessage::says_all_in_its_answer);
    let tells =
        forwarder.holds() && !listens && says_all && wait_stream::takes_events(&call.headers.sent);
    let waiting = Waiting::default();
    let forwarding = forwarded(
        Arc::clone(forwarder),
        connection.clone(),
        call,
        waiting.clone(),
    );
    let (forwarded, peeked) = if tells {
        match (wait_stream::begun(forwarding, &waiting).await, peeked) {
            (FirstOutcome::Waits(forwarding), Some(peeked)) => {
                return Ok(wait_stream::stream(forwarding, &waiting, peeked));
            }
            (FirstOutcome::Waits(forwarding), None) => (forwarding.await, None),
            (FirstOutcome::Done(forwarded), peeked) => (forwarded, peeked),
        }
    } else {
        (forwarding.await, peeked)
    };
    match forwarded {
        Ok(mut response) => {
            response.headers_mut().remove(ERROR_HEADER);
            if !(listens && is_stream(&response)) {
                return Ok(response);
            }
            Ok(response.map(|body| UntilStopped::new(body, stopped).boxed_unsync()))
        }
        Err(error) => refused(error, connection, peeked.as_ref()),
    }
}

/// A 401 is none of the client's.
async fn forwarded(
    forwarder: Arc<Forwarder>,
    connection: ConnectionName,
    call: Call,
    waiting: Waiting,
) -> Forwarded {
    let response = forwarder
        .forward_reporting(&connection, call, &waiting)
        .await?;
    if response.status() == StatusCode::UNAUTHORIZED {
        return Err(still_unauthorized());
    }
    Ok(response)
}

/// The body is gone, or the authorization server can't be asked just now: else the 401 would have been recovered from. As it
/// is, it would send the client to the server's own authorization server.
fn still_unauthorized() -> CallError {
    CallError::provider_unavailable(
        "the server took the token for no longer good (401); it is being replaced",
        Some(SOON),
    )
}

fn refused(
    error: CallError,
    connection: &ConnectionName,
    peeked: Option<&HttpMessage>,
) -> Result<Response<ResponseBody>, Rejection> {
    let Some(peeked) = peeked.filter(|peeked| peeked.asks()) else {
        return Err(Rejection::Forward(error));
    };
    tracing::debug!(%connection, %error, "the proxy answered by itself");
    let body = peeked.refused(&error);
    Ok(ours(StatusCode::OK, error.kind.word(), body))
}

/// A stream that nobody ends, until the daemon stops: it would hold that up, and the client opens it again.
struct UntilStopped {
    body: ResponseBody,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl UntilStopped {
    fn new(body: ResponseBody, mut stopped: watch::Receiver<()>) -> Self {
        let stopped = Box::pin(async move { while stopped.changed().await.is_ok() {} });
        Self { body, stopped }
    }
}

impl Body for UntilStopped {
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
