//! The circuit breaker, as pure functions over what the store keeps of failed token requests ([`Failing`]): one for each
//! client of ours at an issuer, which all its grants heed, and a rest for each grant. Recovery of a lost answer has its own
//! times and passes the client's breaker.

use std::time::Duration;

use http::StatusCode;

use crate::refresh::decide::{self, BREAKER_AFTER, Outage};
use crate::{
    model::{AttemptId, Failing, Lineage, Moment, Rest, Said, UnknownKind},
    oauth::classify::{Outcome, Refused},
};

/// How long the others wait for the one that tries whether the provider answers again; one that hangs holds up nobody
/// for longer.
pub(crate) const TRIAL: Duration = Duration::from_secs(10);

/// How long a grant rests at least whose request was refused: the same request gets the same answer.
const REFUSED_REST: Duration = Duration::from_mins(1);

/// How long a client rests whose issuer names no other token endpoint.
const MOVED_REST: Duration = Duration::from_mins(10);

/// Whether one more request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Go,
    /// The rest is over: one may, once it has said so in the store.
    Try,
    /// The rest lasts so much longer.
    Rests(Duration),
    /// Another one is trying; it has so much time left.
    IsTried(Duration),
}

/// Whether one more request may be sent. `mine` is the trial of the process that asks, if it has one.
pub(crate) fn admit(failing: Option<&Failing>, mine: Option<&AttemptId>, now: Moment) -> Admission {
    let Some(rest) = failing.and_then(|failing| failing.rest.as_ref()) else {
        return Admission::Go;
    };
    let left = rest.left(now);
    match &rest.trial {
        trial if trial.is_some() && trial.as_ref() == mine => Admission::Go,
        _ if left.is_zero() => Admission::Try,
        Some(_) => Admission::IsTried(left),
        None => Admission::Rests(left),
    }
}

/// A token request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestFailure {
    /// What was said.
    pub(crate) said: Said,
    /// When the provider wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// Whether all grants of the client wait at once.
    pub(crate) holds_all: bool,
    /// Whether it surely did nothing.
    pub(crate) surely: bool,
}

impl RequestFailure {
    /// One that surely did nothing.
    pub(crate) fn of(why: String) -> Self {
        Self {
            said: Said::Unavailable(why),
            retry_after: None,
            holds_all: false,
            surely: true,
        }
    }

    /// Nothing answered at the token endpoint.
    pub(crate) fn gone(why: String) -> Self {
        Self {
            said: Said::Gone(why),
            ..Self::of(String::new())
        }
    }

    /// The token endpoint has moved: all grants wait, and it is seldom looked at again.
    pub(crate) fn moved(why: String) -> Self {
        Self {
            said: Said::Moved(why),
            retry_after: Some(MOVED_REST),
            holds_all: true,
            surely: true,
        }
    }

    /// No connection before a person has set something. It counts towards an incident and holds nobody back: another
    /// process may have the setting that this one lacks.
    pub(crate) fn unconnected(why: String) -> Self {
        Self {
            surely: false,
            ..Self::of(why)
        }
    }

    /// No whole answer came.
    pub(crate) fn lost(kind: UnknownKind, spends: bool) -> Self {
        Self {
            surely: !spends,
            ..Self::of(format!("no whole answer came ({})", kind.as_str()))
        }
    }
}

/// What an answer says of the provider, as far as the next request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplyEffect {
    /// Something else decides.
    Nothing,
    /// It answers. It refused what this grant asked for.
    Refused(Said),
    /// It answers. It refused our client.
    Answers,
    /// It failed.
    Failed(RequestFailure),
}

/// Reads an answer without tokens. `spends`: whether the request used something up.
pub(crate) fn meaning(outcome: &Outcome, status: StatusCode, spends: bool) -> ReplyEffect {
    let refused = |refused: &Refused| {
        ReplyEffect::Refused(Said::Refused {
            code: refused.code.clone(),
            description: refused.description.clone(),
        })
    };
    match outcome {
        Outcome::ClientRefused(_) => ReplyEffect::Answers,
        Outcome::RequestRefused(said) => refused(said),
        Outcome::GrantRefused(said) if !spends => refused(said),
        Outcome::Transient { why, retry_after } => ReplyEffect::Failed(RequestFailure {
            retry_after: *retry_after,
            holds_all: names_a_wait(*retry_after) || status == StatusCode::TOO_MANY_REQUESTS,
            ..RequestFailure::of(why.clone())
        }),
        Outcome::Unrecognized {
            refused,
            retry_after,
        } => ReplyEffect::Failed(RequestFailure {
            retry_after: *retry_after,
            holds_all: names_a_wait(*retry_after),
            ..RequestFailure::of(refused.to_string())
        }),
        Outcome::Suspect { why } => ReplyEffect::Failed(RequestFailure::of(why.clone())),
        Outcome::Unknown(kind) => ReplyEffect::Failed(RequestFailure {
            said: Said::Unavailable(format!("{} ({})", kind.as_str(), status.as_u16())),
            ..RequestFailure::lost(*kind, spends)
        }),
        Outcome::Accepted(_)
        | Outcome::RefreshTokenAlone(_)
        | Outcome::GrantRefused(_)
        | Outcome::Moved { .. } => ReplyEffect::Nothing,
    }
}

/// `Retry-After: 0` asks for none.
fn names_a_wait(retry_after: Option<Duration>) -> bool {
    retry_after.is_some_and(|wait| !wait.is_zero())
}

/// How long a grant rests after a failure.
pub(crate) fn rest_after(
    seen: Option<&Failing>,
    failure: &RequestFailure,
    access_left: Duration,
    (now, roll): (Moment, f64),
) -> Duration {
    let outage = seen.map(|seen| Outage {
        failures: seen.failures,
        lasts: now.surely_since(seen.since),
    });
    let outage = outage.unwrap_or_default();
    let rest = decide::backoff(outage, failure.retry_after, access_left, roll);
    match failure.said {
        Said::Refused { .. } => rest.max(REFUSED_REST),
        _ => rest,
    }
}

/// A client's failures with one more. It opens at once where the provider holds all back or a trial was waited for, else
/// after some in a row.
pub(crate) fn client_failed(
    seen: Option<&Failing>,
    failure: &RequestFailure,
    rest: Duration,
    now: Moment,
) -> Failing {
    let mut failing = one_more(seen, failure, now);
    let tried = seen
        .and_then(|seen| seen.rest.as_ref())
        .is_some_and(|rest| rest.trial.is_some());
    let enough = failure.surely && failing.failures >= BREAKER_AFTER;
    failing.rest = if failure.holds_all || tried || enough {
        Some(longer(seen, rest, now))
    } else {
        seen.and_then(|seen| seen.rest.clone())
    };
    failing
}

/// A grant's failures with one more. Of those that failed together with another one counts.
pub(crate) fn grant_failed(
    seen: Option<&Failing>,
    (failure, lineage): (&RequestFailure, Lineage),
    rest: Duration,
    now: Moment,
) -> Failing {
    let together = seen.filter(|seen| rests(seen, now));
    let mut failing = match together {
        Some(seen) => seen.clone(),
        None => one_more(seen, failure, now),
    };
    failing.lineage = Some(lineage);
    failing.rest = Some(longer(together, rest, now));
    failing
}

fn one_more(seen: Option<&Failing>, failure: &RequestFailure, now: Moment) -> Failing {
    let count = |of: fn(&Failing) -> u32| seen.map(of).unwrap_or_default();
    Failing {
        since: seen.map_or(now, |seen| seen.since),
        times: count(|seen| seen.times).saturating_add(1),
        failures: count(|seen| seen.failures).saturating_add(u32::from(failure.surely)),
        said: failure.said.clone(),
        rest: None,
        lineage: None,
        told: seen.map(|seen| seen.told.clone()).unwrap_or_default(),
    }
}

/// The rest that ends later: what a provider asked for is not cut short by another failure. A trial is over with it.
fn longer(seen: Option<&Failing>, rest: Duration, now: Moment) -> Rest {
    let seen = seen.and_then(|seen| seen.rest.as_ref());
    let before = seen.filter(|seen| seen.trial.is_none() && seen.left(now) > rest);
    before.cloned().unwrap_or(Rest {
        since: now,
        lasts: rest,
        trial: None,
    })
}

fn rests(failing: &Failing, now: Moment) -> bool {
    let rest = failing.rest.as_ref();
    rest.is_some_and(|rest| !rest.left(now).is_zero())
}

/// The same, with one that tries.
pub(crate) fn tried_by(failing: &Failing, trial: &AttemptId, now: Moment) -> Failing {
    let rest = Rest {
        since: now,
        lasts: TRIAL,
        trial: Some(trial.clone()),
    };
    Failing {
        rest: Some(rest),
        ..failing.clone()
    }
}

/// The same, after a trial that sent nothing: the next may try at once.
pub(crate) fn untried(failing: &Failing, trial: &AttemptId, now: Moment) -> Option<Failing> {
    let rest = failing.rest.as_ref()?;
    (rest.trial.as_ref() == Some(trial)).then(|| Failing {
        rest: Some(Rest {
            since: now,
            lasts: Duration::ZERO,
            trial: None,
        }),
        ..failing.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock::{Clock as _, ManualClock};

    const REST: Duration = Duration::from_secs(8);

    fn too_many() -> RequestFailure {
        RequestFailure {
            holds_all: true,
            retry_after: Some(REST),
            ..RequestFailure::of("too many requests (429)".to_owned())
        }
    }

    #[test]
    fn it_opens_after_some_failures_and_one_alone_may_try() {
        let (clock, plain) = (ManualClock::new(), RequestFailure::of("refused".to_owned()));
        let (me, other) = (AttemptId::new("me"), AttemptId::new("other"));
        let mut failing = None;
        for _ in 1..BREAKER_AFTER {
            failing = Some(client_failed(failing.as_ref(), &plain, REST, clock.now()));
            assert_eq!(admit(failing.as_ref(), None, clock.now()), Admission::Go);
        }
        let open = client_failed(failing.as_ref(), &plain, REST, clock.now());
        assert_eq!(
            admit(Some(&open), None, clock.now()),
            Admission::Rests(REST)
        );
        clock.advance(REST);
        assert_eq!(admit(Some(&open), None, clock.now()), Admission::Try);
        let tried = tried_by(&open, &me, clock.now());
        assert_eq!(admit(Some(&tried), Some(&me), clock.now()), Admission::Go);
        for who in [None, Some(&other)] {
            let waits = admit(Some(&tried), who, clock.now());
            assert_eq!(waits, Admission::IsTried(TRIAL), "{who:?}");
        }
        let again = client_failed(Some(&tried), &plain, REST, clock.now());
        assert_eq!(
            admit(Some(&again), Some(&me), clock.now()),
            Admission::Rests(REST),
            "all wait again, the one that tried too"
        );
        clock.advance(TRIAL);
        assert_eq!(
            admit(Some(&tried), None, clock.now()),
            Admission::Try,
            "it hangs"
        );
        assert_eq!(admit(None, None, clock.now()), Admission::Go);
    }

    #[test]
    fn a_provider_that_names_a_wait_holds_all_back_at_once() {
        let clock = ManualClock::new();
        let open = client_failed(None, &too_many(), REST, clock.now());
        assert_eq!(
            admit(Some(&open), None, clock.now()),
            Admission::Rests(REST)
        );
        let plain = RequestFailure::of("refused".to_owned());
        let second = client_failed(Some(&open), &plain, Duration::from_secs(1), clock.now());
        assert_eq!(
            admit(Some(&second), None, clock.now()),
            Admission::Rests(REST),
            "another failure does not shorten it"
        );
    }

    #[test]
    fn a_trial_whose_answer_is_lost_lets_nobody_else_go_at_once() {
        let clock = ManualClock::new();
        let me = AttemptId::new("me");
        let open = client_failed(None, &too_many(), REST, clock.now());
        let tried = tried_by(&open, &me, clock.now());
        let lost = RequestFailure::lost(UnknownKind::Silence, true);
        let after = client_failed(Some(&tried), &lost, REST, clock.now());
        assert_eq!(
            admit(Some(&after), None, clock.now()),
            Admission::Rests(REST)
        );
        assert_eq!((after.times, after.failures), (2, 1));
        let alone = client_failed(None, &lost, REST, clock.now());
        assert_eq!(admit(Some(&alone), None, clock.now()), Admission::Go);
    }

    #[test]
    fn a_trial_that_sent_nothing_leaves_its_turn_to_the_next() {
        let clock = ManualClock::new();
        let (me, other) = (AttemptId::new("me"), AttemptId::new("other"));
        let open = client_failed(None, &too_many(), REST, clock.now());
        let tried = tried_by(&open, &me, clock.now());
        assert_eq!(untried(&tried, &other, clock.now()), None);
        assert_eq!(untried(&open, &me, clock.now()), None);
        let left = untried(&tried, &me, clock.now()).unwrap();
        assert_eq!(admit(Some(&left), None, clock.now()), Admission::Try);
    }

    #[test]
    fn grants_that_fail_together_count_once() {
        let (clock, plain) = (ManualClock::new(), RequestFailure::of("refused".to_owned()));
        let with = (&plain, Lineage(1));
        let first = grant_failed(None, with, REST, clock.now());
        let second = grant_failed(Some(&first), with, REST * 2, clock.now());
        assert_eq!((second.times, second.failures), (1, 1));
        assert_eq!(
            admit(Some(&second), None, clock.now()),
            Admission::Rests(REST * 2)
        );
        clock.advance(REST * 2);
        let next = grant_failed(Some(&second), with, REST, clock.now());
        assert_eq!((next.times, next.since), (2, first.since));
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let ok = StatusCode::OK;
        let transient = |retry_after| Outcome::Transient {
            why: "x".to_owned(),
            retry_after,
        };
        let holds = |outcome: &Outcome, status| match meaning(outcome, status, true) {
            ReplyEffect::Failed(failure) => (failure.holds_all, failure.surely),
            other => panic!("{other:?}"),
        };
        let too_many = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(holds(&transient(None), too_many), (true, true));
        assert_eq!(
            holds(&transient(None), StatusCode::FORBIDDEN),
            (false, true)
        );
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(holds(&transient(Some(REST)), unavailable), (true, true));
        let unknown = Outcome::Unknown(UnknownKind::ServerError);
        assert_eq!(holds(&unknown, unavailable), (false, false));
        let suspect = Outcome::Suspect { why: String::new() };
        assert_eq!(holds(&suspect, ok), (false, true));
        let refused = || Refused {
            code: "x".to_owned(),
            description: None,
        };
        let request = Outcome::RequestRefused(refused());
        assert!(matches!(
            meaning(&request, ok, true),
            ReplyEffect::Refused(_)
        ));
        let grant = Outcome::GrantRefused(refused());
        assert_eq!(meaning(&grant, ok, true), ReplyEffect::Nothing);
        assert!(matches!(
            meaning(&grant, ok, false),
            ReplyEffect::Refused(_)
        ));
        let client = Outcome::ClientRefused(refused());
        assert_eq!(meaning(&client, ok, true), ReplyEffect::Answers);
    }
}
