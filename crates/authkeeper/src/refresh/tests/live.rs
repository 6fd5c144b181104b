//! Tokens from memory: right, or not from memory.

use super::{server::Fault, *};
use crate::{refresh::decide::BELIEVED_FOR, runtime::LiveToken};

/// What a store's file is told behind everybody's back.
fn write_behind(bench: &Bench, sql: &str) {
    let file = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    file.execute_batch(sql).unwrap();
}

async fn live(runtime: &Runtime) -> LiveToken {
    runtime.live_token(&name()).await.unwrap()
}

fn generation(token: &mut LiveToken) -> Option<u64> {
    token.current().map(|token| token.generation.0)
}

#[tokio::test]
async fn a_good_token_comes_from_memory() {
    let (bench, runtime) = Bench::new().await;
    let stopped = bench.clock.stop();
    let mut token = live(&runtime).await;
    let reads = runtime.store_use().reads();
    for _ in 0..100 {
        assert_eq!(ask(&runtime).await.unwrap().generation, Generation(1));
        assert_eq!(generation(&mut token), Some(1));
        assert_eq!(token.get().await.unwrap().generation, Generation(1));
    }
    drop(stopped);
    assert_eq!(runtime.store_use().reads(), reads);
    assert_eq!(runtime.decisions().len(), 1, "logged once, not once a call");
}

#[tokio::test]
async fn a_look_at_the_store_is_believed_for_a_moment_only() {
    let (bench, runtime) = Bench::new().await;
    let mut token = live(&runtime).await;
    bench.clock.advance(BELIEVED_FOR);
    assert_eq!(generation(&mut token), None);
    let reads = runtime.store_use().reads();
    token.get().await.unwrap();
    assert_eq!(
        runtime.store_use().reads(),
        reads + 1,
        "one look, and nothing had changed"
    );
}

/// What one process does is handed out by no other once a look is due: a token that another fetched, a disconnection, a
/// suspension, a token that is gone.
#[tokio::test]
async fn what_another_process_writes_is_seen_at_the_next_look() {
    let (bench, runtime) = Bench::new().await;
    let other = bench.process();
    let mut token = live(&runtime).await;
    after_401(&other, 1).await.unwrap();
    bench.clock.advance(BELIEVED_FOR);
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    assert_eq!(token.get().await.unwrap().generation, Generation(2));

    bench.sign_in(&other).await;
    bench.clock.advance(BELIEVED_FOR);
    assert_eq!(token.get().await.unwrap().generation, Generation(3));

    write_behind(
        &bench,
        "UPDATE grant_family SET lifecycle = 'suspended', reason = 'manual', lifecycle_since = 0",
    );
    bench.clock.advance(BELIEVED_FOR);
    let refused = ask(&runtime).await.unwrap_err();
    assert!(matches!(refused, TokenError::Suspended { .. }), "{refused}");
    assert!(token.get().await.is_err());
    assert_eq!(generation(&mut token), None);

    write_behind(
        &bench,
        "UPDATE grant_family SET lifecycle = 'active', reason = NULL, lifecycle_since = NULL",
    );
    bench.clock.advance(BELIEVED_FOR);
    assert_eq!(token.get().await.unwrap().generation, Generation(3));
    other.disconnect(&name()).await.unwrap();
    bench.clock.advance(BELIEVED_FOR);
    let gone = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(gone, TokenError::NoSuchConnection { .. }),
        "{gone}"
    );
    assert_eq!(generation(&mut token), None);
}

/// The same by real time, with callers that never stop asking: the bound that is promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnection_by_another_process_is_seen_everywhere_within_two_seconds() {
    let (bench, runtime) = Bench::new().await;
    let other = bench.process();
    let mut token = live(&runtime).await;
    let reads = runtime.store_use().reads();
    let asking = crate::platform::tasks::spawn(async move {
        while token.get().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    // Each look that is not believed any more is followed by the next.
    until("it has looked again and again", async || {
        runtime.store_use().reads() > reads + 3
    })
    .await;
    assert!(!asking.is_finished());
    other.disconnect(&name()).await.unwrap();
    tokio::time::timeout(secs(2), asking)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn what_this_process_writes_is_seen_at_once() {
    let (bench, runtime) = Bench::new().await;
    let mut token = live(&runtime).await;
    let _stopped = bench.clock.stop();
    bench.sign_in(&runtime).await;
    assert_eq!(generation(&mut token), None);
    assert_eq!(token.get().await.unwrap().generation, Generation(2));
    assert_eq!(generation(&mut token), Some(2));
    runtime.disconnect(&name()).await.unwrap();
    assert_eq!(generation(&mut token), None);
    assert!(ask(&runtime).await.is_err());
}

#[tokio::test]
async fn a_clock_that_jumps_is_noticed_at_the_next_look() {
    let (bench, runtime) = Bench::new().await;
    let mut token = live(&runtime).await;
    bench.clock.step_wall(secs(3600));
    bench.clock.advance(BELIEVED_FOR);
    assert_eq!(
        token.get().await.unwrap().generation,
        Generation(2),
        "the wall clock says that it has ended"
    );
}

#[tokio::test]
async fn a_token_that_got_a_401_or_lives_too_short_is_not_taken_from_memory() {
    let (bench, runtime) = Bench::new().await;
    let stopped = bench.clock.stop();
    let _token = live(&runtime).await;
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    let reads = runtime.store_use().reads();
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    let enough = TokenRequest::new(name()).min_ttl(Some(secs(3000)));
    assert!(runtime.access_token(&enough).await.unwrap().min_ttl_met());
    assert_eq!(
        runtime.store_use().reads(),
        reads,
        "a newer one, that lives long enough"
    );
    drop(stopped);
    bench.clock.advance(secs(700));
    let token = runtime.access_token(&enough).await.unwrap();
    assert_eq!(
        (token.generation, token.min_ttl_met()),
        (Generation(3), true)
    );
}

/// Serving a due token stays quick while its refresh fails, and somebody comes by again and again to try.
#[tokio::test]
async fn a_due_token_comes_from_memory_between_two_tries() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script(vec![Fault::Unavailable; 50]);
    bench.clock.advance(secs(2900));
    let mut token = live(&runtime).await;
    assert!(runtime.drain(secs(20)).await);
    for tries in 2..6 {
        bench.clock.advance(secs(60));
        assert_eq!(generation(&mut token), None);
        assert_eq!(token.get().await.unwrap().generation, Generation(1));
        assert!(runtime.drain(secs(20)).await);
        let stopped = bench.clock.stop();
        token.get().await.unwrap();
        runtime.token_cache.look(&*runtime.context.store).unwrap();
        assert_eq!(generation(&mut token), Some(1));
        drop(stopped);
        assert_eq!(bench.server.requests(), tries);
    }
}

#[tokio::test]
async fn of_a_refused_grant_nothing_comes_from_memory() {
    let (bench, runtime) = Bench::new().await;
    let mut token = live(&runtime).await;
    bench.server.kill_family();
    bench.clock.advance(secs(2900));
    token.get().await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(
        token.get().await.unwrap().generation,
        Generation(1),
        "it still lives"
    );
    assert_eq!(generation(&mut token), None);
}

#[tokio::test]
async fn names_that_nobody_connected_are_not_remembered() {
    let (_bench, runtime) = Bench::new().await;
    for number in 0..100 {
        let unknown = ConnectionName::parse(&format!("x{number}")).unwrap();
        let request = TokenRequest::new(unknown);
        runtime.access_token(&request).await.unwrap_err();
    }
    assert_eq!(runtime.token_cache.len(), 0);
    ask(&runtime).await.unwrap();
    assert_eq!(runtime.token_cache.len(), 1);
}

/// Those who find a token that has ended read the grant together: before the flight, and after it.
#[tokio::test]
async fn a_herd_reads_the_store_once_and_not_once_a_caller() {
    let (bench, runtime) = Bench::new().await;
    bench.clock.advance(secs(3600));
    bench.server.hold_before(true);
    let reads = runtime.store_use().reads();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let runtime = runtime.clone();
        all.spawn(async move { ask(&runtime).await });
    }
    bench.server.saw(1).await;
    bench.server.hold_before(false);
    for token in all.join_all().await {
        assert_eq!(token.unwrap().generation, Generation(2));
    }
    let reads = runtime.store_use().reads() - reads;
    assert!(reads < 100, "{reads} reads for a thousand callers");
}
