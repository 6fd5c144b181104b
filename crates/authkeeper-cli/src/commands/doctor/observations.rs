//! What was noticed of providers while they were used: answers that fit nothing known, and what made us more careful.

use authkeeper::model::{Observation, ObservationKind};

use super::finding::Finding;

/// One finding for each thing that was noticed.
pub(super) fn findings(observed: &[Observation]) -> Vec<Finding> {
    let odd = observed.iter().filter_map(finding);
    let odd: Vec<Finding> = odd.collect();
    if odd.is_empty() {
        let what = "every answer of a token endpoint fitted what is known";
        return vec![Finding::ok("answers", what)];
    }
    odd
}

fn finding(observed: &Observation) -> Option<Finding> {
    let Observation {
        observation,
        times,
        last,
        ..
    } = observed;
    let (issuer, detail) = (&observation.issuer, &observation.detail);
    let times = if *times == 1 {
        "once".to_owned()
    } else {
        format!("{times} times")
    };
    let when = format!("{times}, last at {last}");
    match observation.kind {
        ObservationKind::OddAnswer => {
            let what =
                format!("{issuer} gave an answer that fits nothing known ({when}): {detail}");
            let fix = "if its connections fail, report this line; it holds no secret";
            Some(Finding::warning("answers", what, fix))
        }
        ObservationKind::ReplayRefused => {
            let what = format!(
                "{issuer} refused a refresh token that came twice, though its rule says that it may ({when}); it is taken \
                 for strict from now on"
            );
            let fix = format!(
                "correct provider.\"{issuer}\".replay in the configuration, if it is set there"
            );
            Some(Finding::warning("answers", what, fix))
        }
        ObservationKind::EndedEarly => {
            let (connection, age) = detail.split_once(' ').unwrap_or_default();
            let what = format!(
                "a token of {issuer} got a 401 when it was {age} s old, long before its end ({when})"
            );
            Some(Finding::note("answers", what).of(connection))
        }
        ObservationKind::AccessTokenOmitted => {
            let what = format!(
                "{issuer} answered a refresh that named no scope without an access token ({when}); refreshes name the \
                 granted scope from now on"
            );
            Some(Finding::note("answers", what))
        }
        // An answering provider needs no fix; later versions may record other observations.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{Issuer, ProviderObservation};
    use jiff::Timestamp;

    use super::*;
    use crate::commands::doctor::finding::Severity;

    fn observed(kind: ObservationKind, detail: &str, times: u64) -> Observation {
        Observation {
            observation: ProviderObservation {
                issuer: Issuer::new("https://as.example"),
                kind,
                detail: detail.to_owned(),
            },
            times,
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_thing_is_told_with_how_often_and_when() {
        let odd = observed(ObservationKind::OddAnswer, "418 text/plain, empty", 3);
        let found = findings(&[odd, observed(ObservationKind::ReplayRefused, "", 1)]);
        assert_eq!(found.len(), 2);
        assert!(found[0].what.contains("3 times"), "{found:?}");
        assert!(found[0].what.ends_with("418 text/plain, empty"));
        assert!(found[1].what.contains("once"), "{found:?}");
        assert!(found.iter().all(|one| one.severity == Severity::Warning));
    }

    #[test]
    fn nothing_noticed_is_fine() {
        assert_eq!(findings(&[])[0].severity, Severity::Ok);
    }
}
