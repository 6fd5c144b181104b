//! The loop around the router: sockets, waiting, cutting. Nothing is decided here.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Sleep,
};

use crate::{
    clock::SandboxTime,
    router::{FaultDecision, Router},
    scenarios::Playing,
    wire::{Form, HttpReply, HttpRequest, StagedBody, WatchedBody},
};

/// The longest request body that is read.
const REQUEST_LIMIT: usize = 4 * 1024 * 1024;

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// How often the scenario is called while no request comes.
const TICK: Duration = Duration::from_millis(100);

/// The router behind a lock: it serves one request at a time.
#[derive(Clone, Debug)]
pub(crate) struct SharedRouter(Arc<Mutex<Router<Playing>>>);

impl SharedRouter {
    pub(crate) fn new(router: Router<Playing>) -> Self {
        Self(Arc::new(Mutex::new(router)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Router<Playing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a sandbox does with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serving {
    /// It accepts connections.
    Listening,
    /// It keeps the port and refuses connections.
    Away,
    /// It is over.
    Stopped,
}

/// Serves until told to stop. Open connections end when it is away or stops.
pub(crate) async fn serve(
    mut listener: TcpListener,
    router: SharedRouter,
    mut serving: watch::Receiver<Serving>,
) -> io::Result<()> {
    loop {
        accept(&listener, &router, &mut serving).await;
        if *serving.borrow() == Serving::Stopped {
            return Ok(());
        }
        let port = refuse(listener)?;
        let _ = serving.wait_for(|now| *now != Serving::Away).await;
        listener = port.listen(BACKLOG)?;
    }
}

/// Until the sandbox does something else with its port.
async fn accept(
    listener: &TcpListener,
    router: &SharedRouter,
    serving: &mut watch::Receiver<Serving>,
) {
    let mut connections = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = serving.wait_for(|now| *now != Serving::Listening) => return,
            _ = tick.tick() => router.lock().tick(),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, router.clone()));
                }
            }
        }
    }
}

/// A port that is bound and not listened at is nobody else's, and refuses connections.
fn refuse(listener: TcpListener) -> io::Result<TcpSocket> {
    let address = listener.local_addr()?;
    drop(listener);
    let port = TcpSocket::new_v4()?;
    port.set_reuseaddr(true)?;
    port.bind(address)?;
    Ok(port)
}

async fn connection(stream: TcpStream, router: SharedRouter) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| handle(router.clone(), request));
    let mut http = http1::Builder::new();
    // The `Date` header comes from the sandbox's own clock.
    http.auto_date_header(false);
    // A cut connection is the purpose of a fault; an error of the client is no error of the sandbox.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// Tells hyper to cut the socket.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct CutSocket;

async fn handle(
    router: SharedRouter,
    request: http::Request<Incoming>,
) -> Result<Response<ReplyBody>, CutSocket> {
    let request = read(request).await?;
    let controlled = router.lock().control(&request);
    if let Some(reply) = controlled {
        return Ok(response(reply, &router));
    }
    let _counted = (request.path == "/token").then(|| TokenRequestCount::begin(&router));
    let admission = router.lock().admit(&request);
    let reply = match admission {
        FaultDecision::Cut => return Err(CutSocket),
        FaultDecision::Answered(reply) => *reply,
        FaultDecision::Served { after } if after.is_zero() => router.lock().serve(&request),
        FaultDecision::Served { after } => served_later(router.clone(), request, after).await?,
    };
    wait(reply.delay).await;
    if reply.lost {
        return Err(CutSocket);
    }
    Ok(response(reply, &router))
}

/// Serves a delayed request even if its sender is gone by then, as a real server with a queue does.
async fn served_later(
    router: SharedRouter,
    request: HttpRequest,
    after: Duration,
) -> Result<HttpReply, CutSocket> {
    let work = async move {
        wait(after).await;
        router.lock().serve(&request)
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends by itself, and nobody may end it earlier"
    )]
    let served = tokio::spawn(work);
    served.await.or(Err(CutSocket))
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn read(request: http::Request<Incoming>) -> Result<HttpRequest, CutSocket> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_LIMIT).collect().await;
    Ok(HttpRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: Form::parse(parts.uri.query().unwrap_or_default().as_bytes()),
        headers: parts.headers,
        body: body.ok().ok_or(CutSocket)?.to_bytes(),
    })
}

fn response(reply: HttpReply, router: &SharedRouter) -> Response<ReplyBody> {
    let first = (!reply.body.is_empty()).then_some((Duration::ZERO, reply.body));
    let mut body = ReplyBody {
        left: first.into_iter().chain(reply.later).collect(),
        waiting: None,
        kept: None,
        watch: None,
    };
    match reply.staged.map(|staged| *staged) {
        None => {}
        Some(StagedBody::Kept(last)) => {
            let since = router.lock().state.now();
            let router = router.clone();
            body.kept = Some(KeptStream {
                router,
                since,
                last,
            });
        }
        Some(StagedBody::Watched(watch)) => body.watch = Some((router.clone(), watch)),
    }
    let mut response = Response::new(body);
    if let Ok(status) = reply.status.try_into() {
        *response.status_mut() = status;
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Counts a token request as under way until its reply is sent or its caller is gone.
struct TokenRequestCount(SharedRouter);

impl TokenRequestCount {
    fn begin(router: &SharedRouter) -> Self {
        router.lock().state.token_request_begins();
        Self(router.clone())
    }
}

impl Drop for TokenRequestCount {
    fn drop(&mut self) {
        self.0.lock().state.token_request_ends();
    }
}

/// A body in pieces, each after a delay.
struct ReplyBody {
    left: VecDeque<(Duration, Bytes)>,
    waiting: Option<Pin<Box<Sleep>>>,
    kept: Option<KeptStream>,
    watch: Option<(SharedRouter, WatchedBody)>,
}

/// A stream that the scenario holds open.
struct KeptStream {
    router: SharedRouter,
    since: SandboxTime,
    last: Bytes,
}

impl KeptStream {
    fn is_over(&self) -> bool {
        !self.router.lock().keeps_call(self.since)
    }
}

/// The comment that is sent meanwhile.
const BEAT: &[u8] = b": going on\n\n";

impl ReplyBody {
    /// Queues the next piece of a stream that is held open: a comment, or its last event.
    fn keep(&mut self) {
        let over = self.kept.take_if(|kept| kept.is_over());
        if let Some(kept) = over {
            self.left.push_back((Duration::ZERO, kept.last));
        } else if self.kept.is_some() {
            self.left.push_back((TICK, Bytes::from_static(BEAT)));
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if let Some((router, watch)) = self.watch.take() {
            router.lock().body_ended(watch, self.left.is_empty());
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            self.keep();
        }
        let Some((time, _)) = self.left.front() else {
            return Poll::Ready(None);
        };
        let time = *time;
        if !time.is_zero() {
            let sleep = self
                .waiting
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
        let piece = self.left.pop_front().map(|(_, bytes)| bytes);
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        if self.kept.is_some() {
            return hyper::body::SizeHint::default();
        }
        let whole = self.left.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        if self.left.iter().all(|(time, _)| time.is_zero()) {
            return hyper::body::SizeHint::with_exact(whole);
        }
        hyper::body::SizeHint::default()
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.kept.is_none()
    }
}

/// Listens on the loopback address.
pub(crate) async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await
}
