//! The client that is tried: a process, started as the official MCP conformance suite starts it.

use std::{
    ffi::OsString,
    io,
    os::fd::AsFd as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{
    revision::Revision,
    scenarios::{BuiltIn, ClientEnd},
};

/// How a client is started, and how long it may take.
#[derive(Clone, Debug)]
pub struct ClientCommand {
    words: Vec<OsString>,
    timeout: Duration,
}

/// What a client is told in `MCP_CONFORMANCE_…` variables.
#[derive(Clone, Debug)]
pub struct ClientContext {
    name: String,
    revision: Revision,
    context: Value,
}

/// The client can't be started.
#[derive(Debug, thiserror::Error)]
#[error("can't start the client {client}: {source}")]
pub struct ClientError {
    client: String,
    source: io::Error,
}

impl ClientContext {
    /// For a built-in scenario.
    pub fn of(scenario: &BuiltIn, revision: Revision) -> Self {
        Self {
            name: scenario.suite_name(),
            revision,
            context: scenario.context(),
        }
    }

    /// For a scenario file of this name.
    pub fn of_file(stem: &str, revision: Revision) -> Self {
        let name = format!("auth/{stem}");
        Self {
            context: json!({"name": name}),
            name,
            revision,
        }
    }
}

impl ClientCommand {
    /// A program and its arguments; none if there are no words.
    pub fn new(words: &[OsString], timeout: Duration) -> Option<Self> {
        (!words.is_empty()).then(|| Self {
            words: words.to_vec(),
            timeout,
        })
    }

    /// Runs the client to its end, or until its time is over. Its last argument is the MCP server of the sandbox at
    /// `url`.
    ///
    /// # Errors
    ///
    /// The client can't be started.
    pub async fn run(&self, url: &str, context: &ClientContext) -> Result<ClientEnd, ClientError> {
        let mut child = self.start(url, context).map_err(|source| {
            let client = self.words.first().map(|word| word.to_string_lossy());
            ClientError {
                client: client.unwrap_or_default().into_owned(),
                source,
            }
        })?;
        let group = group(&child);
        match tokio::time::timeout(self.timeout, child.wait()).await {
            Ok(ended) => Ok(ClientEnd::Exited(
                ended.ok().as_ref().and_then(ExitStatus::code),
            )),
            Err(_elapsed) => {
                end_group(group);
                let _ = child.wait().await;
                Ok(ClientEnd::TimedOut)
            }
        }
    }

    /// Starts it in a process group of its own, so that all of it can be ended. Its standard output goes to standard
    /// error, because the verdict goes to standard output.
    fn start(&self, url: &str, context: &ClientContext) -> io::Result<Child> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let (program, words) = self
            .words
            .split_first()
            .ok_or(io::ErrorKind::InvalidInput)?;
        Command::new(program)
            .args(words)
            .arg(format!("{url}/mcp"))
            .env("MCP_CONFORMANCE_SCENARIO", &context.name)
            .env(
                "MCP_CONFORMANCE_PROTOCOL_VERSION",
                context.revision.as_str(),
            )
            .env("MCP_CONFORMANCE_CONTEXT", context.context.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::from(stderr))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

fn group(child: &Child) -> Option<Pid> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    id.and_then(Pid::from_raw)
}

fn end_group(group: Option<Pid>) {
    if let Some(group) = group {
        // A group that is gone already is no error.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
