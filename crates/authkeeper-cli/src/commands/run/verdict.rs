//! What a run exits with: a pure function.

use std::collections::BTreeMap;

use authkeeper::model::{ConnectionName, Event, FailedCall, Incident};

use crate::exit::Exit;

/// PRODUCT rule 11: lost authority and calls that failed for it can't be hidden behind the command's own
/// code. `uncertain` alone is no loss: the access token still serves.
pub(crate) fn verdict(
    command_code: u8,
    declared: &[ConnectionName],
    open: &[Incident],
    unrecovered: &[FailedCall],
) -> (u8, Option<String>) {
    let is_declared = |name: &str| declared.iter().any(|declared| declared.as_str() == name);
    let declared = open
        .iter()
        .filter(|incident| is_declared(&incident.record.connection));
    let lost = declared.filter_map(exit_of);
    let failed = unrecovered.iter().map(|call| Exit::of_reason(&call.reason));
    let worst = lost.chain(failed.clone()).max_by_key(|exit| exit.gravity());
    let message = failed.max_by_key(|exit| exit.gravity()).map(|exit| {
        let why = match exit {
            Exit::Unavailable => "because the provider could not be asked",
            Exit::Config | Exit::Permission => "because the provider refused",
            _ => "for lack of authority",
        };
        failed_calls(command_code, why, unrecovered)
    });
    (worst.map_or(command_code, Exit::code), message)
}

/// The code that `token` gives for an incident; none while the access token serves.
fn exit_of(incident: &Incident) -> Option<Exit> {
    match incident.record.event {
        Event::ReauthorizationRequired => Some(Exit::Person),
        Event::AuthorityLost => Some(Exit::of_reason(&incident.record.reason)),
        Event::TokenEndpointMoved => Some(Exit::Config),
        // Uncertain, and what later versions may add.
        _ => None,
    }
}

fn failed_calls(command_code: u8, why: &str, unrecovered: &[FailedCall]) -> String {
    let mut times: BTreeMap<&ConnectionName, u64> = BTreeMap::new();
    for call in unrecovered {
        *times.entry(&call.connection).or_default() += call.times;
    }
    let counted: Vec<String> = times
        .into_iter()
        .map(|(connection, times)| {
            let calls = if times == 1 { "call" } else { "calls" };
            format!("{times} {calls} over {connection}")
        })
        .collect();
    let one = unrecovered.iter().map(|call| call.times).sum::<u64>() == 1;
    let but = if command_code == 0 { "but" } else { "and" };
    format!(
        "the command returned {command_code}, {but} {} failed {why} and {} not recovered",
        counted.join(" and "),
        if one { "was" } else { "were" }
    )
}

#[cfg(test)]
mod tests {
    use super::{super::tests::incident, *};

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
        let lost = incident("1", Event::ReauthorizationRequired, "notion");
        let rejected = incident("2", Event::AuthorityLost, "notion");
        let uncertain = incident("3", Event::Uncertain, "notion");
        let other = incident("4", Event::ReauthorizationRequired, "jira");
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
    fn a_refused_scope_differs_from_what_a_person_can_grant() {
        let refused = FailedCall {
            reason: "scope_refused".to_owned(),
            ..failed("notion", 1)
        };
        let wanted = incident("1", Event::ScopeRequired, "notion");
        let code = |failed: &[FailedCall]| {
            verdict(0, &[name("notion")], std::slice::from_ref(&wanted), failed).0
        };
        assert_eq!(code(&[]), 0, "other calls go on");
        assert_eq!(code(std::slice::from_ref(&refused)), 77);
        assert_eq!(code(&[refused, failed("notion", 1)]), 75);
    }

    #[test]
    fn a_run_ends_with_the_code_that_a_token_would_give() {
        let failed = |reason: &str| FailedCall {
            reason: reason.to_owned(),
            ..failed("notion", 1)
        };
        let code = |reasons: &[&str]| {
            let failed: Vec<FailedCall> = reasons.iter().map(|reason| failed(reason)).collect();
            verdict(0, &[name("notion")], &[], &failed).0
        };
        for (reasons, expected) in [
            (&["client_refused"][..], 78),
            (&["token_endpoint_moved"], 78),
            (&["request_refused"], 77),
            (&["unavailable"], 69),
            (&["uncertain"], 69),
            (&["refused_repeatedly"], 75),
            (&["unavailable", "request_refused"], 77),
            (&["request_refused", "refresh_refused"], 75),
            (&["refresh_refused", "client_refused"], 78),
        ] {
            assert_eq!(code(reasons), expected, "{reasons:?}");
        }
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
