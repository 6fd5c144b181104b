//! One health, told the same everywhere: by `status`, its exit codes and its JSON, by `why`, `doctor`, `check`, `token` and
//! `run`, by an error of the daemon and by its `/healthz`.

use e2e::{
    daemon::Daemon,
    home::{Home, Output},
    http,
    provider::Provider,
    scenario::{assert_no_leaks, connect_api, status, token, until_expired},
    servers::Server,
};
use serde_json::Value;

/// What each surface ends with, and what `status --json` says.
struct Expected<'a> {
    /// Of `token`, `status --check` and `doctor`.
    code: i32,
    plugin: i32,
    plugin_word: &'a str,
    state: &'a str,
    cause: Option<&'a str>,
    whose_move: &'a str,
}

const OK: Expected<'static> = Expected {
    code: 0,
    plugin: 0,
    plugin_word: "OK",
    state: "ok",
    cause: None,
    whose_move: "nobody",
};

/// `token` is asked first: its request is what finds a failure out.
fn assert_told_everywhere(home: &Home, expected: &Expected<'_>) {
    let _ = token(home, "api").run().expect_code(expected.code);
    let checked = home.run(&["status", "--check"]).expect_code(expected.code);
    let shown = checked.stdout;
    assert!(shown.starts_with("CONNECTION"), "as without: {shown}");
    let plugin = home.run(&["status", "--nagios"]);
    let line = plugin.expect_code(expected.plugin).stdout;
    let begin = format!("AUTHKEEPER {}: ", expected.plugin_word);
    assert!(
        line.starts_with(&begin) && line.lines().count() == 1,
        "{line}"
    );
    let doctor = ["doctor", "--offline"];
    let _ = home.run(&doctor).expect_code(expected.code);

    let now = status(home, "api");
    let health = &now["health"];
    assert_eq!(health["state"], expected.state, "{now}");
    assert_eq!(health["cause"].as_str(), expected.cause, "{now}");
    assert_eq!(health["whose_move"], expected.whose_move, "{now}");
    assert_eq!(health["action"], now["action"], "{now}");
    for (surface, told) in other_surfaces(home, expected.code) {
        for field in ["state", "cause", "detail", "since", "whose_move", "action"] {
            assert_eq!(told[field], health[field], "{surface}, {field}: {told}");
        }
    }
    assert_healthz(home, health, expected.code);
    if let Some(detail) = health["detail"].as_str() {
        assert!(line.contains(detail), "{line}\n{detail}");
        assert!(checked.stderr.contains(detail), "{}", checked.stderr);
        assert!(shown.contains(detail), "{shown}");
    }
}

/// The health that every other command gives, where it is asked for JSON.
fn other_surfaces(home: &Home, code: i32) -> Vec<(&'static str, Value)> {
    let why = home.run(&["why", "api", "--json"]).expect_code(0);
    let check = home.run(&["check", "api", "--json"]).expect_code(code);
    let mut told = vec![("why", why.json()["health"].clone())];
    if code == 0 {
        told.push(("check", check.json()["health"].clone()));
        return told;
    }
    told.push(("check", failed(&check)));
    let token = home.authkeeper(&["token", "api", "--json"]);
    told.push(("token", failed(&token.run().expect_code(code))));
    let run = ["run", "--json", "--with", "api", "--", "true"];
    told.push(("run", failed(&home.run(&run).expect_code(code))));
    let daemon = Daemon::start(home, &[]);
    let refused = daemon.greet("api", &daemon.handle);
    told.push(("daemon", refused.json()["error"]["data"]["health"].clone()));
    told
}

fn failed(output: &Output) -> Value {
    let mut lines = output.records().into_iter();
    let failed = lines.find_map(|line| line.get("failed").cloned());
    failed.expect("the failure for programs")["health"].clone()
}

/// 200 while `status --check` ends with 0, and names for callers with the handle alone.
fn assert_healthz(home: &Home, health: &Value, code: i32) {
    let daemon = Daemon::start(home, &[]);
    let bare = http::get(daemon.port, "/healthz").expect("an answer");
    assert_eq!(bare.status == 200, code == 0, "{}", bare.body);
    assert_eq!(bare.json()["state"], health["state"]);
    assert!(!bare.body.contains("api"), "{}", bare.body);
    let handle = format!("Bearer {}", daemon.handle);
    let headers = [("authorization", handle.as_str())];
    let told = http::request(daemon.port, "GET", "/healthz", &headers, "").expect("an answer");
    let told = &told.json()["health"]["api"];
    for field in ["state", "cause", "detail", "since", "whose_move", "action"] {
        assert_eq!(told[field], health[field], "/healthz, {field}: {told}");
    }
}

#[test]
fn a_revoked_grant_and_its_repair_are_told_everywhere() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    connect_api(&home, &server, "api");
    assert_told_everywhere(&home, &OK);

    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    until_expired(&home, "api");
    let over = Expected {
        code: 75,
        plugin: 2,
        plugin_word: "CRITICAL",
        state: "down",
        cause: Some("refresh_refused"),
        whose_move: "person",
    };
    assert_told_everywhere(&home, &over);

    // What it says to do leads out of it.
    let now = status(&home, "api");
    let action = now["health"]["action"].as_str();
    let action = action.and_then(|action| action.strip_prefix("authkeeper "));
    let words: Vec<&str> = action.into_iter().flat_map(str::split_whitespace).collect();
    assert_eq!(words, ["reauthorize", "api"]);
    let _ = home.run(&words).expect_code(0);
    assert_told_everywhere(&home, &OK);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_provider_that_is_gone_is_told_everywhere_from_the_first_call_that_fails() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    connect_api(&home, &server, "api");
    drop(server);
    until_expired(&home, "api");
    let gone = Expected {
        code: 69,
        plugin: 2,
        plugin_word: "CRITICAL",
        state: "down",
        cause: Some("provider_unavailable"),
        whose_move: "provider",
    };
    assert_told_everywhere(&home, &gone);
}

#[test]
fn a_client_that_was_deleted_is_told_everywhere() {
    let home = Home::new();
    let provider = Provider::Django(Server::django(&home.outside(), &[("AT_TTL", "5")]));
    let Provider::Django(server) = &provider else {
        unreachable!("it is one")
    };
    provider.connect(&home, "api");
    server.ctl("delclient?id=pub");
    until_expired(&home, "api");
    let refused = Expected {
        code: 78,
        plugin: 2,
        plugin_word: "CRITICAL",
        state: "down",
        cause: Some("client_refused"),
        whose_move: "operator",
    };
    assert_told_everywhere(&home, &refused);
    assert_no_leaks(&home, &[server]);
}

#[test]
fn a_plugin_that_knows_nothing_says_so() {
    let home = Home::new();
    let nothing = home.run(&["status", "--nagios"]).expect_code(3).stdout;
    assert_eq!(nothing, "AUTHKEEPER UNKNOWN: nothing is connected\n");
    let _ = home.run(&["status", "--check"]).expect_code(66);
    home.write_config("on_incident = 7\n");
    let broken = home.run(&["status", "--nagios"]).expect_code(3).stdout;
    assert!(broken.starts_with("AUTHKEEPER UNKNOWN: "), "{broken}");
    let _ = home.run(&["status", "--check"]).expect_code(78);
}
