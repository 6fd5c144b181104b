//! Answers that came after a disconnect, to a process that died before it could revoke them.

use super::{
    crash::{good_answer, keep_reply, left, stored},
    *,
};
use crate::{
    http::Reach, model::OwnerId, refresh::revoke_leftovers::revoke_left, secret::Secret,
    vault::seal::Sealer,
};

/// A connection is gone; then an answer comes to a process that was still waiting for it: none is dead.
async fn left_after_disconnect(sender: Option<&OwnerId>) -> (Bench, Runtime, Journal) {
    let (bench, runtime) = Bench::new().await;
    let journal = leave_behind(&bench, &runtime, sender).await;
    (bench, runtime, journal)
}

async fn leave_behind(bench: &Bench, runtime: &Runtime, sender: Option<&OwnerId>) -> Journal {
    let owner = sender.map_or("dead", OwnerId::as_str);
    let (spend, claim) = left(bench, runtime, owner, 1).await;
    runtime.disconnect(&name()).await.unwrap();
    let folder = bench.folder_of_journals();
    Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap()
}

async fn is_over(bench: &Bench) {
    for _ in 0..1000 {
        if bench.journals().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("journals are left: {:?}", bench.journals());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_next_revokes_what_a_dead_process_was_given() {
    let (bench, runtime, journal) = left_after_disconnect(None).await;
    keep_reply(&journal, &bench, &runtime, (200, good_answer(&bench)));
    let late = bench.server.good().unwrap();
    ask(&runtime).await.unwrap_err();
    is_over(&bench).await;
    let revoked = bench.server.revoked();
    assert!(revoked.contains(&late), "{revoked:?} holds {late}");
    assert!(revoked.contains(&"adopted".to_owned()), "{revoked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_of_other_connections_does_so_too() {
    let (bench, runtime, journal) = left_after_disconnect(None).await;
    keep_reply(&journal, &bench, &runtime, (200, good_answer(&bench)));
    let _scheduler = runtime.keep_fresh(Vec::new());
    is_over(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_of_no_use_is_removed() {
    let (bench, runtime, journal) = left_after_disconnect(None).await;
    journal.mark_sending().unwrap();
    revoke_left(&runtime.context).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
    let (bench, runtime, journal) = left_after_disconnect(None).await;
    keep_reply(&journal, &bench, &runtime, (400, "{}".to_owned()));
    revoke_left(&runtime.context).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

/// Another key may open it one day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_stays() {
    let (bench, runtime, journal) = left_after_disconnect(None).await;
    let other = Sealer::new(Secret::new([9; 32]), runtime.context.seams.clone());
    let kept = stored(&bench, (200, good_answer(&bench)));
    journal.keep_reply(&other, &kept).unwrap();
    revoke_left(&runtime.context).await;
    assert_eq!(bench.journals().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_sender_may_still_see_to_is_left_to_it() {
    let (bench, runtime) = Bench::new().await;
    let lives = bench.process();
    let sender = lives.context.liveness.mine(&lives.context.seams).unwrap();
    let journal = leave_behind(&bench, &runtime, Some(&sender)).await;
    keep_reply(&journal, &bench, &runtime, (200, good_answer(&bench)));
    revoke_left(&runtime.context).await;
    assert_eq!(bench.journals().len(), 1);
    drop(lives);
    revoke_left(&runtime.context).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_living_grant_needs_is_not_touched() {
    let (bench, runtime) = Bench::new().await;
    let (spend, claim) = left(&bench, &runtime, "dead", 1).await;
    let folder = bench.folder_of_journals();
    let journal = Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap();
    keep_reply(&journal, &bench, &runtime, (200, good_answer(&bench)));
    revoke_left(&runtime.context).await;
    assert_eq!(bench.journals().len(), 1);
    assert_eq!(bench.server.revoked(), Vec::<String>::new());
}
