//! Commands that are told: the `on_incident` hook, and those of routes.

use std::{io, os::fd::AsFd, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use super::notification::Notification;

const PATIENCE: Duration = Duration::from_secs(30);

/// A command of the configuration. It gets the message as one JSON line on stdin, and its words in variables.
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

    /// Runs it once with the message on standard input, in a process group of its own: a timeout ends everything it started,
    /// and a terminal's Ctrl-C ends nothing.
    ///
    /// # Errors
    ///
    /// Why the owner may not have been notified.
    pub async fn run(&self, message: &Notification) -> Result<(), HookError> {
        let record = serde_json::to_string(message).unwrap_or_default();
        let mut child = self.start(message).map_err(HookError::Start)?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let told = tokio::time::timeout(self.patience, tell(&mut child, &record)).await;
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
    fn start(&self, message: &Notification) -> io::Result<Child> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        Command::new("sh")
            .arg("-c")
            .arg(&self.command)
            .env_remove("AUTHKEEPER_TASK")
            .env_remove("AUTHKEEPER_URL")
            .envs(variables(message))
            .stdin(Stdio::piped())
            .stdout(Stdio::from(stderr))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// What a shell command needs, so that it need not read JSON.
fn variables(message: &Notification) -> [(&'static str, String); 4] {
    let plain = |text: &str| text.replace('\0', "");
    [
        ("AUTHKEEPER_SEVERITY", message.severity.as_str().to_owned()),
        ("AUTHKEEPER_STATUS", message.status.as_str().to_owned()),
        ("AUTHKEEPER_TITLE", plain(&message.title)),
        ("AUTHKEEPER_TEXT", plain(&message.text)),
    ]
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
    use super::{super::notification::tests::notification, *};

    #[tokio::test]
    async fn the_message_comes_on_stdin_and_its_words_in_variables() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = "{ cat; echo \"$AUTHKEEPER_SEVERITY $AUTHKEEPER_STATUS $AUTHKEEPER_TITLE\"; \
            echo \"$AUTHKEEPER_TEXT\"; echo \"${AUTHKEEPER_TASK-none}\"; }";
        let hook = Hook::new(format!("{script} > '{}'", out.display()));
        let message = notification(&["notion"]).worded(None, "here");
        hook.run(&message).await.unwrap();
        let json = serde_json::to_string(&message).unwrap();
        let (title, text) = (&message.title, &message.text);
        assert_eq!(
            std::fs::read_to_string(out).unwrap(),
            format!("{json}\ncritical firing {title}\n{text}\nnone\n")
        );
    }

    #[tokio::test]
    async fn a_hook_that_fails_or_hangs_is_an_error() {
        let message = notification(&["notion"]);
        let failed = Hook::new("exit 3".to_owned()).run(&message).await;
        assert!(matches!(failed, Err(HookError::Failed(_))), "{failed:?}");
        let hook =
            Hook::new("sleep 60 & wait".to_owned()).with_patience(Duration::from_millis(100));
        assert!(matches!(
            hook.run(&message).await,
            Err(HookError::TimedOut(_))
        ));
    }
}
