//! The pause before a client connects again to a stream.

use std::time::Duration;

/// What 2025-11-25 leaves open: the pause before reconnecting when the server names none.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);
/// A server that keeps failing is asked this seldom; one that names a longer pause is obeyed.
const SLOWEST_RETRY: Duration = Duration::from_secs(30);
/// No server may put us to sleep for longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// How long to wait before connecting again: never less than the server asked for, more after
/// connections in a row that brought nothing.
pub(in crate::mcp) fn pause(retry: Option<Duration>, fruitless: u32) -> Duration {
    let asked = retry.unwrap_or(DEFAULT_RETRY);
    let backoff = match fruitless {
        0 | 1 => Duration::ZERO,
        more => DEFAULT_RETRY
            .saturating_mul(1 << (more - 1).min(8))
            .min(SLOWEST_RETRY),
    };
    asked.max(backoff).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_obey_the_server_and_grow_when_fruitless() {
        let ms = Duration::from_millis;
        assert_eq!(pause(Some(ms(500)), 0), ms(500));
        assert_eq!(pause(Some(ms(500)), 1), ms(500));
        assert_eq!(pause(None, 0), ms(1000));
        assert_eq!(pause(Some(ms(500)), 2), ms(2000));
        assert_eq!(pause(Some(ms(45_000)), 9), ms(45_000));
        assert_eq!(pause(None, u32::MAX), SLOWEST_RETRY);
        assert_eq!(pause(Some(Duration::MAX), 0), LONGEST_PAUSE);
    }
}
