//! What is counted is asserted; what is timed is not.

use std::{sync::Arc, time::Duration};

use authkeeper_bench::machine::{LIFETIME, Machine, herd};

const ROUND_TRIP: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_costs_one_request() {
    for callers in [50, 1_000, 10_000] {
        let machine = Arc::new(Machine::connected(ROUND_TRIP).await);
        machine.advance(LIFETIME);
        let reads = machine.runtime.store_use().reads();
        let waits = herd(&machine, callers).await;
        assert_eq!((waits.len(), machine.provider.requests()), (callers, 1));
        assert_eq!(machine.provider.attempts(), 1);
        let reads = machine.runtime.store_use().reads() - reads;
        assert!(
            reads < 100,
            "{callers} callers read the store {reads} times"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_fails_nobody_while_the_token_is_good() {
    let machine = Machine::connected(ROUND_TRIP).await;
    machine.provider.die();
    for _ in 0..55 {
        machine.advance(Duration::from_mins(1));
        for _ in 0..4 {
            machine.ask("c").await.unwrap();
        }
    }
    assert!(machine.runtime.drain(Duration::from_secs(20)).await);
    let attempts = machine.provider.attempts();
    assert!(attempts > 0, "nobody tried to refresh");
    assert!(
        attempts < 40,
        "{attempts} tries in the quarter of an hour in which it was due"
    );
    machine.advance(Duration::from_mins(6));
    machine.ask("c").await.unwrap_err();
    assert_eq!(machine.provider.requests(), 0);
}

/// A claim and a commit, each durable before the next step: what the answer costs beyond that is its journal's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_costs_two_commits_and_few_reads() {
    let machine = Machine::connected(Duration::ZERO).await;
    for _ in 0..3 {
        machine.advance(LIFETIME);
        let commits = machine.runtime.store_use().commits();
        let reads = machine.runtime.store_use().reads();
        machine.ask("c").await.unwrap();
        assert!(machine.runtime.drain(Duration::from_secs(20)).await);
        assert_eq!(machine.runtime.store_use().commits() - commits, 2);
        // 17, and a look at the store more where the disk takes longer than a look is believed.
        let reads = machine.runtime.store_use().reads() - reads;
        assert!(reads <= 19, "{reads} reads");
    }
}
