//! What follows from a response: a pure function.

use authkeeper::model::Generation;
use http::StatusCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Pass it on: the call was authorized.
    Deliver,
    /// Ask for a newer token, send the same again.
    Retry { rejected: Generation },
    /// Pass the 401 on, since the body is gone, but have the token replaced for the next call.
    ReplaceAndDeliver { rejected: Generation },
    /// The second token was refused as well: let the authority say what that means, send nothing more.
    GiveUp { rejected: Generation },
}

/// PRODUCT rule 3: a 401 is recovered from once; a 403 never, because a newer token has the same rights.
pub(super) fn after_response(
    status: StatusCode,
    generation: Generation,
    retried: bool,
    replayable: bool,
) -> Next {
    let rejected = generation;
    match (status, retried, replayable) {
        (StatusCode::UNAUTHORIZED, true, _) => Next::GiveUp { rejected },
        (StatusCode::UNAUTHORIZED, false, true) => Next::Retry { rejected },
        (StatusCode::UNAUTHORIZED, false, false) => Next::ReplaceAndDeliver { rejected },
        _ => Next::Deliver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_is_recovered_from_once() {
        let rejected = Generation(3);
        let rows = [
            (200, false, true, Next::Deliver),
            (200, true, true, Next::Deliver),
            (403, false, true, Next::Deliver),
            (403, true, false, Next::Deliver),
            (500, false, true, Next::Deliver),
            (401, false, true, Next::Retry { rejected }),
            (401, false, false, Next::ReplaceAndDeliver { rejected }),
            (401, true, true, Next::GiveUp { rejected }),
            (401, true, false, Next::GiveUp { rejected }),
        ];
        for (status, retried, replayable, next) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let got = after_response(status, rejected, retried, replayable);
            assert_eq!(
                got, next,
                "{status} retried={retried} replayable={replayable}"
            );
        }
    }
}
