//! What single scenarios ask beside that.

use http::Method;
use serde_json::json;

use super::{
    Case, Found,
    common::{
        accepted, calls_answered, carried_on, ended, ended_badly, ended_well, executed_once,
        no_second_sign_in, none_needless, refreshed, refreshes_sound, spent_once,
    },
    count,
    references::{
        INVALID_GRANT, INVALID_TOKEN, REFRESHING, ROTATION, UNAVAILABLE, authorization, transport,
    },
};
use crate::builtin::{
    check::{Check, Status},
    evidence::{Evidence, Outcome, Refresh, Token, What},
    plan::TOOL,
    stage::FIRST_EVENT,
};

/// The session before is the session after.
pub(in crate::builtin) fn session_kept(case: &Case<'_>) -> Vec<Check> {
    let opened = case
        .evidence
        .mcp()
        .filter(|mcp| mcp.is("initialize") && mcp.status == 200);
    let opened = opened.count();
    let found = match opened {
        0 => Found::skipped("there are no sessions in this revision"),
        _ => Found::must(
            opened == 1,
            format!("the client opened {}", count(opened, "session")),
            json!({"sessions": opened}),
        ),
    };
    let kept = case.check(
        "session-kept",
        "The session goes on: a 401 says nothing about it.",
        &[transport(case.revision)],
        found,
    );
    [carried_on(case), vec![kept]].concat()
}

/// An answer under way outlives the token it was asked for with.
pub(in crate::builtin) fn long_answer(case: &Case<'_>) -> Vec<Check> {
    let ended = |whole: bool| {
        let is =
            move |what: &What| matches!(what, What::AnswerEnded { whole: seen } if *seen == whole);
        case.evidence.count(is)
    };
    let (whole, cut) = (ended(true), ended(false));
    let found = Found::must(
        cut == 0 && whole > 0,
        format!("{whole} read to the end, {cut} given up before it"),
        json!({"whole": whole, "givenUp": cut}),
    );
    let read = case.check(
        "answer-read-to-its-end",
        "An event stream that has begun goes on past the token's end: the client reads it until the answer is there.",
        &[transport(case.revision), INVALID_TOKEN],
        found,
    );
    let mut checks = vec![
        read,
        calls_answered(case),
        executed_once(case),
        no_second_sign_in(case),
        spent_once(case),
    ];
    checks.extend(ended_well(case));
    checks
}

/// The server's own stream ends with its token, and is opened again with another.
pub(in crate::builtin) fn stream_reopened(case: &Case<'_>) -> Vec<Check> {
    let opened: Vec<_> = case
        .evidence
        .all()
        .iter()
        .filter_map(|seen| match &seen.what {
            What::StreamOpened {
                token,
                last_event_id,
            } => Some((*token, last_event_id.clone())),
            _ => None,
        })
        .collect();
    let mut checks = vec![
        reopened(case, &opened),
        resumed(case, &opened),
        calls_answered(case),
        no_second_sign_in(case),
        executed_once(case),
    ];
    checks.extend(refreshes_sound(case));
    checks.extend(ended_well(case));
    if opened.is_empty() {
        // Nothing of this was put to the test.
        checks.retain(|check| check.status != Status::Success);
    }
    checks
}

type Opened = (Option<Token>, Option<String>);

fn reopened(case: &Case<'_>, opened: &[Opened]) -> Check {
    let with_another = opened
        .iter()
        .skip(1)
        .any(|(token, _)| *token != opened[0].0);
    let found = match opened.len() {
        0 => Found::skipped(
            "the client opened no such stream (GET; subscriptions/listen in 2026-07-28), which it need not",
        ),
        times => Found::must(
            with_another,
            format!("opened {}, never with another token", count(times, "time")),
            json!({"opened": times}),
        ),
    };
    case.check(
        "stream-reopened",
        "The stream on which the server speaks unasked, cut when its token ended, is opened again with a new token.",
        &[transport(case.revision)],
        found,
    )
}

fn resumed(case: &Case<'_>, opened: &[Opened]) -> Check {
    let found = match (case.revision, opened.get(1)) {
        (super::Revision::Stateless, _) => {
            Found::skipped("streams are not resumed in this revision")
        }
        (_, None) => Found::skipped("no stream was opened again"),
        (_, Some((_, None))) => Found::should(
            false,
            "the second stream was opened without Last-Event-ID: what was said in between is lost",
            json!({}),
        ),
        (_, Some((_, Some(id)))) => Found::should(
            id == FIRST_EVENT,
            format!(
                "the second stream was opened after {id:?}; the last event was {FIRST_EVENT:?}"
            ),
            json!({"lastEventId": id}),
        ),
    };
    case.check(
        "stream-resumed",
        "It names the last event it had (Last-Event-ID).",
        &[transport(case.revision)],
        found,
    )
}

/// The session's end, for which the token is good no more.
pub(in crate::builtin) fn session_ended(case: &Case<'_>) -> Vec<Check> {
    const MOST: usize = 3;
    let ends: Vec<u16> = case
        .evidence
        .mcp()
        .filter(|mcp| mcp.http == Method::DELETE)
        .map(|mcp| mcp.status)
        .collect();
    let found = match ends.len() {
        0 => Found::skipped(
            "the client did not end its session (DELETE), which it should; nothing to see here",
        ),
        tries => Found::must(
            tries <= MOST,
            format!("DELETE was sent {}", count(tries, "time")),
            json!({"answers": ends}),
        ),
    };
    let soon = case.check(
        "session-ended-or-given-up",
        "The session is ended after a refresh, or the client gives up: either way soon.",
        &[transport(case.revision), INVALID_TOKEN],
        found,
    );
    let mut checks = vec![
        soon,
        calls_answered(case),
        no_second_sign_in(case),
        spent_once(case),
    ];
    checks.extend(ended(case));
    if ends.is_empty() {
        checks.retain(|check| check.status != Status::Success);
    }
    checks
}

/// Several calls meet one expiry.
pub(in crate::builtin) fn one_refresh(case: &Case<'_>) -> Vec<Check> {
    let calls = case.evidence.mcp().filter(|mcp| mcp.is("tools/call"));
    let mut ids: Vec<_> = calls.filter_map(|mcp| mcp.id.clone()).collect();
    ids.sort();
    ids.dedup();
    if ids.len() < 2 {
        let what = format!(
            "{} came; call {TOOL} {} times at once",
            count(ids.len(), "call"),
            case.errand.calls
        );
        return vec![one_of_many(case, Found::skipped(what))];
    }
    let accepted = accepted(case);
    let one = one_of_many(
        case,
        Found::must(
            accepted == 1 || none_needless(case, Found::must).status == Status::Success,
            format!("{} for one expiry", count(accepted, "refresh")),
            json!({"refreshes": accepted, "calls": ids.len()}),
        ),
    );
    [vec![one], carried_on(case)].concat()
}

fn one_of_many(case: &Case<'_>, found: Found) -> Check {
    case.check(
        "one-refresh-for-all",
        "Calls that meet an ended token together share one refresh.",
        &[REFRESHING, ROTATION],
        found,
    )
}

/// The refresh token of a refresh is that of the next.
pub(in crate::builtin) fn rotation_followed(case: &Case<'_>) -> Vec<Check> {
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
        Found::must(
            followed,
            format!("refresh tokens sent, by number: {used:?}"),
            json!({"sent": used}),
        ),
    );
    [vec![check], carried_on(case)].concat()
}

fn is_struck(what: &What) -> bool {
    matches!(what, What::Struck)
}

/// After the strike so much may be asked in vain.
const REFUSED: usize = 8;

/// The grant is dead.
pub(in crate::builtin) fn stopped(case: &Case<'_>) -> Vec<Check> {
    let since = case.evidence.after(is_struck);
    if since.mcp().count() == 0 {
        return vec![stops(case, &since, Found::skipped(NOTHING_AFTER))];
    }
    let refused = since.refreshes().count();
    let once = case.check(
        "refused-refresh-not-repeated",
        "After invalid_grant the refresh token is not sent again.",
        &[INVALID_GRANT],
        Found::must(
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

fn stops(case: &Case<'_>, _since: &Evidence, found: Found) -> Check {
    case.check(
        "no-loop",
        "The client stops: it does not ask the server over and over.",
        &[INVALID_TOKEN],
        found,
    )
}

fn no_loop(case: &Case<'_>, since: &Evidence) -> Check {
    let refused = since.mcp().filter(|mcp| mcp.status == 401).count();
    stops(
        case,
        since,
        Found::must(
            refused <= REFUSED,
            format!("{} were refused", count(refused, "request")),
            json!({"refused": refused, "most": REFUSED}),
        ),
    )
}

fn asked_once(case: &Case<'_>, since: &Evidence) -> Check {
    let asked = since.asked();
    case.check(
        "sign-in-asked-at-most-once",
        "A person is asked to sign in at most once.",
        &[authorization(case.revision)],
        Found::must(
            asked <= 1,
            format!("a person was asked {}", count(asked, "time")),
            json!({"asked": asked}),
        ),
    )
}

/// Fresh tokens are refused as well.
pub(in crate::builtin) fn no_endless_refresh(case: &Case<'_>) -> Vec<Check> {
    const MOST: usize = 2;
    let since = case.evidence.after(is_struck);
    if since.mcp().count() == 0 {
        return vec![stops(case, &since, Found::skipped(NOTHING_AFTER))];
    }
    let refreshes = since.refreshes().count();
    let bounded = case.check(
        "refreshes-bounded",
        "A fresh token that is refused too is not exchanged for the next one, and the next.",
        &[INVALID_TOKEN],
        Found::must(
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

/// The token endpoint is down for a moment.
pub(in crate::builtin) fn blip_survived(case: &Case<'_>) -> Vec<Check> {
    let came_back = later_renewal(case, |refresh| refresh.outcome == Outcome::Faulty);
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

/// The refresh was done and its answer lost: this server answers a resend the same.
pub(in crate::builtin) fn lost_answer_survived(case: &Case<'_>) -> Vec<Check> {
    const MOST: usize = 4;
    let sent = case.evidence.refreshes();
    let sent = sent.filter(|refresh| refresh.generation == 1).count();
    let resent = later_renewal(case, |refresh| refresh.outcome == Outcome::Lost);
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
        Found::must(
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

/// Whether a refresh came through after one that did not.
fn later_renewal(case: &Case<'_>, failed: impl Fn(&Refresh) -> bool) -> Found {
    let is_failed = |what: &What| matches!(what, What::Refresh(refresh) if failed(refresh));
    if case.evidence.count(is_failed) == 0 {
        return Found::must(false, "no refresh came", json!({}));
    }
    let later = case.evidence.after(is_failed);
    let renewed = |refresh: &&Refresh| matches!(refresh.outcome, Outcome::Renewed { .. });
    let renewed = later.refreshes().filter(renewed).count();
    Found::must(
        renewed > 0,
        format!(
            "after the one that failed {} came, none was answered with tokens",
            count(later.refreshes().count(), "refresh")
        ),
        json!({"renewed": renewed}),
    )
}

fn some_call_answered(case: &Case<'_>) -> Check {
    let done = case.evidence.mcp().filter(|mcp| mcp.executed).count();
    case.check(
        "a-call-answered",
        "A call of the tool is answered in the end.",
        &[INVALID_TOKEN],
        Found::must(done > 0, "none was", json!({"answered": done})),
    )
}

/// What may be done stays the same.
pub(in crate::builtin) fn scope_kept(case: &Case<'_>) -> Vec<Check> {
    let granted = case
        .evidence
        .all()
        .iter()
        .find_map(|seen| match &seen.what {
            What::SignedIn { scope, .. } => Some(scope.clone()),
            _ => None,
        })
        .unwrap_or_default();
    let mut checks = carried_on(case);
    checks.push(scope_asked(case, &granted));
    checks.push(scope_got(case, &granted));
    checks
}

fn scope_asked(case: &Case<'_>, granted: &[String]) -> Check {
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
        Found::must(
            asked.is_empty(),
            format!("asked for {asked:?}, granted were {granted:?}"),
            json!({"granted": granted}),
        ),
    )
}

fn scope_got(case: &Case<'_>, granted: &[String]) -> Check {
    let renewed = case.evidence.refreshes();
    let renewed = renewed.filter_map(|refresh| match &refresh.outcome {
        Outcome::Renewed { scope } => Some(scope),
        _ => None,
    });
    let newest = renewed.last();
    let found = match newest {
        None => Found::skipped("no refresh came through"),
        Some(scope) => Found::must(
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

/// What a later process of the client knows.
enum Memory {
    /// It showed tokens of the first run's grant.
    Grant,
    /// Its registration, and another sign-in.
    Client,
    Nothing,
}

fn memory(case: &Case<'_>) -> Memory {
    let grants = |evidence: &Evidence| -> Vec<_> {
        let all = evidence.all().iter();
        all.filter_map(|seen| match &seen.what {
            What::SignedIn { grant, .. } => Some((seen.run, grant.clone())),
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
        Some(first) if shows(first.number) => Memory::Grant,
        _ if same_client => Memory::Client,
        _ => Memory::Nothing,
    }
}

/// Another process of the same client works with what the first one stored.
pub(in crate::builtin) fn remembered(case: &Case<'_>) -> Vec<Check> {
    let found = match memory(case) {
        Memory::Nothing => {
            let why = "each process of the client registered itself and signed in anew: it keeps nothing between two runs";
            return vec![remembers(case, Found::skipped(why))];
        }
        Memory::Client => Found::must(
            false,
            "the client came back with its registration and asked for a sign-in: the refresh token it had been given was \
             not used",
            json!({}),
        ),
        Memory::Grant => Found::must(true, "", json!({})),
    };
    let mut checks = vec![
        remembers(case, found),
        calls_answered(case),
        no_second_sign_in(case),
        refreshed(case),
        executed_once(case),
        none_needless(case, Found::must),
        spent_once(case),
    ];
    checks.extend(ended_well(case));
    checks
}

fn remembers(case: &Case<'_>, found: Found) -> Check {
    case.check(
        "grant-remembered",
        "A later process of the client works with the grant that an earlier one was given.",
        &[REFRESHING, authorization(case.revision)],
        found,
    )
}
