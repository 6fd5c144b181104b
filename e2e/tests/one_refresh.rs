//! Acceptance C: exactly one refresh, from any number of callers.

use std::collections::BTreeSet;

use e2e::home::{Home, Running};
use e2e::scenario::{
    SOON, assert_no_leaks, early_refresh, python_job, refreshes, token, until_expired, until_held,
};
use e2e::servers::Server;
use e2e::wait::wait_until;

const PROCESSES: usize = 20;

/// oidc-provider kills the grant if the refresh token comes twice.
#[test]
fn twenty_processes_with_an_expired_token_cause_one_refresh() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    // Plain OAuth, by the issuer alone.
    let url = server.url("/api");
    let issuer = ["--issuer", server.issuer()];
    let client = ["--client-id", "pub", "--scope", "openid offline_access"];
    let connect = [["connect", "api", &url].as_slice(), &issuer, &client].concat();
    let _ = home.run(&connect).expect_code(0);
    let old = token(&home, "api").run().expect_code(0).stdout;
    until_expired(&home, "api");
    // What comes now has to outlive the test.
    server.ctl("set?at=60");
    assert_eq!(refreshes(&server), 0, "nobody has refreshed yet");

    server.ctl("hold");
    let mut all: Vec<Running<'_>> = (0..PROCESSES)
        .map(|_| token(&home, "api").spawn())
        .collect();
    until_held(&server, 1);
    assert!(
        wait_until(SOON, || all.iter().all(Running::has_opened_store)),
        "all have asked the store"
    );
    assert!(
        all.iter_mut().all(Running::is_running),
        "nobody has an answer yet"
    );
    assert_eq!(refreshes(&server), 1);
    server.ctl("release");

    let printed: BTreeSet<String> = all
        .into_iter()
        .map(|one| one.finish(SOON).expect_code(0).stdout)
        .collect();
    assert_eq!(printed.len(), 1, "they print different tokens");
    assert!(!printed.contains(&old), "they print the old token");
    assert_eq!(refreshes(&server), 1, "one refresh for all");

    // The grant lives: it can be refreshed again.
    let again = early_refresh(&home, &server, "api", 60);
    let again = again.run().expect_code(0).stdout;
    assert!(!printed.contains(&again));
    assert_eq!(server.count("outcomes", "refresh_token 200"), 2);
    assert_no_leaks(&home, &[&server]);
}

/// The token is good by every clock, and the API refuses it all the same.
#[test]
fn a_401_that_comes_early_costs_one_refresh_and_no_call() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    let url = server.url("/api");
    let connect = ["connect", "api", &url, "--client-id", "pub", "--no-check"];
    let _ = home.run(&connect).expect_code(0);
    server.ctl("early401?n=1");
    let output = python_job(&home, CALL, &[]).run().expect_code(0);
    assert_eq!(output.json()["sub"], "alice");
    assert_eq!(refreshes(&server), 1);
    let presented = server.ctl("presented");
    let refused: Vec<bool> = presented
        .as_array()
        .unwrap()
        .iter()
        .map(|shown| shown["refused"].as_bool().unwrap())
        .collect();
    assert_eq!(refused, [true, false], "refused once, then let in");
    assert_ne!(
        presented[0]["token"], presented[1]["token"],
        "with a new token"
    );
    assert_no_leaks(&home, &[&server]);
}

const CALL: &str = r#"
import os, urllib.request
request = urllib.request.Request(
    os.environ["AUTHKEEPER_URL"] + "/c/api/whoami",
    headers={"Authorization": "Bearer " + os.environ["AUTHKEEPER_TASK"]},
)
print(urllib.request.urlopen(request, timeout=20).read().decode())
"#;
