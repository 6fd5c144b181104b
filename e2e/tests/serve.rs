//! The daemon as a user starts it: it needs no restart for what is connected later, lets in who holds the handle, and ends
//! when it is told to.

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::daemon::Daemon;
use e2e::home::Home;
use e2e::http;
use e2e::provider::Provider;
use e2e::scenario::{assert_no_leaks, connect_api, status};
use e2e::servers::Server;
use e2e::wait::wait_until;
use rustix::process::Signal;

const SOON: Duration = Duration::from_mins(1);

#[test]
fn what_is_connected_later_is_kept_fresh_and_served() {
    let home = Home::new();
    let provider = Provider::sandbox(Profile::Strict);
    provider.set_ttl(4);
    let daemon = Daemon::start(&home, &[]);
    let missing = daemon.greet("later", &daemon.handle);
    assert_eq!(missing.json()["error"]["code"], -31001, "{}", missing.body);
    let url = format!("{}/mcp", provider.issuer());
    let _ = home.run(&["connect", "later", &url]).expect_code(0);
    // Nobody asks for a token: it is the daemon that refreshes.
    assert!(wait_until(SOON, || provider.refreshes().accepted >= 2));
    let answer = daemon.greet("later", &daemon.handle);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["id"], 7);
    assert_eq!(
        answer.json()["result"]["serverInfo"]["name"],
        "authkeeper-sandbox"
    );
    assert!(answer.header("mcp-session-id").is_some());
    daemon.process.signal(Signal::TERM);
    let _ = daemon.process.finish(SOON).expect_code(0);
    assert_eq!(provider.refreshes().refused, 0);
    let leaks = home.search(&provider.secrets());
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn only_who_holds_the_handle_is_let_in_and_nobody_is_sent_to_sign_in() {
    let home = Home::new();
    let daemon = Daemon::start(&home, &[]);
    for path in [
        "/mcp/any",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp/any",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = http::get(daemon.port, path).expect("an answer");
        let expected = if path.starts_with("/mcp") { 403 } else { 404 };
        assert_eq!(answer.status, expected, "{path}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert_eq!(
        http::get(daemon.port, "/healthz")
            .expect("an answer")
            .status,
        200
    );
    let taken = home.run(&["serve", "--port", &daemon.port.to_string()]);
    taken.expect_failure(69, &["is taken", "--port"]);
}

/// Nobody calls, and the token would live for ten minutes more.
#[test]
fn what_dies_while_nobody_calls_is_found_out_and_so_is_its_repair() {
    let home = Home::new();
    home.write_config("[validate]\nevery = \"1s\"\n");
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "600")]);
    connect_api(&home, &server, "api");
    let daemon = Daemon::start(&home, &[]);
    let healthz = || {
        http::get(daemon.port, "/healthz")
            .expect("an answer")
            .status
    };
    assert_eq!(healthz(), 200);
    let asked = || server.ctl("presented").as_array().map_or(0, Vec::len);
    let before = asked();
    assert!(
        wait_until(SOON, || asked() >= before + 2),
        "it is validated"
    );
    server.ctl("revoke-grants");
    assert!(
        wait_until(SOON, || healthz() == 503),
        "the death is noticed"
    );
    let health = status(&home, "api")["health"].clone();
    assert_eq!(health["cause"], "refresh_refused", "{health}");
    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    assert!(wait_until(SOON, || healthz() == 200), "so is the repair");
    assert_no_leaks(&home, &[&server]);
}
