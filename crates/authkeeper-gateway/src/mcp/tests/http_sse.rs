//! Servers of the HTTP+SSE transport, behind a bridge that speaks Streamable HTTP.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::mpsc;

use super::rig::*;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":7}}}"#;

type Feed = mpsc::Sender<Bytes>;

/// A server with an endpoint for each stream. It answers nothing by itself but `initialize`.
#[derive(Clone, Default)]
struct OldServer {
    streams: Arc<Mutex<Vec<Feed>>>,
}

impl OldServer {
    fn rig(&self) -> Rig {
        let server = self.clone();
        Rig::new(move |request| {
            let server = server.clone();
            let request = request.clone();
            async move { server.reply(&request).await }
        })
    }

    async fn reply(&self, request: &Request) -> Reply {
        match (request.verb.as_str(), &request.endpoint) {
            ("GET", None) => {
                let (feed, live) = live();
                let number = {
                    let mut streams = self.streams.lock().unwrap();
                    streams.push(feed.clone());
                    streams.len()
                };
                let event = format!("event: endpoint\ndata: /messages?session={number}\n\n");
                feed.send(event.into()).await.unwrap();
                live.events()
            }
            ("POST", Some(endpoint)) => {
                let number = self.streams.lock().unwrap().len();
                if *endpoint != format!("/messages?session={number}") {
                    return respond(404, "text/plain", "Could not find session");
                }
                if request.what() == "initialize" {
                    let id = &request.json()["id"];
                    self.say(&format!(
                        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2024-11-05"}}}}"#
                    ))
                    .await;
                }
                respond(202, "text/plain", "Accepted")
            }
            _ => respond(405, "text/plain", "Method Not Allowed"),
        }
    }

    fn feed(&self) -> Feed {
        self.streams.lock().unwrap().last().unwrap().clone()
    }

    async fn say(&self, message: &str) {
        let event = format!("event: message\ndata: {message}\n\n");
        self.feed().send(event.into()).await.unwrap();
    }

    fn break_stream(&self) {
        let number = self.streams.lock().unwrap().len();
        let (feed, _nobody) = live();
        // Kept in the list, which counts the streams.
        self.streams.lock().unwrap()[number - 1] = feed;
    }
}

/// A bridge to it, with a session and a call that is not answered.
async fn called(server: &OldServer) -> Rig {
    let mut rig = server.rig();
    rig.ask(INITIALIZE).await;
    rig.write(INITIALIZED).await;
    rig.write(CALL).await;
    until_asked(&rig, "tools/call").await;
    rig
}

async fn until_asked(rig: &Rig, what: &str) {
    rig.until(|seen| seen.iter().any(|request| request.what() == what))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_of_2024_is_found_by_its_stream_and_answers_on_it() {
    let server = OldServer::default();
    let mut rig = server.rig();
    let welcome = rig.ask(INITIALIZE).await;
    assert_eq!(welcome["result"]["protocolVersion"], "2024-11-05");
    rig.write(INITIALIZED).await;
    rig.write(CALL).await;
    until_asked(&rig, "tools/call").await;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    server.say(progress).await;
    server.say(answer).await;
    assert_eq!(rig.line().await, progress);
    assert_eq!(rig.line().await, answer);
    let sent: Vec<_> = rig.seen();
    let verbs: Vec<_> = sent.iter().map(Request::what).collect();
    let expected = [
        "initialize",
        "GET",
        "initialize",
        "notifications/initialized",
        "tools/call",
    ];
    assert_eq!(verbs, expected);
    for request in &sent[2..] {
        assert_eq!(request.endpoint.as_deref(), Some("/messages?session=1"));
        assert_eq!(request.header("mcp-session-id"), None);
        assert!(!request.in_session);
    }
    rig.close_input();
    rig.ended().await.unwrap();
    closed(&server.feed()).await;
    assert_eq!(rig.only("DELETE").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asks_and_says_unasked_reaches_the_client() {
    let server = OldServer::default();
    let mut rig = server.rig();
    rig.ask(INITIALIZE).await;
    rig.write(INITIALIZED).await;
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    server.say(question).await;
    assert_eq!(rig.line().await, question);
    rig.write(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
    rig.until(|seen| {
        seen.iter()
            .any(|request| request.body.contains(r#""id":1,"result""#))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_fails_the_open_call_and_the_next_one_has_a_new_session() {
    let server = OldServer::default();
    let mut rig = called(&server).await;
    server.break_stream();
    let broken = rig.json().await;
    assert_eq!(broken["id"], 7);
    assert_eq!(broken["error"]["data"]["retryable"], false, "{broken}");
    rig.write(&CALL.replace("\"id\":7", "\"id\":8")).await;
    rig.until(|seen| {
        let mut calls = seen.iter().filter(|request| request.what() == "tools/call");
        calls
            .next_back()
            .is_some_and(|call| call.endpoint.as_deref() == Some("/messages?session=2"))
    })
    .await;
    server.say(r#"{"jsonrpc":"2.0","id":8,"result":{}}"#).await;
    assert_eq!(rig.json().await["id"], 8);
    assert_eq!(rig.only("tools/call").len(), 2, "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_forgot_the_session_is_asked_for_a_new_one() {
    let server = OldServer::default();
    let mut rig = server.rig();
    rig.ask(INITIALIZE).await;
    rig.write(INITIALIZED).await;
    until_asked(&rig, "notifications/initialized").await;
    // A restart behind a front that keeps the stream: the number of the session is another.
    let (feed, _nobody) = live();
    server.streams.lock().unwrap().push(feed);
    rig.write(CALL).await;
    rig.until(|seen| {
        let mut calls = seen.iter().filter(|request| request.what() == "tools/call");
        calls
            .next_back()
            .is_some_and(|call| call.endpoint.as_deref() == Some("/messages?session=3"))
    })
    .await;
    server.say(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).await;
    assert_eq!(rig.json().await["id"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_to_a_cancelled_call_is_dropped() {
    let server = OldServer::default();
    let mut rig = called(&server).await;
    rig.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#)
        .await;
    until_asked(&rig, "notifications/cancelled").await;
    tokio::time::advance(Duration::from_mins(1)).await;
    server.say(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).await;
    rig.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_in_mcp_words_or_has_no_stream_is_no_such_server() {
    let verdict = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"no"}}"#;
    let mut rig = Rig::new(move |_| async move { respond(400, "application/json", verdict) });
    assert_eq!(rig.ask(INITIALIZE).await["error"]["message"], "no");
    assert_eq!(rig.only("GET").len(), 0);

    let mut rig = Rig::new(|request| {
        let reply = match request.verb.as_str() {
            "GET" => sse("event: message\ndata: {}\n\n"),
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        };
        async move { reply }
    });
    let refused = rig.ask(INITIALIZE).await;
    assert_eq!(refused["error"]["data"]["status"], 405, "{refused}");
}
