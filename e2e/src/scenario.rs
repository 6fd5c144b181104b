//! What the acceptance tests have in common: a connection that is signed in, and what is asked of it
//! and of the servers afterwards.

use std::time::Duration;

use serde_json::Value;

use crate::home::{Home, Invocation, Output};
use crate::next_step::assert_can_be_typed;
use crate::python;
use crate::secrets::{self, Secret};
use crate::servers::Server;
use crate::wait::{pause, wait_until};

/// Longer than anything here takes on a busy machine, shorter than a test may.
pub const SOON: Duration = Duration::from_secs(20);

/// Connects `name` to oidc-provider's API by discovery, as its registered public client.
pub fn connect_api(home: &Home, server: &Server, name: &str) {
    let url = server.url("/api");
    let arguments = ["connect", name, &url, "--client-id", "pub"];
    let _ = home.run(&arguments).expect_code(0);
}

/// Connects `name` to the MCP server, whose client registers itself.
pub fn connect_mcp(home: &Home, server: &Server, name: &str) {
    let _ = home
        .run(&["connect", name, &server.url("/mcp")])
        .expect_code(0);
}

/// The configuration of an owner who knows that the provider is strict.
pub fn strict(server: &Server) -> String {
    format!(
        "[refresh]\nquiet_period = \"2s\"\nreserve = \"30s\"\n\n[provider.\"{}\"]\nreplay = \"strict\"\n",
        server.issuer()
    )
}

/// `authkeeper token` with no browser to fall back on.
pub fn token<'a>(home: &'a Home, name: &str) -> Invocation<'a> {
    home.authkeeper(&["token", name]).env("BROWSER", "false")
}

/// A refresh while the access token still lives: more is asked of it than is left.
pub fn early_refresh<'a>(home: &'a Home, server: &Server, name: &str, ttl: u64) -> Invocation<'a> {
    // Issued with `ttl`, believed for a second less; asked for a second less than that, once the token is old enough
    // (a twentieth of its life) to be replaced for the sake of more time.
    assert!(
        wait_until(SOON, || seconds_left(home, name) < ttl - 2 - ttl / 20),
        "the access token of {} does not age",
        server.issuer()
    );
    let wanted = format!("{}s", ttl - 2);
    home.authkeeper(&["token", name, "--min-ttl", &wanted])
        .env("BROWSER", "false")
}

/// A run whose job is this program in Python, with what it is told.
pub fn python_job<'a>(home: &'a Home, code: &str, told: &[&str]) -> Invocation<'a> {
    let python = python().display().to_string();
    let job = ["run", "--with", "api", "--", &python, "-c", code];
    home.authkeeper(&[&job[..], told].concat())
        .env("BROWSER", "false")
}

/// What a job does in a run: one call through its proxy, of this path below `/c/`, whose status is printed.
pub fn call_script(path: &str) -> String {
    format!(
        "printf 'X-Authkeeper-Task: %s' \"$AUTHKEEPER_TASK\" | \
         curl -s -o /dev/null -w '%{{http_code}}' -H @- \"$AUTHKEEPER_URL/c/{path}\""
    )
}

/// What the server issued last of this kind.
pub fn newest(server: &Server, kind: &str) -> String {
    let issued = server.ctl("issued");
    let mut issued = issued.as_array().into_iter().flatten();
    let newest = issued.rfind(|secret| secret["kind"] == kind);
    let value = newest.and_then(|secret| secret["value"].as_str());
    value.expect("one was issued").to_owned()
}

/// What `status --json` says of one connection.
pub fn status(home: &Home, name: &str) -> Value {
    let output = home.run(&["status", name, "--json"]).expect_code(0);
    output.json()[0].clone()
}

/// How long the access token is believed to live, in whole seconds.
pub fn seconds_left(home: &Home, name: &str) -> u64 {
    status(home, name)["seconds_left"]
        .as_u64()
        .expect("a number")
}

/// Waits until the access token is believed in no more.
pub fn until_expired(home: &Home, name: &str) {
    assert!(
        wait_until(SOON, || seconds_left(home, name) == 0),
        "the access token does not end"
    );
    // Whole seconds are shown: of the last one a part may be left.
    pause(Duration::from_secs(1));
}

/// How many refreshes reached the token endpoint.
pub fn refreshes(server: &Server) -> u64 {
    server.count("received", "refresh_token")
}

/// Waits until this many refreshes are held at the token endpoint.
pub fn until_held(server: &Server, number: u64) {
    assert!(
        wait_until(SOON, || server.ctl("stats")["held"] == number),
        "{number} refreshes should be held: {}",
        server.ctl("stats")
    );
}

/// The records of this event among those on standard error. The command that a record's action names is typed.
pub fn records_of(output: &Output, event: &str) -> Vec<Value> {
    let mut records = output.records();
    records.retain(|record| record["event"] == event);
    for record in &records {
        assert_can_be_typed(record["action"].as_str().unwrap_or_default());
    }
    records
}

/// Fails the test if anything the servers issued, or another secret, is anywhere in the home.
pub fn assert_no_leaks(home: &Home, servers: &[&Server]) {
    assert_none_of(home, &secrets::issued_by(servers));
}

/// The same for any secrets.
pub fn assert_none_of(home: &Home, secrets: &[Secret]) {
    assert!(!secrets.is_empty(), "nothing to search for");
    let findings = home.search(secrets);
    assert!(findings.is_empty(), "leaked: {findings:#?}");
}

/// The messages that a hook has appended to `hook.log`: each a JSON line.
pub fn notifications(home: &Home) -> Vec<Value> {
    let log = std::fs::read_to_string(home.path().join("hook.log")).unwrap_or_default();
    log.lines()
        .map(|line| serde_json::from_str(line).expect("each line is a message"))
        .collect()
}

/// Whether these are the notifications of these records, one for each. The link is not compared: it may be served later.
///
/// # Panics
///
/// They are others.
pub fn assert_told(told: &[Value], records: &[Value]) {
    let fields = |record: &Value| record.as_object().cloned().unwrap_or_default();
    assert_eq!(told.len(), records.len(), "{told:#?}");
    for (told, record) in told.iter().zip(records) {
        for (name, value) in fields(record) {
            assert!(
                name == "link" || told[&name] == value,
                "{name}: {told:#} {record:#}"
            );
        }
    }
}
