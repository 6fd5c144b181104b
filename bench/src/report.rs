//! The only printer.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Prints one figure.
#[expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]
pub fn figure(what: &str, value: &str) {
    println!("{what:<58} {value}");
}

/// The value below which this share of the durations lies.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into what fits in memory"
    )]
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// A watch that was started.
#[derive(Clone, Copy, Debug)]
pub struct Watch(std::time::Instant);

impl Watch {
    /// Starts one.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "what is measured here is the code, not a lifetime"
    )]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// How long it has run.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Counts only the time on a core: what others do on the same machine is left out.
#[derive(Clone, Copy, Debug)]
pub struct CoreWatch {
    of: ClockId,
    began: Duration,
}

impl CoreWatch {
    /// Starts one for this thread.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self::start(ClockId::ThreadCPUTime)
    }

    /// Starts one for all threads of this process.
    #[must_use]
    pub fn of_all_threads() -> Self {
        Self::start(ClockId::ProcessCPUTime)
    }

    fn start(of: ClockId) -> Self {
        let began = on_core(of);
        Self { of, began }
    }

    /// How long it has been on a core since; of several threads the sum.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        on_core(self.of).saturating_sub(self.began)
    }
}

fn on_core(of: ClockId) -> Duration {
    let spent = clock_gettime(of);
    Duration::new(
        u64::try_from(spent.tv_sec).unwrap_or_default(),
        u32::try_from(spent.tv_nsec).unwrap_or_default(),
    )
}
