//! The signals that end a process.

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::commands::run::Ignored;

/// Waits for the signals that end a process, and gives the one that came. One that this process was started to ignore
/// stays ignored: that is how `nohup` works.
pub(crate) async fn stopped() -> u8 {
    let ignored = Ignored::inherited();
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
