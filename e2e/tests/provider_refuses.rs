//! A provider that refuses token requests: what one process heard holds for all. The requests are counted at the server.

use std::fs;

use e2e::ground::Ground;
use e2e::home::{Home, Output};
use e2e::scenario::{SOON, records_of};
use e2e::wait::{Stopwatch, wait_until};

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

/// A connection whose token has ended, at a server that refuses its refreshes in this way.
fn ended(config: &str, mode: &str) -> Ground {
    let home = Home::new();
    home.write_config(config);
    let ground = Ground::with_ttl(home, 2);
    ground.connect("x", mode);
    ground.await_end("x");
    ground
}

/// So many processes at the same moment.
fn at_once(ground: &Ground, number: usize) -> Vec<Output> {
    let spawn = |_| ground.home.authkeeper(&["token", "x"]).spawn();
    let running: Vec<_> = (0..number).map(spawn).collect();
    running.into_iter().map(|one| one.finish(SOON)).collect()
}

/// The code exchange aside.
fn refreshes(ground: &Ground, mode: &str) -> u64 {
    ground.exchanges(mode) - 1
}

#[test]
fn twenty_processes_at_a_429_send_one_request() {
    let mode = "refresh-token-429";
    let ground = ended("", mode);
    for output in at_once(&ground, 20) {
        output.expect_failure(69, &["429", "try again in"]);
    }
    assert_eq!(refreshes(&ground, mode), 1);
    ground.expect_no_leak();
}

#[test]
fn twenty_nine_commands_in_a_row_send_one_request_into_a_503_that_names_a_wait() {
    let mode = "refresh-token-503";
    let ground = ended("", mode);
    let began = Stopwatch::start();
    for _ in 0..29 {
        let output = ground.home.run(&["token", "x"]);
        output.expect_failure(69, &["503"]);
    }
    // One for each ten seconds, on however slow a machine.
    let most = 1 + began.elapsed().as_secs() / 10;
    let sent = refreshes(&ground, mode);
    assert!((1..=most).contains(&sent), "{sent} requests");
}

#[test]
fn after_the_rest_one_request_serves_all_processes() {
    let mode = "refresh-token-503";
    let ground = ended("", mode);
    ground
        .home
        .run(&["token", "x"])
        .expect_failure(69, &["503"]);
    ground.server.ctl("heal");
    let rested = || ground.home.run(&["token", "x"]).code() == Some(0);
    assert!(wait_until(SOON, rested), "the rest ends");
    assert_eq!(refreshes(&ground, mode), 2);
}

#[test]
fn a_redirect_is_not_followed_and_names_its_target() {
    let mode = "refresh-token-302";
    let ground = ended(HOOK, mode);
    let target = ground.server.url(&format!("/{mode}/elsewhere"));
    for output in at_once(&ground, 5) {
        output.expect_failure(
            78,
            &["moved its token endpoint to", &target, "reauthorize x"],
        );
    }
    assert_eq!(refreshes(&ground, mode), 1);
    let followed = format!("POST /{mode}/elsewhere");
    assert_eq!(ground.server.count("requests", &followed), 0);
    let output = ground.home.run(&["token", "x"]).expect_code(78);
    assert_eq!(records_of(&output, "token_endpoint_moved").len(), 1);
    let told = fs::read_to_string(ground.home.path().join("hook.log")).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    ground.expect_no_leak();
}

#[test]
fn an_endpoint_that_answers_404_twice_is_a_matter_of_configuration() {
    let mode = "refresh-token-404";
    let ground = ended("", mode);
    ground
        .home
        .run(&["token", "x"])
        .expect_failure(69, &["404"]);
    let moved = || ground.home.run(&["token", "x"]).code() == Some(78);
    assert!(wait_until(SOON, moved), "the second 404 counts");
    assert_eq!(refreshes(&ground, mode), 2);
    ground.server.ctl("heal");
    let _ = ground.home.run(&["reauthorize", "x"]).expect_code(0);
    let _ = ground.token("x");
}

/// The hook is called once, whatever the number of processes, and the first answer resolves the incident.
#[test]
fn a_provider_that_fails_every_request_is_told_once() {
    let mode = "refresh-token-502";
    let config = format!("{HOOK}[refresh]\nfailing_after = \"2s\"\n");
    let ground = ended(&config, mode);
    let incident = || {
        let output = ground.home.run(&["token", "x"]);
        !records_of(&output, "provider_failing").is_empty()
    };
    assert!(wait_until(SOON, incident), "it is told");
    for output in at_once(&ground, 5) {
        let records = records_of(&output.expect_code(69), "provider_failing");
        assert_eq!(records.len(), 1);
        let detail = records[0]["detail"].as_str().unwrap();
        assert!(detail.contains("every token request since"), "{detail}");
        assert!(detail.contains("502"), "{detail}");
    }
    let told = fs::read_to_string(ground.home.path().join("hook.log")).unwrap();
    let failing = told
        .lines()
        .filter(|line| line.contains("provider_failing"));
    assert_eq!(failing.count(), 1, "{told}");
    ground.server.ctl("heal");
    let well = || ground.home.run(&["token", "x"]).code() == Some(0);
    assert!(wait_until(SOON, well), "it works again");
    let output = ground.home.run(&["token", "x"]).expect_code(0);
    assert_eq!(records_of(&output, "provider_failing").len(), 0);
}
