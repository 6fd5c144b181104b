//! One breaker a provider: when several refreshes in a row surely came to nothing, the provider's other grants wait too
//! instead of each finding out for itself. Recovery of a lost answer passes it: that has its own times.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::decide::BREAKER_AFTER;
use crate::model::{Issuer, Moment};

/// How long the others wait for the one that tries whether the provider is well again; one that hangs holds up nobody
/// for longer.
const TRIAL: Duration = Duration::from_secs(10);

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
    /// Whether one more refresh may start. If not: how long this provider is still left alone, and after how many
    /// failures. Once it has rested one is let through, and the others wait for what becomes of it.
    pub(crate) fn admit(&self, issuer: &Issuer, now: Moment) -> Result<(), (Duration, u32)> {
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(issuer) else {
            return Ok(());
        };
        let Some((since, rest)) = breaker.open else {
            return Ok(());
        };
        let left = rest.saturating_sub(now.since(since));
        if !left.is_zero() {
            return Err((left, breaker.failures));
        }
        breaker.open = Some((now, TRIAL));
        Ok(())
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
            assert_eq!(breakers.admit(&one, clock.now()), Ok(()));
        }
        breakers.failed(&one, clock.now(), rest);
        assert_eq!(
            breakers.admit(&one, clock.now()),
            Err((rest, BREAKER_AFTER))
        );
        assert_eq!(breakers.admit(&other, clock.now()), Ok(()));
        clock.advance(rest);
        assert_eq!(breakers.admit(&one, clock.now()), Ok(()), "one may try");
        assert!(breakers.admit(&one, clock.now()).is_err(), "and one alone");
        breakers.failed(&one, clock.now(), rest);
        clock.advance(rest / 2);
        assert!(
            breakers.admit(&one, clock.now()).is_err(),
            "if it fails all wait again"
        );
        clock.advance(rest / 2);
        assert_eq!(breakers.admit(&one, clock.now()), Ok(()));
        clock.advance(TRIAL);
        assert_eq!(breakers.admit(&one, clock.now()), Ok(()), "the first hangs");
        breakers.answered(&one);
        assert_eq!(breakers.admit(&one, clock.now()), Ok(()));
        assert_eq!(breakers.admit(&one, clock.now()), Ok(()), "and another");
    }
}
