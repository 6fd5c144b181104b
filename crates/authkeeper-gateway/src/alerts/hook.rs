//! The `on_incident` hook.

use std::{io, os::fd::AsFd, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The command from the configuration's `on_incident`. It gets the record as one JSON line on stdin.
#[derive(Clone, Debug)]
pub struct Hook {
    command: String,
    patience: Duration,
}

/// Why the owner may not have been notified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The shell can't be started.
    #[error("it can't be started: {0}")]
    Start(#[source] io::Error),
    /// It ran longer than it may.
    #[error("it took longer than {0:?} and was stopped")]
    TimedOut(Duration),
    /// It failed.
    #[error("it ended with {0}")]
    Failed(std::process::ExitStatus),
    /// Its end can't be seen.
    #[error("it can't be waited for: {0}")]
    Wait(#[source] io::Error),
}

impl Hook {
    /// Runs `command` through `sh -c`.
    pub fn new(command: String) -> Self {
        Self {
            command,
            patience: PATIENCE,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Runs it once with the record on standard input, in a process group of its own: a timeout ends everything it started,
    /// and a terminal's Ctrl-C ends nothing.
    ///
    /// # Errors
    ///
    /// Why the owner may not have been notified.
    pub async fn run(&self, record: &str) -> Result<(), HookError> {
        let mut child = self.start().map_err(HookError::Start)?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let told = tokio::time::timeout(self.patience, tell(&mut child, record)).await;
        if told.is_err()
            && let Some(group) = group
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        match told {
            Err(_elapsed) => Err(HookError::TimedOut(self.patience)),
            Ok(Err(error)) => Err(HookError::Wait(error)),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(HookError::Failed(status)),
        }
    }

    /// The hook is the owner's, not the task's: it gets no handle. Standard output belongs to the
    /// command that runs.
    fn start(&self) -> io::Result<Child> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        Command::new("sh")
            .arg("-c")
            .arg(&self.command)
            .env_remove("AUTHKEEPER_TASK")
            .env_remove("AUTHKEEPER_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(stderr))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

async fn tell(child: &mut Child, record: &str) -> io::Result<std::process::ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read what it is told.
        let _ = stdin.write_all(format!("{record}\n").as_bytes()).await;
    }
    child.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_record_comes_on_stdin() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let hook = Hook::new(format!("cat > '{}'", out.display()));
        hook.run(r#"{"event":"uncertain"}"#).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(out).unwrap(),
            "{\"event\":\"uncertain\"}\n"
        );
    }

    #[tokio::test]
    async fn a_hook_that_fails_or_hangs_is_an_error() {
        let failed = Hook::new("exit 3".to_owned()).run("{}").await;
        assert!(matches!(failed, Err(HookError::Failed(_))), "{failed:?}");
        let hook =
            Hook::new("sleep 60 & wait".to_owned()).with_patience(Duration::from_millis(100));
        assert!(matches!(hook.run("{}").await, Err(HookError::TimedOut(_))));
    }
}
