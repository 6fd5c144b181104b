//! Which refusals are believed, and when a refused token or client is tried again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{ClientRegistration, Failing, GrantLifecycle, Moment, ReauthorizeReason};

/// How long a refused refresh token is left alone before it is tried again.
const PROBE_AFTER: SignedDuration = SignedDuration::from_hours(6);

/// Whether a refused refresh token should be tried once more. The wire does not tell an account that is disabled for a day
/// from one that is gone, and a token that is dead costs nothing by being refused again.
pub fn probe_due(lifecycle: &GrantLifecycle, probed: Option<Timestamp>, now: Moment) -> bool {
    let GrantLifecycle::ReauthorizationRequired { reason, since } = lifecycle else {
        return false;
    };
    let refused = matches!(
        reason,
        ReauthorizeReason::RefreshRefused
            | ReauthorizeReason::UnknownOutcome
            | ReauthorizeReason::RefusedWithoutCode
            | ReauthorizeReason::RefusedRepeatedly
    );
    // A wall clock that was put back must not put the next try off for as long.
    let near = |moment: Timestamp| now.wall.duration_since(moment).abs() < PROBE_AFTER;
    refused && !near(*since) && !probed.is_some_and(near)
}

/// Whether a refusal in words that nobody knows has lasted so long that a person is asked, and shown the words. `since` is
/// when the provider said the same for the first time.
pub fn is_lasting_refusal(since: Moment, patience: Duration, now: Moment) -> bool {
    now.surely_since(since) >= patience
}

/// How often in a row a provider may refuse without a reason before it is believed.
pub const MAX_SUSPECTED_REFUSALS: u32 = 3;

/// How long a provider must have refused without a reason before it is believed: a firewall's blip is shorter.
pub const SUSPECTED_FOR: Duration = Duration::from_mins(1);

/// How long a client that was refused with every secret it has is left alone, for all its grants: each try would show a
/// refresh token to a provider that burns it for a wrong secret.
pub const CLIENT_BACKOFF: SignedDuration = SignedDuration::from_secs(60);

/// Whether our client was refused just now.
pub fn client_backs_off(client: &ClientRegistration, now: Moment) -> bool {
    client
        .refused
        .is_some_and(|refused| now.wall.duration_since(refused).abs() < CLIENT_BACKOFF)
}

/// How many sign-ins in a row nobody may finish before another client is registered for the next.
const MOST_UNFINISHED: u32 = 2;

/// Whether so many sign-ins with a client were left unfinished that the provider may have forgotten it: then it shows an error
/// page and never sends the person back. Once says nothing: people are called away. `lives` is whether a grant that works
/// stems from this client; then the next refresh tells more than a person who did not come back.
pub fn may_be_forgotten(unfinished: Option<&Failing>, lives: bool) -> bool {
    !lives && unfinished.is_some_and(|unfinished| unfinished.times >= MOST_UNFINISHED)
}
