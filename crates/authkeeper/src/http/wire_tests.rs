//! Replies as they come over a socket from servers that do not keep to HTTP.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// What a server does once it has written its bytes.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    /// Keeps the connection open for as long as the client does.
    Waits,
}

/// Sends a request to a server that answers with these bytes; its answer, and what it was sent.
async fn exchanged(bytes: Vec<u8>, then: Then) -> (Result<Reply, ExchangeError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        tell.send(String::from_utf8(request).unwrap()).unwrap();
        socket.write_all(&bytes).unwrap();
        if matches!(then, Then::Waits) {
            let _ = socket.read(&mut [0]);
        }
    });
    let url = HttpUrl::parse(&url).unwrap();
    let connection = NetTransport::new().connect(&url, Reach::Anywhere).await;
    let reply = connection.unwrap().send(Request::get_json()).await;
    server.join().unwrap();
    (reply, told.recv().unwrap())
}

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body].concat()
}

const TOKENS: &[u8] = br#"{"access_token":"a"}"#;

#[tokio::test]
async fn a_body_whose_json_is_whole_is_an_answer_however_it_ends() {
    let chunk = [b"14\r\n", TOKENS, b"\r\n"].concat();
    for (head, body, then) in [
        ("Content-Length: 20\r\n", TOKENS, Then::Closes),
        ("Content-Length: 20\r\n", TOKENS, Then::Waits),
        ("Content-Length: 4711\r\n", TOKENS, Then::Closes),
        ("Content-Length: 4711\r\n", TOKENS, Then::Waits),
        ("", TOKENS, Then::Closes),
        ("Transfer-Encoding: chunked\r\n", &chunk, Then::Closes),
        ("Transfer-Encoding: chunked\r\n", &chunk, Then::Waits),
    ] {
        let (reply, _) = exchanged(http(head, body), then).await;
        let reply = reply.unwrap_or_else(|error| panic!("{head}: {error}"));
        assert_eq!(reply.body, TOKENS, "{head}");
    }
}

#[tokio::test]
async fn what_came_before_a_cut_is_kept() {
    let cut = &TOKENS[..TOKENS.len() - 1];
    let chunk = [b"14\r\n", cut].concat();
    for (head, body) in [
        ("Content-Length: 20\r\n", cut),
        ("Transfer-Encoding: chunked\r\n", &chunk),
    ] {
        let (reply, _) = exchanged(http(head, body), Then::Closes).await;
        assert_eq!(reply.unwrap().body, cut, "{head}");
    }
    let refused = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\n";
    let (reply, _) = exchanged(refused.to_vec(), Then::Closes).await;
    assert_eq!(reply.unwrap().headers["retry-after"], "7");
}

#[tokio::test]
async fn headers_that_keep_to_no_rule_lose_no_answer() {
    let many = "X-Filler: 1\r\n".repeat(150);
    for odd in [
        &*many,
        "X-Powered-By : php\r\n",
        "X-A: b\r\n  c\r\n",
        "no colon\r\n",
    ] {
        let head = format!("{odd}Content-Length: 20\r\n");
        let (reply, _) = exchanged(http(&head, TOKENS), Then::Closes).await;
        assert_eq!(
            reply.unwrap_or_else(|error| panic!("{odd}: {error}")).body,
            TOKENS
        );
    }
}

#[tokio::test]
async fn an_answer_of_which_nothing_came_is_lost() {
    for (head, body) in [
        ("Content-Length: 20\r\n", b"".as_slice()),
        ("Transfer-Encoding: chunked\r\n", b"13\r\n"),
    ] {
        let (reply, _) = exchanged(http(head, body), Then::Closes).await;
        assert!(
            matches!(reply, Err(ExchangeError::Broken(_))),
            "{head} {reply:?}"
        );
    }
}

#[tokio::test]
async fn no_compression_is_asked_for() {
    let (_, request) = exchanged(http("", TOKENS), Then::Closes).await;
    let request = request.to_ascii_lowercase();
    assert!(
        request.contains("\r\naccept-encoding: identity\r\n"),
        "{request}"
    );
}

/// A proxy that lets everybody through answers here; nobody is asked.
#[tokio::test]
async fn a_public_server_leads_inside_through_no_proxy_either() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = |scheme: &str| ProxySettings {
        all: Some(ProxySetting {
            set_by: "ALL_PROXY".to_owned(),
            url: format!("{scheme}://{}", listener.local_addr().unwrap()).into(),
        }),
        ..ProxySettings::default()
    };
    for scheme in ["http", "socks5h", "socks5"] {
        let network = Network::new(&proxy(scheme), TlsSettings::default());
        let transport = NetTransport::over(std::sync::Arc::new(network));
        for inside in [
            "https://10.0.0.1/",
            "https://[fd00::1]/",
            "https://sso.corp.internal/",
        ] {
            let url = HttpUrl::parse(inside).unwrap();
            if scheme == "socks5" && inside.contains("sso") {
                continue; // resolved here, to nothing
            }
            let refused = transport
                .connect(&url, Reach::PublicOnly)
                .await
                .err()
                .unwrap();
            let internal = matches!(refused, ConnectError::Internal { .. });
            assert!(internal, "{scheme} {inside}: {refused}");
        }
    }
}

/// Each refusal of a proxy has its own remedy, and one that may pass has none.
#[tokio::test]
async fn a_proxys_refusal_is_told_with_what_to_do() {
    for (answer, said, remedy) in [
        ("403 Forbidden", "403 Forbidden", Some("NO_PROXY")),
        ("502 No Such Host", "502 No Such Host", None),
        (
            "407 Who\r\nProxy-Authenticate: Negotiate",
            "407 Who",
            Some("Negotiate"),
        ),
        (
            "407 Who\r\nProxy-Authenticate: Basic realm=x",
            "407 Who",
            Some("USER:PASSWORD@"),
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let all = Some(ProxySetting {
            set_by: "ALL_PROXY".to_owned(),
            url: format!("http://{}", listener.local_addr().unwrap()).into(),
        });
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 1024]).unwrap();
            let reply = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            socket.write_all(reply.as_bytes()).unwrap();
        });
        let settings = ProxySettings {
            all,
            ..ProxySettings::default()
        };
        let network = Network::new(&settings, TlsSettings::default());
        let transport = NetTransport::over(std::sync::Arc::new(network));
        let url = HttpUrl::parse("https://mcp.example/").unwrap();
        let refused = transport
            .connect(&url, Reach::Anywhere)
            .await
            .err()
            .unwrap();
        server.join().unwrap();
        assert!(refused.to_string().contains(said), "{refused}");
        assert_eq!(refused.remedy().is_some(), remedy.is_some(), "{refused}");
        assert!(
            refused
                .remedy()
                .unwrap_or_default()
                .contains(remedy.unwrap_or_default())
        );
    }
}
