//! How long to wait after a failure, and when the owner is told of an outage.

use std::time::Duration;

use crate::model::{Event, Failing, Moment, Said};

/// After how many failures in a row at one provider its other grants wait too.
pub const BREAKER_AFTER: u32 = 3;

/// For how long a grant, or a provider, has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// How often in a row.
    pub failures: u32,
    /// Since the first of them.
    pub lasts: Duration,
}

/// How long to wait after a failure that surely did nothing: exponential with full jitter, capped, never shorter than
/// `Retry-After`, tighter as the access token's end comes near. Once that is past, callers hear at once that there is no
/// token, and the provider is asked the less often the longer it has been out. `roll` is a random number from 0 to 1.
/// Rule 8.
pub fn backoff(
    outage: Outage,
    retry_after: Option<Duration>,
    access_left: Duration,
    roll: f64,
) -> Duration {
    let cap = Duration::from_secs(1)
        .saturating_mul(1_u32 << outage.failures.min(9))
        .min(Duration::from_mins(5));
    let near = if access_left.is_zero() {
        outage.lasts / 8
    } else {
        access_left / 4
    };
    let near = near.max(Duration::from_secs(1));
    let jittered = cap.min(near).mul_f64(roll.clamp(0.0, 1.0));
    let asked = retry_after.unwrap_or_default().min(Duration::from_hours(1));
    jittered.max(Duration::from_millis(250)).max(asked)
}

/// How long every token request may fail before its owner is told, once calls fail with them.
pub const CALLS_FAIL_AFTER: Duration = Duration::from_mins(1);

/// Which incident the failed token requests of a client are: none while they may heal by themselves. While the access
/// token lives they have `after` for that, and one failure is never enough; once it has ended, calls fail too.
pub fn incident_of(
    failing: &Failing,
    access_left: Duration,
    after: Duration,
    now: Moment,
) -> Option<Event> {
    if let Said::Moved(_) = failing.said {
        return Some(Event::TokenEndpointMoved);
    }
    let lasts = now.surely_since(failing.since);
    let due = if access_left.is_zero() {
        lasts >= after.min(CALLS_FAIL_AFTER)
    } else {
        failing.times > 1 && lasts >= after
    };
    due.then_some(Event::ProviderFailing)
}
