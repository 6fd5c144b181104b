//! The proxy of a run.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use authkeeper::model::Event;
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use super::rig::{HANDLE, Rig};
use crate::{
    body::sent,
    forward::tests::{FakeAuthority, Server, accepting, status},
};

#[tokio::test]
async fn a_call_goes_through_with_the_token_and_without_the_handle() {
    let server = accepting("tok-2").await;
    let authority = FakeAuthority::new(&server.url, 2);
    let rig = Rig::new(authority.clone()).await;
    let own = "x-authkeeper-task: handle-5ecret\r\ncookie: a=b\r\nte: trailers\r\nx-mine: 1\r\n";
    let answer = rig.ask("POST /c/notion/a%2Fb?q=1", own, b"hello").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("from the server"),
        "{answer}"
    );
    assert_eq!(server.authorizations(), ["Bearer tok-1", "Bearer tok-2"]);
    let heads = server.heads.lock().unwrap().clone();
    assert_eq!(heads[1].uri.to_string(), "/v1/a%2Fb?q=1");
    assert_eq!(heads[1].headers["x-mine"], "1");
    let all = format!("{heads:?}");
    assert!(
        !all.contains(HANDLE) && !all.contains("a=b") && !all.contains("trailers"),
        "{all}"
    );
    assert_eq!(authority.succeeded.lock().unwrap()[0].len(), 64);
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_server() {
    let server = accepting("tok-1").await;
    let rig = Rig::new(FakeAuthority::new(&server.url, 1)).await;
    let rows = [
        ("GET /c/notion/%2e%2e/x", "", "400", "bad_path"),
        ("GET /c/jira", "", "403", "connection_not_declared"),
        ("GET /nothing", "", "404", "no_such_route"),
        (
            "GET /c/notion",
            "origin: https://evil.example\r\n",
            "403",
            "wrong_origin",
        ),
        (
            "GET /c/notion",
            "host: evil.example\r\n",
            "403",
            "wrong_host",
        ),
        (
            "GET /c/notion",
            "upgrade: websocket\r\n",
            "501",
            "upgrade_not_supported",
        ),
    ];
    for (line, headers, status, word) in rows {
        let answer = rig.ask(line, headers, b"").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{line} {headers}: {answer}"
        );
        assert!(
            answer.contains(&format!("x-authkeeper-error: {word}")),
            "{answer}"
        );
        assert!(answer.contains(&format!(r#""error":"{word}""#)), "{answer}");
    }
    let mut socket = rig.connect().await;
    let bare = format!(
        "GET /c/notion HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n",
        rig.port
    );
    socket.write_all(bare.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.contains("AUTHKEEPER_TASK"),
        "{answer}"
    );
    assert!(server.heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn missing_authority_is_a_403_with_the_record() {
    let authority = FakeAuthority::dead("http://127.0.0.1:9/");
    let answer = Rig::new(authority.clone())
        .await
        .ask("GET /c/notion", "", b"")
        .await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(
        answer.contains("x-authkeeper-error: authorization_missing"),
        "{answer}"
    );
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body["record"]["event"],
        Event::ReauthorizationRequired.as_str()
    );
    assert_eq!(authority.failed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn events_arrive_before_the_server_ends_its_stream() {
    let (feed, events) = mpsc::channel(4);
    let events = Arc::new(Mutex::new(Some(events)));
    let server = Server::start(move |_, _| {
        let events = events.lock().unwrap().take().unwrap();
        async move { Response::new(sent(events)) }
    })
    .await;
    let rig = Rig::new(FakeAuthority::new(&server.url, 1)).await;
    let mut socket = rig.connect().await;
    socket
        .write_all(rig.head("GET /c/notion", "", 0).as_bytes())
        .await
        .unwrap();
    feed.send(Bytes::from_static(b"data: one\n\n"))
        .await
        .unwrap();
    let mut seen = String::new();
    while !seen.contains("data: one") {
        let mut part = [0; 1024];
        let read = timeout(Duration::from_secs(10), socket.read(&mut part))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(std::str::from_utf8(part.get(..read).unwrap()).unwrap());
    }
    drop(socket);
    timeout(Duration::from_secs(10), feed.closed())
        .await
        .expect("the server's stream is still read");
}

#[tokio::test]
async fn a_large_upload_streams_and_is_not_sent_twice() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let server = Server::start(move |_, body| {
        let seen = Arc::clone(&seen);
        async move {
            let size = body.collect().await.unwrap().to_bytes().len();
            seen.lock().unwrap().push(size);
            status(401)
        }
    })
    .await;
    let rig = Rig::new(FakeAuthority::new(&server.url, 2)).await;
    let answer = rig.ask("POST /c/notion", "", &vec![b'x'; 2 << 20]).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(*sizes.lock().unwrap(), [2 << 20]);
    assert_eq!(
        server.heads.lock().unwrap()[0].headers["content-length"],
        "2097152"
    );
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let rig = Rig::new(FakeAuthority::new("http://127.0.0.1:9/", 1)).await;
    let mut socket = rig.connect().await;
    socket
        .write_all(b"GET /c/notion HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(10), socket.read_to_end(&mut answer))
        .await
        .expect("still open")
        .unwrap();
    let large = "x".repeat(100_000);
    let mut socket = rig.connect().await;
    let _ = socket
        .write_all(format!("GET /{large} HTTP/1.1\r\n\r\n").as_bytes())
        .await;
    let _ = socket.read_to_end(&mut answer).await;
    assert!(!String::from_utf8(answer).unwrap().contains("HTTP/1.1 2"));
}

#[tokio::test]
async fn a_stop_lets_an_answer_finish_and_takes_no_more() {
    let (started, mut arrived) = mpsc::channel(1);
    let server = Server::start(move |_, _| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            status(200)
        }
    })
    .await;
    let rig = Rig::new(FakeAuthority::new(&server.url, 1)).await;
    let mut socket = rig.connect().await;
    socket
        .write_all(rig.head("GET /c/notion", "", 0).as_bytes())
        .await
        .unwrap();
    arrived.recv().await.unwrap();
    rig.serving.stop();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), socket.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    timeout(Duration::from_secs(10), rig.serving.idle())
        .await
        .unwrap();
    assert!(TcpStream::connect(("127.0.0.1", rig.port)).await.is_err());
}
