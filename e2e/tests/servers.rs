//! Proof that the test ground works and is strict: what a careless client does here costs it its
//! grant. The client is this file's own; `authkeeper` has no part in it.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::io;
use std::time::Duration;

use e2e::browser::{Callback, parameter};
use e2e::home::Home;
use e2e::http::{self, Answer, percent_encode};
use e2e::recorder::INITIALIZE;
use e2e::secrets::{self, Secret};
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};
use e2e::{python, script};
use serde_json::Value;

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Where a server has what this client needs.
struct Endpoints<'a> {
    server: &'a Server,
    authorize: &'static str,
    client_id: String,
    extra: String,
}

impl<'a> Endpoints<'a> {
    fn of_oidc_provider(server: &'a Server) -> Self {
        Self {
            server,
            authorize: "/auth",
            client_id: "pub".to_owned(),
            extra: format!(
                "&scope=api&resource={}",
                percent_encode(&server.url("/api"))
            ),
        }
    }

    /// Registers first, as every client of `FastMCP` must.
    fn of_fastmcp(server: &'a Server, redirect_uri: &str) -> Self {
        let body = format!(
            r#"{{"redirect_uris":["{redirect_uri}"],"token_endpoint_auth_method":"none",
                "grant_types":["authorization_code","refresh_token"]}}"#
        );
        let json = [("content-type", "application/json")];
        let answer = http::request(server.port(), "POST", "/register", &json, &body).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
        Self {
            server,
            authorize: "/authorize",
            client_id: answer.json()["client_id"].as_str().unwrap().to_owned(),
            extra: "&scope=read".to_owned(),
        }
    }

    /// The authorization code flow, with the scripted browser.
    fn sign_in(&self, callback: &Callback) -> Value {
        let redirect = callback.browse(&self.authorization_url(callback), "approve");
        let answer = self
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", parameter(&redirect, "code").expect("a code")),
                ("redirect_uri", &callback.uri()),
                ("code_verifier", VERIFIER),
            ])
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    fn authorization_url(&self, callback: &Callback) -> String {
        self.server.url(&format!(
            "{}?response_type=code&client_id={}&redirect_uri={}&state=an-unguessable-state\
             &code_challenge={CHALLENGE}&code_challenge_method=S256{}",
            self.authorize,
            self.client_id,
            percent_encode(&callback.uri()),
            self.extra,
        ))
    }

    fn refresh(&self, refresh_token: &str) -> Answer {
        self.try_refresh(refresh_token).unwrap()
    }

    /// An error if the connection ends without an answer.
    fn try_refresh(&self, refresh_token: &str) -> io::Result<Answer> {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ])
    }

    fn token(&self, form: &[(&str, &str)]) -> io::Result<Answer> {
        let form = [form, &[("client_id", &self.client_id)]].concat();
        http::post_form(self.server.port(), "/token", &form)
    }
}

fn call(server: &Server, method: &str, path: &str, token: &Value) -> Answer {
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    http::request(server.port(), method, path, &headers, INITIALIZE).unwrap()
}

fn refresh_token(tokens: &Value) -> &str {
    tokens["refresh_token"].as_str().expect("a refresh token")
}

#[test]
fn oidc_provider_kills_the_grant_when_a_refresh_token_is_used_twice() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let first = client.sign_in(&Callback::new());
    assert_eq!(
        call(&server, "GET", "/api/whoami", &first).json()["sub"],
        "alice"
    );

    let second = client.refresh(refresh_token(&first)).json();
    assert_eq!(call(&server, "POST", "/api/echo", &second).body, INITIALIZE);

    let replay = client.refresh(refresh_token(&first));
    assert_eq!(
        (replay.status, &replay.json()["error"]),
        (400, &"invalid_grant".into())
    );
    assert_eq!(
        client.refresh(refresh_token(&second)).status,
        400,
        "the newest died too"
    );
    let refused = call(&server, "GET", "/api/whoami", &second);
    assert_eq!(refused.status, 401, "and its access token");
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    assert_eq!(server.presented("revoked"), 1);
    assert_eq!(server.count("outcomes", "refresh_token 200"), 1);
}

#[test]
fn a_denied_sign_in_comes_back_as_access_denied() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let callback = Callback::new();
    let redirect = callback.browse(&client.authorization_url(&callback), "deny");
    assert_eq!(parameter(&redirect, "error"), Some("access_denied"));
}

#[test]
fn a_held_refresh_has_not_reached_the_provider() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let tokens = client.sign_in(&Callback::new());
    server.ctl("hold");
    std::thread::scope(|scope| {
        let refresh = scope.spawn(|| client.refresh(refresh_token(&tokens)));
        assert!(wait_until(Duration::from_secs(10), || {
            server.ctl("stats")["held"] == 1
        }));
        assert_eq!(server.count("received", "refresh_token"), 1);
        assert_eq!(server.count("completed", "refresh_token"), 0);
        server.ctl("release");
        assert_eq!(refresh.join().unwrap().status, 200);
    });
    assert_eq!(server.count("completed", "refresh_token"), 1);
}

#[test]
fn a_lost_answer_costs_a_careless_client_its_grant() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let tokens = client.sign_in(&Callback::new());
    server.ctl("fail?n=1&mode=after");
    let lost = client.try_refresh(refresh_token(&tokens));
    assert!(lost.is_err(), "no answer came");
    assert_eq!(
        client.refresh(refresh_token(&tokens)).status,
        400,
        "it had rotated"
    );
}

#[test]
fn an_answer_held_back_has_already_rotated() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let tokens = client.sign_in(&Callback::new());
    server.ctl("hold?mode=after");
    std::thread::scope(|scope| {
        let refresh = scope.spawn(|| client.try_refresh(refresh_token(&tokens)));
        assert!(wait_until(Duration::from_secs(10), || {
            server.ctl("stats")["held"] == 1
        }));
        assert_eq!(server.ctl("release?drop=1")["released"], 1);
        assert!(refresh.join().unwrap().is_err(), "no answer came");
    });
    assert_eq!(client.refresh(refresh_token(&tokens)).status, 400);
}

/// The program of the official SDK tells success from failure; the run itself is tested with
/// `authkeeper mcp`.
#[test]
fn the_sdk_client_says_when_there_was_no_session() {
    let home = Home::new();
    let calls = script("mcp_calls.py");
    let arguments = [calls.to_str().unwrap(), "--seconds", "1", "--", "false"];
    let output = home.program(python(), &arguments).run().expect_code(2);
    assert_eq!(output.json()["calls"], 0);
}

#[test]
fn an_outage_before_the_provider_costs_nothing() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let tokens = client.sign_in(&Callback::new());
    server.ctl("fail?n=1&status=503");
    let outage = client.refresh(refresh_token(&tokens));
    assert_eq!(
        (outage.status, outage.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(client.refresh(refresh_token(&tokens)).status, 200);
}

#[test]
fn an_administrator_and_a_disabled_account_end_the_grant() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let client = Endpoints::of_oidc_provider(&server);
    let tokens = client.sign_in(&Callback::new());
    server.ctl("disable?sub=alice");
    assert_eq!(client.refresh(refresh_token(&tokens)).status, 400);
    server.ctl("enable?sub=alice");
    let tokens = client.refresh(refresh_token(&tokens)).json();
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    assert_eq!(client.refresh(refresh_token(&tokens)).status, 400);
    assert_eq!(call(&server, "GET", "/api/whoami", &tokens).status, 401);
}

#[test]
fn fastmcp_destroys_the_refresh_token_of_an_expired_access_token_shown_to_it() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "2")]);
    let callback = Callback::new();
    let client = Endpoints::of_fastmcp(&server, &callback.uri());
    let tokens = client.sign_in(&callback);
    assert_eq!(call(&server, "POST", "/mcp", &tokens).status, 200);
    pause(Duration::from_millis(2_100));
    assert_eq!(call(&server, "POST", "/mcp", &tokens).status, 401);
    assert_eq!(
        (server.presented("valid"), server.presented("expired")),
        (1, 1)
    );
    assert_eq!(client.refresh(refresh_token(&tokens)).status, 401);
}

#[test]
fn fastmcp_refuses_the_old_access_token_after_a_refresh() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    let callback = Callback::new();
    let client = Endpoints::of_fastmcp(&server, &callback.uri());
    let first = client.sign_in(&callback);
    let second = client.refresh(refresh_token(&first)).json();
    assert_eq!(call(&server, "POST", "/mcp", &first).status, 401);
    assert_eq!(call(&server, "POST", "/mcp", &second).status, 200);
    server.ctl("early401?n=1");
    assert_eq!(
        call(&server, "POST", "/mcp", &second).status,
        401,
        "good, but refused"
    );
    assert_eq!(call(&server, "POST", "/mcp", &second).status, 200);
    assert_eq!(server.presented("replaced"), 1);
    assert_eq!(server.ctl("revoke")["revoked"], 1);
    assert_eq!(client.refresh(refresh_token(&second)).status, 401);
}

#[test]
fn fastmcp_answers_404_for_a_session_it_has_forgotten() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    let callback = Callback::new();
    let client = Endpoints::of_fastmcp(&server, &callback.uri());
    let tokens = client.sign_in(&callback);
    let answer = call(&server, "POST", "/mcp", &tokens);
    let session = answer
        .header("mcp-session-id")
        .expect("a session")
        .to_owned();
    let list = || {
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-session-id", session.as_str()),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        let body = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
        http::request(server.port(), "POST", "/mcp", &headers, body).unwrap()
    };
    assert_eq!(list().status, 200);
    assert_eq!(server.ctl("drop-sessions")["dropped"], 1);
    assert_eq!(list().status, 404);
}

#[test]
fn what_the_servers_issued_is_found_in_a_home_and_its_processes() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let tokens = Endpoints::of_oidc_provider(&server).sign_in(&Callback::new());
    let issued = secrets::issued_by(&[&server]);
    for kind in ["access_token", "refresh_token", "code", "code_verifier"] {
        assert!(issued.iter().any(|secret| secret.kind == kind), "{kind}");
    }
    assert_eq!(home.search(&issued), []);

    let running = home
        .program("sleep", &["60"])
        .env("PLANTED", refresh_token(&tokens))
        .spawn();
    assert!(wait_until(Duration::from_secs(10), || {
        running.snapshot();
        !home.search(&issued).is_empty()
    }));
    let found = home.search(&issued);
    assert!(
        found.iter().all(|finding| finding.kind == "refresh_token"),
        "{found:?}"
    );
}

#[test]
fn only_an_access_token_that_was_asked_for_may_be_printed() {
    let home = Home::new();
    let secrets = [
        Secret::new("access_token", "an-access-token-1"),
        Secret::new("refresh_token", "a-refresh-token-1"),
    ];
    let print = |text: &str| home.program("echo", &[text]).env("SHELL", "none");
    let output = print("harmless").run();
    assert_eq!(
        (output.code(), output.stdout.as_str()),
        (Some(0), "harmless\n")
    );

    let printed = home
        .program("sh", &["-c", "cat"])
        .stdin("an-access-token-1");
    let _ = printed.prints_tokens().run();
    assert_eq!(home.search(&secrets), []);
    let printed = home
        .program("sh", &["-c", "cat"])
        .stdin("a-refresh-token-1");
    let _ = printed.prints_tokens().run();
    assert_eq!(home.search(&secrets).len(), 1);
    let _ = home
        .program("sh", &["-c", "cat >&2"])
        .stdin("an-access-token-1")
        .run();
    assert_eq!(home.search(&secrets).len(), 2);
}

#[test]
fn the_faulty_server_is_good_where_it_is_told_to_be() {
    let home = Home::new();
    let server = Server::faulty(&home.outside(), &[]);
    let metadata = |mode: &str| {
        http::get(
            server.port(),
            &format!("/.well-known/oauth-authorization-server/{mode}"),
        )
        .unwrap()
    };
    assert_eq!(metadata("good").json()["issuer"], server.url("/good"));
    assert_ne!(
        metadata("issuer-mismatch").json()["issuer"],
        server.url("/issuer-mismatch")
    );
    assert!(metadata("metadata-html").body.starts_with("<!doctype"));
    assert_eq!(
        http::get(server.port(), "/redirect/mcp").unwrap().status,
        302
    );
}
