//! One breaker a provider: when several refreshes in a row surely came to nothing, the provider's other grants wait too
//! instead of each finding out for itself. Recovery of a lost answer passes it: that has its own times.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::decide::BREAKER_AFTER;
use crate::model::{Issuer, Moment};

/// The breakers of this process.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<Issuer, Breaker>>);

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    /// Since when it is open, and for how long.
    open: Option<(Moment, Duration)>,
}

impl Breakers {
    /// How long this provider is still left alone, and after how many failures.
    pub(crate) fn open_for(&self, issuer: &Issuer, now: Moment) -> Option<(Duration, u32)> {
        let breakers = self.lock();
        let breaker = breakers.get(issuer)?;
        let (since, rest) = breaker.open?;
        let left = rest.saturating_sub(now.since(since));
        (!left.is_zero()).then_some((left, breaker.failures))
    }

    /// A refresh came to nothing; `rest` is how long its own grant rests.
    pub(crate) fn failed(&self, issuer: &Issuer, now: Moment, rest: Duration) {
        let mut breakers = self.lock();
        let breaker = breakers.entry(issuer.clone()).or_default();
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.open = (breaker.failures >= BREAKER_AFTER).then_some((now, rest));
    }

    /// The provider answered.
    pub(crate) fn answered(&self, issuer: &Issuer) {
        self.lock().remove(issuer);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Issuer, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    #[test]
    fn it_opens_after_some_failures_and_closes_with_an_answer() {
        let (breakers, clock) = (Breakers::default(), ManualClock::new());
        let (one, other) = (Issuer::new("https://a"), Issuer::new("https://b"));
        let rest = Duration::from_secs(8);
        for _ in 1..BREAKER_AFTER {
            breakers.failed(&one, clock.now(), rest);
            assert_eq!(breakers.open_for(&one, clock.now()), None);
        }
        breakers.failed(&one, clock.now(), rest);
        assert_eq!(
            breakers.open_for(&one, clock.now()),
            Some((rest, BREAKER_AFTER))
        );
        assert_eq!(breakers.open_for(&other, clock.now()), None);
        clock.advance(rest);
        assert_eq!(breakers.open_for(&one, clock.now()), None, "one may try");
        breakers.failed(&one, clock.now(), rest);
        assert!(
            breakers.open_for(&one, clock.now()).is_some(),
            "and if it fails all wait again"
        );
        breakers.answered(&one);
        assert_eq!(breakers.open_for(&one, clock.now()), None);
    }
}
