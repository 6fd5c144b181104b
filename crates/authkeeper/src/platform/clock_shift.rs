//! A clock that a test moves while processes run. Without the feature `fault-points` it can't be moved.
//!
//! `AUTHKEEPER_CLOCK` names a file with two numbers, in milliseconds: by how much both clocks are ahead of the real ones, and by
//! how much the wall clock is off beyond that. It is replaced as a whole. Sleeps end as soon as the moved clock
//! says so.

use std::time::Duration;

use jiff::SignedDuration;

/// How far the clocks are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// Of both clocks.
    pub(super) ahead: Duration,
    /// Of the wall clock alone.
    pub(super) wall: SignedDuration,
}

/// Where the shift is read.
#[cfg(feature = "fault-points")]
#[derive(Clone, Debug)]
pub(super) struct ClockShift(Option<std::path::PathBuf>);

#[cfg(feature = "fault-points")]
impl ClockShift {
    /// How often a sleep looks whether the clock was moved.
    const LOOK: Duration = Duration::from_millis(10);

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's switch, compiled out of every release"
    )]
    pub(super) fn of_this_process() -> Self {
        Self(std::env::var("AUTHKEEPER_CLOCK").ok().map(Into::into))
    }

    pub(super) fn now(&self) -> Shift {
        let text = self.0.as_ref().map(std::fs::read_to_string);
        let text = text.and_then(Result::ok).unwrap_or_default();
        let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
        let ahead: i64 = numbers.next().unwrap_or_default();
        Shift {
            ahead: Duration::from_millis(ahead.unsigned_abs()),
            wall: SignedDuration::from_millis(numbers.next().unwrap_or_default()),
        }
    }

    /// Sleeps until the moved clock has passed `duration`, which has begun to pass at this shift.
    pub(super) async fn sleep(&self, duration: Duration) {
        if self.0.is_none() {
            return tokio::time::sleep(duration).await;
        }
        let (began, slept) = (self.now().ahead, tokio::time::Instant::now());
        loop {
            let moved = self.now().ahead.saturating_sub(began);
            let left = duration.saturating_sub(slept.elapsed().saturating_add(moved));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Self::LOOK)).await;
        }
    }
}

/// Nothing moves the clock.
#[cfg(not(feature = "fault-points"))]
#[derive(Clone, Debug)]
pub(super) struct ClockShift;

#[cfg(not(feature = "fault-points"))]
impl ClockShift {
    pub(super) fn of_this_process() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn now(&self) -> Shift {
        Shift::default()
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(all(test, feature = "fault-points"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_the_clock_was_moved_past_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clock");
        std::fs::write(&file, "1000 -7200000\n").unwrap();
        let shift = ClockShift(Some(file.clone()));
        let first = Shift {
            ahead: Duration::from_secs(1),
            wall: SignedDuration::from_hours(-2),
        };
        assert_eq!(shift.now(), first);
        // The sleep begins first, and is polled again once the clock was moved.
        let moved = async { std::fs::write(&file, "3601000 0\n").unwrap() };
        tokio::join!(biased; shift.sleep(Duration::from_hours(1)), moved);
        assert_eq!(shift.now().ahead, Duration::from_secs(3_601));
    }

    #[test]
    fn a_clock_that_nobody_moves_is_right() {
        assert_eq!(ClockShift(None).now(), Shift::default());
        let gone = ClockShift(Some("/nonexistent/clock".into()));
        assert_eq!(gone.now(), Shift::default());
    }
}
