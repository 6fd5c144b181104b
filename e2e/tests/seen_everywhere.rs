//! What one process writes is seen by another that hands tokens out from memory: within the two seconds that are promised,
//! and by one that was stopped meanwhile before its first call. The provider has no part in it: the token stays good there.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::{
    home::{Home, Running},
    provider::Provider,
    scenario::{SOON, python_job},
    wait::{pause, unix_moment, wait_until},
};
use rustix::process::Signal;

/// Calls through the run's proxy again and again; prints when each call began and how it ended, and ends with the first
/// that is refused.
const CALLS: &str = r#"
import os, time, urllib.error, urllib.request
while True:
    request = urllib.request.Request(
        os.environ["AUTHKEEPER_URL"] + "/c/api",
        headers={"Authorization": "Bearer " + os.environ["AUTHKEEPER_TASK"]},
    )
    began = time.time()
    try:
        urllib.request.urlopen(request, timeout=20).read()
    except urllib.error.HTTPError as error:
        print(began, error.code, flush=True)
        break
    print(began, 200, flush=True)
    time.sleep(0.002)
"#;

/// When the last call began that was carried.
fn last_carried(output: &str) -> f64 {
    let mut ended = output.lines().rev();
    let carried = ended.find_map(|line| line.strip_suffix(" 200"));
    carried.unwrap().parse().unwrap()
}

fn carried(run: &Running<'_>) -> usize {
    run.stdout().matches(" 200").count()
}

fn suspend(home: &Home) {
    let store = rusqlite::Connection::open(home.store_dir().join("store.db")).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();
    let suspend =
        "UPDATE grant_family SET lifecycle = 'suspended', reason = 'manual', lifecycle_since = 0";
    assert_eq!(store.execute(suspend, []).unwrap(), 1);
}

/// Suspends the grant under a run that calls all the time; `stopped` is when the run's process is stopped. Returns how long
/// after the suspension the last call began that was carried all the same.
fn suspended_under(stopped: bool) -> f64 {
    let home = Home::new();
    let provider = Provider::sandbox(Profile::Strict);
    provider.connect(&home, "api");
    let run = python_job(&home, CALLS, &[]).spawn();
    assert!(wait_until(SOON, || carried(&run) > 20), "{}", run.stderr());
    if stopped {
        run.signal(Signal::STOP);
    }
    suspend(&home);
    let at = unix_moment();
    if stopped {
        pause(Duration::from_millis(300));
        run.signal(Signal::CONT);
    }
    let output = run.finish(SOON).expect_code(75);
    assert!(
        output.stdout.trim_end().ends_with(" 403"),
        "{}",
        output.stdout
    );
    last_carried(&output.stdout) - at
}

#[test]
fn a_run_carries_nothing_two_seconds_after_a_suspension() {
    let late = suspended_under(false);
    assert!(late < 2.0, "{late} s late");
}

#[test]
fn a_run_that_was_stopped_meanwhile_carries_nothing_when_it_goes_on() {
    let late = suspended_under(true);
    assert!(late < 0.0, "a call that began {late} s after it");
}
