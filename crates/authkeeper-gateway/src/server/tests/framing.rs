//! How long an answer is, and whether it says so, crosses as the server said it.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::rig::Rig;
use crate::forward::tests::FakeAuthority;

/// A server that gives this answer to each request, byte for byte, and closes.
async fn answering(answer: String) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, serving)
}

/// The answer without the lines that differ each time.
async fn answered(rig: &Rig, line: &str) -> String {
    let answer = rig.ask(line, "", b"").await;
    let lines = answer.split("\r\n");
    let lines = lines.filter(|line| !line.starts_with("date:") && *line != "connection: close");
    lines.collect::<Vec<_>>().join("|")
}

/// The status and the headers, what follows them, and what a caller gets of that.
const ANSWERS: &[(&str, &str, &str, &str)] = &[
    ("HEAD", "200 OK", "", "||"),
    (
        "HEAD",
        "200 OK|content-length: 5",
        "",
        "|content-length: 5||",
    ),
    ("HEAD", "200 OK|transfer-encoding: chunked", "", "||"),
    ("GET", "204 No Content", "", "||"),
    ("GET", "304 Not Modified", "", "||"),
    (
        "GET",
        "200 OK|content-length: 0",
        "",
        "|content-length: 0||",
    ),
    (
        "DELETE",
        "200 OK|content-length: 0",
        "",
        "|content-length: 0||",
    ),
    (
        "GET",
        "200 OK|content-length: 5",
        "hello",
        "|content-length: 5||hello",
    ),
    (
        "GET",
        "200 OK|transfer-encoding: chunked",
        "5|hello|0||",
        "|transfer-encoding: chunked||5|hello|0||",
    ),
    (
        "GET",
        "200 OK|transfer-encoding: chunked",
        "0||",
        "|transfer-encoding: chunked||0||",
    ),
    // It ends with the connection.
    (
        "GET",
        "200 OK",
        "hello",
        "|transfer-encoding: chunked||5|hello|0||",
    ),
];

#[tokio::test]
async fn an_answer_keeps_its_framing() {
    for (method, head, body, crossed) in ANSWERS {
        let (status, framing) = head.split_once('|').unwrap_or((head, ""));
        let answer = match framing {
            "" => format!("HTTP/1.1 {status}|x-a: 1||{body}"),
            framing => format!("HTTP/1.1 {status}|x-a: 1|{framing}||{body}"),
        };
        let answer = answer.replace('|', "\r\n");
        let (url, _serving) = answering(answer.clone()).await;
        let run = Rig::new(FakeAuthority::new(&url, 1)).await;
        let daemon = Rig::daemon(FakeAuthority::new(&url, 1)).await;
        let right = format!("HTTP/1.1 {status}|x-a: 1{crossed}");
        let run = answered(&run, &format!("{method} /c/notion")).await;
        assert_eq!(run, right, "{method} {answer:?}");
        let daemon = answered(&daemon, &format!("{method} /mcp/notion")).await;
        assert_eq!(daemon, right, "{method} {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_of_our_own_says_its_length() {
    let run = Rig::new(FakeAuthority::new("http://127.0.0.1:9/", 1)).await;
    let daemon = Rig::daemon(FakeAuthority::new("http://127.0.0.1:9/", 1)).await;
    let json = "content-type: application/json|cache-control: no-store|content-length";
    let nothing = format!("HTTP/1.1 404 Not Found|x-authkeeper-error: no_such_route|{json}");
    let elsewhere = format!("HTTP/1.1 403 Forbidden|x-authkeeper-error: wrong_host|{json}");
    for (rig, line, begins, ends) in [
        (&run, "HEAD /nothing", format!("{nothing}: 92||"), "||"),
        (&run, "OPTIONS *", format!("{nothing}: 92||{{"), "}"),
        (
            &run,
            "CONNECT 127.0.0.1:9",
            format!("{elsewhere}: 100||{{"),
            "}",
        ),
        (&daemon, "HEAD /nothing", format!("{nothing}: 89||"), "||"),
        (
            &daemon,
            "HEAD /livez",
            "HTTP/1.1 200 OK|content-length: 3||".into(),
            "||",
        ),
        (
            &daemon,
            "POST /livez",
            "HTTP/1.1 200 OK|content-length: 3||".into(),
            "||ok\n",
        ),
    ] {
        let answer = answered(rig, line).await;
        assert!(
            answer.starts_with(&begins) && answer.ends_with(ends),
            "{line}: {answer}"
        );
    }
}
