//! A client on pipes, a server made of a closure.

#![expect(
    clippy::unnecessary_wraps,
    reason = "replies are made in the shape the seam wants"
)]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use authkeeper::model::Event;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{
    body::{ResponseBody, sent},
    error::CallError,
    forward::tests::record,
    mcp::{
        options::BridgeOptions,
        pump::{life::serve_upstream, outcome::BridgeError},
        upstream::{Upstream, UpstreamRequest},
    },
    wait::Waiting,
};

pub(super) type Reply = Result<Response<ResponseBody>, CallError>;
type Pending = Pin<Box<dyn Future<Output = Reply> + Send>>;
type Script = Box<dyn Fn(&Request) -> Pending + Send + Sync>;

/// What reached the server.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) verb: String,
    pub(super) endpoint: Option<String>,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
    pub(super) idempotent: bool,
    pub(super) in_session: bool,
    pub(super) fingerprint: String,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The JSON-RPC method, or the HTTP one where there is no message.
    pub(super) fn what(&self) -> String {
        self.json()["method"]
            .as_str()
            .unwrap_or(&self.verb)
            .to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What an upstream says when a person must sign in.
pub(super) fn authorization_missing() -> CallError {
    let record = record(Event::ReauthorizationRequired, "notion");
    CallError::authorization_missing(Box::new(record))
}

struct Server {
    script: Script,
    seen: Arc<Mutex<Vec<Request>>>,
}

#[async_trait]
impl Upstream for Server {
    async fn send(&self, request: UpstreamRequest, _waiting: &Waiting) -> Reply {
        let request = Request {
            verb: request.method.to_string(),
            endpoint: request.endpoint,
            headers: request.headers,
            body: String::from_utf8(request.body.to_vec()).unwrap(),
            idempotent: request.idempotent,
            in_session: request.in_session,
            fingerprint: request.fingerprint,
        };
        self.seen.lock().unwrap().push(request.clone());
        (self.script)(&request).await
    }
}

pub(super) type Seen = Arc<Mutex<Vec<Request>>>;

/// The server alone, with what reaches it.
pub(super) fn server<F, P>(script: F) -> (Arc<dyn Upstream>, Seen)
where
    F: Fn(&Request) -> P + Send + Sync + 'static,
    P: Future<Output = Reply> + Send + 'static,
{
    let seen = Arc::new(Mutex::new(Vec::new()));
    let script: Script = Box::new(move |request| Box::pin(script(request)));
    let server = Arc::new(Server {
        script,
        seen: Arc::clone(&seen),
    });
    (server, seen)
}

pub(super) struct Rig {
    input: Option<DuplexStream>,
    output: Lines<BufReader<DuplexStream>>,
    seen: Arc<Mutex<Vec<Request>>>,
    bridge: JoinSet<Result<(), BridgeError>>,
}

impl Rig {
    pub(super) fn new<F, P>(script: F) -> Self
    where
        F: Fn(&Request) -> P + Send + Sync + 'static,
        P: Future<Output = Reply> + Send + 'static,
    {
        Self::with(BridgeOptions::default(), script)
    }

    pub(super) fn with<F, P>(options: BridgeOptions, script: F) -> Self
    where
        F: Fn(&Request) -> P + Send + Sync + 'static,
        P: Future<Output = Reply> + Send + 'static,
    {
        Self::over(server(script), options)
    }

    pub(super) fn over((server, seen): (Arc<dyn Upstream>, Seen), options: BridgeOptions) -> Self {
        let (input, stdin) = tokio::io::duplex(1 << 16);
        let (stdout, output) = tokio::io::duplex(1 << 16);
        let mut bridge = JoinSet::new();
        bridge.spawn(serve_upstream(
            server,
            BufReader::new(stdin),
            stdout,
            options,
        ));
        Self {
            input: Some(input),
            output: BufReader::new(output).lines(),
            seen,
            bridge,
        }
    }

    pub(super) async fn write(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    pub(super) async fn line(&mut self) -> String {
        timeout(Duration::from_mins(1), self.output.next_line())
            .await
            .expect("the bridge wrote nothing")
            .unwrap()
            .expect("the bridge closed its output")
    }

    pub(super) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    pub(super) async fn ask(&mut self, line: &str) -> Value {
        self.write(line).await;
        self.json().await
    }

    /// Nothing more comes from the bridge for a while.
    pub(super) async fn silence(&mut self) {
        let more = timeout(Duration::from_secs(30), self.output.next_line()).await;
        assert!(more.is_err(), "unexpected: {more:?}");
    }

    pub(super) async fn handshake(&mut self) {
        self.ask(INITIALIZE).await;
        self.write(INITIALIZED).await;
        let there = |seen: &[Request], what| seen.iter().any(|request| request.what() == what);
        self.until(|seen| there(seen, "GET") && there(seen, "notifications/initialized"))
            .await;
    }

    /// Waits until the server saw what is looked for.
    pub(super) async fn until(&self, there: impl Fn(&[Request]) -> bool) {
        for _ in 0..10_000 {
            if there(&self.seen()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never seen; only {:?}", self.whats());
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn whats(&self) -> Vec<String> {
        self.seen().iter().map(Request::what).collect()
    }

    pub(super) fn only(&self, what: &str) -> Vec<Request> {
        self.seen()
            .into_iter()
            .filter(|request| request.what() == what)
            .collect()
    }

    pub(super) fn close_input(&mut self) {
        self.input = None;
    }

    pub(super) fn stop_reading(&mut self) {
        self.output = BufReader::new(tokio::io::duplex(1).0).lines();
    }

    pub(super) async fn ended(&mut self) -> Result<(), BridgeError> {
        timeout(Duration::from_mins(1), self.bridge.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }
}

pub(super) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
pub(super) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

pub(super) fn body(text: impl Into<Bytes>) -> ResponseBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(super) fn respond(status: u16, content_type: &str, text: impl Into<Bytes>) -> Reply {
    let response = Response::builder()
        .status(status)
        .header("content-type", content_type);
    Ok(response.body(body(text)).unwrap())
}

pub(super) fn json(text: &str) -> Reply {
    respond(200, "application/json", text.to_owned())
}

pub(super) fn sse(text: &str) -> Reply {
    respond(200, "text/event-stream", text.to_owned())
}

pub(super) fn status(status: StatusCode) -> Reply {
    Ok(Response::builder().status(status).body(body("")).unwrap())
}

/// A server of the handshake era: one session after the other, no GET stream unless `other` gives one.
pub(super) fn handshake_or(
    request: &Request,
    session: &str,
    other: impl FnOnce(&Request) -> Reply,
) -> Reply {
    match request.what().as_str() {
        "initialize" => {
            let id = &request.json()["id"];
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-06-18"}}}}"#
            );
            let mut response = json(&text)?;
            response
                .headers_mut()
                .insert("mcp-session-id", session.parse().unwrap());
            Ok(response)
        }
        "notifications/initialized" | "notifications/cancelled" => status(StatusCode::ACCEPTED),
        _ => other(request),
    }
}

pub(super) fn no_stream(request: &Request) -> Reply {
    match request.verb.as_str() {
        "GET" | "DELETE" => status(StatusCode::METHOD_NOT_ALLOWED),
        _ => json(&format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#,
            request.json()["id"]
        )),
    }
}

/// A body that goes on for as long as its sender lives; the sender sees when nobody reads any more.
pub(super) struct Live(mpsc::Receiver<Bytes>);

pub(super) fn live() -> (mpsc::Sender<Bytes>, Live) {
    let (sender, receiver) = mpsc::channel(8);
    (sender, Live(receiver))
}

/// Waits until nobody reads the body any more.
pub(super) async fn closed(feed: &mpsc::Sender<Bytes>) {
    timeout(Duration::from_mins(1), feed.closed())
        .await
        .expect("the stream is still read");
}

impl Live {
    pub(super) fn events(self) -> Reply {
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok(response.body(sent(self.0)).unwrap())
    }
}

/// Hands out one prepared thing to a script that may be called many times.
pub(super) struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    pub(super) fn new(thing: T) -> Self {
        Self(Mutex::new(Some(thing)))
    }

    pub(super) fn take(&self) -> Option<T> {
        self.0.lock().unwrap().take()
    }
}
