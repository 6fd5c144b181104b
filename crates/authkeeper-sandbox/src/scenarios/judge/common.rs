//! The checks of nearly every scenario: work goes on, with one sign-in, one refresh and no call executed twice.

use serde_json::json;

use super::{
    case::{CheckResult, ClientEnd, JudgedRun, count},
    references::{IDEMPOTENT, INVALID_TOKEN, REFRESHING, RESOURCE, ROTATION, authorization},
};
use super::{
    check::ScenarioCheck,
    evidence::{McpRecord, Observed, RefreshAnswer},
};

/// The client carries on as if nothing had happened.
pub(crate) fn carried_on(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let mut checks = vec![
        calls_answered(case),
        no_second_sign_in(case),
        refreshed(case),
        executed_once(case),
    ];
    checks.extend(refreshes_sound(case));
    checks.extend(ended_well(case));
    checks
}

/// The checks of every refresh.
pub(super) fn refreshes_sound(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    vec![
        spent_once(case),
        none_needless(case, CheckResult::should),
        names_the_resource(case),
        may_refresh(case),
    ]
}

/// Every call that was made is answered in the end.
pub(super) fn calls_answered(case: &JudgedRun<'_>) -> ScenarioCheck {
    let calls: Vec<&McpRecord> = case
        .evidence
        .mcp()
        .filter(|mcp| mcp.is("tools/call"))
        .collect();
    let executed = |id: &Option<String>| calls.iter().any(|mcp| mcp.executed && mcp.id == *id);
    let mut ids: Vec<_> = calls.iter().map(|mcp| mcp.id.clone()).collect();
    ids.sort();
    ids.dedup();
    let unanswered = ids.iter().filter(|id| !executed(id)).count();
    // Without sessions, two processes may use the same request ids.
    let done = calls.iter().filter(|mcp| mcp.executed).count();
    let unanswered = unanswered.max(case.clients().saturating_sub(done));
    let seen = match ids.len() {
        0 => "no tools/call came: list the tools, then call test-tool".to_owned(),
        made => format!("of {} {unanswered} got no answer", count(made, "call")),
    };
    case.check(
        "calls-answered",
        "Every call of the tool is answered in the end: the client has a good access token for it.",
        &[INVALID_TOKEN, authorization(case.revision)],
        CheckResult::must(
            unanswered == 0 && !ids.is_empty(),
            seen,
            json!({"calls": ids.len(), "unanswered": unanswered}),
        ),
    )
}

/// A client with a refresh token needs no second sign-in.
pub(super) fn no_second_sign_in(case: &JudgedRun<'_>) -> ScenarioCheck {
    let later = case
        .evidence
        .after(|what| matches!(what, Observed::SignedIn { .. }));
    let asked = later.asked();
    case.check(
        "no-second-sign-in",
        "Nobody is asked to sign in again: the client holds a refresh token that is good.",
        &[REFRESHING],
        CheckResult::must(
            asked == 0,
            format!(
                "after the first sign-in a person was asked {} more",
                count(asked, "time")
            ),
            json!({"asked": asked}),
        ),
    )
}

pub(super) fn refreshed(case: &JudgedRun<'_>) -> ScenarioCheck {
    let accepted = accepted(case);
    let sent = case.evidence.refreshes().count();
    case.check(
        "refreshed",
        "The client refreshes, ahead of the end or after the 401.",
        &[REFRESHING, INVALID_TOKEN],
        CheckResult::must(
            accepted > 0,
            format!("{} sent, none came through", count(sent, "refresh")),
            json!({"refreshes": accepted}),
        ),
    )
}

pub(super) fn accepted(case: &JudgedRun<'_>) -> usize {
    let renewed = |outcome: &RefreshAnswer| matches!(outcome, RefreshAnswer::Renewed { .. });
    let refreshes = case.evidence.refreshes();
    refreshes
        .filter(|refresh| renewed(&refresh.outcome))
        .count()
}

/// The tool is executed no more often than it was asked for.
pub(super) fn executed_once(case: &JudgedRun<'_>) -> ScenarioCheck {
    let done = case.evidence.mcp().filter(|mcp| mcp.executed).count();
    let asked = case.calls * case.clients();
    case.check(
        "executed-once",
        "No call does its work twice.",
        &[IDEMPOTENT],
        CheckResult::must(
            done <= asked,
            format!(
                "the tool worked {}; the scenario asks for {}",
                count(done, "time"),
                count(asked, "call")
            ),
            json!({"executed": done, "asked": asked}),
        ),
    )
}

/// A server that detects reuse takes a spent refresh token for stolen.
pub(super) fn spent_once(case: &JudgedRun<'_>) -> ScenarioCheck {
    let refreshes: Vec<_> = case.evidence.refreshes().collect();
    let replayed = refreshes.iter().filter(|refresh| refresh.replayed).count();
    let unknown = refreshes
        .iter()
        .filter(|refresh| refresh.grant.is_none())
        .count();
    let found = match refreshes.len() {
        0 => CheckResult::skipped("no refresh token was sent"),
        _ => CheckResult::must(
            replayed + unknown == 0,
            format!(
                "{} with a token that was spent already, {unknown} with one that nobody knows; \
                 a server that detects reuse ends the grant for it",
                count(replayed, "refresh")
            ),
            json!({"sent": refreshes.len(), "replayed": replayed, "unknown": unknown}),
        ),
    };
    case.check(
        "refresh-token-spent-once",
        "A refresh token that was replaced is never sent again.",
        &[REFRESHING, ROTATION],
        found,
    )
}

/// `verdict` says whether a needless refresh fails the scenario or warns.
pub(super) fn none_needless(
    case: &JudgedRun<'_>,
    verdict: fn(bool, String, serde_json::Value) -> CheckResult,
) -> ScenarioCheck {
    let refreshes: Vec<_> = case.evidence.refreshes().collect();
    let needless = refreshes.iter().filter(|refresh| !refresh.needed).count();
    let found = match refreshes.len() {
        0 => CheckResult::skipped("no refresh token was sent"),
        _ => verdict(
            needless == 0,
            format!(
                "{} while the newest access token was good and not half through its life; a client that refreshes a fixed \
                 time ahead should be tried with a longer --ttl",
                count(needless, "refresh")
            ),
            json!({"needless": needless}),
        ),
    };
    case.check(
        "no-needless-refresh",
        "One expiry costs one refresh.",
        &[REFRESHING],
        found,
    )
}

pub(super) fn names_the_resource(case: &JudgedRun<'_>) -> ScenarioCheck {
    let refreshes: Vec<_> = case.evidence.refreshes().collect();
    let wrong: Vec<_> = refreshes
        .iter()
        .filter(|refresh| refresh.resource.as_deref() != Some(&case.resource))
        .collect();
    let found = match refreshes.len() {
        0 => CheckResult::skipped("no refresh token was sent"),
        _ => CheckResult::must(
            wrong.is_empty(),
            format!(
                "{} without it, or with another one",
                count(wrong.len(), "refresh")
            ),
            json!({"resource": case.resource, "without": wrong.len()}),
        ),
    };
    case.check(
        "refresh-names-the-resource",
        "Each refresh names the MCP server as its resource, as the sign-in did.",
        &[RESOURCE, authorization(case.revision)],
        found,
    )
}

/// Some servers give no refresh token to clients that registered without the grant type.
fn may_refresh(case: &JudgedRun<'_>) -> ScenarioCheck {
    let registered = |may: bool| {
        let is = move |what: &Observed| matches!(what, Observed::Registered { may_refresh } if *may_refresh == may);
        case.evidence.count(is)
    };
    let found = match (registered(true), registered(false)) {
        (0, 0) => CheckResult::skipped("the client did not register itself"),
        (_, without) => CheckResult::should(
            without == 0,
            "it registered itself without refresh_token in grant_types; a stricter server would have given it no refresh \
             token",
            json!({}),
        ),
    };
    case.check(
        "registered-for-refresh",
        "A client that registers itself lists refresh_token among its grant types.",
        &[authorization(case.revision)],
        found,
    )
}

/// The process reports success.
pub(super) fn ended_well(case: &JudgedRun<'_>) -> Option<ScenarioCheck> {
    let bad = case
        .ends
        .iter()
        .find(|end| **end != ClientEnd::Exited(Some(0)));
    client_end(
        case,
        "client-ended-well",
        "The client's process ends by itself, with exit code 0.",
        bad.copied(),
    )
}

/// The process ends, successful or not.
pub(super) fn ended(case: &JudgedRun<'_>) -> Option<ScenarioCheck> {
    let endless = case.ends.iter().find(|end| **end == ClientEnd::TimedOut);
    client_end(
        case,
        "client-ended",
        "The client's process ends by itself; it does not hang.",
        endless.copied(),
    )
}

/// The process reports failure.
pub(super) fn ended_badly(case: &JudgedRun<'_>) -> Option<ScenarioCheck> {
    let good = case
        .ends
        .iter()
        .find(|end| !matches!(end, ClientEnd::Exited(Some(1..) | None)));
    client_end(
        case,
        "failure-reported",
        "The client's process ends by itself and says that it failed: its exit code is not 0.",
        good.copied(),
    )
}

fn client_end(
    case: &JudgedRun<'_>,
    id: &'static str,
    description: &'static str,
    wrong: Option<ClientEnd>,
) -> Option<ScenarioCheck> {
    let seen = match wrong {
        Some(ClientEnd::TimedOut) => "it was still running when its time was over".to_owned(),
        Some(ClientEnd::Exited(Some(code))) => format!("it ended with {code}"),
        _ => "a signal ended it".to_owned(),
    };
    let found = CheckResult::must(wrong.is_none(), seen, json!({}));
    let check = case.check(id, description, &[], found);
    (!case.ends.is_empty()).then_some(check)
}
