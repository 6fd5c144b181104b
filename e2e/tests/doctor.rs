//! `doctor`, `check` and `why` over real servers: what is healthy is called so, what is not is reported with its fix and
//! its exit code, and nothing secret is printed.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use e2e::home::{Home, Output};
use e2e::scenario::{
    assert_no_leaks, connect_api, connect_mcp, refreshes, status, token, until_expired,
};
use e2e::servers::Server;
use serde_json::Value;

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

fn mode(home: &Home, file: &str, mode: u32) {
    let path = home.store_dir().join(file);
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// An MCP server that is signed in to, with tokens that outlive the test.
fn mcp() -> (Home, Server) {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "600")]);
    connect_mcp(&home, &server, "notes");
    (home, server)
}

/// An API whose tokens live so long.
fn api(ttl: &str) -> (Home, Server) {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", ttl)]);
    connect_api(&home, &server, "api");
    (home, server)
}

/// The findings of this severity: (check, what).
fn findings(output: &Output, severity: &str) -> Vec<(String, String)> {
    let json = output.json();
    let all = json["findings"].as_array().unwrap().iter();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    all.filter(|finding| finding["severity"] == severity)
        .map(|finding| (text(finding, "check"), text(finding, "what")))
        .collect()
}

fn checks(output: &Output, severity: &str) -> Vec<String> {
    let found = findings(output, severity).into_iter();
    found.map(|(check, _)| check).collect()
}

#[test]
fn a_healthy_installation_is_called_so() {
    let (home, server) = mcp();
    let said = home.run(&["doctor"]).expect_code(0).stdout;
    assert!(said.contains("ok: "), "{said}");
    assert!(
        said.contains("is sound and opens with its key; 1 connection can"),
        "{said}"
    );
    assert!(!said.contains("warning"), "{said}");
    let json = home.run(&["doctor", "--json"]).expect_code(0);
    let ok = checks(&json, "ok");
    for check in [
        "config",
        "store",
        "permissions",
        "rollback",
        "state",
        "reach",
        "metadata",
        "clock",
        "hook",
    ] {
        assert!(ok.contains(&check.to_owned()), "{check}: {ok:?}");
    }
    assert_eq!(json.json()["ok"], true);
    let before = server.ctl("stats");
    let offline = home.run(&["doctor", "--json", "--offline"]).expect_code(0);
    assert!(!checks(&offline, "ok").contains(&"reach".to_owned()));
    assert_eq!(
        server.ctl("stats")["requests"],
        before["requests"],
        "no provider is asked"
    );
    assert_no_leaks(&home, &[&server]);
}

/// As if the provider had moved its endpoint since the sign-in.
#[test]
fn what_the_provider_changed_is_told_field_by_field() {
    let (home, server) = mcp();
    let sql = rusqlite::Connection::open(home.store_dir().join("store.db")).unwrap();
    let moved = "UPDATE provider SET metadata =
        json_set(metadata, '$.token_endpoint', 'http://127.0.0.1:9/old', '$.scopes_supported', json('[\"x\"]'))";
    assert_eq!(sql.execute(moved, []).unwrap(), 1);
    drop(sql);
    let found = home.run(&["doctor", "--json"]).expect_code(0);
    let warned = findings(&found, "warning");
    assert_eq!(warned.len(), 1, "{warned:?}");
    let said = "token_endpoint was http://127.0.0.1:9/old at the sign-in and is http";
    assert!(warned[0].1.contains(said), "{warned:?}");
    let mut notes = findings(&found, "note").into_iter();
    assert!(
        notes.any(|(check, what)| check == "metadata" && what.contains("scopes_supported was x"))
    );
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn what_others_may_read_is_told() {
    let (home, server) = mcp();
    for (file, open, closed) in [
        ("", 0o755, 0o700),
        ("spill", 0o750, 0o700),
        ("store.db", 0o640, 0o600),
    ] {
        mode(&home, file, open);
        let found = home.run(&["doctor", "--offline", "--json"]).expect_code(78);
        assert_eq!(checks(&found, "error"), ["permissions"], "{file}");
        let said = &findings(&found, "error")[0].1;
        assert!(said.contains(&format!("mode {open:04o}")), "{said}");
        mode(&home, file, closed);
    }
    mode(&home, "key", 0o644);
    home.run(&["doctor"])
        .expect_failure(78, &["others may read it"]);
    let found = home.run(&["doctor", "--json"]).expect_code(78);
    assert_eq!(checks(&found, "error"), ["permissions", "store"]);
    mode(&home, "key", 0o600);
    let _ = home.run(&["doctor", "--offline"]).expect_code(0);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_store_that_was_rolled_back_is_found_out_before_a_spent_token_is_shown_again() {
    let (home, server) = api("6");
    let old = fs::read(home.settled_store()).unwrap();
    for _ in 0..2 {
        until_expired(&home, "api");
        let _ = token(&home, "api").run().expect_code(0);
    }
    let fine = home.run(&["doctor", "--json"]).expect_code(0);
    assert!(checks(&fine, "ok").contains(&"rollback".to_owned()));
    let store = home.settled_store();
    for beside in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(store.with_extension(beside));
    }
    fs::write(&store, old).unwrap();
    let found = home.run(&["doctor", "--json"]).expect_code(74);
    let errors = findings(&found, "error");
    assert_eq!(errors[0].0, "rollback");
    assert!(
        errors[0]
            .1
            .contains("generation 1 of this grant, and generation 3"),
        "{errors:?}"
    );
    let said = home.run(&["doctor"]).expect_code(74).stdout;
    assert!(said.contains("fix: run nothing that uses it"), "{said}");
    assert_eq!(refreshes(&server), 2, "looking spends nothing");
    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    let fixed = home.run(&["doctor", "--json"]).expect_code(0);
    assert!(checks(&fixed, "ok").contains(&"rollback".to_owned()));
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn after_a_revocation_doctor_check_and_why_say_who_must_do_what() {
    let (home, server) = api("6");
    let calm = home.run(&["why", "api"]).expect_code(0).stdout;
    assert!(calm.starts_with("Nothing went wrong since "), "{calm}");
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    until_expired(&home, "api");
    let _ = token(&home, "api").run().expect_code(75);

    let found = home.run(&["doctor", "--json"]).expect_code(75);
    assert_eq!(checks(&found, "error"), ["state"]);
    let said = home.run(&["doctor"]).expect_code(75).stdout;
    assert!(said.contains("fix: authkeeper reauthorize api"), "{said}");
    assert!(said.contains("not ok: 1 error"), "{said}");

    let checked = home.run(&["check", "api"]).expect_code(75);
    assert!(
        checked.stderr.contains("authkeeper reauthorize api"),
        "{}",
        checked.stderr
    );

    let told = home.run(&["why", "api"]).expect_code(0).stdout;
    for words in [
        "api: on 20",
        "its token had ended and generation 1 was shown to the provider",
        "the provider refused the refresh token",
        "the owner was told",
        "No token is left",
        "What to do: authkeeper reauthorize api",
    ] {
        assert!(told.contains(words), "{words:?} is missing: {told}");
    }
    let json = home.run(&["why", "api", "--json"]).expect_code(0).json();
    assert_eq!(
        (&json["over"], &json["action"]),
        (&false.into(), &"authkeeper reauthorize api".into())
    );
    let events: Vec<&Value> = json["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["event"])
        .collect();
    assert_eq!(events, ["signed_in", "refresh", "reauthorization_required"]);

    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    let over = home.run(&["why", "api"]).expect_code(0).stdout;
    assert!(
        over.contains("That is over since") && !over.contains("What to do"),
        "{over}"
    );
    let _ = home.run(&["doctor"]).expect_code(0);
    let _ = home.run(&["why", "nobody"]).expect_code(66);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn check_makes_a_real_call() {
    let (home, server) = mcp();
    let api = Server::oidc_provider(&home.outside(), &[("AT_TTL", "600")]);
    connect_api(&home, &api, "api");
    let said = home.run(&["check", "notes"]).expect_code(0).stdout;
    assert!(
        said.starts_with("ok: notes: tools/list answered with "),
        "{said}"
    );
    let json = home
        .run(&["check", "notes", "--json"])
        .expect_code(0)
        .json();
    assert!(json["tools"].as_u64() >= Some(1), "{json}");
    assert_eq!(json["generation"], 1);
    let json = home.run(&["check", "api", "--json"]).expect_code(0).json();
    assert_eq!(json["status"], 200, "no MCP server, and it answers: {json}");
    let why = json["no_mcp"].as_str();
    assert!(
        why.is_some_and(|why| why.starts_with("it answered HTTP ")
            && why.ends_with("instead of an MCP message")),
        "{json}"
    );
    let all = home.run(&["check"]).expect_code(0).stdout;
    assert_eq!(all.lines().count(), 2, "{all}");
    assert_eq!(all.matches("it is no MCP server").count(), 1, "{all}");

    // A token that ended early is refreshed behind the call, as in any other.
    let _ = api.ctl("early401?n=1");
    let json = home.run(&["check", "api", "--json"]).expect_code(0).json();
    assert_eq!(json["generation"], 2, "{json}");
    let _ = server.ctl("revoke");
    let gone = home.run(&["check", "notes"]).expect_code(75);
    assert!(
        gone.stderr.contains("authkeeper reauthorize notes"),
        "{}",
        gone.stderr
    );
    let all = home.run(&["check", "--json"]).expect_code(75).json();
    assert_eq!(
        (&all[0]["ok"], &all[1]["ok"]),
        (&true.into(), &false.into())
    );
    let _ = home.run(&["check", "nobody"]).expect_code(66);
    assert_eq!(status(&home, "notes")["state"], "reauthorization_required");

    let servers = [&server, &api];
    assert_no_leaks(&home, &servers);
    api.stop();
    let _ = home.run(&["check", "api"]).expect_code(69);
    let away = home.run(&["doctor", "--json"]).expect_code(75);
    assert!(
        checks(&away, "warning").contains(&"reach".to_owned()),
        "{}",
        away.stdout
    );
}

#[test]
fn check_asks_where_it_is_told_to_and_nowhere_else() {
    let (home, server) = api("600");
    let elsewhere = Server::oidc_provider(&home.outside(), &[("AT_TTL", "600")]);
    let url = server.url("/api");
    let whoami = server.url("/api/whoami");
    let missing = server.url("/nowhere");
    let away = elsewhere.url("/api/whoami");
    // A URL that answers nothing proves nothing; one that may not be called is a mistake.
    for (check_url, connected, code, said) in [
        (&whoami, 0, 0, "whoami answered 200"),
        (&missing, 0, 65, "--check-url"),
        (&away, 78, 78, "another server"),
    ] {
        let connect = [
            "connect",
            "api",
            &url,
            "--client-id",
            "pub",
            "--check-url",
            check_url,
        ];
        let _ = home.run(&connect).expect_code(connected);
        let checked = home.run(&["check", "api"]).expect_code(code);
        let all = checked.stdout + &checked.stderr;
        assert!(all.contains(said), "{all}");
    }
    assert_eq!(
        elsewhere.ctl("presented"),
        serde_json::json!([]),
        "no token went there"
    );
    assert_no_leaks(&home, &[&server]);
}

/// The log outlives a connection: what it tells of another one that had its name is not counted to this one.
#[test]
fn what_another_connection_of_this_name_did_is_not_measured() {
    let (home, server) = api("3");
    until_expired(&home, "api");
    let _ = token(&home, "api").run().expect_code(0);
    let refreshed = || {
        home.run(&["advise", "--json"]).expect_code(0).json()["providers"][0]["refreshes"].clone()
    };
    assert_eq!(refreshed(), 1);
    // Its clock was an hour off then.
    let log = fs::read_dir(home.store_dir().join("decisions")).unwrap();
    let log = log.map(|entry| entry.unwrap().path()).next().unwrap();
    let told = fs::read_to_string(&log).unwrap();
    let told = told.replace("\"skew_s\":0", "\"skew_s\":3600");
    assert!(told.contains("3600"), "{told}");
    fs::write(&log, told).unwrap();
    let _ = home.run(&["disconnect", "api"]).expect_code(0);
    connect_api(&home, &server, "api");
    assert_eq!(refreshed(), 0);
    server.stop();
    let clocks = home.run(&["doctor", "--json"]);
    let clocks = checks(&clocks, "warning");
    assert!(!clocks.contains(&"clock".to_owned()), "{clocks:?}");
}

#[test]
fn two_installations_are_compared() {
    let (home, server) = mcp();
    let snapshot = home.run(&["doctor", "--snapshot"]).expect_code(0).stdout;
    assert!(
        !snapshot.contains(home.path().to_str().unwrap()),
        "no paths: {snapshot}"
    );
    let profiles = home.config_dir().join("authkeeper/profiles");
    fs::create_dir_all(&profiles).unwrap();
    fs::write(profiles.join("prod.json"), &snapshot).unwrap();
    let same = home
        .run(&["doctor", "--against", "prod"])
        .expect_code(0)
        .stdout;
    assert_eq!(same, "ok: no difference from prod\n");
    home.write_config("[refresh]\nreserve = \"10s\"\n");
    let _ = home
        .run(&[
            "connect",
            "notes",
            &server.url("/mcp"),
            "--principal",
            "bob",
        ])
        .expect_code(0);
    let differs = home
        .run(&["doctor", "--against", "prod"])
        .expect_code(78)
        .stdout;
    let rows: Vec<Vec<&str>> = differs
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(
        rows.contains(&vec!["-", "on_incident", "-", "set"]),
        "{differs}"
    );
    assert!(
        rows.contains(&vec!["-", "refresh.reserve", "10s", "-"]),
        "{differs}"
    );
    assert!(
        rows.contains(&vec!["notes", "principal", "bob", "local"]),
        "{differs}"
    );
    let json = home
        .run(&["doctor", "--against", "prod", "--json"])
        .expect_code(78)
        .json();
    assert_eq!(json["ok"], false);
    home.run(&["doctor", "--against", "stage"])
        .expect_failure(65, &["stage.json", "--snapshot"]);
    assert_no_leaks(&home, &[&server]);
}

/// For one release the old name of a setting works, and JSON has the old keys too.
#[test]
fn an_old_name_is_accepted_and_doctor_tells_the_new_one() {
    let home = Home::new();
    home.write_config("on_trouble = \"cat\"\n");
    let said = home.run(&["doctor"]).expect_code(0).stdout;
    for words in [
        "warning  on_trouble is the old name of on_incident",
        "fix: write on_incident in ",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let shown = home.run(&["config", "show"]).expect_code(0).stdout;
    assert!(shown.contains("on_incident") && !shown.contains("on_trouble"));
    let json = home.run(&["doctor", "--json"]).expect_code(0).json();
    for finding in json["findings"].as_array().unwrap() {
        assert_eq!(
            finding[old_key("findings.fix")],
            finding["fix"],
            "{finding}"
        );
    }
    home.write_config("on_trouble = \"cat\"\non_incident = \"cat\"\n");
    home.run(&["doctor"])
        .expect_failure(78, &["on_trouble", "on_incident", "line 1", "line 2"]);
}

#[test]
fn what_needs_no_store_makes_none() {
    let home = Home::new();
    home.write_config("on_incident = \"mail -s secret-subject me\"\n[refresh]\nreserve = \"9s\"\n");
    let shown = home.run(&["config", "show"]).expect_code(0).stdout;
    assert!(
        shown.contains("mail …") && !shown.contains("secret-subject"),
        "{shown}"
    );
    assert!(shown.contains("line 3 of the file"), "{shown}");
    let json = home
        .authkeeper(&["config", "show", "--json"])
        .env("AUTHKEEPER_KEY_FILE", "/nowhere/key");
    let json = json.run().expect_code(0).json();
    let key = json["paths"]
        .as_array()
        .unwrap()
        .iter()
        .find(|path| path["name"] == "key")
        .unwrap();
    assert_eq!(
        (&key["value"], &key["variable"]),
        (&"/nowhere/key".into(), &"AUTHKEEPER_KEY_FILE".into())
    );
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("reauthorize"), "{shell}");
    }
    assert!(
        home.run(&["man"])
            .expect_code(0)
            .stdout
            .contains(".TH authkeeper 1")
    );
    let pages = home.path().join("man");
    let _ = home
        .run(&["man", "--out", pages.to_str().unwrap()])
        .expect_code(0);
    assert!(pages.join("authkeeper-doctor.1").exists());
    home.write_config("on_incident = \"no-such-program me\"\n");
    let said = home.run(&["doctor"]).expect_code(78).stdout;
    for words in [
        "there is no store yet",
        "no-such-program, which can't be found",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let snapshot = home.run(&["doctor", "--snapshot"]).expect_code(0);
    assert_eq!(snapshot.json()["connections"], serde_json::json!({}));
    let profile = home.path().join("empty.json");
    fs::write(&profile, &snapshot.stdout).unwrap();
    let against = ["doctor", "--against", profile.to_str().unwrap()];
    let _ = home.run(&against).expect_code(0);
    let adopted = home.run(&["doctor", "--adopt"]).stderr;
    assert!(adopted.contains("there is no store yet"), "{adopted}");
    assert!(!home.store_dir().exists());
    home.write_config("on_truble = \"mail\"\n");
    home.run(&["doctor"])
        .expect_failure(78, &["on_truble (line 1)"]);
    assert_eq!(home.run(&["doctor", "--json"]).json()["exit"], 78);
}

/// The key that an earlier release printed for this one.
fn old_key(path: &str) -> String {
    let names = include_str!("../../crates/authkeeper-cli/src/old_names.toml");
    let names: toml::Table = names.parse().unwrap();
    names["json_keys"][path].as_str().unwrap().to_owned()
}
