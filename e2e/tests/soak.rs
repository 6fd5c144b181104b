//! Five minutes of the soak; `cargo run -p e2e --bin soak` is an hour of it.

use std::time::Duration;

use e2e::soak::{Plan, run};

#[test]
fn five_bridges_work_through_five_minutes_of_faults() {
    let time = Duration::from_mins(5);
    let report = run(Plan { time, seed: 5 }, |_| {});
    assert!(report.holds(), "{report}");
}
