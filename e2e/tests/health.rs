//! One health, told the same everywhere: by `status`, its exit codes and its JSON, by `doctor`, and by `token`.

use e2e::{
    home::Home,
    scenario::{assert_no_leaks, connect_api, status, token, until_expired},
    servers::Server,
};

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
    if let Some(detail) = health["detail"].as_str() {
        assert!(line.contains(detail), "{line}\n{detail}");
        assert!(checked.stderr.contains(detail), "{}", checked.stderr);
        assert!(shown.contains(detail), "{shown}");
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
fn a_plugin_that_knows_nothing_says_so() {
    let home = Home::new();
    let nothing = home.run(&["status", "--nagios"]).expect_code(3).stdout;
    assert_eq!(nothing, "AUTHKEEPER UNKNOWN: nothing is connected\n");
    let _ = home.run(&["status", "--check"]).expect_code(0);
    home.write_config("on_incident = 7\n");
    let broken = home.run(&["status", "--nagios"]).expect_code(3).stdout;
    assert!(broken.starts_with("AUTHKEEPER UNKNOWN: "), "{broken}");
    let _ = home.run(&["status", "--check"]).expect_code(78);
}
