//! What is learned of a provider from refused resends and early ends.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::serve::FORCED_COOLDOWN;
use crate::model::{AccessToken, Claim, Moment, ReplayRule};

/// The rule that holds once it was seen that a replay was refused. What was learned makes us more careful and never less: a
/// resend that worked proves no grace.
pub fn learned(replay: ReplayRule, was_refused: bool) -> ReplayRule {
    match replay {
        ReplayRule::Harmless | ReplayRule::Grace(_) | ReplayRule::TwoGenerations if was_refused => {
            ReplayRule::Strict
        }
        rule => rule,
    }
}

/// Whether the refusal of a resend shows that the rule by which it was sent is wrong. `before` is the attempt that it took
/// over from; one that came when a grace was over shows nothing.
pub fn disproves(replay: ReplayRule, before: &Claim, now: Moment) -> bool {
    match replay {
        ReplayRule::Harmless => true,
        ReplayRule::TwoGenerations => before.number <= 1,
        ReplayRule::Grace(window) => before.number <= 1 && now.since(before.since) < window,
        // A refusal is what the rule promises.
        ReplayRule::Refused | ReplayRule::Strict | ReplayRule::Unknown => false,
    }
}

/// How long what was seen of early ends counts, and how often it must have been seen.
const EARLY_ENDS_COUNT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

const MOST_EARLY_ENDS: usize = 3;

/// No lifetime is believed to be shorter for having been seen.
const SHORTEST_LEARNED: Duration = Duration::from_mins(1);

/// Whether a token that got a 401 at this age ended early, so that the next ones may too.
pub fn ended_early(token: &AccessToken, now: Moment) -> bool {
    // A fresh one that was itself fetched after a 401 is refused for another reason than its age.
    let fresh = token.after_rejection && token.age(now) < FORCED_COOLDOWN;
    !fresh && token.age(now) < token.usable_lifetime().mul_f64(0.9)
}

/// How long tokens are believed to live by the ages at which they got a 401, and when: the middle one, if that was seen
/// often enough of late. Rule 1.
pub fn learned_lifetime(ends: &[(Duration, Timestamp)], now: Timestamp) -> Option<Duration> {
    let counts = |at: &Timestamp| now.duration_since(*at) <= EARLY_ENDS_COUNT_FOR;
    let recent = ends.iter().filter(|(_, at)| counts(at));
    let mut ages: Vec<Duration> = recent.map(|(age, _)| *age).collect();
    if ages.len() < MOST_EARLY_ENDS {
        return None;
    }
    ages.sort_unstable();
    ages.get(ages.len() / 2)
        .map(|age| (*age).max(SHORTEST_LEARNED))
}
