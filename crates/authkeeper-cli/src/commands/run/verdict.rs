//! What a run exits with: a pure function.

use authkeeper::model::{ConnectionName, Event, FailedCall, Trouble};

/// A person can mend it (`EX_TEMPFAIL`).
const MENDABLE: u8 = 75;
/// Nobody can without changing policy or scope (`EX_NOPERM`).
const NOT_ALLOWED: u8 = 77;

/// PRODUCT rule 11: lost authority and calls that failed for it can't be hidden behind the command's own
/// code. `uncertain` alone is no loss: the access token still serves.
pub(crate) fn verdict(
    command_code: u8,
    declared: &[ConnectionName],
    open: &[Trouble],
    unrecovered: &[FailedCall],
) -> (u8, Option<String>) {
    let is_declared = |name: &str| declared.iter().any(|declared| declared.as_str() == name);
    let lost = open.iter().any(|trouble| {
        let gone = match trouble.record.event {
            Event::ReauthorizationRequired | Event::AuthorityLost => true,
            // Uncertain, and what later versions may add.
            _ => false,
        };
        gone && is_declared(&trouble.record.connection)
    });
    let message = (!unrecovered.is_empty()).then(|| failed_calls(command_code, unrecovered));
    let refused = |call: &FailedCall| call.reason == "scope_refused";
    let code = if lost || !unrecovered.iter().all(refused) {
        MENDABLE
    } else if message.is_some() {
        NOT_ALLOWED
    } else {
        command_code
    };
    (code, message)
}

fn failed_calls(command_code: u8, unrecovered: &[FailedCall]) -> String {
    let counted: Vec<String> = unrecovered
        .iter()
        .map(|call| {
            let calls = if call.times == 1 { "call" } else { "calls" };
            format!("{} {calls} over {}", call.times, call.connection)
        })
        .collect();
    let one = unrecovered.iter().map(|call| call.times).sum::<u64>() == 1;
    let but = if command_code == 0 { "but" } else { "and" };
    format!(
        "the command returned {command_code}, {but} {} failed for lack of authority and {} not recovered",
        counted.join(" and "),
        if one { "was" } else { "were" }
    )
}

#[cfg(test)]
mod tests {
    use super::{super::tests::trouble, *};

    fn name(text: &str) -> ConnectionName {
        ConnectionName::parse(text).unwrap()
    }

    fn failed(connection: &str, times: u64) -> FailedCall {
        FailedCall {
            connection: name(connection),
            times,
            first: jiff::Timestamp::UNIX_EPOCH,
            reason: "refresh_refused".to_owned(),
        }
    }

    #[test]
    fn the_code_by_what_happened() {
        let lost = trouble("1", Event::ReauthorizationRequired, "notion");
        let rejected = trouble("2", Event::AuthorityLost, "notion");
        let uncertain = trouble("3", Event::Uncertain, "notion");
        let other = trouble("4", Event::ReauthorizationRequired, "jira");
        let rows = [
            (0, vec![], 0),
            (3, vec![], 3),
            (143, vec![], 143),
            (0, vec![lost.clone()], 75),
            (3, vec![lost], 75),
            (0, vec![rejected], 75),
            (0, vec![uncertain.clone()], 0),
            (3, vec![uncertain], 3),
            (0, vec![other], 0),
        ];
        for (command, open, expected) in rows {
            let (code, message) = verdict(command, &[name("notion")], &open, &[]);
            assert_eq!((code, message), (expected, None), "{command} {open:?}");
        }
    }

    #[test]
    fn what_nobody_can_mend_is_told_from_what_a_person_can() {
        let refused = FailedCall {
            reason: "scope_refused".to_owned(),
            ..failed("notion", 1)
        };
        let wanted = trouble("1", Event::ScopeRequired, "notion");
        let code = |failed: &[FailedCall]| {
            verdict(0, &[name("notion")], std::slice::from_ref(&wanted), failed).0
        };
        assert_eq!(code(&[]), 0, "other calls go on");
        assert_eq!(code(std::slice::from_ref(&refused)), 77);
        assert_eq!(code(&[refused, failed("notion", 1)]), 75);
    }

    #[test]
    fn failed_calls_can_not_be_swallowed() {
        let (code, message) = verdict(0, &[name("notion")], &[], &[failed("notion", 2)]);
        assert_eq!(code, 75);
        assert_eq!(
            message.unwrap(),
            "the command returned 0, but 2 calls over notion failed for lack of authority and were not recovered"
        );
        let (code, message) = verdict(
            3,
            &[name("notion")],
            &[],
            &[failed("a", 1), failed("notion", 1)],
        );
        assert_eq!(code, 75);
        assert_eq!(
            message.unwrap(),
            "the command returned 3, and 1 call over a and 1 call over notion failed for lack of authority and \
             were not recovered"
        );
    }
}
