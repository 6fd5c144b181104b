//! The MCP endpoint of the daemon.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use authkeeper::model::{Health, HealthCause};
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    super::ERROR_HEADER,
    rig::{HANDLE, Rig, Stands},
};
use crate::{
    body::sent,
    error::CallError,
    forward::{
        Forwarder,
        tests::{FakeAuthority, Server, accepting, notion, status},
    },
};

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{"name":"x"}}"#;
const NOTE: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const MOMENT: Duration = Duration::from_secs(10);

async fn rig(authority: Arc<FakeAuthority>) -> Rig {
    Rig::daemon(authority).await
}

fn parts(answer: &str) -> (&str, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn what_is_sent_and_answered_crosses_as_it_is() {
    let body = Arc::new(Mutex::new(Bytes::new()));
    let seen = Arc::clone(&body);
    let server = Server::start(move |_, body| {
        let seen = Arc::clone(&seen);
        async move {
            *seen.lock().unwrap() = body.collect().await.unwrap().to_bytes();
            let mut response = status(418);
            let headers = response.headers_mut();
            headers.insert("mcp-session-id", "s1".parse().unwrap());
            headers.append("x-two", "a".parse().unwrap());
            headers.append("x-two", "b".parse().unwrap());
            headers.insert("keep-alive", "timeout=5".parse().unwrap());
            headers.insert(ERROR_HEADER, "forged".parse().unwrap());
            response
        }
    })
    .await;
    let rig = rig(FakeAuthority::new(&server.url, 1)).await;
    let own = "mcp-protocol-version: 2025-11-25\r\nMcp-Param-Unknown: 1\r\naccept: a, b\r\n\
        x-authkeeper-task: handle-5ecret\r\n";
    let answer = rig.ask("POST /mcp/notion?k=1", own, CALL).await;
    assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nfrom the server"), "{answer}");
    for kept in ["mcp-session-id: s1", "x-two: a", "x-two: b"] {
        assert!(answer.contains(kept), "{kept}: {answer}");
    }
    for ours in ["keep-alive: timeout", "forged"] {
        assert!(!answer.contains(ours), "{ours}: {answer}");
    }
    assert_eq!(*body.lock().unwrap(), CALL);
    let heads = server.heads.lock().unwrap().clone();
    assert_eq!(heads[0].uri.to_string(), "/v1?k=1");
    assert_eq!(heads[0].headers["authorization"], "Bearer tok-1");
    for (name, value) in [
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-param-unknown", "1"),
        ("accept", "a, b"),
    ] {
        assert_eq!(heads[0].headers[name], value);
    }
    assert!(!format!("{heads:?}").contains(HANDLE));
}

/// A balancer finds the session's node by a cookie that the client never sees.
#[tokio::test]
async fn a_sessions_cookies_are_sent_back_with_its_id() {
    let sessions = AtomicU64::new(0);
    let server = Server::start(move |head, _| {
        let opened = !head.headers.contains_key("mcp-session-id");
        let number = opened.then(|| sessions.fetch_add(1, Ordering::SeqCst));
        async move {
            let mut answer = status(200);
            if let Some(number) = number {
                let (id, cookie) = (format!("s{number}"), format!("SERVERID=n{number}"));
                let headers = answer.headers_mut();
                headers.insert("mcp-session-id", id.parse().unwrap());
                headers.insert("set-cookie", cookie.parse().unwrap());
            }
            answer
        }
    })
    .await;
    let rig = rig(FakeAuthority::new(&server.url, 1)).await;
    for session in ["", "", "s0", "s1", "s0", "s7"] {
        let named = match session {
            "" => String::new(),
            id => format!("mcp-session-id: {id}\r\n"),
        };
        let answer = rig.ask("POST /mcp/notion", &named, CALL).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!answer.contains("SERVERID"), "{answer}");
    }
    let heads = server.heads.lock().unwrap().clone();
    let shown = heads
        .iter()
        .map(|head| head.headers.get("cookie").map(|it| it.to_str().unwrap()));
    let (n0, n1) = (Some("SERVERID=n0"), Some("SERVERID=n1"));
    assert_eq!(shown.collect::<Vec<_>>(), [None, None, n0, n1, n0, None]);
}

#[tokio::test]
async fn a_401_is_recovered_from_once_for_every_method() {
    for line in ["POST /mcp/notion", "GET /mcp/notion", "DELETE /mcp/notion"] {
        let server = accepting("tok-2").await;
        let rig = rig(FakeAuthority::new(&server.url, 2)).await;
        let answer = rig.ask(line, "", CALL).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{line}: {answer}");
        assert_eq!(server.authorizations(), ["Bearer tok-1", "Bearer tok-2"]);
    }
}

#[tokio::test]
async fn a_request_without_authority_gets_an_error_for_its_id() {
    let rig = rig(FakeAuthority::dead("http://127.0.0.1:9/")).await;
    let answer = rig.ask("POST /mcp/notion", "", CALL).await;
    let (head, body) = parts(&answer);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body["id"], "c-1");
    assert_eq!(body["error"]["code"], -31001);
    assert_eq!(body["error"]["data"]["executed"], "no");
    for (line, sent) in [
        ("POST /mcp/notion", NOTE),
        ("POST /mcp/notion", b"no json"),
        ("GET /mcp/notion", b""),
        ("DELETE /mcp/notion", b""),
    ] {
        let answer = rig.ask(line, "", sent).await;
        let (head, body) = parts(&answer);
        assert!(head.starts_with("HTTP/1.1 403"), "{line}: {head}");
        assert!(!head.contains("www-authenticate"), "{head}");
        assert_eq!(body["error"], "authorization_missing");
    }
}

#[tokio::test]
async fn no_401_ever_reaches_a_client() {
    let server = Server::start(|_, body| async move {
        let _ = body.collect().await;
        let mut response = status(401);
        let metadata = "Bearer resource_metadata=\"https://x.example/\"";
        let headers = response.headers_mut();
        headers.insert("www-authenticate", metadata.parse().unwrap());
        response
    })
    .await;
    // A second generation is refused as the first was; a body that is gone can't be sent again.
    let large = [CALL, b" ".repeat(2 << 20).as_slice()].concat();
    for (generations, sent, code) in [
        (1, CALL, Some(-31002)),
        (9, CALL, Some(-31003)),
        (9, &large, None),
    ] {
        let rig = rig(FakeAuthority::new(&server.url, generations)).await;
        let answer = rig.ask("POST /mcp/notion", "", sent).await;
        let (head, body) = parts(&answer);
        let status = if code.is_some() { 200 } else { 503 };
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(!head.contains("www-authenticate"), "{head}");
        assert_eq!(body["error"]["code"].as_i64(), code, "{body}");
    }
    let rig = Rig::daemon(FakeAuthority::new(&server.url, 1)).await;
    let mut socket = rig.connect().await;
    let bare = rig.head("GET /mcp/notion", "", 0).replace(HANDLE, "other");
    socket.write_all(bare.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("--print-handle"), "{answer}");
}

#[tokio::test]
async fn a_provider_out_of_reach_is_said_to_be_tried_again() {
    let busy = || CallError::provider_unavailable("busy", Some(Duration::from_mins(1)));
    let rig = rig(FakeAuthority::refusing(busy)).await;
    let answer = rig.ask("POST /mcp/notion", "", CALL).await;
    let (_, body) = parts(&answer);
    assert_eq!(body["error"]["data"]["retryable"], true);
    let answer = rig.ask("GET /mcp/notion", "", b"").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 60"), "{answer}");
}

/// A server that answers with one stream of events, which the test feeds.
async fn streaming() -> (Server, mpsc::Sender<Bytes>) {
    let (feed, events) = mpsc::channel(4);
    let events = Arc::new(Mutex::new(Some(events)));
    let server = Server::start(move |_, _| {
        let events = events.lock().unwrap().take().unwrap();
        async move {
            let mut response = Response::new(sent(events));
            let kind = "text/event-stream; charset=utf-8".parse().unwrap();
            response.headers_mut().insert("content-type", kind);
            response
        }
    })
    .await;
    (server, feed)
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let mut part = [0; 1024];
        let read = timeout(MOMENT, socket.read(&mut part)).await.unwrap();
        let read = read.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(std::str::from_utf8(part.get(..read).unwrap()).unwrap());
    }
    seen
}

#[tokio::test]
async fn events_pass_at_once_and_a_client_that_goes_is_felt_by_the_server() {
    for line in ["GET /mcp/notion", "POST /mcp/notion"] {
        let (server, feed) = streaming().await;
        let rig = rig(FakeAuthority::new(&server.url, 1)).await;
        let mut socket = rig.connect().await;
        let head = rig.head(line, "", CALL.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(CALL).await.unwrap();
        for event in ["data: one\n\n", "data: two\n\n"] {
            feed.send(Bytes::from_static(event.as_bytes()))
                .await
                .unwrap();
            read_until(&mut socket, event).await;
        }
        drop(socket);
        timeout(MOMENT, feed.closed()).await.expect("still read");
    }
}

#[tokio::test]
async fn a_client_that_goes_before_the_answer_is_felt_too() {
    let (held, gone) = oneshot::channel::<()>();
    let held = Mutex::new(Some(held));
    let (arrived, mut arrives) = mpsc::channel(1);
    let server = Server::start(move |_, _| {
        let (held, arrived) = (held.lock().unwrap().take(), arrived.clone());
        async move {
            arrived.send(()).await.unwrap();
            std::future::pending::<()>().await;
            drop(held);
            status(200)
        }
    })
    .await;
    let rig = rig(FakeAuthority::new(&server.url, 1)).await;
    let mut socket = rig.connect().await;
    let head = rig.head("POST /mcp/notion", "", CALL.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(CALL).await.unwrap();
    timeout(MOMENT, arrives.recv()).await.unwrap();
    drop(socket);
    let felt = timeout(MOMENT, gone).await.expect("it still works on it");
    assert!(felt.is_err());
}

#[tokio::test]
async fn a_stop_ends_streams_that_nobody_ends() {
    for (line, sent, ends) in [
        ("GET /mcp/notion", &b""[..], true),
        (
            "POST /mcp/notion",
            br#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#,
            true,
        ),
        ("POST /mcp/notion", CALL, false),
    ] {
        let (server, feed) = streaming().await;
        let rig = rig(FakeAuthority::new(&server.url, 1)).await;
        let mut socket = rig.connect().await;
        let head = rig.head(line, "", sent.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(sent).await.unwrap();
        feed.send(Bytes::from_static(b"data: one\n\n"))
            .await
            .unwrap();
        read_until(&mut socket, "data: one").await;
        rig.serving.stop();
        if !ends {
            // A call under way is answered.
            feed.send(Bytes::from_static(b"data: two\n\n"))
                .await
                .unwrap();
            read_until(&mut socket, "data: two").await;
            drop(feed);
        }
        let mut rest = String::new();
        let ended = timeout(MOMENT, socket.read_to_string(&mut rest)).await;
        ended.expect("the stream goes on").unwrap();
        assert!(rest.ends_with("0\r\n\r\n"), "it broke off: {rest:?}");
        timeout(MOMENT, rig.serving.idle()).await.unwrap();
    }
}

#[tokio::test]
async fn its_health_is_that_of_its_connections_and_names_go_to_those_with_the_handle() {
    let stands = Stands::default();
    let authority = FakeAuthority::new("http://127.0.0.1:9/", 1);
    let rig = Rig::daemon_over(Forwarder::new(authority), stands.clone()).await;
    let ask = async |path: &str, handle: &str| {
        let mut socket = rig.connect().await;
        let bare = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:{}\r\n{handle}connection: close\r\n\r\n",
            rig.port
        );
        socket.write_all(bare.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask("/healthz", "").await.starts_with("HTTP/1.1 200"));
    let cause = HealthCause::ClientRefused;
    let refused = Health {
        state: cause.state(false),
        cause: Some(cause),
        ..Health::OK
    };
    stands.0.lock().unwrap().push((notion(), refused));
    let bare = ask("/healthz", "").await;
    assert!(bare.starts_with("HTTP/1.1 503"), "{bare}");
    assert!(!bare.contains("notion"), "{bare}");
    let handle = format!("authorization: Bearer {HANDLE}\r\n");
    let told = ask("/healthz", &handle).await;
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(told.contains(r#""notion":{"#), "{told}");
    assert!(ask("/livez", "").await.starts_with("HTTP/1.1 200"));
}
