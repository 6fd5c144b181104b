//! What follows from a response: a pure function.

use authkeeper::{model::Generation, oauth::refusal::Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Pass it on: the call was authorized.
    Deliver,
    /// Ask for a newer token, send the same again.
    Retry { rejected: Generation },
    /// Pass the 401 on, since the body is gone, but have the token replaced for the next call.
    ReplaceAndDeliver { rejected: Generation },
    /// The token does not reach this far: have the authority ask for more, or say that nobody can.
    StepUp,
    /// The second token was refused as well: let the authority say what that means, send nothing more.
    GiveUp { rejected: Generation },
}

/// PRODUCT rule 3: a 401 is recovered from once; a 403 never, because a newer token has the same rights, unless it says that
/// a scope is missing.
pub(super) fn after_response(
    refusal: &Refusal,
    generation: Generation,
    retried: bool,
    replayable: bool,
) -> Next {
    let rejected = generation;
    match (refusal, retried, replayable) {
        (Refusal::Token, true, _) => Next::GiveUp { rejected },
        (Refusal::Token, false, true) => Next::Retry { rejected },
        (Refusal::Token, false, false) => Next::ReplaceAndDeliver { rejected },
        (Refusal::Scope { .. }, _, _) => Next::StepUp,
        _ => Next::Deliver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_is_recovered_from_once() {
        let rejected = Generation(3);
        let scope = Refusal::Scope { needs: None };
        let rows = [
            (&Refusal::None, false, true, Next::Deliver),
            (&Refusal::None, true, false, Next::Deliver),
            (&Refusal::Token, false, true, Next::Retry { rejected }),
            (
                &Refusal::Token,
                false,
                false,
                Next::ReplaceAndDeliver { rejected },
            ),
            (&Refusal::Token, true, true, Next::GiveUp { rejected }),
            (&Refusal::Token, true, false, Next::GiveUp { rejected }),
            (&scope, false, true, Next::StepUp),
            (&scope, true, false, Next::StepUp),
        ];
        for (refusal, retried, replayable, next) in rows {
            let got = after_response(refusal, rejected, retried, replayable);
            assert_eq!(
                got, next,
                "{refusal:?} retried={retried} replayable={replayable}"
            );
        }
    }
}
