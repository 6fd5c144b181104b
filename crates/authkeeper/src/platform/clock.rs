//! Time and randomness are arguments: nothing else in this library reads a clock or rolls a die.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::clock_shift::ClockShift;
use crate::{
    model::{BootId, BootStamp, Moment},
    text::hex::hex,
};

/// The longest any task sleeps before it looks at both clocks again (a suspend or an NTP step makes longer sleeps lie).
pub const LONGEST_SLEEP: Duration = Duration::from_secs(30);

const NANOS: u64 = 1_000_000_000;

/// The two clocks a lifetime is judged by, and sleeping.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// What the wall clock and the boot clock say now.
    fn now(&self) -> Moment;
    /// Waits about this long, never longer than [`LONGEST_SLEEP`].
    async fn sleep(&self, duration: Duration);
    /// How many nanoseconds this machine has run: for short spans, many times a second. It never goes back, counts on while
    /// a process is stopped, may stand still while the machine is suspended, and may be a few milliseconds behind.
    fn ticks(&self) -> u64 {
        u64::try_from(self.now().boot.since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Where unguessable values and jitter come from.
pub trait Random: Send + Sync + 'static {
    /// Fills the buffer from the operating system's generator.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's clocks: `CLOCK_REALTIME` and `CLOCK_BOOTTIME` (which counts through a suspend).
#[derive(Clone, Debug)]
pub struct SystemClock {
    boot_id: BootId,
    shift: ClockShift,
}

impl SystemClock {
    /// Reads which boot this is, so that boot times of different boots are never compared.
    pub fn new() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            boot_id: BootId::parse(&text),
            shift: ClockShift::of_this_process(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam through which the wall clock is read"
    )]
    fn now(&self) -> Moment {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let since = Duration::new(
            u64::try_from(boot.tv_sec).unwrap_or_default(),
            u32::try_from(boot.tv_nsec).unwrap_or_default(),
        );
        // Milliseconds are what anyone reads; finer digits would only make records harder to read.
        let wall = Timestamp::now();
        let wall = Timestamp::from_millisecond(wall.as_millisecond()).unwrap_or(wall);
        let shift = self.shift.now();
        let shifted = wall
            .saturating_add(shift.ahead)
            .and_then(|wall| wall.saturating_add(shift.wall));
        Moment {
            wall: shifted.unwrap_or(wall),
            boot: BootStamp {
                id: self.boot_id,
                since: since.saturating_add(shift.ahead),
            },
        }
    }

    async fn sleep(&self, duration: Duration) {
        self.shift.sleep(duration.min(LONGEST_SLEEP)).await;
    }

    /// The kernel's coarse clock: some nanoseconds to read, and at most one of its ticks behind (10 ms at 100 Hz).
    fn ticks(&self) -> u64 {
        let ran = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let part = |digits: i64| u64::try_from(digits).unwrap_or_default();
        let shift = self.shift.now().ahead.as_nanos();
        let ran = part(ran.tv_sec) * NANOS + part(ran.tv_nsec);
        ran.saturating_add(u64::try_from(shift).unwrap_or(u64::MAX))
    }
}

/// The operating system's random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        // The kernel's generator does not fail once it is seeded; before that there is no safe way to go on.
        #[expect(
            clippy::expect_used,
            reason = "without randomness no secret may be made"
        )]
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// The seams handed to everything that needs time or randomness.
#[derive(Clone)]
pub struct Seams {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
}

impl Seams {
    /// The real clock and the real generator.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        }
    }

    /// An unguessable identifier of 128 bits in hexadecimal.
    pub fn random_id(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes);
        hex(&bytes)
    }

    /// A number from 0 up to but not including 1.
    pub fn random_unit(&self) -> f64 {
        let mut bytes = [0_u8; 4];
        self.random.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seams")
    }
}

/// Waits for `work` for as long as `limit` by this clock, and no leap of it makes that shorter. None when the time was up
/// first; what is done by then counts as done.
pub(crate) async fn within<F: Future>(
    clock: &dyn Clock,
    limit: Duration,
    work: F,
) -> Option<F::Output> {
    let mut work = std::pin::pin!(work);
    let mut left = limit;
    loop {
        let step = left.min(LONGEST_SLEEP);
        let began = clock.now();
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = clock.sleep(step) => {}
        }
        // A clock that can't tell is believed to have slept.
        let slept = clock.now().boot_since(began).unwrap_or(step);
        left = left.saturating_sub(slept.clamp(Duration::from_millis(1), LONGEST_SLEEP));
        if left.is_zero() {
            return None;
        }
    }
}

/// A clock that moves only when a test says so; a sleep moves it forward and yields.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug)]
pub struct ManualClock {
    now: std::sync::Mutex<Moment>,
}

#[cfg(any(test, feature = "test-util"))]
impl ManualClock {
    /// Starts at 2026-01-01T00:00:00Z, an hour after boot.
    pub fn new() -> Self {
        let wall = Timestamp::from_second(1_767_225_600).unwrap_or_default();
        let boot = BootStamp {
            id: BootId(1),
            since: Duration::from_hours(1),
        };
        Self {
            now: std::sync::Mutex::new(Moment { wall, boot }),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.lock();
        now.wall = now.wall.saturating_add(by).unwrap_or(now.wall);
        now.boot.since += by;
    }

    /// Steps the wall clock alone, as NTP or a person would.
    pub fn step_wall(&self, seconds: i64) {
        let mut now = self.lock();
        let step = jiff::SignedDuration::from_secs(seconds);
        now.wall = now.wall.saturating_add(step).unwrap_or(now.wall);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Moment> {
        self.now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(any(test, feature = "test-util"))]
#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self.lock()
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration.min(LONGEST_SLEEP));
        tokio::task::yield_now().await;
    }
}
