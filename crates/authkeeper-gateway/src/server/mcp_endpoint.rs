use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use authkeeper::{model::ConnectionName, secret::SecretString};
use axum::{
    Router,
    extract::{FromRequest, Request, State},
    middleware::from_fn_with_state,
    routing::any,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};

use super::{
    access::{AccessRules, require_handle, require_own_origin},
    error_response::{Audience, ERROR_HEADER, Rejection, ours},
    health_endpoint::{self, HealthDetail, HealthSource},
    public_sign_in,
    request_body::{self, StartedBody},
    server_answer::ServerAnswer,
    session_cookies::{SessionCookies, session_of},
    wait_stream::{self, FirstOutcome, Forwarded, is_stream},
};
use crate::{
    body::{BoxError, ResponseBody},
    error::CallError,
    forward::{Call, CallBody, Forwarder, Target, fingerprint},
    lifecycle::Lifecycle,
    listener::{self, Limits, Listeners},
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
    /// What is served at the public URL.
    pages: Option<PublicSignIn>,
    limits: Limits,
}

pub(super) struct EndpointService {
    pub(super) access: Arc<AccessRules>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) cookies: SessionCookies,
    pub(super) kept_body: usize,
    /// What `/healthz` says.
    pub(super) health: Arc<dyn HealthSource>,
    pub(super) lifecycle: Lifecycle,
}

impl McpEndpoint {
    /// Listens on this port of 127.0.0.1 and `::1`; 0 is a free one. Callers show `handle`; `health` is what `/healthz` says.
    pub async fn bind(
        lifecycle: &Lifecycle,
        forwarder: Arc<Forwarder>,
        handle: SecretString,
        port: u16,
        limits: Limits,
        health: Arc<dyn HealthSource>,
    ) -> io::Result<Self> {
        let listeners = Listeners::loopback(port).await?;
        let access = AccessRules {
            audience: Audience::Daemon,
            port: listeners.port(),
            handle,
        };
        let service = EndpointService {
            access: Arc::new(access),
            forwarder,
            cookies: SessionCookies::default(),
            kept_body: limits.kept_body,
            health,
            lifecycle: lifecycle.clone(),
        };
        Ok(Self {
            listeners,
            service,
            pages: None,
            limits,
        })
    }

    /// Serves these sign-in pages too.
    #[must_use]
    pub fn with_pages(self, pages: Option<PublicSignIn>) -> Self {
        Self { pages, ..self }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.listeners.port()
    }

    /// Serves until the soft stop; then answers on their way are finished, and streams that nobody ends are ended.
    pub fn serve(self) {
        let (access, lifecycle) = (self.service.access.clone(), self.service.lifecycle.clone());
        let mut router = router(self.service);
        if let Some(pages) = self.pages {
            router = router.merge(public_sign_in::router(access, pages));
        }
        listener::serve(self.listeners, router, self.limits, &lifecycle);
    }
}

/// What is served to this machine. A route without the layer [`require_handle`] must show nothing about connections.
pub(super) fn router(service: EndpointService) -> Router {
    let access = Arc::clone(&service.access);
    Router::new()
        .route("/mcp/", any(call))
        .route("/mcp/{*name}", any(call))
        .route_layer(from_fn_with_state(access.clone(), require_handle))
        .route("/livez", any(async || health_endpoint::live()))
        .route("/healthz", any(healths))
        .fallback(async || Rejection::Route(Audience::Daemon))
        .layer(from_fn_with_state(access, require_own_origin))
        .with_state(Arc::new(service))
}

async fn healths(
    State(service): State<Arc<EndpointService>>,
    method: Method,
    headers: HeaderMap,
) -> Response<ResponseBody> {
    let detail = match service.access.check_caller(&method, &headers) {
        Ok(()) => HealthDetail::Each,
        Err(_unknown) => HealthDetail::Counts,
    };
    health_endpoint::healths(service.health.healths().await, detail)
}

async fn call(
    State(service): State<Arc<EndpointService>>,
    mut call: EndpointCall,
) -> Result<ServerAnswer, Rejection> {
    let (connection, headers) = (call.connection.clone(), &mut call.call.headers);
    let asked = session_of(&headers.sent);
    let cookies = service.cookies.of(&connection, &headers.sent);
    headers.cookies = Some(Arc::clone(&cookies));
    let response = forward(&service.forwarder, call, &service.lifecycle).await?;
    let session = session_of(response.headers()).or(asked);
    service.cookies.keep(&connection, session.as_ref(), cookies);
    Ok(ServerAnswer(response))
}

/// What a client sent, and over which connection it goes.
pub(super) struct EndpointCall {
    connection: ConnectionName,
    call: Call,
    /// The JSON-RPC message in it, where it is one and small enough to be looked at.
    peeked: Option<HttpMessage>,
    /// Its answer may be a stream that nobody ends.
    listens: bool,
}

impl FromRequest<Arc<EndpointService>> for EndpointCall {
    type Rejection = Rejection;

    async fn from_request(
        request: Request,
        service: &Arc<EndpointService>,
    ) -> Result<Self, Rejection> {
        let (head, body) = request.into_parts();
        let target = route(&head.uri)?;
        let started = request_body::start(body, service.kept_body).await?;
        Ok(Self::new(head, target, started))
    }
}

/// The connection that a request is for. An MCP endpoint is one URL: there is nothing below it, and no name has a slash.
pub(super) fn route(uri: &Uri) -> Result<(ConnectionName, Target), Rejection> {
    let name = uri.path().strip_prefix("/mcp/").unwrap_or_default();
    let nothing = Rejection::Route(Audience::Daemon);
    let name = ConnectionName::parse(name).map_err(|_unusable| nothing)?;
    let target = Target::below("", uri.query()).map_err(|_bad| Rejection::Path)?;
    Ok((name, target))
}

impl EndpointCall {
    fn new(
        head: Parts,
        (connection, target): (ConnectionName, Target),
        started: StartedBody,
    ) -> Self {
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
            connection,
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
async fn forward(
    forwarder: &Arc<Forwarder>,
    message: EndpointCall,
    lifecycle: &Lifecycle,
) -> Result<Response<ResponseBody>, Rejection> {
    let EndpointCall {
        connection,
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
            Ok(response.map(|body| UntilStopped::new(body, lifecycle).boxed_unsync()))
        }
        Err(error) => refused(error, &connection, peeked.as_ref()),
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
    fn new(body: ResponseBody, lifecycle: &Lifecycle) -> Self {
        let stopped = Box::pin(lifecycle.stopping());
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
