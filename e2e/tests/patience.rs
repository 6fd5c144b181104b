//! A provider that is out for some seconds while a token ends: calls wait for the next one, in a run as through the daemon.

use std::fs;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::daemon::Daemon;
use e2e::home::{Home, Running};
use e2e::sandbox;
use e2e::scenario::{SOON, call_script, until_expired};
use e2e::wait::{Stopwatch, pause};

const TTL: Duration = Duration::from_secs(5);
/// What is left of the outage when the calls begin.
const OUT: Duration = Duration::from_secs(3);

fn connected(home: &Home, sandbox: &sandbox::Running) {
    let (api, mcp) = (
        format!("{}/api", sandbox.url()),
        format!("{}/mcp", sandbox.url()),
    );
    let issuer = ["--issuer", sandbox.url(), "--client-id", "public"];
    let api = [&["connect", "api", &api][..], &issuer].concat();
    let _ = home.run(&api).expect_code(0);
    let _ = home.run(&["connect", "mcp", &mcp]).expect_code(0);
}

/// A run whose job calls once it is told to.
fn run(home: &Home) -> Running<'_> {
    let go = home.path().join("go");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let script = format!("{wait}; {}", call_script("api/me"));
    let job = ["run", "--with", "api", "--", "sh", "-c", &script];
    home.authkeeper(&job).env("BROWSER", "false").spawn()
}

#[test]
fn a_call_waits_out_a_short_outage() {
    let home = Home::new();
    let sandbox = sandbox::Running::with_ttl(Profile::TwoGeneration, Duration::ZERO, TTL);
    connected(&home, &sandbox);
    let run = run(&home);
    let daemon = Daemon::start(&home, &[]);
    sandbox.fault("status=503,at=token");
    until_expired(&home, "api");
    until_expired(&home, "mcp");
    let began = Stopwatch::start();
    fs::write(home.path().join("go"), "").expect("a home");
    let (answer, waited) = std::thread::scope(|threads| {
        let calling = threads.spawn(|| {
            let answer = daemon.greet("mcp", &daemon.handle);
            (answer, began.elapsed())
        });
        pause(OUT);
        sandbox.say("clear");
        calling.join().expect("a call")
    });
    assert!(answer.json()["result"].is_object(), "{}", answer.body);
    assert!(waited >= OUT, "it had no token before: {waited:?}");
    let output = run.finish(SOON).expect_code(0);
    assert_eq!(output.stdout, "200", "{}", output.stderr);
}

/// Nobody waits for what its provider says takes longer than anybody would.
#[test]
fn a_call_does_not_wait_for_what_is_known_to_last() {
    let home = Home::new();
    let sandbox = sandbox::Running::with_ttl(Profile::TwoGeneration, Duration::ZERO, TTL);
    connected(&home, &sandbox);
    let daemon = Daemon::start(&home, &[]);
    sandbox.fault("status=503,retry_after=60s,at=token");
    until_expired(&home, "mcp");
    // The daemon has heard it by now.
    let began = Stopwatch::start();
    let answer = daemon.greet("mcp", &daemon.handle);
    let error = &answer.json()["error"];
    assert_eq!(error["data"]["kind"], "unavailable", "{}", answer.body);
    assert!(began.elapsed() < OUT, "{:?}", began.elapsed());
}

/// Who asks for more life than there is hears why, and gets no token where it must be so.
#[test]
fn a_token_that_lives_too_short_is_told_with_its_cause() {
    let home = Home::new();
    let ttl = Duration::from_secs(20);
    let sandbox = sandbox::Running::with_ttl(Profile::TwoGeneration, Duration::ZERO, ttl);
    connected(&home, &sandbox);
    let ask = |words: &[&str]| home.run(&[&["token", "api", "--min-ttl"], words].concat());
    let never = ask(&["1h"]).expect_code(0);
    assert!(
        never.stderr.contains("no token for more than"),
        "{}",
        never.stderr
    );
    assert!(!never.stdout.is_empty());
    ask(&["1h", "--require-ttl"]).expect_failure(69, &["no token for more than", "--min-ttl"]);
    sandbox.fault("status=429,at=token");
    pause(Duration::from_secs(3));
    let outage = ask(&["18s", "--json"]).expect_code(0);
    let said = ["the token of api lives", "could not be refreshed", "429"];
    for part in said {
        assert!(outage.stderr.contains(part), "{part}: {}", outage.stderr);
    }
    let shown = outage.json();
    assert_eq!(shown["min_ttl_met"], false, "{shown}");
    assert_eq!(shown["min_ttl_missed"], "refresh_failed", "{shown}");
    for more in [&[][..], &["--json"]] {
        let words = [&["18s", "--require-ttl"], more].concat();
        ask(&words).expect_failure(69, &said);
    }
    sandbox.say("clear");
    let enough = ask(&["5s", "--require-ttl"]).expect_code(0);
    assert!(!enough.stderr.contains("lives"), "{}", enough.stderr);
}
