//! What is counted is asserted; what is timed is not.

use std::{sync::Arc, time::Duration};

use authkeeper_bench::machine::{LIFETIME, Machine, herd};

const ROUND_TRIP: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_costs_one_request() {
    for callers in [50, 1_000] {
        let machine = Arc::new(Machine::connected(ROUND_TRIP).await);
        machine.advance(LIFETIME);
        let waits = herd(&machine, callers).await;
        assert_eq!((waits.len(), machine.provider.requests()), (callers, 1));
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
    machine.advance(Duration::from_mins(6));
    machine.ask("c").await.unwrap_err();
    assert_eq!(machine.provider.requests(), 0);
}
