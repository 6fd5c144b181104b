//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// Asks `condition` every 10 ms until it holds; false if it did not within `deadline`.
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= deadline {
            return false;
        }
        pause(POLL);
    }
}

/// Lets real time pass, for what only time brings about: a token's end.
#[expect(
    clippy::disallowed_methods,
    reason = "the servers under test run on the real clock"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// How long something took.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts counting.
    pub fn start() -> Self {
        Self(now())
    }

    /// The time since.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the servers under test run on the real clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// The seconds since 1970, as the servers under test see them.
#[expect(
    clippy::disallowed_methods,
    reason = "the servers under test run on the real clock"
)]
pub fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The same, to the fraction.
#[expect(
    clippy::disallowed_methods,
    reason = "the servers under test run on the real clock"
)]
pub fn unix_moment() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
