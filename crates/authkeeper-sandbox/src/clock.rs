//! The sandbox's own clock: it can be moved forward, and it can be skewed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use serde::Serialize;

/// A moment in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct SandboxTime(u64);

impl SandboxTime {
    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(millis(time)))
    }

    /// The time since an earlier moment; zero if that is in the future.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn millis(self) -> u64 {
        self.0
    }

    /// The moment in RFC 3339 form.
    pub(crate) fn rfc3339(self) -> String {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis)
            .unwrap_or_default()
            .to_string()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Two clocks in one: `now` decides lifetimes; the time that is *said* (`Date`, `exp`, `iat`) is off by the skew.
#[derive(Debug)]
pub(crate) struct SandboxClock {
    /// A clock that stands still moves only by [`Clock::advance`].
    standing: Option<SandboxTime>,
    advanced: Duration,
    /// Seconds by which the said time is ahead of `now`.
    pub(crate) skew: i64,
}

/// 2026-01-01T00:00:00Z, where a standing clock starts.
const START: SandboxTime = SandboxTime(1_767_225_600_000);

impl SandboxClock {
    pub(crate) fn new(standing: bool, skew: i64) -> Self {
        Self {
            standing: standing.then_some(START),
            advanced: Duration::ZERO,
            skew,
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.advanced = self.advanced.saturating_add(by);
    }

    pub(crate) fn now(&self) -> SandboxTime {
        self.standing.unwrap_or_else(wall).plus(self.advanced)
    }

    /// A moment as this server says it, in seconds since 1970.
    pub(crate) fn said(&self, stamp: SandboxTime) -> i64 {
        let seconds = i64::try_from(stamp.0 / 1000).unwrap_or(i64::MAX);
        seconds.saturating_add(self.skew)
    }

    /// The value of the `Date` header.
    pub(crate) fn date(&self) -> Option<String> {
        let now = Timestamp::from_second(self.said(self.now())).ok()?;
        DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&now)
            .ok()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the seam through which the wall clock is read"
)]
fn wall() -> SandboxTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    SandboxTime(millis(since.unwrap_or_default()))
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn wall_millis() -> i64 {
    i64::try_from(wall().0).unwrap_or(i64::MAX)
}

/// Reads `90s`, `10m`, `2h`, `1d`, `250ms`; a bare number counts seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let millis = match text.strip_prefix(digits)? {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// The same with a sign, as in `-90s` or `+2m`; a bare number counts seconds. Whole seconds.
pub(crate) fn parse_offset(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let time = parse_duration(text).filter(|time| time.subsec_nanos() == 0)?;
    Some(sign * i64::try_from(time.as_secs()).ok()?)
}

/// A duration as [`parse_duration`] reads it, in the largest unit that gives a whole number.
pub(crate) fn written(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let whole = units
        .iter()
        .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_clock_moves_by_hand_and_lies_by_its_skew() {
        let mut clock = SandboxClock::new(true, -90);
        let before = clock.now();
        clock.advance(Duration::from_secs(100));
        assert_eq!(clock.now().since(before), Duration::from_secs(100));
        assert_eq!(
            clock.date().as_deref(),
            Some("Thu, 01 Jan 2026 00:00:10 GMT")
        );
    }

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_hours(2)));
        assert_eq!(parse_duration("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_duration("7 parsecs"), None);
        assert_eq!(parse_offset("-90s"), Some(-90));
        assert_eq!(parse_offset("+2m"), Some(120));
        assert_eq!(parse_offset("5"), Some(5));
        assert_eq!((parse_offset("250ms"), parse_offset("--5s")), (None, None));
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["250ms", "1500ms", "5s", "90s", "10m", "2h", "1d", "0s"] {
            assert_eq!(written(parse_duration(text).unwrap()), text);
        }
        assert_eq!(written(Duration::from_mins(2)), "2m");
    }
}
