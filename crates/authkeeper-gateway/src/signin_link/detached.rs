//! Starts the process that serves a bridge's sign-in link.

use std::{process::Stdio, time::Duration};

use authkeeper::model::ConnectionName;
use tokio::process::Command;

/// How the separate process is started: this executable, with the words `attend NAME --for LIMIT`.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) limit: Duration,
}

impl Detached {
    /// The process gives up at once if another one leads already.
    pub(super) fn start(&self, connection: &ConnectionName) -> std::io::Result<()> {
        let limit = format!("{}s", self.limit.as_secs().max(1));
        let mut attend = Command::new(std::env::current_exe()?);
        attend
            .args(["attend", connection.as_str(), "--for", &limit])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the bridge's process group must not end the sign-in.
            .process_group(0);
        attend.spawn().map(drop)
    }
}
