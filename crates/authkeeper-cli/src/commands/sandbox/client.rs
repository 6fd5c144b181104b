//! The client that is tried: a process started as the official suite starts it.

use std::{
    ffi::OsString,
    future::pending,
    io,
    os::fd::AsFd as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use authkeeper_sandbox::{BuiltIn, ClientEnd, Revision, Sandbox};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::SandboxArgs;
use crate::{exit::Exit, failure::Failure};

/// How a client is started, and how long it may take.
#[derive(Debug)]
pub(super) struct Client {
    words: Vec<OsString>,
    timeout: Duration,
    name: String,
    revision: Revision,
    context: Value,
}

impl Client {
    /// For a built-in scenario; none if none was given.
    pub(super) fn of(one: &BuiltIn, revision: Revision, args: &SandboxArgs) -> Option<Self> {
        Some(Self {
            words: Some(args.client.clone()).filter(|words| !words.is_empty())?,
            timeout: args.timeout,
            name: one.suite_name(),
            revision,
            context: one.context(),
        })
    }

    /// For a scenario of a file, whose name it is told.
    pub(super) fn of_file(args: &SandboxArgs) -> Option<Self> {
        let name = args.scenario.as_ref()?.file_stem()?.to_string_lossy();
        let name = format!("auth/{name}");
        Some(Self {
            words: Some(args.client.clone()).filter(|words| !words.is_empty())?,
            timeout: args.timeout,
            context: json!({"name": name}),
            name,
            revision: args.spec_version.unwrap_or_default(),
        })
    }

    /// Runs it to its end, or to the end of its time.
    pub(super) async fn run(&self, sandbox: &Sandbox) -> Result<ClientEnd, Failure> {
        let mut child = self.start(sandbox.url()).map_err(|error| {
            let client = self.words.first().map(|word| word.to_string_lossy());
            let what = format!(
                "can't start the client {}: {error}",
                client.unwrap_or_default()
            );
            Failure::new(Exit::Usage, what, "give a command after --")
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

    /// In a process group of its own, so that all of it can be ended. Standard output is for the verdict.
    fn start(&self, url: &str) -> io::Result<Child> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let (program, words) = self
            .words
            .split_first()
            .ok_or(io::ErrorKind::InvalidInput)?;
        Command::new(program)
            .args(words)
            .arg(format!("{url}/mcp"))
            .env("MCP_CONFORMANCE_SCENARIO", &self.name)
            .env("MCP_CONFORMANCE_PROTOCOL_VERSION", self.revision.as_str())
            .env("MCP_CONFORMANCE_CONTEXT", self.context.to_string())
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
        // Gone already is what was wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Waits for the client's end; without a client, for ever.
pub(super) async fn end_of(client: Option<&Client>, sandbox: &Sandbox) -> Result<(), Failure> {
    match client {
        Some(client) => client.run(sandbox).await.map(|_| ()),
        None => pending().await,
    }
}
