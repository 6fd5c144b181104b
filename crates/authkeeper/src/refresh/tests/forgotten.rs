//! A store that was put back from a copy: it knows nothing of the claims that were made since, and their journals do.

use super::{
    crash::{good_answer, keep_reply, left, stored},
    *,
};
use crate::{
    http::Reach,
    model::{AttemptId, Claim, ClaimPhase, UnknownKind},
    refresh::{OnBehalfOf, orphaned_journals},
};

/// The journal of an attempt at the current generation of which the store knows nothing.
async fn leave(bench: &Bench, runtime: &Runtime, owner: &str) -> Journal {
    let (spend, claim) = left(bench, runtime, owner, 1).await;
    Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_a_journal_is_taken_though_no_claim_names_it() {
    let (bench, runtime) = Bench::new().await;
    let body = good_answer(&bench);
    let journal = leave(&bench, &runtime, "dead").await;
    keep_reply(&journal, &bench, &runtime, (200, body));
    assert_eq!(text(&after_401(&runtime, 1).await.unwrap()), "adopted");
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.server.requests(), 0);
    assert_eq!(bench.journals(), Vec::<String>::new());
}

/// No store was put back: its owner settled it, gave its claim back and exited while its journal was read here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_given_back_meanwhile_is_not_put_back() {
    let (bench, runtime) = Bench::new().await;
    let journal = leave(&bench, &runtime, "gone").await;
    journal.mark_sending().unwrap();
    let held = grant(&runtime).await;
    let found = orphaned_journals::of(&runtime.context, &held);
    journal.settle();
    journal.remove();
    let on_behalf_of = OnBehalfOf::of(&status(&runtime).await.connection);
    let put_back = orphaned_journals::claim_back(&runtime.context, &on_behalf_of, &held, found);
    assert!(!put_back.await.unwrap());
    assert_eq!(grant(&runtime).await.claim, None);
}

/// The store was put back to a moment at which an answer was lost, and has forgotten who asked again since.
async fn lost_before(bench: &Bench, runtime: &Runtime) -> Journal {
    let (spend, mut later) = left(bench, runtime, "dead", 2).await;
    let lost = Claim {
        attempt: AttemptId::new("lost"),
        number: 1,
        ..later.clone()
    };
    let store = &runtime.context.store;
    assert!(store.claim(&spend, &lost).await.unwrap());
    let (kind, now) = (UnknownKind::Reset, bench.clock.now());
    let marked = store.mark_unknown(&spend.grant, &lost.attempt, kind, now);
    assert!(marked.await.unwrap());
    later.attempt = AttemptId::new("later");
    let journal = Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &later),
        Reach::Anywhere,
    )
    .unwrap();
    journal.mark_sending().unwrap();
    bench.clock.advance(secs(600));
    journal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_later_attempt_than_the_lost_one_is_taken() {
    let (bench, runtime) = Bench::new().await;
    let body = good_answer(&bench);
    let journal = lost_before(&bench, &runtime).await;
    keep_reply(&journal, &bench, &runtime, (200, body));
    assert_eq!(text(&after_401(&runtime, 1).await.unwrap()), "adopted");
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.server.requests(), 0);
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_attempt_than_the_lost_one_has_a_quiet_period_of_its_own() {
    let (bench, runtime) = Bench::new().await;
    lost_before(&bench, &runtime).await;
    let error = after_401(&runtime, 1).await.unwrap_err();
    assert!(matches!(error, TokenError::Uncertain { .. }), "{error:?}");
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(bench.server.requests(), 0, "it may still be queued");
    let held = status(&runtime).await.claim.unwrap();
    assert_eq!(held.attempt.as_str(), "later", "the later one takes over");
    bench.clock.advance(secs(91));
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    assert_in_step(&bench, &runtime).await;
}

/// An answer that another one outran is a candidate, should the one in use fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_an_earlier_generation_is_set_aside() {
    let (bench, runtime) = Bench::new().await;
    let (spend, claim) = left(&bench, &runtime, "dead", 1).await;
    after_401(&runtime, 1).await.unwrap();
    let folder = bench.folder_of_journals();
    let journal = Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap();
    let body = r#"{"access_token":"late","refresh_token":"late","expires_in":60}"#;
    keep_reply(&journal, &bench, &runtime, (200, body.to_owned()));
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    assert_eq!(bench.journals(), Vec::<String>::new());
    let late = runtime
        .context
        .reply_archive
        .late(&spend.grant, spend.lineage);
    assert_eq!(late.len(), 1);
}

/// What an earlier attempt left takes nothing over from a later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_attempt_than_the_lost_one_is_history() {
    let (bench, runtime) = Bench::new().await;
    leave(&bench, &runtime, "dead")
        .await
        .mark_sending()
        .unwrap();
    let (spend, mut lost) = left(&bench, &runtime, "gone", 2).await;
    lost.attempt = AttemptId::new("lost");
    let store = &runtime.context.store;
    assert!(store.claim(&spend, &lost).await.unwrap());
    let (kind, now) = (UnknownKind::Reset, bench.clock.now());
    let marked = store.mark_unknown(&spend.grant, &lost.attempt, kind, now);
    assert!(marked.await.unwrap());
    after_401(&runtime, 1).await.unwrap_err();
    assert!(runtime.drain(secs(20)).await);
    let held = status(&runtime).await.claim.unwrap();
    assert_eq!((held.attempt.as_str(), held.number), ("lost", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_a_later_generation_brings_the_store_forward() {
    let (bench, runtime) = Bench::new().await;
    let body = good_answer(&bench);
    let (mut spend, claim) = left(&bench, &runtime, "dead", 1).await;
    spend.generation = Generation(4);
    let journal = Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    keep_reply(&journal, &bench, &runtime, (200, body));
    let token = after_401(&runtime, 1).await.unwrap();
    assert_eq!(
        (text(&token), token.generation),
        ("adopted".to_owned(), Generation(5))
    );
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_dead_process_sent_is_not_sent_again_at_once() {
    let (bench, runtime) = Bench::new().await;
    leave(&bench, &runtime, "dead")
        .await
        .mark_sending()
        .unwrap();
    let error = after_401(&runtime, 1).await.unwrap_err();
    assert!(matches!(error, TokenError::Uncertain { .. }), "{error:?}");
    assert!(runtime.drain(secs(20)).await);
    let phase = status(&runtime).await.claim.unwrap().phase;
    let crash = UnknownKind::Crash;
    assert!(
        matches!(phase, ClaimPhase::Unknown { kind, .. } if kind == crash),
        "{phase:?}"
    );
    assert_eq!(bench.server.requests(), 0, "it may still be queued");
    bench.clock.advance(secs(91));
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_process_that_is_sending_the_token_is_waited_for() {
    let (bench, one) = Bench::new().await;
    let two = bench.process();
    let owner = two.context.liveness.mine(&two.context.seams).unwrap();
    let journal = leave(&bench, &one, owner.as_str()).await;
    journal.mark_sending().unwrap();
    let asked = {
        let one = one.clone();
        crate::platform::tasks::spawn(async move { after_401(&one, 1).await })
    };
    until("the claim is back", async || {
        grant(&one).await.claim.is_some()
    })
    .await;
    assert_eq!(bench.server.requests(), 0);
    // It has committed in the store that was taken away, and kept the answer beside it.
    let stored = stored(&bench, (200, good_answer(&bench)));
    let id = grant(&one).await.id;
    two.context
        .reply_archive
        .keep(&id, (Lineage(1), Generation(2)), &stored);
    journal.remove();
    assert_eq!(text(&asked.await.unwrap().unwrap()), "adopted");
    assert_in_step(&bench, &one).await;
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_or_was_never_sent_is_cleared_away() {
    let (bench, runtime) = Bench::new().await;
    let settled = leave(&bench, &runtime, "dead").await;
    settled.mark_sending().unwrap();
    settled.settle();
    let (mut spend, mut claim) = left(&bench, &runtime, "dead", 1).await;
    claim.attempt = AttemptId::new("never-sent");
    Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    claim.attempt = AttemptId::new("of-an-earlier-sign-in");
    spend.lineage = Lineage(0);
    Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    assert_eq!(bench.journals().len(), 3);
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    assert_eq!(bench.server.requests(), 1);
    assert_eq!(bench.journals(), Vec::<String>::new());
}

/// The other one claims in a store that was taken away, and says that it sends after this one has looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_send_the_same_token_see_each_other() {
    let (bench, runtime) = Bench::new().await;
    let (spend, mut claim) = left(&bench, &runtime, "dead", 1).await;
    let now = grant(&runtime).await;
    let context = &runtime.context;
    let mine = Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    mine.mark_sending().unwrap();
    assert!(
        !orphaned_journals::contest(context, &now, &claim),
        "its own"
    );
    claim.attempt = AttemptId::new("other");
    let other = Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    claim.attempt = AttemptId::new("mine");
    mine.remove();
    assert!(
        !orphaned_journals::contest(context, &now, &claim),
        "not sent yet"
    );
    other.mark_sending().unwrap();
    assert!(orphaned_journals::contest(context, &now, &claim));
    other.remove();
    assert!(!orphaned_journals::contest(context, &now, &claim));
    let answer = stored(&bench, (200, good_answer(&bench)));
    let at = (Lineage(1), Generation(2));
    context.reply_archive.keep(&now.id, at, &answer);
    assert!(
        orphaned_journals::contest(context, &now, &claim),
        "it was answered"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_revokes_what_a_journal_holds_that_no_claim_names() {
    let (bench, runtime) = Bench::new().await;
    let journal = leave(&bench, &runtime, "dead").await;
    keep_reply(&journal, &bench, &runtime, (200, good_answer(&bench)));
    let newest = bench.server.good().unwrap();
    runtime.disconnect(&name()).await.unwrap();
    assert!(bench.server.revoked().contains(&newest));
    assert_eq!(bench.journals(), Vec::<String>::new());
}
