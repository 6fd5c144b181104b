//! Acceptance D: a process that dies in the middle of a refresh, at every point there is. What comes
//! of it is fixed beforehand:
//!
//! | it dies                               | the next `token`, while the old one lives | once the old one has ended     | refreshes at the provider |
//! | ------------------------------------- | ----------------------------------------- | ------------------------------ | ------------------------- |
//! | not at all, only restarts             |                                           | recovered, no browser          | 1                         |
//! | after the claim, before the request   |                                           | recovered at once              | 1                         |
//! | request sent, provider never acted    | the old token, `uncertain` said           | resent once: recovered         | 2                         |
//! | request sent, provider has rotated    | the old token, `uncertain` said           | resent once, refused: 75       | 2                         |
//! | answer in memory only                 | the old token, `uncertain` said           | (as the line above)            | 1                         |
//! | answer durable in the journal         |                                           | recovered from the journal     | 1                         |
//! | store committed                       |                                           | recovered                      | 1                         |
//!
//! The provider is strict: a second use of a refresh token kills the grant. The one resend is the
//! provider's rule ("strict": as late as possible), not a guess.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use e2e::home::{Home, Output};
use e2e::scenario::{
    SOON, assert_no_leaks, connect_api, early_refresh, records_of, refreshes, status, strict,
    token, until_expired, until_held,
};
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};

/// Long enough for a crash and a look at it within one token's life.
const LIVES_ON: u64 = 8;

/// A connection whose token has ended.
fn with_expired_token() -> (Home, Server) {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "2")]);
    connect_api(&home, &server, "api");
    until_expired(&home, "api");
    server.ctl("set?at=60");
    assert_eq!(refreshes(&server), 0);
    (home, server)
}

fn die_at(home: &Home, point: &str) {
    let asked = token(home, "api").env("AUTHKEEPER_FAULT", point).run();
    let output = asked.expect_killed();
    assert_eq!(
        output.stdout, "",
        "{point}: nothing is handed out before it is committed"
    );
}

/// The next call gets a new token; this many refreshes have reached the provider in all, and the
/// grant lives on.
fn recovers(home: &Home, server: &Server, in_all: u64) {
    let output = token(home, "api").run().expect_code(0);
    assert_eq!(output.records(), Vec::<serde_json::Value>::new());
    assert_eq!(refreshes(server), in_all);
    let now = status(home, "api");
    assert_eq!(
        (&now["state"], &now["uncertain"]),
        (&"active".into(), &false.into())
    );
    assert_eq!(now["generation"], 2);
    assert!(spill_is_empty(home), "no journal is left behind");
    let _ = early_refresh(home, server, "api", 60).run().expect_code(0);
    assert_eq!(
        status(home, "api")["generation"],
        3,
        "the grant can be refreshed again"
    );
    assert_no_leaks(home, &[server]);
}

fn spill_is_empty(home: &Home) -> bool {
    let spill = home.store_dir().join("spill");
    std::fs::read_dir(spill).unwrap().next().is_none()
}

#[test]
fn a_restart_with_an_expired_token_needs_no_browser() {
    let (home, server) = with_expired_token();
    let sign_ins = server.count("requests", "GET /auth");
    recovers(&home, &server, 1);
    assert_eq!(server.count("requests", "GET /auth"), sign_ins);
}

#[test]
fn after_the_claim_and_before_the_request_nothing_is_lost() {
    let (home, server) = with_expired_token();
    die_at(&home, "claimed");
    assert_eq!(refreshes(&server), 0, "nothing was sent");
    recovers(&home, &server, 1);
}

#[test]
fn an_answer_in_the_journal_is_adopted_without_asking_again() {
    let (home, server) = with_expired_token();
    die_at(&home, "reply_durable");
    assert_eq!(refreshes(&server), 1);
    assert!(!spill_is_empty(&home));
    recovers(&home, &server, 1);
}

#[test]
fn after_the_commit_all_is_well() {
    let (home, server) = with_expired_token();
    die_at(&home, "committed");
    let output = token(&home, "api").run().expect_code(0);
    assert_eq!(output.records(), Vec::<serde_json::Value>::new());
    assert_eq!(
        (refreshes(&server), &status(&home, "api")["generation"]),
        (1, &2.into())
    );
    let _ = early_refresh(&home, &server, "api", 60)
        .run()
        .expect_code(0);
    assert_eq!(server.count("outcomes", "refresh_token 200"), 2);
    assert_no_leaks(&home, &[&server]);
}

/// The end of standard input is how every MCP client ends a bridge: what is sent by then is waited for.
#[test]
fn a_bridge_whose_client_goes_away_finishes_the_refresh() {
    let (home, server) = with_expired_token();
    server.ctl("hold");
    let mut bridge = home
        .authkeeper(&["mcp", "api"])
        .env("BROWSER", "false")
        .spawn();
    until_held(&server, 1);
    bridge.close_stdin();
    pause(Duration::from_secs(2));
    assert!(bridge.is_running(), "it leaves its refresh behind");
    server.ctl("release");
    let output = bridge.finish(SOON).expect_code(0);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    let now = status(&home, "api");
    assert_eq!(
        (&now["generation"], &now["uncertain"]),
        (&2.into(), &false.into())
    );
    assert_eq!(refreshes(&server), 1);
    recovers(&home, &server, 1);
}

/// A connection whose token lives on for a while, at a provider known to be strict.
fn with_living_token() -> (Home, Server) {
    let home = Home::new();
    let ttl = LIVES_ON.to_string();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", ttl.as_str())]);
    home.write_config(&strict(&server));
    connect_api(&home, &server, "api");
    (home, server)
}

/// `kill -9` while the provider, or whatever stands before it, holds the request.
fn killed_while_held(home: &Home, server: &Server, gate: &str) {
    server.ctl(gate);
    let refreshing = early_refresh(home, server, "api", LIVES_ON).spawn();
    until_held(server, 1);
    let _ = refreshing.kill_9().expect_killed();
}

/// Nobody is stopped while the old token lives, and nobody is left in the dark.
fn uncertain_is_said(home: &Home, server: &Server, old: &str) -> Output {
    let output = token(home, "api").run().expect_code(0);
    assert_eq!(output.stdout, old, "the living token");
    let said = records_of(&output, "uncertain");
    assert_eq!(said.len(), 1, "{}", output.stderr);
    assert_eq!(
        (&said[0]["connection"], &said[0]["reason"]),
        (&"api".into(), &"sender_died".into())
    );
    let now = status(home, "api");
    assert_eq!(
        (&now["uncertain"], &now["state"]),
        (&true.into(), &"active".into())
    );
    assert_eq!(refreshes(server), 1, "nothing is resent yet");
    output
}

#[test]
fn a_request_that_the_provider_never_saw_is_resent_and_recovers() {
    let (home, server) = with_living_token();
    let old = token(&home, "api").run().expect_code(0).stdout;
    killed_while_held(&home, &server, "hold");
    uncertain_is_said(&home, &server, &old);
    assert_eq!(server.ctl("release?drop=1")["released"], 1);
    until_expired(&home, "api");
    let output = token(&home, "api").run().expect_code(0);
    assert_ne!(output.stdout, old);
    assert_eq!(
        output.records(),
        Vec::<serde_json::Value>::new(),
        "the incident is over"
    );
    assert_eq!(refreshes(&server), 2, "one lost, one resent");
    assert_eq!(status(&home, "api")["uncertain"], false);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn an_answer_lost_after_the_rotation_ends_in_75_once_the_resend_is_refused() {
    let (home, server) = with_living_token();
    let old = token(&home, "api").run().expect_code(0).stdout;
    killed_while_held(&home, &server, "hold?mode=after");
    uncertain_is_said(&home, &server, &old);
    assert_eq!(server.ctl("release?drop=1")["released"], 1);
    until_expired(&home, "api");
    refused_with_unknown_outcome(&home, &server);
}

#[test]
fn an_answer_that_was_only_in_memory_is_lost_like_one_that_never_came() {
    let (home, server) = with_living_token();
    let old = token(&home, "api").run().expect_code(0).stdout;
    let dying = early_refresh(&home, &server, "api", LIVES_ON);
    let output = dying.env("AUTHKEEPER_FAULT", "reply_received").run();
    let _ = output.expect_killed();
    uncertain_is_said(&home, &server, &old);
    until_expired(&home, "api");
    refused_with_unknown_outcome(&home, &server);
}

/// Resent once, refused, said: a person is needed, and no third attempt is made.
fn refused_with_unknown_outcome(home: &Home, server: &Server) {
    let output = token(home, "api").run().expect_code(75);
    assert_eq!(output.stdout, "");
    let said = records_of(&output, "reauthorization_required");
    assert_eq!(said.len(), 1, "{}", output.stderr);
    assert_eq!(said[0]["reason"], "unknown_outcome");
    assert_eq!(said[0]["action"], "authkeeper reauthorize api");
    assert_eq!(refreshes(server), 2, "one lost, one resent");
    let now = status(home, "api");
    assert_eq!(now["state"], "reauthorization_required");
    assert_eq!(now["reason"], "unknown_outcome");
    assert_eq!(now["uncertain"], false);
    let _ = token(home, "api").run().expect_code(75);
    assert_eq!(refreshes(server), 2, "what is refused is not asked again");
    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    assert!(wait_until(SOON, || token(home, "api").run().code() == Some(0)));
    assert_no_leaks(home, &[server]);
}
