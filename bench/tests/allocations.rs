//! Allocations are counted for the whole process, so this test is alone in its.

use std::time::Duration;

use authkeeper_bench::{
    ALLOCATOR,
    machine::{ACCESS_TOKEN, Machine},
};
use stats_alloc::Region;

/// What a token that is good may cost. The goal is none: today every call reads the store, and 42 were counted. It may
/// only go down.
const PER_CALL: usize = 48;

/// What a connection that was opened may keep in memory beyond its token texts.
const PER_CONNECTION: isize = 512 + ACCESS_TOKEN.cast_signed() + 16;

const CALLS: usize = 200;
const CONNECTIONS: isize = 200;

#[tokio::test(flavor = "current_thread")]
async fn a_good_token_and_an_open_connection_cost_no_more_than_they_did() {
    let machine = Machine::connected(Duration::ZERO).await;
    machine.ask("c").await.unwrap();
    let calls = Region::new(ALLOCATOR);
    for _ in 0..CALLS {
        machine.ask("c").await.unwrap();
    }
    let each = calls.change().allocations / CALLS;
    assert!(each <= PER_CALL, "{each} allocations a call");

    for number in 0..CONNECTIONS {
        machine.connect(&format!("c{number}")).await;
    }
    let open = Region::new(ALLOCATOR);
    for number in 0..CONNECTIONS {
        machine.ask(&format!("c{number}")).await.unwrap();
    }
    let change = open.change();
    let kept = change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed();
    assert!(kept / CONNECTIONS <= PER_CONNECTION, "{kept} bytes in all");
}
