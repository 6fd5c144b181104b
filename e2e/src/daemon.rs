//! `authkeeper serve`, as a user starts it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::home::{Home, Running};
use crate::http;
use crate::wait::wait_until;

/// A process takes many seconds to start where others are at work too.
const SOON: Duration = Duration::from_mins(1);

/// A daemon that is ready.
#[derive(Debug)]
pub struct Daemon<'a> {
    /// Its process. It has no browser.
    pub process: Running<'a>,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// What lets a client in.
    pub handle: String,
}

impl<'a> Daemon<'a> {
    /// On a port that the system chooses, with these words more.
    pub fn start(home: &'a Home, more: &[&str]) -> Self {
        let words = [&["serve", "--port", "0", "--json"], more].concat();
        let process = home.authkeeper(&words).env("BROWSER", "false").spawn();
        assert!(
            wait_until(SOON, || process.stdout().ends_with('\n')),
            "the daemon is not ready: {}",
            process.stderr()
        );
        let ready: Value = serde_json::from_str(&process.stdout()).expect("a line of JSON");
        let port = ready["port"].as_u64().and_then(|port| port.try_into().ok());
        let printed = home.run(&["serve", "--print-handle"]).expect_code(0);
        Self {
            process,
            port: port.expect("a port"),
            handle: printed.stdout.trim().to_owned(),
        }
    }

    /// The MCP endpoint of a connection.
    pub fn url(&self, connection: &str) -> String {
        format!("http://127.0.0.1:{}/mcp/{connection}", self.port)
    }

    /// Shakes hands with the server of a connection, with this handle.
    pub fn greet(&self, connection: &str, handle: &str) -> http::Answer {
        let hello = json!({
            "jsonrpc": "2.0", "id": 7, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25"},
        });
        let authorization = format!("Bearer {handle}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let path = format!("/mcp/{connection}");
        http::request(self.port, "POST", &path, &headers, &hello.to_string()).expect("an answer")
    }
}
