//! Disconnecting: revoked at the provider and forgotten here, or unusable here and said.

use e2e::ground::Ground;
use e2e::home::Home;
use e2e::http;
use e2e::recorder::{INITIALIZE, Subject};
use e2e::scenario::{assert_no_leaks, connect_api, newest, status};
use e2e::servers::Server;

#[test]
fn disconnect_revokes_and_forgets() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    connect_api(&home, &server, "api");
    let _ = home.run(&["disconnect", "api"]).expect_code(0);
    assert!(server.ctl("stats")["grants_revoked"].as_u64() >= Some(1));
    let _ = home.run(&["token", "api"]).expect_code(66);
    let listed = home.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(0));
    assert_no_leaks(&home, &[&server]);
}

/// `FastMCP` takes a public client's revocation only with an empty secret beside it.
#[test]
fn a_public_client_of_fastmcp_can_be_disconnected_too() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    let subject = Subject::fastmcp(&server);
    let (id, uri) = (subject.public.id.clone(), subject.callback.uri());
    // Its port is taken over.
    drop(subject);
    let url = server.url("/mcp");
    let words = [
        "connect",
        "mcp",
        &url,
        "--client-id",
        &id,
        "--redirect-uri",
        &uri,
    ];
    let _ = home.run(&words).expect_code(0);
    let refresh = newest(&server, "refresh_token");
    let bearer = format!("Bearer {}", newest(&server, "access_token"));
    let shown = || {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let answer = http::request(server.port(), "POST", "/mcp", &headers, INITIALIZE);
        answer.expect("an answer").status
    };
    assert_eq!(shown(), 200);
    let _ = home.run(&["disconnect", "mcp"]).expect_code(0);
    assert_eq!(shown(), 401, "the access token is dead");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
        ("client_id", id.as_str()),
    ];
    let answer = http::post_form(server.port(), "/token", &form).expect("an answer");
    assert_ne!(answer.status, 200, "the refresh token is dead");
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn what_could_not_be_revoked_is_unusable_and_said() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    connect_api(&home, &server, "api");
    server.stop();
    let output = home.run(&["disconnect", "api"]).expect_code(69);
    assert!(
        output.stderr.contains("did not confirm"),
        "{}",
        output.stderr
    );
    assert_eq!(status(&home, "api")["state"], "revoked");
    assert_eq!(status(&home, "api")["action"], "authkeeper disconnect api");
    let _ = home.run(&["token", "api"]).expect_code(66);
}

/// Connected to the misbehaving server in one of its modes.
fn connected(mode: &str) -> Ground {
    let ground = Ground::new();
    ground.connect("x", mode);
    ground
}

/// RFC 7009 §2.1: with the refresh token its access tokens end.
#[test]
fn an_access_token_that_is_refused_after_its_refresh_token_was_revoked_is_gone() {
    let ground = connected("revoke-access-400");
    let _ = ground.home.run(&["disconnect", "x"]).expect_code(0);
    ground.home.run(&["status", "x"]).expect_failure(66, &["x"]);
    ground.expect_unharmed();
}

#[test]
fn a_provider_that_revokes_nothing_for_a_public_client_is_told_plainly() {
    let ground = connected("revoke-public-401");
    let output = ground.home.run(&["disconnect", "x"]).expect_code(0);
    for words in [
        "only from clients with a secret",
        "invalid_client: a secret is needed",
        "the access token until 20",
        "the refresh token until it is revoked",
        "remove the access there by hand",
    ] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    ground.home.run(&["status", "x"]).expect_failure(66, &["x"]);
    ground.expect_unharmed();
}

#[test]
fn what_is_half_disconnected_is_explained_and_can_be_finished_or_connected_again() {
    let ground = connected("revoke-503");
    let words = [
        "unusable here",
        "503",
        "the access token until 20",
        "tries again",
    ];
    ground
        .home
        .run(&["disconnect", "x"])
        .expect_failure(69, &words);
    let said = ground.home.run(&["status", "x"]).stdout;
    for words in [
        "did not confirm",
        "the refresh token until it is revoked",
        "authkeeper disconnect x",
    ] {
        assert!(said.contains(words), "{said}");
    }
    ground.server.ctl("heal");
    let _ = ground.home.run(&["disconnect", "x"]).expect_code(0);
    ground.home.run(&["status", "x"]).expect_failure(66, &["x"]);
    ground.connect("y", "revoke-access-400");
    let _ = ground.home.run(&["disconnect", "y"]).expect_code(0);
    ground.connect("y", "revoke-access-400");
    assert!(ground.token("y").starts_with("faulty_access_token_"));
    ground.expect_unharmed();
}
