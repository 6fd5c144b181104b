//! Each check can fail, and says what was seen.

use std::time::Duration;

use http::Method;

use super::{
    check::{Check, Status},
    evidence::{Evidence, Grant, Mcp, Outcome, Refresh, Seen, Token},
    *,
};
use crate::{clock::Stamp, revision::Revision};

const RESOURCE: &str = "http://127.0.0.1:1/mcp";

fn words(text: &str) -> Vec<String> {
    crate::wire::words(text)
}

fn signed_in(number: u32, client: &str) -> What {
    What::SignedIn {
        grant: Grant {
            number,
            client: client.into(),
        },
        scope: words("read write"),
    }
}

fn refresh(generation: u32) -> Refresh {
    Refresh {
        grant: Some(1),
        generation,
        replayed: false,
        needed: true,
        scope: None,
        resource: Some(RESOURCE.into()),
        outcome: Outcome::Renewed {
            scope: words("read write"),
        },
    }
}

fn request(method: &str, id: &str, number: u32, status: u16) -> Mcp {
    Mcp {
        http: Method::POST,
        method: Some(method.into()),
        id: Some(id.into()),
        token: Some(Token { grant: 1, number }),
        status,
        executed: method == "tools/call" && status == 200,
    }
}

fn call(id: &str, number: u32, status: u16) -> What {
    What::Mcp(request("tools/call", id, number, status))
}

fn stream(number: u32, last_event_id: Option<&str>) -> What {
    What::StreamOpened {
        token: Some(Token { grant: 1, number }),
        last_event_id: last_event_id.map(str::to_owned),
    }
}

fn delete(status: u16) -> What {
    What::Mcp(Mcp {
        http: Method::DELETE,
        method: None,
        ..request("", "", 1, status)
    })
}

type Judge = fn(&Case<'_>) -> Vec<Check>;
const WELL: ClientEnd = ClientEnd::Exited(Some(0));
const BADLY: ClientEnd = ClientEnd::Exited(Some(1));

/// How each check came out, for a client that signed in first; the second run begins where a person signs in again or
/// `again` says so.
fn played(judge: Judge, whats: Vec<What>, end: ClientEnd, again: usize) -> Vec<Check> {
    let mut evidence = Evidence::default();
    let all = [What::Asked, signed_in(1, "c")].into_iter().chain(whats);
    for (index, what) in all.enumerate() {
        let at = Stamp::default().plus(Duration::from_secs(index as u64));
        let run = usize::from(index >= again + 2);
        evidence.add(Seen { at, run, what });
    }
    let case = Case {
        evidence: &evidence,
        ends: &[end],
        calls: 1,
        revision: Revision::Handshake,
        resource: RESOURCE.into(),
        now: Stamp::default(),
    };
    judged(judge, &case)
}

const ONE_RUN: usize = usize::MAX - 2;

fn those(checks: &[Check], status: Status) -> Vec<&'static str> {
    let such = checks.iter().filter(|check| check.status == status);
    such.map(|check| check.id).collect()
}

/// What fails for a client that did this.
fn failed(judge: Judge, whats: Vec<What>) -> Vec<&'static str> {
    those(&played(judge, whats, WELL, ONE_RUN), Status::Failure)
}

fn good() -> Vec<What> {
    vec![
        call("1", 1, 401),
        What::Refresh(refresh(1)),
        call("1", 2, 200),
    ]
}

/// The good way, with one refresh that is different.
fn with(refresh: Refresh) -> Vec<What> {
    let mut whats = good();
    whats.insert(2, What::Refresh(refresh));
    whats
}

#[test]
fn who_goes_on_as_if_nothing_had_happened_fails_nothing() {
    let checks = played(carried_on, good(), WELL, ONE_RUN);
    assert!(those(&checks, Status::Failure).is_empty(), "{checks:#?}");
    assert!(those(&checks, Status::Warning).is_empty());
    assert_eq!(those(&checks, Status::Skipped), ["registered-for-refresh"]);
}

#[test]
fn what_nearly_every_scenario_asks_can_fail() {
    let one = |bad: Vec<What>, id| assert_eq!(failed(carried_on, bad), [id]);
    one(vec![call("1", 1, 200)], "refreshed");
    one([good(), vec![What::Asked]].concat(), "no-second-sign-in");
    one([good(), vec![call("2", 2, 401)]].concat(), "calls-answered");
    one([good(), vec![call("2", 2, 200)]].concat(), "executed-once");
    let replayed = Refresh {
        replayed: true,
        outcome: Outcome::Refused,
        ..refresh(1)
    };
    one(with(replayed), "refresh-token-spent-once");
    let unknown = Refresh {
        grant: None,
        ..refresh(0)
    };
    one(with(unknown), "refresh-token-spent-once");
    let elsewhere = Refresh {
        resource: None,
        ..refresh(2)
    };
    one(with(elsewhere), "refresh-names-the-resource");
    let ends = [BADLY, ClientEnd::TimedOut, ClientEnd::Exited(None)];
    for end in ends {
        let checks = played(carried_on, good(), end, ONE_RUN);
        assert_eq!(those(&checks, Status::Failure), ["client-ended-well"]);
    }
}

#[test]
fn what_is_only_recommended_is_warned_of() {
    let needless = Refresh {
        needed: false,
        ..refresh(2)
    };
    let whats = [
        vec![What::Registered { may_refresh: false }],
        with(needless),
    ];
    let checks = played(carried_on, whats.concat(), WELL, ONE_RUN);
    let warned = those(&checks, Status::Warning);
    assert_eq!(warned, ["no-needless-refresh", "registered-for-refresh"]);
    for id in [None, Some("0-7")] {
        let streams = [vec![stream(1, None), stream(2, id)], good()].concat();
        let checks = played(stream_reopened, streams, WELL, ONE_RUN);
        assert_eq!(those(&checks, Status::Warning), ["stream-resumed"]);
    }
}

#[test]
fn without_a_sign_in_nothing_else_is_judged() {
    let case = Case {
        evidence: &Evidence::default(),
        ends: &[WELL],
        calls: 1,
        revision: Revision::Stateless,
        resource: RESOURCE.into(),
        now: Stamp::default(),
    };
    let checks = judged(carried_on, &case);
    assert_eq!(those(&checks, Status::Failure), [SIGNED_IN]);
    assert_eq!(checks.len(), 1);
}

#[test]
fn sessions_streams_and_answers_are_looked_at() {
    let open = || What::Mcp(request("initialize", "0", 1, 200));
    let again = [vec![open(), open()], good()].concat();
    assert_eq!(failed(session_kept, again), ["session-kept"]);
    let same = [vec![stream(1, None), stream(1, Some("1-0"))], good()].concat();
    assert_eq!(failed(stream_reopened, same), ["stream-reopened"]);
    let none = played(stream_reopened, good(), WELL, ONE_RUN);
    assert_eq!(those(&none, Status::Success), [SIGNED_IN]);
    let cut = vec![What::AnswerEnded { whole: false }, call("1", 1, 200)];
    assert_eq!(failed(long_answer, cut), ["answer-read-to-its-end"]);
    let whole = vec![What::AnswerEnded { whole: true }, call("1", 1, 200)];
    assert!(failed(long_answer, whole).is_empty());
    let over_and_over = [good(), vec![delete(401); 4]].concat();
    let wanted = ["session-ended-or-given-up"];
    assert_eq!(failed(session_ended, over_and_over), wanted);
    let given_up = [good(), vec![delete(401)]].concat();
    assert!(failed(session_ended, given_up).is_empty());
}

#[test]
fn one_expiry_and_two_refreshes_for_it_are_told_apart_from_two_expiries() {
    let calls = |second: Refresh| {
        let one = vec![call("1", 1, 401), call("2", 1, 401)];
        let more = vec![What::Refresh(refresh(1)), What::Refresh(second)];
        [one, more, vec![call("1", 2, 200), call("2", 3, 200)]].concat()
    };
    let needless = Refresh {
        needed: false,
        ..refresh(2)
    };
    let two = failed(one_refresh, calls(needless));
    assert!(two.contains(&"one-refresh-for-all"), "{two:?}");
    let later = failed(one_refresh, calls(refresh(2)));
    assert!(!later.contains(&"one-refresh-for-all"), "{later:?}");
    let alone = played(one_refresh, good(), WELL, ONE_RUN);
    assert_eq!(those(&alone, Status::Skipped), ["one-refresh-for-all"]);
}

#[test]
fn rotation_and_scope_are_followed() {
    assert_eq!(
        failed(rotation_followed, good()),
        ["rotated-token-used-next"]
    );
    let narrower = Refresh {
        outcome: Outcome::Renewed {
            scope: words("read"),
        },
        ..refresh(2)
    };
    assert_eq!(failed(scope_kept, with(narrower)), ["scope-kept"]);
    let wider = Refresh {
        scope: Some(words("read write admin")),
        ..refresh(2)
    };
    assert_eq!(failed(scope_kept, with(wider)), ["scope-not-widened"]);
}

#[test]
fn who_does_not_stop_is_noticed() {
    let struck = |more: Vec<What>| [vec![What::Struck], more].concat();
    let dead = || {
        What::Refresh(Refresh {
            outcome: Outcome::Refused,
            ..refresh(1)
        })
    };
    let one = |judge: Judge, whats, end| {
        let checks = played(judge, whats, end, ONE_RUN);
        those(&checks, Status::Failure)
    };
    let stops = struck(vec![call("1", 1, 401), dead(), What::Asked]);
    assert!(one(stopped, stops.clone(), BADLY).is_empty());
    assert_eq!(one(stopped, stops.clone(), WELL), ["failure-reported"]);
    let hangs = one(stopped, stops.clone(), ClientEnd::TimedOut);
    assert_eq!(hangs, ["failure-reported"]);
    let twice = [stops.clone(), vec![dead()]].concat();
    assert_eq!(one(stopped, twice, BADLY), ["refused-refresh-not-repeated"]);
    let asks = [stops.clone(), vec![What::Asked]].concat();
    assert_eq!(one(stopped, asks, BADLY), ["sign-in-asked-at-most-once"]);
    let round = [stops, vec![call("1", 1, 401); 8]].concat();
    assert_eq!(one(stopped, round.clone(), BADLY), ["no-loop"]);
    let refreshing = [round, vec![What::Refresh(refresh(2)); 3]].concat();
    let found = one(no_endless_refresh, refreshing, BADLY);
    assert_eq!(found, ["refreshes-bounded", "no-loop"]);
}

#[test]
fn a_refresh_that_failed_has_to_be_made_again_and_not_too_often() {
    let with_outcome = |outcome: Outcome| {
        What::Refresh(Refresh {
            outcome,
            ..refresh(1)
        })
    };
    let faulty = vec![with_outcome(Outcome::Faulty), call("1", 1, 200)];
    assert_eq!(failed(blip_survived, faulty), ["refresh-retried"]);
    let lost = || with_outcome(Outcome::Lost);
    let gives_up = vec![lost(), call("1", 1, 200)];
    assert_eq!(failed(lost_answer_survived, gives_up), ["refresh-resent"]);
    let storm = [vec![lost(); 4], good()].concat();
    assert_eq!(failed(lost_answer_survived, storm), ["no-storm"]);
    let nothing = vec![lost(), What::Refresh(refresh(1))];
    assert_eq!(failed(lost_answer_survived, nothing), ["a-call-answered"]);
}

#[test]
fn what_a_later_process_knows_is_told_by_what_it_shows() {
    let first = vec![call("1", 1, 200)];
    let later = |more: Vec<What>| {
        let whats = [first.clone(), more].concat();
        let checks = played(remembered, whats, WELL, first.len());
        (those(&checks, Status::Failure), checks)
    };
    let (_, anew) = later(vec![What::Asked, signed_in(2, "another")]);
    assert_eq!(those(&anew, Status::Skipped), ["grant-remembered"]);
    let (unused, _) = later(vec![What::Asked, signed_in(2, "c")]);
    assert!(unused.contains(&"grant-remembered"), "{unused:?}");
    let (none, _) = later(vec![What::Refresh(refresh(1))]);
    assert!(none.is_empty(), "{none:?}");
}
