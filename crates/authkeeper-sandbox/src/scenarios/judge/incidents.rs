//! Checks of failures: those that last, and those that pass.

use serde_json::json;

use super::{
    case::{CheckResult, JudgedRun, count},
    common::{ended, ended_badly, no_second_sign_in, refreshes_sound, spent_once},
    references::{INVALID_GRANT, INVALID_TOKEN, REFRESHING, ROTATION, UNAVAILABLE, authorization},
};
use super::{
    check::ScenarioCheck,
    evidence::{Evidence, Observed, RefreshAnswer, RefreshRecord},
};

fn is_struck(what: &Observed) -> bool {
    matches!(what, Observed::Struck)
}

/// How many requests may fail after the planned step.
const REFUSED: usize = 8;

/// The grant was revoked.
pub(crate) fn stopped(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let since = case.evidence.after(is_struck);
    if since.mcp().count() == 0 {
        return vec![stops(case, CheckResult::skipped(NOTHING_AFTER))];
    }
    let refused = since.refreshes().count();
    let once = case.check(
        "refused-refresh-not-repeated",
        "After invalid_grant the refresh token is not sent again.",
        &[INVALID_GRANT],
        CheckResult::must(
            refused <= 1,
            format!(
                "it was sent {} after the grant had died",
                count(refused, "time")
            ),
            json!({"sent": refused}),
        ),
    );
    let mut checks = vec![once, asked_once(case, &since), no_loop(case, &since)];
    checks.extend(ended_badly(case));
    checks
}

const NOTHING_AFTER: &str = "no request came afterwards: list the tools, then call test-tool";

fn stops(case: &JudgedRun<'_>, found: CheckResult) -> ScenarioCheck {
    case.check(
        "no-loop",
        "The client stops: it does not ask the server over and over.",
        &[INVALID_TOKEN],
        found,
    )
}

fn no_loop(case: &JudgedRun<'_>, since: &Evidence) -> ScenarioCheck {
    let refused = since.mcp().filter(|mcp| mcp.status == 401).count();
    stops(
        case,
        CheckResult::must(
            refused <= REFUSED,
            format!("{} were refused", count(refused, "request")),
            json!({"refused": refused, "most": REFUSED}),
        ),
    )
}

fn asked_once(case: &JudgedRun<'_>, since: &Evidence) -> ScenarioCheck {
    let asked = since.asked();
    case.check(
        "sign-in-asked-at-most-once",
        "A person is asked to sign in at most once.",
        &[authorization(case.revision)],
        CheckResult::must(
            asked <= 1,
            format!("a person was asked {}", count(asked, "time")),
            json!({"asked": asked}),
        ),
    )
}

/// New access tokens are refused as well.
pub(crate) fn no_endless_refresh(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    const MOST: usize = 2;
    let since = case.evidence.after(is_struck);
    if since.mcp().count() == 0 {
        return vec![stops(case, CheckResult::skipped(NOTHING_AFTER))];
    }
    let refreshes = since.refreshes().count();
    let bounded = case.check(
        "refreshes-bounded",
        "A fresh token that is refused too is not exchanged for the next one, and the next.",
        &[INVALID_TOKEN],
        CheckResult::must(
            refreshes <= MOST,
            format!("{} came", count(refreshes, "refresh")),
            json!({"refreshes": refreshes, "most": MOST}),
        ),
    );
    let mut checks = vec![
        bounded,
        no_loop(case, &since),
        asked_once(case, &since),
        spent_once(case),
    ];
    checks.extend(ended_badly(case));
    checks
}

/// The token endpoint is unavailable for a moment.
pub(crate) fn blip_survived(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let came_back = later_renewal(case, |refresh| refresh.outcome == RefreshAnswer::Faulty);
    let again = case.check(
        "refresh-retried",
        "The client tries again once the token endpoint answers, with the refresh token it has.",
        &[UNAVAILABLE, REFRESHING],
        came_back,
    );
    let mut checks = vec![no_second_sign_in(case), again, some_call_answered(case)];
    checks.extend(refreshes_sound(case));
    checks.extend(ended(case));
    checks
}

/// The reply to a refresh was lost; this server answers a resend with the same tokens.
pub(crate) fn lost_answer_survived(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    const MOST: usize = 4;
    let sent = case.evidence.refreshes();
    let sent = sent.filter(|refresh| refresh.generation == 1).count();
    let resent = later_renewal(case, |refresh| refresh.outcome == RefreshAnswer::Lost);
    let again = case.check(
        "refresh-resent",
        "The client asks again with the refresh token it has: it knows of no other.",
        &[REFRESHING],
        resent,
    );
    let few = case.check(
        "no-storm",
        "It does so seldom: where reuse ends a grant, each resend is a risk.",
        &[ROTATION],
        CheckResult::must(
            sent <= MOST,
            format!("the same refresh token was sent {}", count(sent, "time")),
            json!({"sent": sent, "most": MOST}),
        ),
    );
    let mut checks = vec![
        no_second_sign_in(case),
        again,
        few,
        some_call_answered(case),
    ];
    checks.extend(ended(case));
    checks
}

/// Whether a refresh succeeded after one that failed.
fn later_renewal(case: &JudgedRun<'_>, failed: impl Fn(&RefreshRecord) -> bool) -> CheckResult {
    let is_failed = |what: &Observed| matches!(what, Observed::Refresh(refresh) if failed(refresh));
    if case.evidence.count(is_failed) == 0 {
        return CheckResult::must(false, "no refresh came", json!({}));
    }
    let later = case.evidence.after(is_failed);
    let renewed =
        |refresh: &&RefreshRecord| matches!(refresh.outcome, RefreshAnswer::Renewed { .. });
    let renewed = later.refreshes().filter(renewed).count();
    CheckResult::must(
        renewed > 0,
        format!(
            "after the one that failed {} came, none was answered with tokens",
            count(later.refreshes().count(), "refresh")
        ),
        json!({"renewed": renewed}),
    )
}

fn some_call_answered(case: &JudgedRun<'_>) -> ScenarioCheck {
    let done = case.evidence.mcp().filter(|mcp| mcp.executed).count();
    case.check(
        "a-call-answered",
        "A call of the tool is answered in the end.",
        &[INVALID_TOKEN],
        CheckResult::must(done > 0, "none was", json!({"answered": done})),
    )
}
