//! `apply` and `reauthorize --all`: many connections at once.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::{fs, time::Duration};

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Output};
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{status, token, until_expired};
use serde_json::json;

/// A home and a provider with a client that was made by hand.
fn ground(ttl: u64) -> (Home, Sandbox) {
    let ttl = Duration::from_secs(ttl);
    let sandbox = Sandbox::with_ttl(Profile::Strict, Duration::ZERO, ttl);
    sandbox.control(
        "clients",
        &json!({"client_id": "job", "secret": "s3cret-of-the-job"}),
    );
    (Home::new(), sandbox)
}

/// Writes `connections.toml` where it is looked for.
fn list(home: &Home, toml: &str) {
    home.write_config("");
    let folder = home.config_dir().join("authkeeper");
    fs::write(folder.join("job.secret"), "s3cret-of-the-job\n").unwrap();
    fs::write(folder.join("connections.toml"), toml).unwrap();
}

fn two(sandbox: &Sandbox, more: &str) -> String {
    let url = sandbox.url();
    format!(
        "[person]\nurl = \"{url}/mcp\"\n{more}\n[job]\nurl = \"{url}/mcp\"\ngrant = \"client_credentials\"\n\
         client-id = \"job\"\nclient_secret_file = \"job.secret\"\n"
    )
}

fn shown(output: &Output) -> Vec<&str> {
    output.stdout.lines().collect()
}

#[test]
fn what_is_listed_is_connected_once_and_then_left_alone() {
    let (home, sandbox) = ground(600);
    list(&home, &two(&sandbox, ""));
    let check = home.run(&["apply", "--check"]).expect_code(78);
    assert_eq!(shown(&check), ["+ job", "+ person"]);
    let none = home.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!(none, json!([]), "a check changes nothing");

    let _ = home
        .run(&["connect", "other", &format!("{}/mcp", sandbox.url())])
        .expect_code(0);
    let applied = home.run(&["apply"]).expect_code(0);
    assert_eq!(
        shown(&applied),
        ["+ job", "+ person", "  other (not listed: left alone)"]
    );
    for name in ["person", "job", "other"] {
        let _ = token(&home, name).run().expect_code(0);
    }
    assert_eq!(status(&home, "job")["grant_type"], "client_credentials");

    let before = sandbox.counters();
    let again = home.run(&["apply"]).expect_code(0);
    assert!(
        again.stderr.contains("Nothing to change: 2 connections"),
        "{}",
        again.stderr
    );
    let _ = home.run(&["apply", "--check"]).expect_code(0);
    assert_eq!(sandbox.counters().sign_ins, before.sign_ins);
}

#[test]
fn a_change_is_shown_and_made_in_place_and_another_server_is_not() {
    let (home, sandbox) = ground(600);
    list(&home, &two(&sandbox, ""));
    let _ = home.run(&["apply"]).expect_code(0);
    list(&home, &two(&sandbox, "param = [\"tone=blue\"]"));
    let check = home
        .run(&["apply", "--check", "--json"])
        .expect_code(78)
        .json();
    let difference = json!([{"setting": "param", "is": null, "wanted": "tone=blue"}]);
    assert_eq!(check["steps"][1]["differences"], difference, "{check}");
    assert_eq!(check["steps"][0]["step"], "nothing", "{check}");
    let changed = home.run(&["apply"]).expect_code(0);
    assert_eq!(
        shown(&changed),
        ["  job", "~ person", "    + param = tone=blue"]
    );
    let _ = home.run(&["apply", "--check"]).expect_code(0);

    let moved = two(&sandbox, "param = [\"tone=blue\"]").replacen("/mcp", "/api", 1);
    list(&home, &moved);
    let refused = home.run(&["apply"]).expect_code(64);
    assert!(refused.stdout.contains("! person\n"), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("authkeeper disconnect person"),
        "{}",
        refused.stderr
    );
    let _ = token(&home, "person").run().expect_code(0);
}

#[test]
fn one_that_fails_keeps_no_other_from_being_connected() {
    let (home, sandbox) = ground(600);
    list(&home, &two(&sandbox, ""));
    let secret = home.config_dir().join("authkeeper/job.secret");
    fs::write(secret, "another-one\n").unwrap();
    let applied = home.run(&["apply", "--json"]).expect_code(78).json();
    let done = (&applied["done"][0]["ok"], &applied["done"][1]["ok"]);
    assert_eq!(done, (&json!(false), &json!(true)), "{applied}");
    let _ = token(&home, "person").run().expect_code(0);
}

#[test]
fn a_list_that_is_not_there_or_means_nothing_is_a_matter_of_configuration() {
    let home = Home::new();
    home.run(&["apply"])
        .expect_failure(78, &["connections.toml can't be read", "apply --help"]);
    list(&home, "[x]\nurll = \"https://a.example\"\n");
    home.run(&["apply"])
        .expect_failure(78, &["[x]: urll is no key", "did you mean url?"]);
}

#[test]
fn all_that_need_a_person_are_signed_in_again() {
    let (home, sandbox) = ground(4);
    for name in ["one", "two"] {
        let _ = home
            .run(&["connect", name, &format!("{}/mcp", sandbox.url())])
            .expect_code(0);
    }
    sandbox.say("revoke");
    for name in ["one", "two"] {
        until_expired(&home, name);
        let _ = token(&home, name).run().expect_code(75);
    }
    let _ = home.run(&["reauthorize", "--all"]).expect_code(0);
    for name in ["one", "two"] {
        assert_eq!(status(&home, name)["state"], "active");
    }
    let none = home.run(&["reauthorize", "--all"]).expect_code(0).stderr;
    assert!(none.contains("No connection needs a sign-in"), "{none}");
    let _ = home.run(&["reauthorize"]).expect_code(64);
}
