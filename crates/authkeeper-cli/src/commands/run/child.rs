//! The command itself: started, sent our signals, waited for.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use authkeeper_gateway::lifecycle::Scope;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::plan::RunPlan;
use crate::signals::IgnoredSignals;

/// Starts the command with our streams and, instead of tokens, where the proxy is and the handle.
#[expect(
    clippy::disallowed_methods,
    reason = "the command's processes show the handle to the proxy"
)]
pub(super) fn spawn(plan: &RunPlan, url: &str) -> io::Result<Child> {
    Command::new(&plan.command)
        .args(&plan.args)
        .envs(plan.without_proxy.iter().map(|(name, value)| (name, value)))
        .env("AUTHKEEPER_URL", url)
        .env("AUTHKEEPER_TASK", plan.handle.expose())
        .spawn()
}

/// As shells say it: 127 not found, 126 found but not to be executed.
pub(super) fn spawn_failure(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    }
}

/// Waits for the command and passes on what comes in for it meanwhile.
pub(super) async fn wait(mut child: Child, mut signals: mpsc::Receiver<Signal>) -> io::Result<u8> {
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    loop {
        tokio::select! {
            // Until this has told of the end, the id stays the command's.
            ended = child.wait() => return ended.map(exit_code),
            Some(signal) = signals.recv() => {
                if let Some(id) = id
                    && let Err(error) = kill_process(id, signal)
                {
                    tracing::debug!(%error, ?signal, "can't pass a signal on");
                }
            }
        }
    }
}

/// The command's own code, or 128 and the signal that ended it.
fn exit_code(status: ExitStatus) -> u8 {
    let signalled = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signalled).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Takes the signals meant for the command. They stop ending this process for as long as it lives.
pub(crate) struct SignalForwarder {
    _tasks: Scope,
}

impl SignalForwarder {
    /// To be called before the command is started. A signal this process was told to ignore stays
    /// ignored, for the command as well: that is how `nohup` works.
    ///
    /// `terminal`: Ctrl-C there reaches the command by itself; it is held back from this process only.
    pub(crate) fn install(
        tasks: Scope,
        terminal: bool,
        ignored: IgnoredSignals,
    ) -> io::Result<(Self, mpsc::Receiver<Signal>)> {
        let (sender, receiver) = mpsc::channel(16);
        for forwarded in [
            Signal::TERM,
            Signal::HUP,
            Signal::USR1,
            Signal::USR2,
            Signal::QUIT,
            Signal::INT,
        ] {
            if ignored.holds(forwarded) {
                continue;
            }
            let mut arrivals = signal(SignalKind::from_raw(forwarded.as_raw()))?;
            let pass_on = !(terminal && forwarded == Signal::INT);
            let sender = sender.clone();
            tasks.spawn_until_stop(async move {
                while arrivals.recv().await.is_some() {
                    if pass_on && sender.send(forwarded).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok((Self { _tasks: tasks }, receiver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_as_shells_say_them() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
        assert_eq!(spawn_failure(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(spawn_failure(&io::ErrorKind::PermissionDenied.into()), 126);
    }
}
