//! Up to 2025-11-25: sessions, the GET stream, resumption.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::Notify;

use super::rig::*;

const TOOL_CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#;

#[tokio::test(start_paused = true)]
async fn session_and_version_go_with_everything_after_initialize() {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", no_stream);
        async { reply }
    });
    rig.handshake().await;
    assert_eq!(
        rig.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
            .await["id"],
        1
    );
    let seen = rig.seen();
    assert_eq!(seen[0].header("mcp-session-id"), None);
    for later in &seen[1..] {
        assert_eq!(
            later.header("mcp-session-id"),
            Some("s1"),
            "{}",
            later.what()
        );
        assert_eq!(
            later.header("mcp-protocol-version"),
            Some("2025-06-18"),
            "{}",
            later.what()
        );
        assert_eq!(later.header("authorization"), None);
    }
    assert_eq!(
        rig.only("GET").len(),
        1,
        "405 means that there is no stream"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_method_crosses_byte_for_byte_both_ways() {
    const ASKED: &str = r#"{ "x-new":1.0, "method":"vendor/\u006fdd" ,"id":"\u0061","params":[1e2,null],"jsonrpc":"2.0"}"#;
    const ANSWERED: &str = r#"{"later":[ 1.0 ],"result":null , "id":"a","jsonrpc":"2.0"}"#;
    let mut rig = Rig::new(|_| async { json(ANSWERED) });
    rig.write(ASKED).await;
    assert_eq!(rig.line().await, ANSWERED);
    assert_eq!(rig.seen()[0].body, ASKED);
    assert!(!rig.seen()[0].idempotent);
    assert_eq!(rig.seen()[0].fingerprint, "vendor/odd");
}

#[tokio::test(start_paused = true)]
async fn a_pretty_printed_answer_becomes_one_line() {
    let mut rig = Rig::new(|_| async { json("{\n \"id\": 1,\r\n \"result\": \"a\\nb\"\n}\n") });
    rig.write(r#"{"id":1,"method":"x"}"#).await;
    assert_eq!(rig.line().await, r#"{  "id": 1,   "result": "a\nb" } "#);
}

#[tokio::test(start_paused = true)]
async fn events_are_passed_on_as_they_arrive() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |_| {
        let live = live.take().unwrap();
        async { live.events() }
    });
    rig.write(r#"{"id":1,"method":"tools/call","params":{"name":"slow"}}"#)
        .await;
    feed.send(Bytes::from(
        "data: {\"method\":\"notifications/progress\"}\n\n",
    ))
    .await
    .unwrap();
    assert_eq!(rig.json().await["method"], "notifications/progress");
    feed.send(Bytes::from(
        "data: not json\n\n: ping\n\nevent: other\ndata: {\"method\":\"x\"}\n\n",
    ))
    .await
    .unwrap();
    feed.send(Bytes::from(
        "data: {\"id\":9,\"method\":\"sampling/createMessage\"}\n\n",
    ))
    .await
    .unwrap();
    assert_eq!(rig.json().await["method"], "sampling/createMessage");
    feed.send(Bytes::from("data: {\"id\":1,\"result\":{}}\n\n"))
        .await
        .unwrap();
    assert_eq!(rig.json().await["id"], 1);
    // The server keeps the stream open after its answer: we close it.
    closed(&feed).await;
}

#[tokio::test(start_paused = true)]
async fn requests_overtake_each_other() {
    let first = std::sync::Arc::new(Notify::new());
    let release = std::sync::Arc::clone(&first);
    let mut rig = Rig::new(move |request| {
        let (first, id) = (std::sync::Arc::clone(&first), request.json()["id"].clone());
        async move {
            if id == 1 {
                first.notified().await;
            }
            json(&format!(r#"{{"id":{id},"result":{{}}}}"#))
        }
    });
    rig.write(r#"{"id":1,"method":"tools/call"}"#).await;
    assert_eq!(rig.ask(r#"{"id":2,"method":"tools/call"}"#).await["id"], 2);
    release.notify_one();
    assert_eq!(rig.json().await["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_pipelined_behind_the_handshake_waits_for_it() {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", no_stream);
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            reply
        }
    });
    rig.write(INITIALIZE).await;
    rig.write(INITIALIZED).await;
    rig.write(r#"{"id":1,"method":"tools/list"}"#).await;
    assert_eq!(rig.json().await["id"], 0);
    assert_eq!(rig.json().await["id"], 1);
    let posts: Vec<_> = rig
        .whats()
        .into_iter()
        .filter(|what| what != "GET")
        .collect();
    assert_eq!(
        posts,
        ["initialize", "notifications/initialized", "tools/list"]
    );
    assert_eq!(
        rig.only("tools/list")[0].header("mcp-session-id"),
        Some("s1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_session_is_opened_again_behind_the_clients_back() {
    let handshakes = AtomicUsize::new(0);
    let streams = Mutex::new(Vec::new());
    let mut rig = Rig::new(move |request| {
        if request.what() == "initialize" {
            handshakes.fetch_add(1, Ordering::SeqCst);
        }
        let current = format!("s{}", handshakes.load(Ordering::SeqCst));
        let standing = || {
            let (feed, live) = live();
            streams.lock().unwrap().push(feed);
            live.events()
        };
        let forgotten = request.json()["params"]["first"] == true
            && request.header("mcp-session-id") == Some("s1");
        let reply = match forgotten {
            true => status(StatusCode::NOT_FOUND),
            false if request.verb == "GET" => standing(),
            false => handshake_or(request, &current, no_stream),
        };
        async { reply }
    });
    rig.handshake().await;
    rig.ask(r#"{"id":5,"method":"logging/setLevel","params":{"level":"error"}}"#)
        .await;
    let call = r#"{"id":7,"method":"tools/call","params":{"first":true}}"#;
    assert_eq!(
        rig.ask(call).await["id"],
        7,
        "the second initialize answer must not be seen"
    );
    let posts: Vec<_> = rig
        .whats()
        .into_iter()
        .filter(|what| what != "GET")
        .collect();
    let (opened, wished) = (
        ["initialize", "notifications/initialized"],
        "logging/setLevel",
    );
    let again = [&opened[..], &[wished, "tools/call"]].concat();
    assert_eq!(posts, [again.clone(), again].concat());
    let reopened = &rig.only("initialize")[1];
    assert_eq!(
        (reopened.body.as_str(), reopened.header("mcp-session-id")),
        (INITIALIZE, None)
    );
    assert_eq!(
        rig.only("notifications/initialized")[1].header("mcp-session-id"),
        Some("s2")
    );
    assert_eq!(
        rig.only("tools/call")[1].header("mcp-session-id"),
        Some("s2")
    );
    rig.until(|seen| seen.iter().filter(|one| one.verb == "GET").count() == 2)
        .await;
    rig.silence().await;
}

/// Servers say it with other statuses too. A call that had no such session is answered as it was.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_in_other_words_is_opened_again() {
    let words = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#;
    for (code, kind, body, initializes) in [
        (400, "application/json", words, 2),
        (400, "text/plain", "Missing session ID", 2),
        (
            401,
            "application/json",
            r#"{"error":"session not found"}"#,
            2,
        ),
        (
            409,
            "application/json",
            r#"{"detail":"session is gone"}"#,
            2,
        ),
        (400, "application/json", r#"{"detail":"no such tool"}"#, 1),
        // An answer to the call, which is about a session of its own.
        (
            400,
            "application/json",
            r#"{"id":7,"error":{"code":-32602,"message":"no such session"}}"#,
            1,
        ),
        (403, "application/json", words, 1),
    ] {
        let handshakes = AtomicUsize::new(0);
        let mut rig = Rig::new(move |request| {
            if request.what() == "initialize" {
                handshakes.fetch_add(1, Ordering::SeqCst);
            }
            let current = format!("s{}", handshakes.load(Ordering::SeqCst));
            let old = request.header("mcp-session-id") == Some("s1");
            let reply = if request.what() == "tools/call" && old {
                respond(code, kind, body)
            } else {
                handshake_or(request, &current, no_stream)
            };
            async { reply }
        });
        rig.handshake().await;
        let answer = rig.ask(TOOL_CALL).await;
        let is_answered = answer.get("result").is_some();
        assert_eq!(is_answered, initializes == 2, "{code} {body}: {answer}");
        assert_eq!(rig.only("initialize").len(), initializes, "{code} {body}");
    }
}

/// Only a call that may have lost its session is spared the verdict on its token, and only once.
#[tokio::test(start_paused = true)]
async fn a_401_is_for_the_session_once() {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", |request| match request.verb.as_str() {
            "GET" => status(StatusCode::METHOD_NOT_ALLOWED),
            _ => status(StatusCode::UNAUTHORIZED),
        });
        async { reply }
    });
    rig.handshake().await;
    rig.ask(TOOL_CALL).await;
    let spared: Vec<bool> = rig
        .only("tools/call")
        .iter()
        .map(|call| call.in_session)
        .collect();
    assert_eq!(spared, [true, false]);
    assert!(rig.only("initialize").iter().all(|call| !call.in_session));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgets_at_once_gets_no_third_try() {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", |request| match request.verb.as_str() {
            "GET" => status(StatusCode::METHOD_NOT_ALLOWED),
            _ => status(StatusCode::NOT_FOUND),
        });
        async { reply }
    });
    rig.handshake().await;
    let answer = rig.ask(r#"{"id":7,"method":"tools/call"}"#).await;
    assert_eq!(answer["error"]["data"]["status"], 404);
    assert_eq!(
        (rig.only("tools/call").len(), rig.only("initialize").len()),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn many_calls_on_a_forgotten_session_open_one_new_one() {
    let handshakes = AtomicUsize::new(0);
    let mut rig = Rig::new(move |request| {
        if request.what() == "initialize" {
            handshakes.fetch_add(1, Ordering::SeqCst);
        }
        let current = format!("s{}", handshakes.load(Ordering::SeqCst));
        let old = request.what() == "tools/call" && request.header("mcp-session-id") == Some("s1");
        let reply = if old {
            status(StatusCode::NOT_FOUND)
        } else {
            handshake_or(request, &current, no_stream)
        };
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            reply
        }
    });
    rig.handshake().await;
    for id in 1..=10 {
        rig.write(&format!(r#"{{"id":{id},"method":"tools/call"}}"#))
            .await;
    }
    for _ in 1..=10 {
        assert!(rig.json().await.get("result").is_some());
    }
    assert_eq!(rig.only("initialize").len(), 2);
}

/// A session in which a call with id 5 is open, at a server that never answers it.
async fn called_in_vain() -> Rig {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", no_stream);
        let hangs = request.what() == "tools/call";
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            reply
        }
    });
    rig.handshake().await;
    rig.write(r#"{"id":5,"method":"tools/call"}"#).await;
    rig.until(|seen| seen.iter().any(|one| one.what() == "tools/call"))
        .await;
    rig
}

#[tokio::test(start_paused = true)]
async fn cancelling_is_told_to_the_server_and_its_answer_is_dropped() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |request| {
        let reply = handshake_or(request, "s1", |request| match request.what().as_str() {
            "tools/call" => live.take().unwrap().events(),
            _ => no_stream(request),
        });
        async { reply }
    });
    rig.handshake().await;
    rig.write(r#"{"id":5,"method":"tools/call"}"#).await;
    rig.until(|seen| seen.iter().any(|one| one.what() == "tools/call"))
        .await;
    let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":5}}"#;
    rig.write(cancel).await;
    rig.until(|seen| seen.iter().any(|one| one.body == cancel))
        .await;
    feed.send(Bytes::from("data: {\"id\":5,\"result\":{}}\n\n"))
        .await
        .unwrap();
    rig.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_that_is_never_answered_is_let_go() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |request| {
        let reply = handshake_or(request, "s1", |request| match request.what().as_str() {
            "tools/call" => live.take().unwrap().events(),
            _ => no_stream(request),
        });
        async { reply }
    });
    rig.handshake().await;
    rig.write(r#"{"id":5,"method":"tools/call"}"#).await;
    rig.until(|seen| seen.iter().any(|one| one.what() == "tools/call"))
        .await;
    rig.write(r#"{"method":"notifications/cancelled","params":{"requestId":5}}"#)
        .await;
    closed(&feed).await;
    rig.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_does_not_hold_up_the_end() {
    let mut rig = called_in_vain().await;
    rig.write(r#"{"method":"notifications/cancelled","params":{"requestId":5}}"#)
        .await;
    rig.until(|seen| {
        seen.iter()
            .any(|one| one.what() == "notifications/cancelled")
    })
    .await;
    let started = tokio::time::Instant::now();
    rig.close_input();
    rig.ended().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_server_speaks_unasked_and_is_answered() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |request| {
        let reply = handshake_or(request, "s1", |request| match request.verb.as_str() {
            "GET" => live.take().map_or_else(|| no_stream(request), Live::events),
            _ => status(StatusCode::ACCEPTED),
        });
        async { reply }
    });
    rig.handshake().await;
    let ping = "retry: 2500\nid: e1\ndata: {\"id\":\"srv\",\"method\":\"ping\"}\n\n";
    feed.send(Bytes::from(ping)).await.unwrap();
    assert_eq!(rig.json().await["method"], "ping");
    let pong = r#"{"id":"srv","result":{}}"#;
    rig.write(pong).await;
    rig.until(|seen| seen.iter().any(|one| one.body == pong))
        .await;
    let broke = tokio::time::Instant::now();
    drop(feed);
    rig.until(|seen| seen.iter().filter(|one| one.verb == "GET").count() == 2)
        .await;
    assert!(
        broke.elapsed() >= Duration::from_millis(2500),
        "retry is respected"
    );
    assert_eq!(rig.only("GET")[1].header("last-event-id"), Some("e1"));
    assert_eq!(rig.only("GET")[0].header("last-event-id"), None);
}

#[tokio::test(start_paused = true)]
async fn listening_to_a_forgotten_session_opens_a_new_one() {
    let gets = AtomicUsize::new(0);
    let mut rig = Rig::new(move |request| {
        let reply = handshake_or(request, "s1", |request| match request.verb.as_str() {
            "GET" if gets.fetch_add(1, Ordering::SeqCst) < 2 => status(StatusCode::NOT_FOUND),
            _ => no_stream(request),
        });
        async { reply }
    });
    rig.handshake().await;
    // Too early, perhaps; then in earnest; then in the new session.
    rig.until(|seen| seen.iter().filter(|one| one.verb == "GET").count() == 3)
        .await;
    assert_eq!(rig.only("initialize").len(), 2);
    rig.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_numbered_stream_is_resumed() {
    let mut rig = Rig::new(|request| {
        let answer = "id: e2\ndata: {\"id\":1,\"result\":{}}\n\n";
        let reply = handshake_or(request, "s1", |request| {
            match (request.what().as_str(), request.header("last-event-id")) {
                ("tools/call", _) => sse("id: e1\nretry: 500\ndata:\n\nid: half"),
                ("GET", Some("e1")) => sse(answer),
                _ => no_stream(request),
            }
        });
        async { reply }
    });
    rig.handshake().await;
    let called = tokio::time::Instant::now();
    assert_eq!(
        rig.ask(r#"{"id":1,"method":"tools/call"}"#).await["result"],
        serde_json::json!({})
    );
    let waited = called.elapsed().as_millis();
    assert!(
        (500..600).contains(&waited),
        "retry is respected, and no more: {waited} ms"
    );
    assert_eq!(rig.only("tools/call").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_crosses_untouched_and_is_answered_in_pieces() {
    let batch = r#"[{"id":1,"method":"a"},{"method":"n"},{"id":2,"method":"b"}]"#;
    let mut rig = Rig::new(|_| async {
        sse("data: {\"id\":2,\"result\":{}}\n\ndata: [{\"id\":1,\"result\":{}}]\n\n")
    });
    assert_eq!(rig.ask(batch).await["id"], 2);
    assert_eq!(rig.json().await[0]["id"], 1);
    assert_eq!(rig.seen()[0].body, batch);
}

/// 2025-11-25, basic/transports: an answer may come on the session's own stream, and again where it was asked for.
#[tokio::test(start_paused = true)]
async fn an_id_is_answered_once() {
    let (feed, live) = live();
    let live = Once::new(live);
    let (called, unanswered) = super::rig::live();
    let unanswered = Once::new(unanswered);
    let mut rig = Rig::new(move |request| {
        let reply = handshake_or(request, "s1", |request| match request.what().as_str() {
            "GET" => live.take().map_or_else(|| no_stream(request), Live::events),
            "tools/call" => unanswered.take().unwrap().events(),
            _ => no_stream(request),
        });
        async { reply }
    });
    rig.handshake().await;
    rig.write(r#"{"id":5,"method":"tools/call"}"#).await;
    rig.until(|seen| seen.iter().any(|one| one.what() == "tools/call"))
        .await;
    let answer = Bytes::from("data: {\"id\":5,\"result\":{}}\n\n");
    feed.send(answer.clone()).await.unwrap();
    assert_eq!(rig.json().await["id"], 5);
    called.send(answer.clone()).await.unwrap();
    feed.send(answer).await.unwrap();
    rig.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_open_when_the_input_ends_is_answered_all_the_same() {
    let mut rig = called_in_vain().await;
    rig.close_input();
    let refused = rig.json().await;
    assert_eq!(refused["id"], 5);
    assert_eq!(
        refused["error"]["data"]["error"], "interrupted",
        "{refused}"
    );
    assert_eq!(refused["error"]["data"]["executed"], "unknown", "{refused}");
    rig.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_ends_the_session() {
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", no_stream);
        async { reply }
    });
    rig.handshake().await;
    rig.close_input();
    rig.ended().await.unwrap();
    let last = rig.seen().pop().unwrap();
    assert_eq!(
        (last.verb.as_str(), last.header("mcp-session-id")),
        ("DELETE", Some("s1"))
    );
}
