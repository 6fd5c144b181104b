//! Checks of sessions, streams and answers that are under way when an access token ends.

use http::Method;
use serde_json::json;

use super::{
    case::{CheckResult, JudgedRun, count},
    common::{
        calls_answered, carried_on, ended, ended_well, executed_once, no_second_sign_in,
        refreshes_sound, spent_once,
    },
    references::{INVALID_TOKEN, transport},
};
use super::{
    check::{CheckStatus, ScenarioCheck},
    evidence::{AccessTokenRef, Observed},
};
use crate::overrides::FIRST_EVENT_ID;
use crate::revision::Revision;

/// A refresh keeps the session.
pub(crate) fn session_kept(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let opened = case
        .evidence
        .mcp()
        .filter(|mcp| mcp.is("initialize") && mcp.status == 200);
    let opened = opened.count();
    let found = match opened {
        0 => CheckResult::skipped("there are no sessions in this revision"),
        _ => CheckResult::must(
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

/// An answer under way outlives its access token.
pub(crate) fn long_answer(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let ended = |whole: bool| {
        let is = move |what: &Observed| matches!(what, Observed::AnswerEnded { whole: seen } if *seen == whole);
        case.evidence.count(is)
    };
    let (whole, cut) = (ended(true), ended(false));
    let found = CheckResult::must(
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

/// The server's own stream ends with its access token, and is opened again with a new one.
pub(crate) fn stream_reopened(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    let opened: Vec<_> = case
        .evidence
        .all()
        .iter()
        .filter_map(|seen| match &seen.what {
            Observed::StreamOpened {
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
        // There was no evidence.
        checks.retain(|check| check.status != CheckStatus::Success);
    }
    checks
}

type StreamAttempt = (Option<AccessTokenRef>, Option<String>);

fn reopened(case: &JudgedRun<'_>, opened: &[StreamAttempt]) -> ScenarioCheck {
    let with_another = opened
        .iter()
        .skip(1)
        .any(|(token, _)| *token != opened[0].0);
    let found = match opened.len() {
        0 => CheckResult::skipped(
            "the client opened no such stream (GET; subscriptions/listen in 2026-07-28), which it need not",
        ),
        times => CheckResult::must(
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

fn resumed(case: &JudgedRun<'_>, opened: &[StreamAttempt]) -> ScenarioCheck {
    let found = match (case.revision, opened.get(1)) {
        (Revision::Stateless, _) => {
            CheckResult::skipped("streams are not resumed in this revision")
        }
        (_, None) => CheckResult::skipped("no stream was opened again"),
        (_, Some((_, None))) => CheckResult::should(
            false,
            "the second stream was opened without Last-Event-ID: what was said in between is lost",
            json!({}),
        ),
        (_, Some((_, Some(id)))) => CheckResult::should(
            id == FIRST_EVENT_ID,
            format!(
                "the second stream was opened after {id:?}; the last event was {FIRST_EVENT_ID:?}"
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

/// The session is ended although the access token is refused.
pub(crate) fn session_ended(case: &JudgedRun<'_>) -> Vec<ScenarioCheck> {
    const MOST: usize = 3;
    let ends: Vec<u16> = case
        .evidence
        .mcp()
        .filter(|mcp| mcp.http == Method::DELETE)
        .map(|mcp| mcp.status)
        .collect();
    let found = match ends.len() {
        0 => CheckResult::skipped(
            "the client did not end its session (DELETE), which it should; nothing to see here",
        ),
        tries => CheckResult::must(
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
        checks.retain(|check| check.status != CheckStatus::Success);
    }
    checks
}
