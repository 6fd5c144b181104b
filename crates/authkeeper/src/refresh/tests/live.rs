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

fn callers(runtime: &Runtime, count: usize) -> tokio::task::JoinSet<Result<u64, TokenError>> {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..count {
        let runtime = runtime.clone();
        all.spawn(async move { Ok(ask(&runtime).await?.generation.0) });
    }
    all
}

async fn let_them_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Who comes while a refresh is under way waits for it without deciding what is decided.
#[tokio::test]
async fn who_joins_a_flight_reads_nothing() {
    let (bench, runtime) = Bench::new().await;
    bench.clock.advance(secs(3600));
    bench.server.hold_before(true);
    let first = callers(&runtime, 1);
    bench.server.saw(1).await;
    // The claim was written since the first one read: the second one reads for all who come after it.
    let second = callers(&runtime, 1);
    let _stopped = bench.clock.stop();
    let_them_run().await;
    let reads = runtime.store_use().reads();
    let others = callers(&runtime, 100);
    let_them_run().await;
    assert_eq!(runtime.store_use().reads(), reads);
    // Some go away, the one who started it among them, and the flight goes on.
    drop((first, callers(&runtime, 10)));
    bench.server.hold_before(false);
    for served in others.join_all().await {
        assert_eq!(served.unwrap(), 2);
    }
    assert_eq!(second.join_all().await.len(), 1);
    assert_eq!(bench.server.requests(), 1);
}

/// An ask for a longer life decides for itself, and joins the flight that is under way all the same.
#[tokio::test]
async fn who_asks_for_more_joins_the_flight_that_is_under_way() {
    let (bench, runtime) = Bench::new().await;
    bench.clock.advance(secs(3600));
    bench.server.hold_before(true);
    let first = callers(&runtime, 1);
    bench.server.saw(1).await;
    let wanting = TokenRequest::new(name()).min_ttl(Some(secs(60)));
    let mut ask = std::pin::pin!(runtime.access_token(&wanting));
    tokio::select! {
        biased;
        served = &mut ask => panic!("nothing can have been served: {served:?}"),
        () = let_them_run() => {}
    }
    assert_eq!(runtime.flights.in_air(), 1);
    bench.server.hold_before(false);
    assert_eq!(ask.await.unwrap().generation, Generation(2));
    assert_eq!(first.join_all().await.len(), 1);
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test]
async fn who_joins_a_flight_that_fails_hears_why_and_starts_no_other() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Unavailable]);
    bench.clock.advance(secs(3600));
    bench.server.hold_before(true);
    let all = callers(&runtime, 100);
    bench.server.saw(1).await;
    let joined = callers(&runtime, 100);
    let_them_run().await;
    bench.server.hold_before(false);
    for end in all
        .join_all()
        .await
        .into_iter()
        .chain(joined.join_all().await)
    {
        assert!(
            matches!(end, Err(TokenError::Unavailable { .. })),
            "{end:?}"
        );
    }
    assert_eq!(bench.server.requests(), 1);
}

/// What a refresh brings is no token for those who wait, where the grant is suspended meanwhile.
#[tokio::test]
async fn who_joins_a_flight_gets_no_token_of_a_grant_that_is_suspended() {
    let (bench, runtime) = Bench::new().await;
    bench.clock.advance(secs(3600));
    bench.server.hold_before(true);
    let all = callers(&runtime, 50);
    bench.server.saw(1).await;
    let joined = callers(&runtime, 50);
    let_them_run().await;
    write_behind(
        &bench,
        "UPDATE grant_family SET lifecycle = 'suspended', reason = 'manual', lifecycle_since = 0",
    );
    bench.server.hold_before(false);
    let (all, joined) = (all.join_all().await, joined.join_all().await);
    for end in all.into_iter().chain(joined) {
        assert!(matches!(end, Err(TokenError::Suspended { .. })), "{end:?}");
    }
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
