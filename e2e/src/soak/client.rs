//! A client of one bridge.

use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;
use std::time::Duration;

use serde_json::{Value, json};

use crate::home::{Home, Running};
use crate::wait::{unix_moment, wait_until};

/// Longer than any fault.
const GREETED: Duration = Duration::from_mins(1);

/// Which protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// 2025-11-25.
    Handshake,
    /// 2026-07-28.
    Stateless,
}

/// A call that was not answered with what was asked for.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    /// When it began and ended, in seconds since 1970.
    pub(super) from: f64,
    pub(super) to: f64,
    /// What came instead.
    pub(super) answer: String,
}

pub(super) struct Bridge<'a> {
    process: Running<'a>,
    answers: BufReader<ChildStdout>,
    era: Era,
    id: u64,
}

impl<'a> Bridge<'a> {
    pub(super) fn start(home: &'a Home, connection: &str, era: Era) -> Self {
        let (process, answers) = home.authkeeper(&["mcp", connection]).converse();
        let mut bridge = Self {
            process,
            answers,
            era,
            id: 0,
        };
        if era == Era::Handshake {
            let hello = json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "soak", "version": "1"},
            });
            // A fault may strike the hello: a client says it again.
            let greeted = wait_until(GREETED, || {
                bridge.ask("initialize", hello.clone())["result"].is_object()
            });
            assert!(greeted, "no bridge came up");
            bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        }
        bridge
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Calls a tool that says what it is told.
    pub(super) fn call(&mut self, text: &str) -> Result<(), Failed> {
        let from = unix_moment();
        let answer = self.ask(
            "tools/call",
            json!({"name": "echo", "arguments": {"text": text}}),
        );
        if answer["result"]["content"][0]["text"] == text {
            return Ok(());
        }
        Err(Failed {
            from,
            to: unix_moment(),
            answer: answer.to_string(),
        })
    }

    fn ask(&mut self, method: &str, mut params: Value) -> Value {
        self.id += 1;
        if self.era == Era::Stateless {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "soak", "version": "1"},
            });
        }
        self.say(&json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).expect("text");
            assert!(read > 0, "the bridge has ended: {}", self.process.stderr());
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["id"] == self.id {
                return message;
            }
        }
    }

    fn say(&mut self, message: &Value) {
        self.process.feed(format!("{message}\n").as_bytes());
    }
}
