//! The signals that end a process.

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Waits for the signals that end a process, and gives the one that came. One that this process was started to ignore
/// stays ignored: that is how `nohup` works.
pub(crate) async fn stopped() -> u8 {
    let ignored = IgnoredSignals::inherited();
    let wait = async |signal: Signal| {
        match unix::signal(SignalKind::from_raw(signal.as_raw())) {
            Ok(mut arrivals) if !ignored.holds(signal) => arrivals.recv().await,
            _ => std::future::pending().await,
        };
    };
    tokio::select! {
        () = wait(Signal::INT) => 2,
        () = wait(Signal::TERM) => 15,
        () = wait(Signal::HUP) => 1,
    }
}

/// The signals this process was started to ignore, as a bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IgnoredSignals(u64);

impl IgnoredSignals {
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
        let ignored = IgnoredSignals::parse("Name:\tx\nSigIgn:\t0000000000001001\n");
        assert!(ignored.holds(Signal::HUP));
        assert!(!ignored.holds(Signal::TERM));
        assert_eq!(IgnoredSignals::parse("nothing"), IgnoredSignals::default());
        assert!(
            !IgnoredSignals::inherited().holds(Signal::KILL),
            "nobody can ignore it"
        );
    }
}
