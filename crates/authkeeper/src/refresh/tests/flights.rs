//! One refresh for all callers; a caller that goes away changes nothing.

use super::{server::Fault, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_cost_one_request() {
    let (bench, runtime) = Bench::new().await;
    bench.clock.advance(secs(3600));
    bench.server.hold_before(true);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let runtime = runtime.clone();
        callers.spawn(async move { ask(&runtime).await });
    }
    bench.server.saw(1).await;
    bench.server.hold_before(false);
    while let Some(token) = callers.join_next().await {
        assert_eq!(token.unwrap().unwrap().generation, Generation(2));
    }
    assert_eq!((bench.server.requests(), bench.server.connects()), (1, 1));
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_cancels_nothing() {
    let (bench, runtime) = Bench::new().await;
    for round in 1..=60_u64 {
        let caller = {
            let runtime = runtime.clone();
            // 401s force a refresh; the fresh one's 401 is rejected, so the cooldown is waited out.
            crate::platform::tasks::spawn(async move { after_401(&runtime, round).await })
        };
        tokio::time::sleep(Duration::from_micros(round * 97 % 6_000)).await;
        caller.abort();
        let _ = caller.await;
        assert!(runtime.drain(secs(20)).await);
        // A caller that was aborted before the flight left has changed nothing: the next caller starts it.
        if grant(&runtime).await.generation.0 == round {
            after_401(&runtime, round).await.unwrap();
        }
        assert_eq!(grant(&runtime).await.generation.0, round + 1);
        bench.clock.advance(secs(61));
    }
    assert_eq!(bench.server.requests(), 60);
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_spend_each_generation_once() {
    let (bench, one) = Bench::new().await;
    let two = bench.process();
    for round in 1..=50 {
        let (left, right) = tokio::join!(after_401(&one, round), after_401(&two, round));
        assert_eq!(left.unwrap().generation.0, round + 1);
        assert_eq!(right.unwrap().generation.0, round + 1);
        bench.clock.advance(secs(61));
    }
    assert_eq!(bench.server.requests(), 50);
    assert_in_step(&bench, &one).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_while_the_token_is_good() {
    let (bench, runtime) = Bench::new().await;
    bench.clock.advance(secs(3000));
    bench.server.hold_before(true);
    // Due, the server hangs, and every caller is served at once.
    for _ in 0..100 {
        assert_eq!(ask(&runtime).await.unwrap().generation, Generation(1));
    }
    bench.server.saw(1).await;
    bench.server.hold_before(false);
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_panics_does_not_block_the_next() {
    let (bench, mut runtime) = Bench::new().await;
    bench.server.script([Fault::Panic]);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    until("the crash is looked after", async || {
        bench.clock.advance(secs(60));
        ask(&runtime).await.is_ok()
    })
    .await;
    assert_in_step(&bench, &runtime).await;
    runtime = bench.process();
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn min_ttl_costs_one_refresh_and_says_when_it_is_not_met() {
    let (bench, runtime) = Bench::new().await;
    let wanting = |ttl| TokenRequest::new(name()).min_ttl(Some(ttl));
    bench.clock.advance(secs(600));
    let token = runtime.access_token(&wanting(secs(3200))).await.unwrap();
    assert_eq!(
        (token.generation, token.min_ttl_met()),
        (Generation(2), true)
    );
    assert_eq!(bench.server.requests(), 1);
    // More than the provider ever gives: no refresh is spent on it.
    let token = runtime.access_token(&wanting(secs(7200))).await.unwrap();
    assert_eq!(
        (token.generation, token.min_ttl_met()),
        (Generation(2), false)
    );
    assert_eq!(bench.server.requests(), 1);
    // All but all it gives: what comes is used up a little on its way, and is not refreshed again and again.
    bench.clock.advance(secs(600));
    for _ in 0..5 {
        let token = runtime.access_token(&wanting(secs(3599))).await.unwrap();
        assert_eq!(
            (token.generation, token.min_ttl_met()),
            (Generation(3), false)
        );
    }
    assert_eq!(bench.server.requests(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lifetime_of_nothing_starts_no_storm() {
    let (bench, runtime) = Bench::new().await;
    bench.server.expires_in(0);
    bench.clock.advance(secs(3600));
    let scheduler = runtime.keep_fresh(vec![name()]);
    until("the refresh", async || bench.server.requests() > 0).await;
    for _ in 0..20 {
        let _ = ask(&runtime).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(scheduler);
    assert_eq!(bench.server.requests(), 1);
    assert!(ask(&runtime).await.is_ok(), "zero says nothing of the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_refreshes_ahead_of_time_once() {
    let (bench, runtime) = Bench::new().await;
    let _scheduler = runtime.keep_fresh(vec![name()]);
    for generation in 2..6 {
        bench.clock.advance(secs(2700));
        until("a refresh when it is due", async || {
            grant(&runtime).await.generation.0 == generation
        })
        .await;
    }
    assert_eq!(bench.server.requests(), 4);
    assert_in_step(&bench, &runtime).await;
}
