//! The server's own stream is open before anything is said that it may have a question about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::rig::*;
use crate::mcp::options::BridgeOptions;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}"#;

/// What the server was asked, in order; a stream counts when it is open.
fn order(rig: &Rig, opened: &AtomicUsize) -> Vec<String> {
    let whats = rig.whats();
    let streams = opened.load(Ordering::SeqCst);
    whats
        .into_iter()
        .chain([format!("{streams} open")])
        .collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_in_a_session_before_the_server_can_be_heard() {
    let (_feed, live) = live();
    let live = Once::new(live);
    let open = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&open);
    let mut rig = Rig::new(move |request| {
        let (what, opened) = (request.what(), Arc::clone(&opened));
        let early = opened.load(Ordering::SeqCst) == 0;
        let reply = handshake_or(request, "s1", |request| match request.verb.as_str() {
            "GET" => live.take().unwrap().events(),
            _ => no_stream(request),
        });
        async move {
            match what.as_str() {
                "GET" => {
                    sleep(Duration::from_millis(100)).await;
                    opened.fetch_add(1, Ordering::SeqCst);
                }
                "notifications/initialized" | "tools/call" if early => {
                    return status(StatusCode::CONFLICT);
                }
                _ => {}
            }
            reply
        }
    });
    rig.ask(INITIALIZE).await;
    let before = Instant::now();
    rig.write(INITIALIZED).await;
    let answer = rig.ask(CALL).await;
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(before.elapsed().as_millis(), 100);
    let asked = [
        "initialize",
        "GET",
        "notifications/initialized",
        "tools/call",
        "1 open",
    ];
    assert_eq!(order(&rig, &open), asked);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_come_is_waited_for_once_and_not_for_long() {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", no_stream);
        let never = request.verb == "GET";
        async move {
            if never {
                std::future::pending::<()>().await;
            }
            reply
        }
    });
    rig.ask(INITIALIZE).await;
    let before = Instant::now();
    rig.write(INITIALIZED).await;
    for id in 1..=3 {
        let call = CALL.replace('7', &id.to_string());
        assert_eq!(rig.ask(&call).await["id"], id);
    }
    let waited = before.elapsed().as_millis();
    assert!((250..300).contains(&waited), "{waited} ms");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_to_be_initialized_first_is_listened_to_then() {
    for early in [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND] {
        let (feed, live) = live();
        let live = Once::new(live);
        let ready = Arc::new(AtomicUsize::new(0));
        let mut rig = Rig::new(move |request| {
            let reply = handshake_or(request, "s1", |request| match request.verb.as_str() {
                "GET" if ready.load(Ordering::SeqCst) == 0 => status(early),
                "GET" => live.take().unwrap().events(),
                _ => no_stream(request),
            });
            if request.what() == "notifications/initialized" {
                ready.store(1, Ordering::SeqCst);
            }
            async { reply }
        });
        rig.handshake().await;
        feed.send("data: {\"id\":1,\"method\":\"ping\"}\n\n".into())
            .await
            .unwrap();
        assert_eq!(rig.json().await["method"], "ping", "{early}");
        let whats = ["initialize", "GET", "notifications/initialized", "GET"];
        assert_eq!(rig.whats(), whats, "no other session is opened");
    }
}

/// Servers of 2025-03-26 and before accept a request and answer it on the session's stream.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_accepted_is_answered_once_by_the_stream() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |request| {
        let what = request.what();
        let answer = feed.clone();
        let reply = handshake_or(request, "s1", |request| match what.as_str() {
            "GET" => live.take().unwrap().events(),
            "tools/call" => status(StatusCode::ACCEPTED),
            _ => no_stream(request),
        });
        async move {
            if what == "tools/call" {
                // Before the 202 even arrives.
                let answered = "data: {\"id\":7,\"result\":{}}\n\n";
                answer.send(answered.into()).await.unwrap();
                sleep(Duration::from_millis(50)).await;
            }
            reply
        }
    });
    rig.handshake().await;
    let answer = rig.ask(CALL).await;
    assert!(answer.get("result").is_some(), "{answer}");
    rig.silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_accepted_request_that_nobody_answers_ends_in_an_error() {
    let (_feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |request| {
        let reply = handshake_or(request, "s1", |request| match request.what().as_str() {
            "GET" => live.take().unwrap().events(),
            "tools/call" => status(StatusCode::ACCEPTED),
            _ => no_stream(request),
        });
        async { reply }
    });
    rig.handshake().await;
    let before = Instant::now();
    rig.write(CALL).await;
    let limit = BridgeOptions::default().late_answer;
    rig.silence().await;
    sleep(limit).await;
    let answer = rig.json().await;
    assert_eq!(answer["error"]["data"]["status"], 202, "{answer}");
    assert!(before.elapsed() >= limit);
}

/// The session that takes the place of a forgotten one is no different.
#[tokio::test(start_paused = true)]
async fn a_call_made_again_waits_for_the_new_sessions_stream() {
    let sessions = AtomicUsize::new(0);
    let open = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&open);
    let mut rig = Rig::new(move |request| {
        let (what, opened) = (request.what(), Arc::clone(&opened));
        if what == "initialize" {
            sessions.fetch_add(1, Ordering::SeqCst);
        }
        let session = format!("s{}", sessions.load(Ordering::SeqCst));
        let old = request.header("mcp-session-id") == Some("s1");
        let early = opened.load(Ordering::SeqCst) < 2;
        let reply = handshake_or(request, &session, |request| match what.as_str() {
            "tools/call" if old => status(StatusCode::NOT_FOUND),
            "tools/call" if early => status(StatusCode::CONFLICT),
            "GET" => live().1.events(),
            _ => no_stream(request),
        });
        let stream = what == "GET";
        async move {
            if stream {
                sleep(Duration::from_millis(100)).await;
                opened.fetch_add(1, Ordering::SeqCst);
            }
            reply
        }
    });
    rig.ask(INITIALIZE).await;
    rig.write(INITIALIZED).await;
    let answer = rig.ask(CALL).await;
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(rig.only("tools/call").len(), 2);
}
