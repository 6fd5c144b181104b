//! Each check can fail, and says what was seen.

use std::time::Duration;

use http::Method;

use super::{
    check::{CheckStatus, ScenarioCheck},
    evidence::{
        AccessTokenRef, Evidence, EvidenceEntry, GrantRef, McpRecord, RefreshAnswer, RefreshRecord,
    },
    *,
};
use crate::{clock::SandboxTime, revision::Revision};

const RESOURCE: &str = "http://127.0.0.1:1/mcp";

fn words(text: &str) -> Vec<String> {
    crate::wire::words(text)
}

fn signed_in(number: u32, client: &str) -> Observed {
    Observed::SignedIn {
        grant: GrantRef {
            number,
            client: client.into(),
        },
        scope: words("read write"),
    }
}

fn refresh(generation: u32) -> RefreshRecord {
    RefreshRecord {
        grant: Some(1),
        generation,
        replayed: false,
        needed: true,
        scope: None,
        resource: Some(RESOURCE.into()),
        outcome: RefreshAnswer::Renewed {
            scope: words("read write"),
        },
    }
}

fn request(method: &str, id: &str, number: u32, status: u16) -> McpRecord {
    McpRecord {
        http: Method::POST,
        method: Some(method.into()),
        id: Some(id.into()),
        token: Some(AccessTokenRef { grant: 1, number }),
        status,
        executed: method == "tools/call" && status == 200,
    }
}

fn call(id: &str, number: u32, status: u16) -> Observed {
    Observed::Mcp(request("tools/call", id, number, status))
}

fn stream(number: u32, last_event_id: Option<&str>) -> Observed {
    Observed::StreamOpened {
        token: Some(AccessTokenRef { grant: 1, number }),
        last_event_id: last_event_id.map(str::to_owned),
    }
}

fn delete(status: u16) -> Observed {
    Observed::Mcp(McpRecord {
        http: Method::DELETE,
        method: None,
        ..request("", "", 1, status)
    })
}

type Judge = fn(&JudgedRun<'_>) -> Vec<ScenarioCheck>;
const WELL: ClientEnd = ClientEnd::Exited(Some(0));
const BADLY: ClientEnd = ClientEnd::Exited(Some(1));

/// How each check came out, for a client that signed in first; the second run begins where a person signs in again or
/// `again` says so.
fn played(judge: Judge, whats: Vec<Observed>, end: ClientEnd, again: usize) -> Vec<ScenarioCheck> {
    let mut evidence = Evidence::default();
    let all = [Observed::Asked, signed_in(1, "c")]
        .into_iter()
        .chain(whats);
    for (index, what) in all.enumerate() {
        let at = SandboxTime::default().plus(Duration::from_secs(index as u64));
        let run = usize::from(index >= again + 2);
        evidence.add(EvidenceEntry { at, run, what });
    }
    let case = JudgedRun {
        evidence: &evidence,
        ends: &[end],
        calls: 1,
        revision: Revision::Handshake,
        resource: RESOURCE.into(),
        now: SandboxTime::default(),
    };
    judged(judge, &case)
}

const ONE_RUN: usize = usize::MAX - 2;

fn those(checks: &[ScenarioCheck], status: CheckStatus) -> Vec<&'static str> {
    let such = checks.iter().filter(|check| check.status == status);
    such.map(|check| check.id).collect()
}

/// What fails for a client that did this.
fn failed(judge: Judge, whats: Vec<Observed>) -> Vec<&'static str> {
    those(&played(judge, whats, WELL, ONE_RUN), CheckStatus::Failure)
}

fn good() -> Vec<Observed> {
    vec![
        call("1", 1, 401),
        Observed::Refresh(refresh(1)),
        call("1", 2, 200),
    ]
}

/// The good way, with one refresh that is different.
fn with(refresh: RefreshRecord) -> Vec<Observed> {
    let mut whats = good();
    whats.insert(2, Observed::Refresh(refresh));
    whats
}

#[test]
fn who_goes_on_as_if_nothing_had_happened_fails_nothing() {
    let checks = played(carried_on, good(), WELL, ONE_RUN);
    assert!(
        those(&checks, CheckStatus::Failure).is_empty(),
        "{checks:#?}"
    );
    assert!(those(&checks, CheckStatus::Warning).is_empty());
    assert_eq!(
        those(&checks, CheckStatus::Skipped),
        ["registered-for-refresh"]
    );
}

#[test]
fn what_nearly_every_scenario_asks_can_fail() {
    let one = |bad: Vec<Observed>, id| assert_eq!(failed(carried_on, bad), [id]);
    one(vec![call("1", 1, 200)], "refreshed");
    one(
        [good(), vec![Observed::Asked]].concat(),
        "no-second-sign-in",
    );
    one([good(), vec![call("2", 2, 401)]].concat(), "calls-answered");
    one([good(), vec![call("2", 2, 200)]].concat(), "executed-once");
    let replayed = RefreshRecord {
        replayed: true,
        outcome: RefreshAnswer::Refused,
        ..refresh(1)
    };
    one(with(replayed), "refresh-token-spent-once");
    let unknown = RefreshRecord {
        grant: None,
        ..refresh(0)
    };
    one(with(unknown), "refresh-token-spent-once");
    let elsewhere = RefreshRecord {
        resource: None,
        ..refresh(2)
    };
    one(with(elsewhere), "refresh-names-the-resource");
    let ends = [BADLY, ClientEnd::TimedOut, ClientEnd::Exited(None)];
    for end in ends {
        let checks = played(carried_on, good(), end, ONE_RUN);
        assert_eq!(those(&checks, CheckStatus::Failure), ["client-ended-well"]);
    }
}

#[test]
fn what_is_only_recommended_is_warned_of() {
    let needless = RefreshRecord {
        needed: false,
        ..refresh(2)
    };
    let whats = [
        vec![Observed::Registered { may_refresh: false }],
        with(needless),
    ];
    let checks = played(carried_on, whats.concat(), WELL, ONE_RUN);
    let warned = those(&checks, CheckStatus::Warning);
    assert_eq!(warned, ["no-needless-refresh", "registered-for-refresh"]);
    for id in [None, Some("0-7")] {
        let streams = [vec![stream(1, None), stream(2, id)], good()].concat();
        let checks = played(stream_reopened, streams, WELL, ONE_RUN);
        assert_eq!(those(&checks, CheckStatus::Warning), ["stream-resumed"]);
    }
}

#[test]
fn without_a_sign_in_nothing_else_is_judged() {
    let case = JudgedRun {
        evidence: &Evidence::default(),
        ends: &[WELL],
        calls: 1,
        revision: Revision::Stateless,
        resource: RESOURCE.into(),
        now: SandboxTime::default(),
    };
    let checks = judged(carried_on, &case);
    assert_eq!(those(&checks, CheckStatus::Failure), [SIGNED_IN]);
    assert_eq!(checks.len(), 1);
}

#[test]
fn sessions_streams_and_answers_are_looked_at() {
    let open = || Observed::Mcp(request("initialize", "0", 1, 200));
    let again = [vec![open(), open()], good()].concat();
    assert_eq!(failed(session_kept, again), ["session-kept"]);
    let same = [vec![stream(1, None), stream(1, Some("1-0"))], good()].concat();
    assert_eq!(failed(stream_reopened, same), ["stream-reopened"]);
    let none = played(stream_reopened, good(), WELL, ONE_RUN);
    assert_eq!(those(&none, CheckStatus::Success), [SIGNED_IN]);
    let cut = vec![Observed::AnswerEnded { whole: false }, call("1", 1, 200)];
    assert_eq!(failed(long_answer, cut), ["answer-read-to-its-end"]);
    let whole = vec![Observed::AnswerEnded { whole: true }, call("1", 1, 200)];
    assert!(failed(long_answer, whole).is_empty());
    let over_and_over = [good(), vec![delete(401); 4]].concat();
    let wanted = ["session-ended-or-given-up"];
    assert_eq!(failed(session_ended, over_and_over), wanted);
    let given_up = [good(), vec![delete(401)]].concat();
    assert!(failed(session_ended, given_up).is_empty());
}

#[test]
fn one_expiry_and_two_refreshes_for_it_are_told_apart_from_two_expiries() {
    let calls = |second: RefreshRecord| {
        let one = vec![call("1", 1, 401), call("2", 1, 401)];
        let more = vec![Observed::Refresh(refresh(1)), Observed::Refresh(second)];
        [one, more, vec![call("1", 2, 200), call("2", 3, 200)]].concat()
    };
    let needless = RefreshRecord {
        needed: false,
        ..refresh(2)
    };
    let two = failed(one_refresh, calls(needless));
    assert!(two.contains(&"one-refresh-for-all"), "{two:?}");
    let later = failed(one_refresh, calls(refresh(2)));
    assert!(!later.contains(&"one-refresh-for-all"), "{later:?}");
    let alone = played(one_refresh, good(), WELL, ONE_RUN);
    assert_eq!(those(&alone, CheckStatus::Skipped), ["one-refresh-for-all"]);
}

#[test]
fn rotation_and_scope_are_followed() {
    assert_eq!(
        failed(rotation_followed, good()),
        ["rotated-token-used-next"]
    );
    let narrower = RefreshRecord {
        outcome: RefreshAnswer::Renewed {
            scope: words("read"),
        },
        ..refresh(2)
    };
    assert_eq!(failed(scope_kept, with(narrower)), ["scope-kept"]);
    let wider = RefreshRecord {
        scope: Some(words("read write admin")),
        ..refresh(2)
    };
    assert_eq!(failed(scope_kept, with(wider)), ["scope-not-widened"]);
}

#[test]
fn who_does_not_stop_is_noticed() {
    let struck = |more: Vec<Observed>| [vec![Observed::Struck], more].concat();
    let dead = || {
        Observed::Refresh(RefreshRecord {
            outcome: RefreshAnswer::Refused,
            ..refresh(1)
        })
    };
    let one = |judge: Judge, whats, end| {
        let checks = played(judge, whats, end, ONE_RUN);
        those(&checks, CheckStatus::Failure)
    };
    let stops = struck(vec![call("1", 1, 401), dead(), Observed::Asked]);
    assert!(one(stopped, stops.clone(), BADLY).is_empty());
    assert_eq!(one(stopped, stops.clone(), WELL), ["failure-reported"]);
    let hangs = one(stopped, stops.clone(), ClientEnd::TimedOut);
    assert_eq!(hangs, ["failure-reported"]);
    let twice = [stops.clone(), vec![dead()]].concat();
    assert_eq!(one(stopped, twice, BADLY), ["refused-refresh-not-repeated"]);
    let asks = [stops.clone(), vec![Observed::Asked]].concat();
    assert_eq!(one(stopped, asks, BADLY), ["sign-in-asked-at-most-once"]);
    let round = [stops, vec![call("1", 1, 401); 8]].concat();
    assert_eq!(one(stopped, round.clone(), BADLY), ["no-loop"]);
    let refreshing = [round, vec![Observed::Refresh(refresh(2)); 3]].concat();
    let found = one(no_endless_refresh, refreshing, BADLY);
    assert_eq!(found, ["refreshes-bounded", "no-loop"]);
}

#[test]
fn a_refresh_that_failed_has_to_be_made_again_and_not_too_often() {
    let with_outcome = |outcome: RefreshAnswer| {
        Observed::Refresh(RefreshRecord {
            outcome,
            ..refresh(1)
        })
    };
    let faulty = vec![with_outcome(RefreshAnswer::Faulty), call("1", 1, 200)];
    assert_eq!(failed(blip_survived, faulty), ["refresh-retried"]);
    let lost = || with_outcome(RefreshAnswer::Lost);
    let gives_up = vec![lost(), call("1", 1, 200)];
    assert_eq!(failed(lost_answer_survived, gives_up), ["refresh-resent"]);
    let storm = [vec![lost(); 4], good()].concat();
    assert_eq!(failed(lost_answer_survived, storm), ["no-storm"]);
    let nothing = vec![lost(), Observed::Refresh(refresh(1))];
    assert_eq!(failed(lost_answer_survived, nothing), ["a-call-answered"]);
}

#[test]
fn what_a_later_process_knows_is_told_by_what_it_shows() {
    let first = vec![call("1", 1, 200)];
    let later = |more: Vec<Observed>| {
        let whats = [first.clone(), more].concat();
        let checks = played(remembered, whats, WELL, first.len());
        (those(&checks, CheckStatus::Failure), checks)
    };
    let (_, signed_in_again) = later(vec![Observed::Asked, signed_in(2, "another")]);
    assert_eq!(
        those(&signed_in_again, CheckStatus::Skipped),
        ["grant-remembered"]
    );
    let (unused, _) = later(vec![Observed::Asked, signed_in(2, "c")]);
    assert!(unused.contains(&"grant-remembered"), "{unused:?}");
    let (none, _) = later(vec![Observed::Refresh(refresh(1))]);
    assert!(none.is_empty(), "{none:?}");
}
