//! Checks of refresh tokens: one refresh for many calls, rotation, scope, and what a restarted client remembers.

use serde_json::json;

use super::{
    case::{CheckResult, JudgedRun, count},
    common::{
        accepted, calls_answered, carried_on, ended_well, executed_once, no_second_sign_in,
        none_needless, refreshed, spent_once,
    },
    references::{REFRESHING, ROTATION, authorization},
};
use super::{
    check::{CheckStatus, ScenarioCheck},
    evidence::{Evidence, Observed, RefreshAnswer},
};
use crate::overrides::TEST_TOOL;

/// Several calls meet one expiry, and share one refresh.
pub(crate) fn one_refresh(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let calls = case.evidence.mcp().filter(|mcp| mcp.is("tools/call"));
    let mut ids: Vec<_> = calls.filter_map(|mcp| mcp.id.clone()).collect();
    ids.sort();
    ids.dedup();
    if ids.len() < 2 {
        let what = format!(
            "{} came; call {TEST_TOOL} {} times at once",
            count(ids.len(), "call"),
            case.calls
        );
        return vec![one_of_many(case, CheckResult::skipped(what))];
    }
    let accepted = accepted(case);
    let one = one_of_many(
        case,
        CheckResult::must(
            accepted == 1 || none_needless(case, CheckResult::must).status == CheckStatus::Success,
            format!("{} for one expiry", count(accepted, "refresh")),
            json!({"refreshes": accepted, "calls": ids.len()}),
        ),
    );
    [vec![one], carried_on(case)].concat()
}

fn one_of_many(case: &JudgedRun<'_>, found: CheckResult) -> ScenarioCheck {
    case.check(
        "one-refresh-for-all",
        "Calls that meet an ended token together share one refresh.",
        &[REFRESHING, ROTATION],
        found,
    )
}

/// Each refresh sends the refresh token of the one before.
pub(crate) fn rotation_followed(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let used: Vec<u32> = case
        .evidence
        .refreshes()
        .map(|refresh| refresh.generation)
        .collect();
    let followed = used.iter().any(|generation| *generation > 1);
    let check = case.check(
        "rotated-token-used-next",
        "The second refresh sends the refresh token that came with the first one's answer.",
        &[REFRESHING, ROTATION],
        CheckResult::must(
            followed,
            format!("refresh tokens sent, by number: {used:?}"),
            json!({"sent": used}),
        ),
    );
    [vec![check], carried_on(case)].concat()
}

/// A refresh keeps the scope.
pub(crate) fn scope_kept(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let granted = case
        .evidence
        .all()
        .iter()
        .find_map(|seen| match &seen.what {
            Observed::SignedIn { scope, .. } => Some(scope.clone()),
            _ => None,
        })
        .unwrap_or_default();
    let mut checks = carried_on(case);
    checks.push(scope_asked(case, &granted));
    checks.push(scope_got(case, &granted));
    checks
}

fn scope_asked(case: &JudgedRun<'_>, granted: &[String]) -> ScenarioCheck {
    let asked: Vec<&String> = case
        .evidence
        .refreshes()
        .flat_map(|refresh| refresh.scope.iter().flatten())
        .filter(|word| !granted.contains(word))
        .collect();
    case.check(
        "scope-not-widened",
        "A refresh asks for no scope that was not granted; without a scope it asks for the same.",
        &[REFRESHING],
        CheckResult::must(
            asked.is_empty(),
            format!("asked for {asked:?}, granted were {granted:?}"),
            json!({"granted": granted}),
        ),
    )
}

fn scope_got(case: &JudgedRun<'_>, granted: &[String]) -> ScenarioCheck {
    let renewed = case.evidence.refreshes();
    let renewed = renewed.filter_map(|refresh| match &refresh.outcome {
        RefreshAnswer::Renewed { scope } => Some(scope),
        _ => None,
    });
    let newest = renewed.last();
    let found = match newest {
        None => CheckResult::skipped("no refresh came through"),
        Some(scope) => CheckResult::must(
            granted.iter().all(|word| scope.contains(word)),
            format!("after the refresh there is {scope:?}, granted were {granted:?}"),
            json!({"granted": granted, "after": scope}),
        ),
    };
    case.check(
        "scope-kept",
        "The new access token is good for all that was granted.",
        &[REFRESHING],
        found,
    )
}

/// What a later process of the client remembers.
enum RememberedState {
    /// The grant: it presented tokens of the first run.
    Grant,
    /// The registration, but a new sign-in was needed.
    Client,
    Nothing,
}

fn memory(case: &JudgedRun<'_>) -> RememberedState {
    let grants = |evidence: &Evidence| -> Vec<_> {
        let all = evidence.all().iter();
        all.filter_map(|seen| match &seen.what {
            Observed::SignedIn { grant, .. } => Some((seen.run, grant.clone())),
            _ => None,
        })
        .collect()
    };
    let grants = grants(case.evidence);
    let later = case.evidence.since_run(1);
    let first = grants.first().map(|(_, grant)| grant.clone());
    let shows = |number: u32| {
        let shown = later
            .mcp()
            .any(|mcp| mcp.token.is_some_and(|token| token.grant == number));
        shown
            || later
                .refreshes()
                .any(|refresh| refresh.grant == Some(number))
    };
    let same_client = grants.iter().any(|(run, grant)| {
        *run > 0
            && first
                .as_ref()
                .is_some_and(|first| first.client == grant.client)
    });
    match first {
        Some(first) if shows(first.number) => RememberedState::Grant,
        _ if same_client => RememberedState::Client,
        _ => RememberedState::Nothing,
    }
}

/// A later process of the client uses what the first one stored.
pub(crate) fn remembered(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let found = match memory(case) {
        RememberedState::Nothing => {
            let why = "each process of the client registered itself and signed in again: it keeps nothing between two runs";
            return vec![remembers(case, CheckResult::skipped(why))];
        }
        RememberedState::Client => CheckResult::must(
            false,
            "the client came back with its registration and asked for a sign-in: the refresh token it had been given was \
             not used",
            json!({}),
        ),
        RememberedState::Grant => CheckResult::must(true, "", json!({})),
    };
    let mut checks = vec![
        remembers(case, found),
        calls_answered(case),
        no_second_sign_in(case),
        refreshed(case),
        executed_once(case),
        none_needless(case, CheckResult::must),
        spent_once(case),
    ];
    checks.extend(ended_well(case));
    checks
}

fn remembers(case: &JudgedRun<'_>, found: CheckResult) -> ScenarioCheck {
    case.check(
        "grant-remembered",
        "A later process of the client works with the grant that an earlier one was given.",
        &[REFRESHING, authorization(case.revision)],
        found,
    )
}
