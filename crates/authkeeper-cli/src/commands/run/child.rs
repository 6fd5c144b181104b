//! The command itself: started, sent our signals, waited for.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use super::RunPlan;

/// Starts the command with our streams and, instead of tokens, where the proxy is and the handle.
#[expect(
    clippy::disallowed_methods,
    reason = "the command's processes show the handle to the proxy"
)]
pub(super) fn spawn(plan: &RunPlan, url: &str) -> io::Result<Child> {
    Command::new(&plan.command)
        .args(&plan.args)
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
pub(crate) struct Forwarder {
    _tasks: JoinSet<()>,
}

impl Forwarder {
    /// To be called before the command is started. A signal this process was told to ignore stays
    /// ignored, for the command as well: that is how `nohup` works.
    ///
    /// `terminal`: Ctrl-C there reaches the command by itself; it is held back from this process only.
    pub(crate) fn install(
        terminal: bool,
        ignored: Ignored,
    ) -> io::Result<(Self, mpsc::Receiver<Signal>)> {
        let (sender, receiver) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
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
            tasks.spawn(async move {
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

/// The signals this process was started to ignore, as a bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ignored(u64);

impl Ignored {
    /// As the kernel tells it.
    pub(crate) fn inherited() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status)
    }

    fn parse(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self(mask.unwrap_or_default())
    }

    pub(crate) fn holds(self, signal: Signal) -> bool {
        let bit = u32::try_from(signal.as_raw() - 1).unwrap_or_default();
        self.0.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_seen() {
        let ignored = Ignored::parse("Name:\tx\nSigIgn:\t0000000000001001\n");
        assert!(ignored.holds(Signal::HUP));
        assert!(!ignored.holds(Signal::TERM));
        assert_eq!(Ignored::parse("nothing"), Ignored::default());
        assert!(
            !Ignored::inherited().holds(Signal::KILL),
            "nobody can ignore it"
        );
    }

    #[test]
    fn codes_as_shells_say_them() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
        assert_eq!(spawn_failure(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(spawn_failure(&io::ErrorKind::PermissionDenied.into()), 126);
    }
}
