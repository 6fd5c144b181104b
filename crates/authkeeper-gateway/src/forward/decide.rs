//! What follows from a response, or from a token that is not there: pure functions.

use std::time::Duration;

use authkeeper::{model::Generation, oauth::resource_error::Refusal};

use crate::error::{CallError, CallErrorKind};

/// How long a call waits in all for a token that its provider may give within seconds, if nothing longer is asked for.
/// Clients wait for a minute, and the call itself takes its time too.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// So often it is asked again meanwhile: another process may have got a token.
const LOOK: Duration = Duration::from_secs(1);

/// A refused fresh token is sent once more after this long.
pub(super) const LAG: Duration = Duration::from_secs(1);

/// And not more often than this.
const LEAST: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterResponse {
    /// Pass it on: the call was authorized.
    Deliver,
    /// Ask for a newer token, send the same again.
    Retry { rejected: Generation },
    /// Send the same again after [`LAG`], with the same token: a provider's nodes may not all know it yet.
    RetryLater,
    /// Pass the 401 on, since the body is gone, but have the token replaced for the next call.
    ReplaceAndDeliver { rejected: Generation },
    /// The token does not reach this far: have the authority ask for more, or say that nobody can.
    StepUp,
    /// The fresh token was refused twice: let the authority say what that means, send nothing more.
    GiveUp { rejected: Generation },
}

/// With which token a call was sent that is refused now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// With the token there was.
    Stored,
    /// With a newer one.
    Newer,
    /// With the newer one again, after a pause.
    NewerAgain,
}

/// PRODUCT rule 3: a 401 is recovered from once, and two refusals of a fresh token are a verdict; a 403 is never recovered
/// from, because a newer token has the same rights, unless it says that the token is invalid or a scope is missing.
pub(super) fn after_response(
    refusal: &Refusal,
    generation: Generation,
    tried: Tried,
    replayable: bool,
) -> AfterResponse {
    let rejected = generation;
    match (refusal, tried, replayable) {
        (Refusal::Token, Tried::NewerAgain, _) | (Refusal::Token, Tried::Newer, false) => {
            AfterResponse::GiveUp { rejected }
        }
        (Refusal::Token, Tried::Newer, true) => AfterResponse::RetryLater,
        (Refusal::Token, Tried::Stored, true) => AfterResponse::Retry { rejected },
        (Refusal::Token, Tried::Stored, false) => AfterResponse::ReplaceAndDeliver { rejected },
        (Refusal::Scope { .. }, _, _) => AfterResponse::StepUp,
        _ => AfterResponse::Deliver,
    }
}

/// Whether a call within a session is refused for the session, as far as the answer tells: nothing in it asks for a token,
/// or a newer token was refused too.
pub(super) fn may_be_for_the_session(refusal: &Refusal, challenged: bool, tried: Tried) -> bool {
    *refusal == Refusal::Token && (!challenged || tried != Tried::Stored)
}

/// How long to wait until a token is asked for again, for a call that has waited this long of its patience; none if it
/// fails now. A call does not wait here for a person, nor for an outage that is known to last longer.
pub(super) fn wait(error: &CallError, waited: Duration, patience: Duration) -> Option<Duration> {
    if error.kind != CallErrorKind::ProviderUnavailable {
        return None;
    }
    let left = patience.saturating_sub(waited);
    let asked = error.retry_after.unwrap_or(LOOK);
    (!left.is_zero() && asked <= left).then(|| asked.clamp(LEAST, LOOK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(retry_after: Option<u64>) -> CallError {
        CallError::provider_unavailable("busy", retry_after.map(Duration::from_millis))
    }

    #[test]
    fn what_is_over_within_seconds_is_waited_for_and_nothing_else() {
        // When it wants to be asked again and how long the call has waited, in ms; until it is asked again.
        let rows = [
            (None, 0, Some(1_000)),
            (None, 19_000, Some(1_000)),
            (None, 19_001, None),
            (Some(0), 0, Some(50)),
            (Some(300), 0, Some(300)),
            (Some(20_000), 0, Some(1_000)),
            (Some(20_001), 0, None),
            (Some(6_000), 14_000, Some(1_000)),
            (Some(6_000), 14_001, None),
            (Some(0), 20_000, None),
            (Some(0), 120_000, None),
        ];
        for (asked, waited, wanted) in rows {
            let waited_for = Duration::from_millis(waited);
            let until = wait(&unavailable(asked), waited_for, PATIENCE);
            let wanted = wanted.map(Duration::from_millis);
            assert_eq!(until, wanted, "{asked:?} after {waited} ms");
        }
    }

    #[test]
    fn a_longer_patience_waits_for_what_lasts_longer() {
        let (patience, outage) = (Duration::from_mins(15), unavailable(Some(120_000)));
        let second = Some(Duration::from_secs(1));
        assert_eq!(wait(&outage, Duration::ZERO, patience), second);
        assert_eq!(wait(&outage, Duration::from_mins(13), patience), second);
        assert_eq!(wait(&outage, Duration::from_mins(14), patience), None);
    }

    #[test]
    fn what_needs_a_person_is_not_waited_for() {
        let waited_for = CallErrorKind::ProviderUnavailable;
        for kind in CallErrorKind::ALL
            .into_iter()
            .filter(|kind| *kind != waited_for)
        {
            assert_eq!(
                wait(&CallError::new(kind, ""), Duration::ZERO, Duration::MAX),
                None,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_401_is_recovered_from_once() {
        let rejected = Generation(3);
        let scope = Refusal::Scope { needs: None };
        let (deliver, retry) = (AfterResponse::Deliver, AfterResponse::Retry { rejected });
        let replace = AfterResponse::ReplaceAndDeliver { rejected };
        let give_up = AfterResponse::GiveUp { rejected };
        let (none, token) = (&Refusal::None, &Refusal::Token);
        let rows = [
            (none, Tried::Stored, true, deliver),
            (none, Tried::Newer, false, deliver),
            (token, Tried::Stored, true, retry),
            (token, Tried::Stored, false, replace),
            (token, Tried::Newer, true, AfterResponse::RetryLater),
            (token, Tried::Newer, false, give_up),
            (token, Tried::NewerAgain, true, give_up),
            (&scope, Tried::Stored, true, AfterResponse::StepUp),
            (&scope, Tried::Newer, false, AfterResponse::StepUp),
        ];
        for (refusal, tried, replayable, next) in rows {
            let got = after_response(refusal, rejected, tried, replayable);
            assert_eq!(got, next, "{refusal:?} {tried:?} replayable={replayable}");
        }
    }

    #[test]
    fn a_401_within_a_session_may_be_about_the_session() {
        for (refusal, challenged, tried, about) in [
            (Refusal::Token, false, Tried::Stored, true),
            (Refusal::Token, true, Tried::Stored, false),
            (Refusal::Token, true, Tried::Newer, true),
            (Refusal::None, false, Tried::Stored, false),
        ] {
            let got = may_be_for_the_session(&refusal, challenged, tried);
            assert_eq!(got, about, "{refusal:?} {challenged} {tried:?}");
        }
    }
}
