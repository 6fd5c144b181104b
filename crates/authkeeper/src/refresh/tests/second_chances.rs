//! What is tried before a person is asked, and what a store that went back in time is told by.

#![expect(clippy::disallowed_methods, reason = "the tests compare tokens")]

use super::*;
use crate::{
    http::Reply,
    model::{AttemptId, FailingOf, Generation, Lineage, ReauthorizeReason},
    refresh::{journal::StoredReply, tests::server::Fault},
};

fn reason(error: &TokenError) -> &str {
    &error.record().unwrap().reason
}

/// An answer that lost a race, with this refresh token.
fn late(bench: &Bench, refresh: &str) -> StoredReply {
    let body = format!(r#"{{"access_token":"late","refresh_token":"{refresh}","expires_in":1}}"#);
    StoredReply {
        reply: Reply {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: body.into(),
        },
        issued: bench.clock.now(),
        after_rejection: false,
    }
}

#[tokio::test]
async fn an_answer_that_lost_a_race_is_tried_before_a_person_is_asked() {
    let (bench, runtime) = Bench::new().await;
    bench.server.lenient();
    let good = bench.server.good().unwrap();
    // The store holds a token that the provider does not take; the one that it takes came too late.
    let held = signed_in("refresh-999", bench.clock.now(), secs(60));
    let grant = runtime.context.store.adopt_sign_in(held).await.unwrap();
    let reply_archive = &runtime.context.reply_archive;
    let at = (grant.lineage, grant.generation);
    let late = (&AttemptId::new("a"), &late(&bench, &good));
    reply_archive.set_aside(&grant.id, at, late).unwrap();
    bench.clock.advance(secs(60));
    let mut issued = ask(&runtime).await;
    for _ in 0..4 {
        bench.clock.advance(secs(60));
        issued = ask(&runtime).await;
    }
    assert!(issued.is_ok(), "{issued:?}");
    assert!(bench.server.good().is_some());
    assert!(
        reply_archive.late(&grant.id, grant.lineage).is_empty(),
        "it was tried once"
    );
}

#[tokio::test]
async fn with_nothing_left_to_try_a_person_is_asked() {
    let (bench, runtime) = Bench::new().await;
    let grant = grant(&runtime).await;
    let same = grant.refresh.as_ref().unwrap().secret.expose().clone();
    let reply_archive = &runtime.context.reply_archive;
    let other_lineage = (Lineage(grant.lineage.0 + 1), Generation(9));
    let late_same = (&AttemptId::new("a"), &late(&bench, &same));
    reply_archive
        .set_aside(&grant.id, (grant.lineage, Generation(2)), late_same)
        .unwrap();
    let late_other = (&AttemptId::new("b"), &late(&bench, "of-another-sign-in"));
    reply_archive
        .set_aside(&grant.id, other_lineage, late_other)
        .unwrap();
    bench.server.kill_family();
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert_eq!(reason(&error), "refresh_refused");
    assert_eq!(bench.server.requests(), 1, "neither of the two could help");
}

fn put_back(store: &std::path::Path, copy: &[u8]) {
    for beside in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(store.with_extension(beside));
    }
    std::fs::write(store, copy).unwrap();
}

#[tokio::test]
async fn a_store_put_back_from_a_copy_goes_on_from_the_last_answer() {
    let (bench, runtime) = Bench::new().await;
    let store = bench.folder.path().join("store.db");
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    drop(runtime);
    let copy = std::fs::read(&store).unwrap();
    let runtime = bench.process();
    for _ in 0..3 {
        bench.clock.advance(secs(3600));
        ask(&runtime).await.unwrap();
    }
    let known = grant(&runtime).await.generation;
    drop(runtime);
    put_back(&store, &copy);
    let runtime = bench.process();
    assert!(grant(&runtime).await.generation < known);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    assert_eq!(
        bench.server.reuses(),
        0,
        "the token that the copy held was spent long ago"
    );
    assert_eq!(grant(&runtime).await.generation, known.next());
}

/// What the forgotten answer lacked is told again: the restored store knows nothing of it.
#[tokio::test]
async fn an_answer_that_brings_a_restored_store_forward_is_checked_and_told() {
    let (bench, runtime) = Bench::new().await;
    let store = bench.folder.path().join("store.db");
    bench.server.script([
        Fault::Also(r#","scope":"read write""#),
        Fault::Also(r#","scope":"read""#),
    ]);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    drop(runtime);
    let copy = std::fs::read(&store).unwrap();
    let runtime = bench.process();
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    assert_eq!(runtime.incidents().await.unwrap().len(), 1);
    drop(runtime);
    put_back(&store, &copy);
    let runtime = bench.process();
    assert!(runtime.incidents().await.unwrap().is_empty());
    after_401(&runtime, 2).await.unwrap();
    let told = runtime.incidents().await.unwrap();
    assert_eq!(told[0].record.reason, "scope_narrowed");
    assert_eq!(bench.server.requests(), 2, "nothing was asked for again");
}

#[tokio::test]
async fn an_account_that_is_enabled_again_comes_back_by_itself() {
    let (bench, runtime) = Bench::new().await;
    bench.server.kill_family();
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_err());
    bench.server.revive(1);
    assert!(
        ask(&runtime).await.is_err(),
        "it is not asked at every call"
    );
    assert_eq!(bench.server.requests(), 1);
    bench.clock.advance(Duration::from_hours(6));
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 2);
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    assert!(runtime.incidents().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_probe_that_is_refused_or_lost_changes_nothing_and_waits_its_turn() {
    let (bench, runtime) = Bench::new().await;
    bench.server.kill_family();
    bench.clock.advance(secs(3600));
    let before = ask(&runtime).await.unwrap_err();
    bench.clock.advance(Duration::from_hours(6));
    bench.server.script([Fault::CutAfterCommit]);
    for requests in [2, 2, 2] {
        let error = ask(&runtime).await.unwrap_err();
        assert_eq!(reason(&error), reason(&before));
        assert_eq!(bench.server.requests(), requests);
    }
    assert!(grant(&runtime).await.claim.is_none());
    bench.clock.advance(Duration::from_hours(6));
    assert!(ask(&runtime).await.is_err());
    assert_eq!(bench.server.requests(), 3);
    let told = runtime.incidents().await.unwrap();
    assert_eq!(told.len(), 1, "no second incident: {told:?}");
}

#[tokio::test]
async fn a_refusal_without_a_reason_is_believed_the_third_time() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::EmptyRefusal; 3]);
    bench.clock.advance(secs(3600));
    for _ in 0..2 {
        let error = ask(&runtime).await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
        bench.clock.advance(secs(600));
    }
    let error = ask(&runtime).await.unwrap_err();
    assert_eq!(
        reason(&error),
        ReauthorizeReason::RefusedWithoutCode.as_str()
    );
}

#[tokio::test]
async fn an_accepted_refresh_forgets_refusals_without_a_reason() {
    let (bench, runtime) = Bench::new().await;
    for _ in 0..3 {
        bench.server.script([Fault::EmptyRefusal; 2]);
        bench.clock.advance(secs(3600));
        for _ in 0..2 {
            assert!(ask(&runtime).await.is_err());
            bench.clock.advance(secs(600));
        }
        assert!(ask(&runtime).await.is_ok());
    }
}

/// Beside an attempt whose answer was lost it was most likely that one which spent the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_without_a_reason_is_believed_at_once_after_a_lost_answer() {
    let (bench, runtime) = Bench::new().await;
    bench
        .server
        .script([Fault::CutBeforeCommit, Fault::EmptyRefusal]);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    assert!(runtime.drain(secs(20)).await);
    bench.clock.advance(secs(10));
    until("a person is asked", async || {
        let _ = ask(&runtime).await;
        grant(&runtime).await.lifecycle != GrantLifecycle::Active
    })
    .await;
    assert_eq!(bench.server.requests(), 2);
}

/// The incident of a lost reply ends with the reply to the resend, also if another process sent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_that_is_answered_ends_what_was_told() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::CutBeforeCommit]);
    after_401(&runtime, 1).await.unwrap_err();
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(runtime.incidents().await.unwrap().len(), 1);
    bench.clock.advance(secs(10));
    until("the resend", async || after_401(&runtime, 1).await.is_ok()).await;
    assert!(runtime.incidents().await.unwrap().is_empty());
    assert_eq!(bench.server.requests(), 2);
}

#[tokio::test]
async fn a_refused_client_rests_for_all_its_grants() {
    let (bench, runtime) = Bench::new().await;
    let mut other = signed_in("other", bench.clock.now(), secs(3600));
    other.connection.name = ConnectionName::parse("other").unwrap();
    runtime.context.store.adopt_sign_in(other).await.unwrap();
    bench.server.script([DELETED]);
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_err());
    let other = TokenRequest::new(ConnectionName::parse("other").unwrap());
    let error = runtime.access_token(&other).await.unwrap_err();
    let TokenError::ClientRefused { refused, .. } = &error else {
        panic!("{error}")
    };
    let said = (refused.code.as_str(), refused.description.as_deref());
    assert_eq!(said, ("invalid_client", Some("client is deleted")));
    assert_eq!(
        bench.server.requests(),
        1,
        "no other refresh token is shown"
    );
    let lines = runtime.decisions();
    let held: Vec<_> = lines
        .iter()
        .filter(|line| line.decision == "hold_back")
        .map(|line| (line.connection.as_str(), line.outcome.as_deref()))
        .collect();
    assert_eq!(held, [("other", Some("client_refused"))]);
    bench.clock.advance(secs(600));
    assert!(ask(&runtime).await.is_ok(), "and later it is tried again");
}

/// The connections with an open incident of this reason.
async fn told(runtime: &Runtime, reason: &str) -> Vec<String> {
    let open = runtime.incidents().await.unwrap().into_iter();
    let open = open.filter(|incident| incident.record.reason == reason);
    let mut names: Vec<_> = open.map(|incident| incident.record.connection).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_refused_client_is_told_for_each_connection_that_uses_it_and_is_over_for_all() {
    let (bench, runtime) = Bench::new().await;
    let named = |text: &str| ConnectionName::parse(text).unwrap();
    let adopt = async |name: &str, client: &str| {
        let mut other = signed_in(name, bench.clock.now(), secs(3600));
        other.connection.name = named(name);
        other.connection.client_id = ClientId::new(client);
        other.client.as_mut().unwrap().1.client_id = ClientId::new(client);
        runtime.context.store.adopt_sign_in(other).await.unwrap();
    };
    adopt("other", "client").await;
    adopt("stranger", "another-client").await;
    bench.server.script([DELETED, DELETED]);
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_err());
    assert_eq!(told(&runtime, "client_refused").await, ["c", "other"]);
    let status = runtime.status(&named("other")).await.unwrap();
    let record = &status.incidents[0].record;
    assert!(record.detail.contains("client is deleted"), "{record:?}");
    assert!(
        record.action.ends_with("authkeeper reauthorize other"),
        "{record:?}"
    );
    // Refused again: told once.
    bench.clock.advance(secs(600));
    assert!(ask(&runtime).await.is_err());
    assert_eq!(told(&runtime, "client_refused").await, ["c", "other"]);
    // The provider takes the client of one: it takes that of the other.
    bench.clock.advance(secs(600));
    assert!(ask(&runtime).await.is_ok());
    assert!(told(&runtime, "client_refused").await.is_empty());
    let (issuer, id) = (Issuer::new(ISSUER), ClientId::new("client"));
    let store = &runtime.context.store;
    let client = store.registration(&issuer, &id).await.unwrap().unwrap();
    assert_eq!(client.refused, None);
    let kept = FailingOf::Refusals(issuer, id);
    assert_eq!(store.failing(&kept).await.unwrap(), None);
}

const DELETED: Fault = Fault::Says(
    401,
    r#"{"error":"invalid_client","error_description":"client is deleted"}"#,
);

#[tokio::test]
async fn a_copied_store_serves_what_lives_and_spends_nothing_until_it_is_adopted() {
    let (bench, runtime) = Bench::new().await;
    let store = bench.folder.path().join("store.db");
    drop(runtime);
    // A new file with the same content, as a restored backup or a cloned machine has it.
    let copy = store.with_extension("copy");
    std::fs::copy(&store, &copy).unwrap();
    std::fs::rename(&copy, &store).unwrap();
    let runtime = bench.process();
    assert!(runtime.store_is_copy());
    assert!(ask(&runtime).await.is_ok(), "the living token is served");
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    let copied = matches!(&error, TokenError::Store(error) if matches!(**error, crate::store::StoreError::Copied { .. }));
    assert!(copied, "{error}");
    assert_eq!((bench.server.requests(), bench.journals().len()), (0, 0));
    runtime.settle_here().await.unwrap();
    bench.clock.advance(secs(600));
    assert!(ask(&runtime).await.is_ok());
    assert!(!bench.process().store_is_copy());
}
