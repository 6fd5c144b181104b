//! The daemon as a user starts it: it needs no restart for what is connected later, lets in who holds the handle, and ends
//! when it is told to.

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Running};
use e2e::http;
use e2e::provider::Provider;
use e2e::wait::wait_until;
use rustix::process::Signal;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_mins(1);

fn start<'a>(home: &'a Home, port: &str) -> (Running<'a>, u16) {
    let daemon = home
        .authkeeper(&["serve", "--port", port, "--json"])
        .spawn();
    assert!(
        wait_until(SOON, || daemon.stdout().ends_with('\n')),
        "it does not get ready: {}",
        daemon.stderr()
    );
    let ready: Value = serde_json::from_str(&daemon.stdout()).expect("a line of JSON");
    let port = ready["port"].as_u64().and_then(|port| port.try_into().ok());
    (daemon, port.expect("a port"))
}

fn handle(home: &Home) -> String {
    let printed = home.run(&["serve", "--print-handle"]).expect_code(0);
    format!("Bearer {}", printed.stdout.trim())
}

fn call(port: u16, handle: &str, name: &str) -> http::Answer {
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let headers = [
        ("authorization", handle),
        ("content-type", "application/json"),
    ];
    let path = format!("/mcp/{name}");
    http::request(port, "POST", &path, &headers, &message.to_string()).expect("an answer")
}

#[test]
fn what_is_connected_later_is_kept_fresh_and_served() {
    let home = Home::new();
    let provider = Provider::sandbox(Profile::Strict);
    provider.set_ttl(4);
    let (daemon, port) = start(&home, "0");
    let handle = handle(&home);
    let missing = call(port, &handle, "later");
    assert_eq!(missing.json()["error"]["code"], -31001, "{}", missing.body);
    let url = format!("{}/mcp", provider.issuer());
    let _ = home.run(&["connect", "later", &url]).expect_code(0);
    // Nobody asks for a token: it is the daemon that refreshes.
    assert!(wait_until(SOON, || provider.refreshes().accepted >= 2));
    let answer = call(port, &handle, "later");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["id"], 7);
    assert_eq!(
        answer.json()["result"]["serverInfo"]["name"],
        "authkeeper-sandbox"
    );
    assert!(answer.header("mcp-session-id").is_some());
    daemon.signal(Signal::TERM);
    let _ = daemon.finish(SOON).expect_code(0);
    assert_eq!(provider.refreshes().refused, 0);
    let leaks = home.search(&provider.secrets());
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn only_who_holds_the_handle_is_let_in_and_nobody_is_sent_to_sign_in() {
    let home = Home::new();
    let (_daemon, port) = start(&home, "0");
    for path in [
        "/mcp/any",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp/any",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = http::get(port, path).expect("an answer");
        let expected = if path.starts_with("/mcp") { 403 } else { 404 };
        assert_eq!(answer.status, expected, "{path}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert_eq!(http::get(port, "/healthz").expect("an answer").status, 200);
    let taken = home.run(&["serve", "--port", &port.to_string()]);
    taken.expect_failure(69, &["is taken", "--port"]);
}
