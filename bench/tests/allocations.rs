//! Allocations are counted for the whole process, so this test is alone in its.

use std::time::Duration;

use authkeeper::runtime::TokenRequest;
use authkeeper_bench::{
    ALLOCATOR,
    machine::{ACCESS_TOKEN, Machine, name},
};
use stats_alloc::Region;

/// What a connection that is kept fresh and was opened may keep in memory beyond its token texts.
const PER_CONNECTION: isize = 512 + ACCESS_TOKEN.cast_signed() + 16;

const CALLS: usize = 1_000;
const CONNECTIONS: isize = 1_000;

#[tokio::test(flavor = "current_thread")]
async fn a_good_token_costs_nothing_and_a_connection_its_tokens_and_little_more() {
    let machine = Machine::connected(Duration::ZERO).await;
    machine.stop("c").await;
    for callers in [1, 2, 64] {
        by_handle(&machine, callers).await;
        by_name(&machine, callers).await;
    }
    Box::pin(a_kept_connection()).await;
}

/// Many callers, each in a thread of its own with a handle of its own.
async fn by_handle(machine: &Machine, callers: usize) {
    let live = machine.live("c").await;
    let mut handles: Vec<_> = (0..callers).map(|_| live.clone()).collect();
    let reads = machine.runtime.store_use().reads();
    let step = std::sync::Barrier::new(callers + 1);
    std::thread::scope(|scope| {
        for live in &mut handles {
            scope.spawn(|| {
                step.wait();
                step.wait();
                let all_good = (0..CALLS).all(|_| live.current().is_some());
                step.wait();
                assert!(all_good);
            });
        }
        // Until here threads were made, which allocates; from here on they only ask.
        step.wait();
        let region = Region::new(ALLOCATOR);
        step.wait();
        step.wait();
        assert_eq!(region.change().allocations, 0, "{callers} callers");
    });
    assert_eq!(machine.runtime.store_use().reads(), reads);
}

async fn by_name(machine: &Machine, callers: usize) {
    let request = TokenRequest::new(name("c"));
    let reads = machine.runtime.store_use().reads();
    let region = Region::new(ALLOCATOR);
    for _ in 0..callers * CALLS {
        machine
            .runtime
            .access_token(&request)
            .await
            .expect("it is good");
    }
    assert_eq!(region.change().allocations, 0, "{callers} callers");
    assert_eq!(machine.runtime.store_use().reads(), reads);
}

async fn a_kept_connection() {
    let machine = Machine::connected(Duration::ZERO).await;
    machine.ask("c").await.expect("it is good");
    for number in 0..CONNECTIONS {
        machine.connect(&format!("c{number}")).await;
    }
    let names = (0..CONNECTIONS).map(|number| name(&format!("c{number}")));
    let open = Region::new(ALLOCATOR);
    for number in 0..CONNECTIONS {
        machine
            .ask(&format!("c{number}"))
            .await
            .expect("it is good");
    }
    let opened = kept(&open);
    let reads = machine.runtime.store_use().reads();
    let keeper = machine.runtime.keep_fresh(names.collect());
    // Each is looked at once: its connection and its grant.
    while machine.runtime.store_use().reads() < reads + 2 * CONNECTIONS.cast_unsigned() as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fresh = kept(&open);
    drop(keeper);
    assert!(
        fresh <= PER_CONNECTION,
        "{opened} bytes opened, {fresh} kept fresh"
    );
}

fn kept(region: &Region<'_, std::alloc::System>) -> isize {
    let change = region.change();
    (change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed()) / CONNECTIONS
}
