//! Just enough of an HTTP client to talk to a test server on the loopback.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const TIMEOUT: Duration = Duration::from_secs(20);

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names (lower case) and values, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

/// `GET path` on the loopback.
pub fn get(port: u16, path: &str) -> io::Result<Answer> {
    request(port, "GET", path, &[], "")
}

/// `POST path` with a form.
pub fn post_form(port: u16, path: &str, form: &[(&str, &str)]) -> io::Result<Answer> {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    request(port, "POST", path, &headers, &self::form(form))
}

/// A form's body.
pub fn form(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{key}={}", percent_encode(value)))
        .collect();
    fields.join("&")
}

/// The `Authorization` of `client_secret_basic` (RFC 6749 section 2.3.1).
pub fn basic(id: &str, secret: &str) -> String {
    let pair = format!("{}:{}", percent_encode(id), percent_encode(secret));
    format!("Basic {}", STANDARD.encode(pair))
}

/// Any request. HTTP/1.0, so that the answer ends with the connection and never comes in chunks.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let mut lines = vec![
        format!("{method} {path} HTTP/1.0"),
        format!("host: 127.0.0.1:{port}"),
        format!("content-length: {}", body.len()),
    ];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    let head = lines.join("\r\n") + "\r\n\r\n";
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all((head + body).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (status_line, fields) = head.split_once("\r\n")?;
    let headers = fields
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Answer {
        status: status_line.split(' ').nth(1)?.parse().ok()?,
        headers,
        body: body.to_owned(),
    })
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 section 2.3).
pub fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    let encoded: Vec<String> = text.bytes().map(encode).collect();
    encoded.concat()
}

/// Answers every request with this JSON document until the test ends; its port.
pub fn serve_document(document: &serde_json::Value) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    let body = document.to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    port
}
