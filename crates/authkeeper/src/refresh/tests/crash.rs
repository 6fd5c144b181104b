//! What a dead process left behind: its claim, its journal, its answer.

use http::{HeaderMap, StatusCode};

use super::*;
use crate::{
    http::{Reach, Reply},
    model::{
        AttemptId, Claim, ClaimPhase, ConnectionState, OwnerId, ProviderHabits, ReauthorizeReason,
        ReplayRule, UnknownKind,
    },
    refresh::{decide::JournalState, journal::StoredReply},
    store::Spend,
};

const ATTEMPT: &str = "dead-attempt";

/// As a process leaves it that dies in a refresh of the current generation.
async fn leave_claim(bench: &Bench, runtime: &Runtime, owner: &str) {
    leave_attempt(bench, runtime, owner, 1).await;
}

async fn leave_attempt(bench: &Bench, runtime: &Runtime, owner: &str, number: u32) {
    let (spend, claim) = left(bench, runtime, owner, number).await;
    assert!(runtime.context.store.claim(&spend, &claim).await.unwrap());
}

pub(super) async fn left(
    bench: &Bench,
    runtime: &Runtime,
    owner: &str,
    number: u32,
) -> (Spend, Claim) {
    let grant = grant(runtime).await;
    let spend = Spend {
        grant: grant.id,
        lineage: grant.lineage,
        generation: grant.generation,
    };
    let claim = Claim {
        attempt: AttemptId::new(ATTEMPT),
        number,
        owner: OwnerId::new(owner),
        since: bench.clock.now(),
        phase: ClaimPhase::Spending,
    };
    (spend, claim)
}

async fn leave_journal(bench: &Bench, runtime: &Runtime) -> Journal {
    let (spend, claim) = left(bench, runtime, "dead", 1).await;
    Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap()
}

async fn leave_reply(bench: &Bench, runtime: &Runtime, status: u16, body: String) {
    let journal = leave_journal(bench, runtime).await;
    keep_reply(&journal, bench, runtime, (status, body));
}

pub(super) fn keep_reply(
    journal: &Journal,
    bench: &Bench,
    runtime: &Runtime,
    (status, body): (u16, String),
) {
    journal.mark_sending().unwrap();
    let stored = stored(bench, (status, body));
    journal
        .keep_reply(&runtime.context.sealer, &stored)
        .unwrap();
}

pub(super) fn stored(bench: &Bench, (status, body): (u16, String)) -> StoredReply {
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.into(),
    };
    StoredReply {
        reply,
        issued: bench.clock.now(),
        after_rejection: false,
    }
}

/// An answer that the server knows of.
pub(super) fn good_answer(bench: &Bench) -> String {
    let newer = bench.server.sign_in();
    format!(r#"{{"access_token":"adopted","refresh_token":"{newer}","expires_in":3600}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_sent_nothing_is_given_back() {
    let (bench, runtime) = Bench::new().await;
    leave_claim(&bench, &runtime, "dead").await;
    drop(leave_journal(&bench, &runtime).await);
    bench.clock.advance(secs(3600));
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    assert_eq!(bench.server.requests(), 1);
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_that_never_left_leaves_the_outcome_as_unknown_as_it_was() {
    let (bench, runtime) = Bench::new().await;
    leave_attempt(&bench, &runtime, "dead", 2).await;
    let _intent = leave_journal(&bench, &runtime).await;
    assert!(ask(&runtime).await.is_ok());
    assert!(runtime.drain(secs(20)).await);
    let claim = status(&runtime).await.claim.unwrap();
    assert!(
        matches!(claim.phase, ClaimPhase::Unknown { .. }),
        "{claim:?}"
    );
    assert_eq!(claim.number, 2, "the first one is not forgotten");
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_may_have_left_is_asked_again_after_the_quiet_period() {
    let (bench, runtime) = Bench::new().await;
    leave_claim(&bench, &runtime, "dead").await;
    leave_journal(&bench, &runtime)
        .await
        .mark_sending()
        .unwrap();
    assert!(ask(&runtime).await.is_ok());
    assert!(runtime.drain(secs(20)).await);
    let now = status(&runtime).await;
    let phase = now.claim.clone().map(|claim| claim.phase);
    assert!(
        matches!(
            phase,
            Some(ClaimPhase::Unknown {
                kind: UnknownKind::Crash,
                ..
            })
        ),
        "{phase:?}"
    );
    assert_eq!(now.incidents.len(), 1);
    assert_eq!(
        bench.server.requests(),
        0,
        "it may still be queued at the provider"
    );
    bench.clock.advance(secs(80));
    assert!(ask(&runtime).await.is_ok());
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(bench.server.requests(), 0);
    bench.clock.advance(secs(12));
    until("the resend", async || {
        let _ = ask(&runtime).await;
        grant(&runtime).await.generation == Generation(2)
    })
    .await;
    assert_eq!(bench.server.requests(), 1);
    assert_in_step(&bench, &runtime).await;
    assert!(status(&runtime).await.incidents.is_empty());
    assert_eq!(
        bench.journals(),
        Vec::<String>::new(),
        "the dead attempt's journal too"
    );
}

/// A process died while it refreshed, and the access token still serves.
async fn crashed(rule: ReplayRule) -> (Bench, Runtime) {
    let (mut bench, _) = Bench::new().await;
    let habits = ProviderHabits::new(rule, None);
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let runtime = bench.process();
    leave_claim(&bench, &runtime, "dead").await;
    leave_journal(&bench, &runtime)
        .await
        .mark_sending()
        .unwrap();
    (bench, runtime)
}

/// The same after the access token has ended.
async fn crashed_without_a_token(rule: ReplayRule) -> (Bench, Runtime) {
    let (bench, runtime) = crashed(rule).await;
    bench.clock.advance(secs(3600));
    (bench, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_replay_harms_nothing_a_crash_costs_two_seconds() {
    for rule in [
        ReplayRule::Harmless,
        ReplayRule::Grace(secs(60)),
        ReplayRule::TwoGenerations,
        ReplayRule::Refused,
    ] {
        let (bench, runtime) = crashed_without_a_token(rule).await;
        let stopped = bench.clock.stop();
        let error = ask(&runtime).await.unwrap_err();
        let TokenError::Uncertain { retry_after, .. } = error else {
            panic!("{rule}: {error:?}")
        };
        assert!(retry_after <= secs(2), "{rule}: {retry_after:?}");
        assert_eq!(bench.server.requests(), 0, "{rule}");
        drop(stopped);
        bench.clock.advance(secs(2));
        assert_eq!(
            ask(&runtime).await.unwrap().generation,
            Generation(2),
            "{rule}"
        );
        assert_eq!(bench.server.requests(), 1, "{rule}");
        assert_in_step(&bench, &runtime).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_replay_may_harm_a_crash_costs_the_quiet_period() {
    for rule in [ReplayRule::Strict, ReplayRule::Unknown] {
        let (bench, runtime) = crashed_without_a_token(rule).await;
        for waited in [0, 2, 80] {
            bench.clock.advance(secs(waited));
            ask(&runtime).await.unwrap_err();
            assert!(runtime.drain(secs(20)).await);
            assert_eq!(bench.server.requests(), 0, "{rule}");
        }
        bench.clock.advance(secs(10));
        assert!(ask(&runtime).await.is_ok(), "{rule}");
        assert_eq!(bench.server.requests(), 1, "{rule}");
    }
}

/// The provider had acted before the sender died: its successor is lost, and that is known at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_replay_is_only_refused_a_person_is_asked_while_the_token_lives() {
    let (bench, runtime) = crashed(ReplayRule::Refused).await;
    bench.server.kill_family();
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    bench.clock.advance(secs(2));
    until("the refusal", async || {
        let _ = ask(&runtime).await;
        status(&runtime).await.state != ConnectionState::Active
    })
    .await;
    let now = status(&runtime).await;
    assert!(!now.left.is_zero(), "the access token serves on");
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 1);
    let reason = match now.state {
        ConnectionState::ReauthorizationRequired { reason, .. } => reason,
        state => panic!("{state:?}"),
    };
    assert_eq!(reason, ReauthorizeReason::UnknownOutcome);
    let observed = runtime.context.store.observed(None).await.unwrap();
    assert!(observed.is_empty(), "the rule was right: {observed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_left_in_a_journal_is_adopted() {
    let (bench, runtime) = Bench::new().await;
    leave_claim(&bench, &runtime, "dead").await;
    let body = good_answer(&bench);
    leave_reply(&bench, &runtime, 200, body).await;
    bench.clock.advance(secs(3600));
    let _ = ask(&runtime).await;
    assert_in_step(&bench, &runtime).await;
    assert_eq!(
        grant(&runtime).await.generation.0 - 2,
        u64::from(bench.server.requests())
    );
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_larger_than_any_is_kept_whole() {
    let (bench, runtime) = Bench::new().await;
    let newer = bench.server.sign_in();
    let padding = "p".repeat(crate::http::REPLY_LIMIT - 200);
    let body = format!(
        r#"{{"access_token":"adopted","refresh_token":"{newer}","expires_in":3600,"x":"{padding}"}}"#
    );
    leave_claim(&bench, &runtime, "dead").await;
    leave_reply(&bench, &runtime, 200, body).await;
    let journal = open_journal(&bench, &runtime, ATTEMPT).await.unwrap();
    assert_eq!(journal.state(&runtime.context.sealer), JournalState::Reply);
    after_401(&runtime, 1).await.unwrap();
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_does_not_go_in_circles() {
    for (code, body) in [
        (500, "oops"),
        (503, r#"{"error":"slow_down"}"#),
        (200, "<html>"),
    ] {
        let (bench, runtime) = Bench::new().await;
        leave_claim(&bench, &runtime, "dead").await;
        leave_reply(&bench, &runtime, code, body.to_owned()).await;
        bench.clock.advance(secs(3600));
        ask(&runtime).await.unwrap_err();
        assert!(runtime.drain(secs(20)).await);
        assert_eq!(bench.server.requests(), 0, "{code} {body}");
        until("a resend or a first try", async || {
            bench.clock.advance(secs(5));
            ask(&runtime).await.is_ok()
        })
        .await;
        assert_eq!(bench.server.requests(), 1);
        assert_in_step(&bench, &runtime).await;
        assert_eq!(bench.journals(), Vec::<String>::new());
    }
}

/// The reply to a resend: a process that finds it must not act on it again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_in_a_dead_resends_journal_does_not_go_in_circles() {
    let (bench, runtime) = kinds::with(kinds::secrets).await;
    bench.server.secret("new");
    leave_attempt(&bench, &runtime, "dead", 2).await;
    let refused = r#"{"error":"invalid_client"}"#;
    leave_reply(&bench, &runtime, 401, refused.to_owned()).await;
    bench.clock.advance(secs(3600));
    let _ = ask(&runtime).await;
    assert!(runtime.drain(secs(20)).await, "it goes in circles");
    until("a resend", async || {
        bench.clock.advance(secs(5));
        ask(&runtime).await.is_ok()
    })
    .await;
    assert_eq!((bench.server.requests(), bench.server.reuses()), (1, 0));
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_process_that_cannot_commit_does_not_keep_its_answer_from_the_others() {
    let (bench, one) = Bench::new().await;
    let two = bench.process();
    let owner = two.context.liveness.mine(&two.context.seams).unwrap();
    leave_claim(&bench, &one, owner.as_str()).await;
    let body = good_answer(&bench);
    leave_reply(&bench, &one, 200, body).await;
    bench.clock.advance(secs(60));
    assert_eq!(text(&after_401(&one, 1).await.unwrap()), "adopted");
    assert_in_step(&bench, &one).await;
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_process_that_never_ends_is_waited_for_within_bounds() {
    let (bench, one) = Bench::new().await;
    let two = bench.process();
    let owner = two.context.liveness.mine(&two.context.seams).unwrap();
    leave_claim(&bench, &one, owner.as_str()).await;
    leave_journal(&bench, &one).await.mark_sending().unwrap();
    let asked = {
        let one = one.clone();
        crate::platform::tasks::spawn(async move { after_401(&one, 1).await })
    };
    until("the wait's end", async || {
        bench.clock.advance(secs(10));
        asked.is_finished()
    })
    .await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert_eq!(
        bench.server.requests(),
        0,
        "never a second spender beside a living one"
    );
    drop(two);
    bench.clock.advance(secs(600));
    // Its death is proved by its lock; however old its claim is, it may have sent a moment ago.
    let error = after_401(&one, 1).await.unwrap_err();
    assert!(matches!(error, TokenError::Uncertain { .. }), "{error:?}");
    assert_eq!(bench.server.requests(), 0);
    bench.clock.advance(secs(90));
    assert_eq!(after_401(&one, 1).await.unwrap().generation, Generation(2));
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uncertainty_whose_teller_died_is_told_all_the_same() {
    let (bench, runtime) = Bench::new().await;
    lose(&bench, &runtime).await;
    assert_eq!(status(&runtime).await.incidents.len(), 1);
}

/// An answer that did not come while the token lives.
pub(super) async fn lose(bench: &Bench, runtime: &Runtime) {
    leave_claim(bench, runtime, "dead").await;
    let id = grant(runtime).await.id;
    let (kind, now) = (UnknownKind::Silence, bench.clock.now());
    let attempt = AttemptId::new(ATTEMPT);
    let marked = runtime.context.store.mark_unknown(&id, &attempt, kind, now);
    assert!(marked.await.unwrap());
    assert!(ask(runtime).await.is_ok());
    assert!(runtime.drain(secs(20)).await);
}
