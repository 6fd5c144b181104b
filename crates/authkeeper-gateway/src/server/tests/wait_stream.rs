//! Calls over HTTP that wait for a person.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, Record},
    platform::clock::SystemClock,
};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::rig::{Rig, Stands};
use crate::{
    body::whole,
    forward::Forwarder,
    forward::tests::{FakeAuthority, Server},
    signin_link::{Hold, SignInHost},
};

const EVENTS: &str = "accept: application/json, Text/Event-Stream;q=0.9\r\n";
const JSON: &str = "accept: application/json\r\n";
const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{"name":"x"}}"#;
const ASKS: &[u8] = br#"{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{"name":"x","_meta":{"progressToken":7}}}"#;
const HELLO: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"c-1","result":{"content":[]}}"#;
const MOMENT: Duration = Duration::from_secs(10);

/// Whom a call waits for.
#[derive(Default)]
struct Person {
    came: watch::Sender<bool>,
    waited_for: watch::Sender<usize>,
}

struct Counted<'a>(&'a Person);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waited_for.send_modify(|count| *count -= 1);
    }
}

#[async_trait]
impl SignInHost for Person {
    async fn invite(&self, _connection: &ConnectionName, _record: &Record) -> Option<String> {
        Some("http://127.0.0.1:1/abc".to_owned())
    }

    async fn resolved(&self, _connection: &ConnectionName, _record: &Record) {
        self.waited_for.send_modify(|count| *count += 1);
        let _counted = Counted(self);
        let _ = self.came.subscribe().wait_for(|came| *came).await;
    }
}

impl Person {
    async fn until_waited_for(&self, calls: usize) {
        let mut count = self.waited_for.subscribe();
        let there = timeout(MOMENT, count.wait_for(|count| *count == calls)).await;
        there.expect("the wait does not change").unwrap();
    }
}

struct Scene {
    server: Server,
    authority: Arc<FakeAuthority>,
    person: Arc<Person>,
    rig: Rig,
}

impl Scene {
    /// A server that answers every call so; nobody is authorized to make one.
    async fn new(status: u16, kind: &'static str, answer: &'static str, limit: Duration) -> Self {
        let server = Server::start(move |_, _| async move {
            let mut response = Response::new(whole(Bytes::from_static(answer.as_bytes())));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            headers.insert("mcp-session-id", "s1".parse().unwrap());
            response
        })
        .await;
        let authority = FakeAuthority::dead(&server.url);
        let person = Arc::new(Person::default());
        let hold = Hold::new(person.clone(), Arc::new(SystemClock::new()), limit);
        let forwarder = Forwarder::new(authority.clone()).holding(Some(Arc::new(hold)));
        let rig = Rig::daemon_over(forwarder, Stands::default()).await;
        Self {
            server,
            authority,
            person,
            rig,
        }
    }

    async fn json() -> Self {
        Self::new(200, "application/json", ANSWER, Duration::from_mins(5)).await
    }

    async fn send(&self, headers: &str, sent: &[u8]) -> Caller {
        let mut socket = self.rig.connect().await;
        let head = self.rig.head("POST /mcp/notion", headers, sent.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(sent).await.unwrap();
        let heard = String::new();
        Caller { socket, heard }
    }

    /// Somebody signs in.
    fn sign_in(&self) {
        self.authority.revive();
        self.person.came.send_replace(true);
    }

    fn calls(&self) -> usize {
        self.server.heads.lock().unwrap().len()
    }
}

struct Caller {
    socket: TcpStream,
    heard: String,
}

impl Caller {
    async fn hear(&mut self) -> bool {
        let mut part = [0; 4096];
        let read = timeout(MOMENT, self.socket.read(&mut part)).await;
        let read = read.expect("nothing is heard").unwrap();
        let part = part.get(..read).unwrap();
        self.heard.push_str(std::str::from_utf8(part).unwrap());
        read > 0
    }

    async fn until(&mut self, wanted: &str) {
        while !self.heard.contains(wanted) {
            assert!(self.hear().await, "no {wanted}: {}", self.heard);
        }
    }

    /// All that was heard.
    async fn end(mut self) -> String {
        while self.hear().await {}
        self.heard
    }
}

/// The messages among the events.
fn events(heard: &str) -> Vec<Value> {
    let lines = heard.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_client_that_takes_events_hears_at_once_and_then_gets_the_servers_answer() {
    let scene = Scene::json().await;
    let mut caller = scene.send(EVENTS, CALL).await;
    caller.until(": waiting to be authorized\n\n").await;
    assert!(caller.heard.starts_with("HTTP/1.1 200"));
    assert!(caller.heard.contains("content-type: text/event-stream"));
    assert_eq!(scene.calls(), 0);
    scene.sign_in();
    let heard = caller.end().await;
    let answer: Value = serde_json::from_str(ANSWER).unwrap();
    assert_eq!(events(&heard), [answer]);
    assert!(heard.ends_with("0\r\n\r\n"), "it broke off: {heard}");
    assert_eq!(scene.calls(), 1);
}

#[tokio::test]
async fn who_asked_for_progress_hears_what_a_person_must_do() {
    let streamed = concat!(
        "id: e1\ndata: {\"method\":\"n\"}\n\n",
        ": c\n\ndata: {\"id\":\"c-1\",\"result\":{}}\n\n"
    );
    let limit = Duration::from_mins(5);
    let scene = Scene::new(200, "text/event-stream", streamed, limit).await;
    let mut caller = scene.send(EVENTS, ASKS).await;
    caller.until("notifications/progress").await;
    scene.sign_in();
    let heard = caller.end().await;
    let told = &events(&heard)[0]["params"];
    assert_eq!(told["progressToken"], 7);
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("http://127.0.0.1:1/abc"), "{message}");
    assert!(heard.contains(streamed), "the server's own: {heard}");
}

#[tokio::test]
async fn whatever_the_server_answers_is_an_answer_to_the_call() {
    let foreign = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#;
    for (status, kind, said, code) in [
        (404, "application/json", foreign, -32000),
        (200, "application/json", "{\"x\":1}", -31005),
        (500, "text/html", "<p>broken", -31005),
        (500, "text/event-stream", "data: {}\n\n", -31005),
    ] {
        let scene = Scene::new(status, kind, said, Duration::from_mins(5)).await;
        let mut caller = scene.send(EVENTS, CALL).await;
        caller.until("waiting").await;
        scene.sign_in();
        let heard = events(&caller.end().await);
        assert_eq!(heard[0]["id"], "c-1", "{status} {kind}: {heard:?}");
        assert_eq!(heard[0]["error"]["code"], code, "{status} {kind}");
        assert_eq!(heard.len(), 1);
    }
}

#[tokio::test]
async fn a_hold_that_is_over_ends_the_stream_with_the_error() {
    let limit = Duration::from_millis(100);
    let scene = Scene::new(200, "application/json", ANSWER, limit).await;
    let heard = scene.send(EVENTS, CALL).await.end().await;
    let error = &events(&heard)[0]["error"];
    assert_eq!(error["code"], -31001);
    assert_eq!(error["data"]["executed"], "no");
    assert_eq!(error["data"]["link"], "http://127.0.0.1:1/abc");
    assert_eq!(scene.calls(), 0);
}

/// Where the status or a header matters, or events are not understood.
#[tokio::test]
async fn others_wait_for_the_answer_as_it_is() {
    for (headers, sent) in [(JSON, CALL), ("", CALL), (EVENTS, HELLO)] {
        let scene = Scene::json().await;
        let caller = scene.send(headers, sent).await;
        scene.person.until_waited_for(1).await;
        scene.sign_in();
        let heard = caller.end().await;
        assert!(heard.contains("mcp-session-id: s1"), "{heard}");
        assert!(heard.contains("content-type: application/json"), "{heard}");
        assert!(heard.ends_with(ANSWER), "{heard}");
    }
}

#[tokio::test]
async fn a_client_that_goes_ends_the_wait_and_the_call_is_never_made() {
    let scene = Scene::json().await;
    let mut caller = scene.send(EVENTS, CALL).await;
    caller.until("waiting").await;
    scene.person.until_waited_for(1).await;
    drop(caller);
    scene.person.until_waited_for(0).await;
    scene.sign_in();
    assert_eq!(scene.calls(), 0);
}
