//! Connections that share one client of ours at their provider: a sign-in that nobody finished takes nothing from the others,
//! and a client that the provider refuses is shown for each of them, until it is taken again.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Output};
use e2e::provider::Provider;
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{assert_no_leaks, records_of, status, token, until_expired};
use e2e::servers::Server;
use serde_json::Value;

/// A sign-in from which the person is called away.
fn left_unfinished(home: &Home, name: &str, url: &str) {
    let words = ["connect", name, url, "--timeout", "1s"];
    let alone = home.authkeeper(&words).env("BROWSER", "false");
    alone.run().expect_failure(75, &["nobody signed in"]);
}

/// How many clients registered themselves.
fn registered(sandbox: &Sandbox) -> usize {
    let state = sandbox.state();
    let clients = state["clients"].as_array().unwrap().iter();
    let named = ["public", "confidential", "machine"];
    let is_ours = |client: &&Value| !named.contains(&client["client_id"].as_str().unwrap());
    clients.filter(is_ours).count()
}

#[test]
fn an_unfinished_sign_in_costs_no_connection_its_token_and_registers_nothing() {
    let home = Home::new();
    let ttl = Duration::from_secs(4);
    let sandbox = Sandbox::with_ttl(Profile::Strict, Duration::ZERO, ttl);
    let url = format!("{}/mcp", sandbox.url());
    let before = registered(&sandbox);
    let _ = home.run(&["connect", "kept", &url]).expect_code(0);
    assert_eq!(registered(&sandbox), before + 1);
    for _ in 0..3 {
        left_unfinished(&home, "another", &url);
    }
    assert_eq!(registered(&sandbox), before + 1, "one client serves all");
    until_expired(&home, "kept");
    let _ = token(&home, "kept").run().expect_code(0);
    let _ = home.run(&["connect", "another", &url]).expect_code(0);
    assert_eq!(registered(&sandbox), before + 1);
}

/// Nothing says whether the provider still knows a client that nobody has signed in with: after two tries there is another.
#[test]
fn a_client_that_no_grant_lives_on_is_taken_again_once() {
    let home = Home::new();
    let sandbox = Sandbox::start(Profile::Strict, Duration::ZERO);
    let url = format!("{}/mcp", sandbox.url());
    let before = registered(&sandbox);
    for clients in [1, 1, 2, 2] {
        left_unfinished(&home, "a", &url);
        assert_eq!(registered(&sandbox), before + clients);
    }
}

/// What each surface says of a connection whose client is refused in these words.
fn expect_told(home: &Home, name: &str, said: &str, action: &str) {
    let shown = status(home, name);
    assert_eq!(shown["state"], "active", "{shown}");
    let told = shown["action"].as_str().unwrap_or_default();
    assert!(told.contains(action) && told.contains(name), "{shown}");
    assert_eq!(shown["incidents"][0]["reason"], "client_refused", "{shown}");
    let table = home.run(&["status", name]).expect_code(0).stdout;
    assert!(table.contains(said) && table.contains(action), "{table}");
    let why = home.run(&["why", name, "--json"]).expect_code(0).json();
    assert!(why["why"].as_str().unwrap().contains(said), "{why}");
    assert!(why["action"].as_str().unwrap().contains(action), "{why}");
    assert_eq!(why["over"], false, "{why}");
}

/// The connections whose client `doctor` says is refused.
fn found(output: &Output, said: &str) -> Vec<String> {
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let findings = found["findings"].as_array().unwrap().iter();
    let errors = findings.filter(|finding| {
        finding["severity"] == "error" && finding["what"].as_str().unwrap().contains(said)
    });
    let mut names: Vec<_> = errors
        .map(|finding| finding["connection"].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// The line that says why there is no token.
fn refusal_in(output: Output) -> String {
    let output = output.expect_code(78);
    let mut lines = output.stderr.lines();
    let error = lines.find(|line| line.starts_with("authkeeper: error:"));
    error.unwrap().to_owned()
}

fn expect_well(home: &Home, name: &str) {
    let shown = status(home, name);
    assert_eq!(shown["incidents"].as_array().unwrap().len(), 0, "{shown}");
    assert!(shown["action"].is_null(), "{shown}");
}

#[test]
fn a_deleted_client_is_shown_for_each_connection_that_uses_it() {
    let home = Home::new();
    let django = Server::django(&home.outside(), &[("AT_TTL", "4")]);
    let provider = Provider::Django(django);
    let Provider::Django(server) = &provider else {
        unreachable!("it is one")
    };
    for name in ["one", "two"] {
        provider.connect(&home, name);
    }
    server.ctl("delclient?id=pub");
    until_expired(&home, "one");
    until_expired(&home, "two");
    let said = "invalid_client";
    let first = refusal_in(token(&home, "one").run());
    assert!(first.contains(said), "{first}");
    let asked = server.count("received", "refresh_token");
    // Nobody has asked for the second: it is told of all the same, and its token is not shown to the provider.
    expect_told(&home, "two", said, "check client pub at the provider");
    expect_told(&home, "one", said, "check client pub at the provider");
    let second = token(&home, "two").run();
    let records = records_of(&second, "authority_lost");
    assert_eq!(records.len(), 1, "{}", second.stderr);
    assert_eq!(records[0]["connection"], "two");
    assert_eq!(refusal_in(second), first, "the provider's own words");
    assert_eq!(server.count("received", "refresh_token"), asked);
    let doctor = home.run(&["doctor", "--json"]).expect_code(78);
    assert_eq!(found(&doctor, said), ["one", "two"]);
    assert_no_leaks(&home, &[server]);
}

#[test]
fn a_new_secret_ends_it_for_each_connection() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "4")]);
    let clients = server.ctl("clients");
    let old = clients["svc"]["client_secret"].as_str().unwrap();
    let old = home.secret_file("old", old);
    for name in ["one", "two"] {
        let url = server.url("/api");
        let way = ["--grant", "client_credentials", "--client-id", "svc"];
        let secret = ["--client-secret-file", old.to_str().unwrap()];
        let words = [&["connect", name, &url][..], &way, &secret].concat();
        let _ = home.run(&words).expect_code(0);
    }
    let new = server.ctl("rotate-secret?id=svc");
    until_expired(&home, "one");
    until_expired(&home, "two");
    let said = "invalid_client";
    token(&home, "two").run().expect_failure(78, &[said]);
    let repair = "if its secret was replaced: authkeeper rotate one --client-secret-file FILE";
    expect_told(&home, "one", said, repair);
    let new = home.secret_file("new", new["client_secret"].as_str().unwrap());
    let new = new.to_str().unwrap();
    let words = ["rotate", "one", "--client-secret-file", new];
    let _ = home.run(&words).expect_code(0);
    for name in ["one", "two"] {
        expect_well(&home, name);
        let _ = token(&home, name).run().expect_code(0);
    }
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_sign_in_that_is_done_ends_it_for_each_connection() {
    let home = Home::new();
    let ttl = Duration::from_secs(4);
    let sandbox = Sandbox::with_ttl(Profile::Strict, Duration::ZERO, ttl);
    let url = format!("{}/api", sandbox.url());
    for name in ["one", "two"] {
        let issuer = ["--issuer", sandbox.url(), "--client-id", "public"];
        let words = [&["connect", name, &url][..], &issuer].concat();
        let _ = home.run(&words).expect_code(0);
    }
    sandbox.say("delete-client public");
    until_expired(&home, "one");
    until_expired(&home, "two");
    let _ = token(&home, "one").run().expect_code(78);
    expect_told(&home, "two", "public", "authkeeper reauthorize two");
    // That somebody begins one proves nothing.
    let words = ["reauthorize", "one", "--timeout", "1s"];
    let alone = home.authkeeper(&words).env("BROWSER", "false");
    let _ = alone.run().expect_code(75);
    expect_told(&home, "two", "public", "authkeeper reauthorize two");
    sandbox.control("clients", &serde_json::json!({"client_id": "public"}));
    let _ = home.run(&["reauthorize", "one"]).expect_code(0);
    for name in ["one", "two"] {
        expect_well(&home, name);
        let _ = token(&home, name).run().expect_code(0);
    }
}

/// A client that registered itself, and that the provider has forgotten: nobody is asked for an id or a secret.
#[test]
fn a_forgotten_client_that_registered_itself_costs_one_sign_in_and_no_question() {
    let home = Home::new();
    let ttl = Duration::from_secs(4);
    let sandbox = Sandbox::with_ttl(Profile::Strict, Duration::ZERO, ttl);
    let url = format!("{}/mcp", sandbox.url());
    let _ = home.run(&["connect", "x", &url]).expect_code(0);
    let state = sandbox.state();
    let clients = state["clients"].as_array().unwrap().iter();
    let mut newest = clients.filter_map(|client| client["client_id"].as_str());
    let own = newest.rfind(|id| !["public", "confidential", "machine"].contains(id));
    sandbox.say(&format!("delete-client {}", own.unwrap()));
    until_expired(&home, "x");
    let _ = token(&home, "x").run().expect_code(78);
    assert_eq!(status(&home, "x")["action"], "authkeeper reauthorize x");
    let words = ["reauthorize", "x", "--timeout", "1s"];
    let alone = home.authkeeper(&words).env("BROWSER", "false").run();
    assert!(!alone.stderr.contains("--client-id"), "{}", alone.stderr);
    let _ = home.run(&["reauthorize", "x"]).expect_code(0);
    expect_well(&home, "x");
}
