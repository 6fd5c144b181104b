//! Acceptance B: a run outlives its tokens, on a server that takes a refresh token from any client that shows
//! it an expired access token, and refreshes as often as the rule says.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use e2e::home::{Home, Running};
use e2e::scenario::{assert_no_leaks, connect_mcp, refreshes, token};
use e2e::servers::Server;
use e2e::wait::{Stopwatch, pause};
use e2e::{python, script};

const SECONDS: &str = "60";
const BESIDE_EVERY: Duration = Duration::from_millis(1_500);
/// Rule 1 for a token of 5 s: 3.75 s after it was issued, up to 5 % earlier.
const SHORTEST_PERIOD: f64 = 3.75 * 0.95;
const LONGEST_PERIOD: f64 = 3.75;

#[test]
fn a_run_of_a_minute_outlives_tokens_of_five_seconds() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "5")]);
    connect_mcp(&home, &server, "fm");

    let clock = Stopwatch::start();
    let mut run = start_run(&home);
    let beside = call_beside(&home, &mut run);
    let output = run.finish(Duration::from_secs(30)).expect_code(0);
    let refreshed = refreshes(&server);
    let elapsed = clock.elapsed().as_secs_f64();

    let summary = output.json();
    assert_eq!(summary["failed"], serde_json::json!([]), "{summary}");
    assert_eq!(summary["calls"], 60);
    assert_eq!(summary["ok"], 60);
    assert_eq!(
        server.count("tool_calls", "echo"),
        60,
        "each call acted once"
    );
    assert_eq!(output.records(), Vec::<serde_json::Value>::new());
    assert!(beside > 10, "only {beside} calls beside the run");

    assert_no_dead_token_shown(&server);
    assert_refreshes_as_ruled(refreshed, elapsed);
    assert_eq!(
        server.count("outcomes", "refresh_token 200"),
        refreshes(&server),
        "every refresh was answered with tokens"
    );
    let _ = token(&home, "fm").run().expect_code(0);
    assert_no_leaks(&home, &[&server]);
}

fn start_run(home: &Home) -> Running<'_> {
    let (python, calls) = (python(), script("mcp_calls.py"));
    let command = [
        "run",
        "--with",
        "fm",
        "--",
        python.to_str().unwrap(),
        calls.to_str().unwrap(),
    ];
    let calls = [
        "--seconds",
        SECONDS,
        "--every",
        "1.0",
        "--",
        "authkeeper",
        "mcp",
        "fm",
    ];
    home.authkeeper(&[command.as_slice(), calls.as_slice()].concat())
        .env("BROWSER", "false")
        .spawn()
}

/// Asks for a token over and over for as long as the run lasts; says how often.
fn call_beside(home: &Home, run: &mut Running<'_>) -> usize {
    let mut calls = 0;
    while run.is_running() {
        let answer = token(home, "fm").run().expect_code(0);
        assert!(!answer.stdout.trim().is_empty());
        run.snapshot();
        calls += 1;
        pause(BESIDE_EVERY);
    }
    calls
}

/// `replaced` is no fault of the client: a refresh kills the old access token at once, also the one
/// of a call that is under way.
fn assert_no_dead_token_shown(server: &Server) {
    assert_eq!(server.presented("expired"), 0, "this costs the grant");
    assert_eq!(server.presented("unknown"), 0);
    assert!(server.presented("valid") >= 60);
}

fn assert_refreshes_as_ruled(refreshed: u64, elapsed: f64) {
    let fewest = (elapsed / LONGEST_PERIOD).floor() - 1.0;
    let most = (elapsed / SHORTEST_PERIOD).ceil() + 1.0;
    let refreshed = f64::from(u32::try_from(refreshed).unwrap());
    assert!(
        (fewest..=most).contains(&refreshed),
        "{refreshed} refreshes in {elapsed:.1} s, where the rule makes {fewest} to {most}"
    );
    #[expect(clippy::print_stderr, reason = "a figure for a run with --nocapture")]
    {
        eprintln!("{refreshed} refreshes in {elapsed:.1} s; the rule makes {fewest} to {most}");
    }
}
