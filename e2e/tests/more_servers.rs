//! Proof that the servers of the other grants work and are what they are taken for: device code,
//! client credentials, signed assertions, pushed requests, client metadata documents, rotated
//! secrets, grace, and an MCP server without refresh tokens. `authkeeper` has a part in the last.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use e2e::browser::{Callback, visit};
use e2e::home::Home;
use e2e::http::{self, Answer, serve_document};
use e2e::recorder::{Auth, Client, SigningKey, Subject, secret_of};
use e2e::scenario::connect_mcp;
use e2e::servers::Server;
use e2e::{node, script};
use serde_json::{Value, json};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    let text = value[field].as_str();
    assert!(text.is_some(), "no {field}: {value}");
    text.unwrap()
}

fn refresh(subject: &Subject<'_>, tokens: &Value) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(tokens, "refresh_token")),
    ];
    subject.token(&subject.public, &form)
}

fn show(subject: &Subject<'_>, tokens: &Value) -> u16 {
    subject
        .show(&subject.access, text(tokens, "access_token"))
        .status
}

fn begin_device(subject: &Subject<'_>) -> Value {
    let device = subject.device.as_ref().unwrap();
    let resource = subject.access.indicator.as_deref().unwrap();
    let form = [("scope", "api"), ("resource", resource)];
    subject
        .post_as(device, "device_authorization_endpoint", &form)
        .json()
}

fn poll(subject: &Subject<'_>, started: &Value) -> Answer {
    let code = text(started, "device_code");
    let form = [("grant_type", DEVICE_GRANT), ("device_code", code)];
    subject.token(subject.device.as_ref().unwrap(), &form)
}

#[test]
fn a_device_is_approved_or_refused_in_a_browser_elsewhere() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let subject = Subject::oidc_provider(&server);
    let started = begin_device(&subject);
    assert_eq!(
        text(&poll(&subject, &started).json(), "error"),
        "authorization_pending"
    );
    visit(text(&started, "verification_uri_complete"), "approve");
    let tokens = poll(&subject, &started).json();
    assert_eq!(show(&subject, &tokens), 200);

    let started = begin_device(&subject);
    visit(text(&started, "verification_uri_complete"), "deny");
    assert_eq!(
        text(&poll(&subject, &started).json(), "error"),
        "access_denied"
    );
}

fn issue(subject: &Subject<'_>, client: &Client) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", subject.access.scope.as_str()),
        ("resource", subject.access.indicator.as_deref().unwrap()),
    ];
    subject.token(client, &form)
}

/// Both servers that have the grant.
fn assert_secret_rotates(server: &Server, subject: &Subject<'_>) {
    let old = subject.service.clone().unwrap();
    let tokens = issue(subject, &old).json();
    assert!(tokens["refresh_token"].is_null());
    assert_eq!(show(subject, &tokens), 200);

    let rotated = server.ctl("rotate-secret?id=svc");
    assert_eq!(issue(subject, &old).status, 401, "the old one is refused");
    let new = Client::new("svc", Auth::Basic(secret_of(server, "svc")));
    assert_eq!(text(&rotated, "client_secret"), secret_of(server, "svc"));
    assert_eq!(issue(subject, &new).status, 200);
    assert_eq!(server.count("outcomes", "client_credentials 401"), 1);
}

#[test]
fn a_rotated_secret_of_oidc_provider_is_refused() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    assert_secret_rotates(&server, &Subject::oidc_provider(&server));
}

#[test]
fn a_rotated_secret_of_django_is_refused() {
    let home = Home::new();
    let server = Server::django(&home.outside(), &[]);
    assert_secret_rotates(&server, &Subject::django(&server, Duration::ZERO));
}

#[test]
fn a_client_with_a_key_signs_in_and_acts_for_itself() {
    let home = Home::new();
    let key = SigningKey::generate();
    let jwks = key.jwks().to_string();
    let server = Server::oidc_provider(&home.outside(), &[("CLIENT_JWKS", &jwks)]);
    let subject = Subject::oidc_provider(&server);
    let keyed = Client::public("keyed");

    let issue = |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        subject.token(&keyed, &form).status
    };
    let assertion = key.assertion("keyed", server.issuer());
    assert_eq!(issue(&assertion), 200);
    assert_eq!(issue(&assertion), 401, "an assertion is good once");

    let code = subject.authorize(&keyed, &subject.access);
    let assertion = key.assertion("keyed", server.issuer());
    let redirect_uri = subject.callback.uri();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", e2e::recorder::VERIFIER),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion.as_str()),
    ];
    let tokens = subject.token(&keyed, &form).json();
    assert_eq!(show(&subject, &tokens), 200);
}

#[test]
fn a_pushed_request_begins_a_sign_in() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let subject = Subject::oidc_provider(&server);
    let pushed = subject.push(&subject.public, &subject.access).json();
    let path = format!(
        "{}?client_id=pub&request_uri={}",
        subject.path("authorization_endpoint"),
        http::percent_encode(text(&pushed, "request_uri"))
    );
    let redirect = subject.callback.browse(&server.url(&path), "approve");
    let code = e2e::browser::parameter(&redirect, "code").unwrap();
    let answer = subject.redeem(&subject.public, code, e2e::recorder::VERIFIER);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn a_client_is_known_by_its_metadata_document() {
    const ID: &str = "https://cimd.test/client.json";
    let home = Home::new();
    let port = serve_document(&json!({
            "client_id": ID,
            "client_name": "by document",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "application_type": "native",
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
    }));
    let server = Server::oidc_provider(&home.outside(), &[("CIMD_PORT", &port.to_string())]);
    let mut subject = Subject::oidc_provider(&server);
    assert_eq!(
        subject.metadata["client_id_metadata_document_supported"],
        true
    );
    subject.public = Client::public(ID);
    let tokens = subject.sign_in(&subject.public, &subject.access);
    assert_eq!(show(&subject, &tokens), 200);
    assert_eq!(refresh(&subject, &tokens).status, 200);
}

#[test]
fn django_gives_the_same_answer_again_and_refuses_without_a_challenge() {
    let home = Home::new();
    let server = Server::django(&home.outside(), &[("GRACE", "60")]);
    let subject = Subject::django(&server, Duration::from_mins(1));
    let first = subject.sign_in(&subject.public, &subject.access);
    assert_eq!(show(&subject, &first), 200);

    let second = refresh(&subject, &first).json();
    assert_eq!(refresh(&subject, &first).json(), second, "within the grace");
    let refused = subject.show(&subject.access, text(&first, "access_token"));
    assert_eq!(refused.status, 403);
    assert!(refused.header("www-authenticate").is_none());
    assert_eq!(show(&subject, &second), 200);
    assert_eq!(
        (server.presented("valid"), server.presented("replaced")),
        (2, 1)
    );
    assert_eq!(server.count("outcomes", "refresh_token 200"), 2);
}

#[test]
fn django_forgets_a_deleted_account_and_a_deleted_client() {
    let home = Home::new();
    let server = Server::django(&home.outside(), &[]);
    let subject = Subject::django(&server, Duration::ZERO);
    let tokens = subject.sign_in(&subject.public, &subject.access);
    server.ctl("disable?sub=alice");
    assert_eq!(
        show(&subject, &tokens),
        200,
        "a disabled account still acts"
    );
    server.ctl("enable?sub=alice");
    let tokens = refresh(&subject, &tokens).json();
    server.ctl("delete?sub=alice");
    assert_eq!(show(&subject, &tokens), 403);
    // The accounts own the clients, too.
    assert_eq!(refresh(&subject, &tokens).status, 401);
}

#[test]
fn a_sign_in_at_django_can_be_denied() {
    let home = Home::new();
    let server = Server::django(&home.outside(), &[]);
    let subject = Subject::django(&server, Duration::ZERO);
    let url = server.url(&subject.authorization_path(&subject.public, &subject.access));
    let redirect = subject.callback.browse(&url, "deny");
    assert!(redirect.contains("error=access_denied"), "{redirect}");
}

/// What its TypeScript client says, line by line.
fn ts_client(home: &Home, arguments: &[&str], name: &str) -> (Option<i32>, Vec<Value>) {
    let client = script("ts_client.mjs");
    let keeper = e2e::home::authkeeper_binary();
    let command = [keeper.to_str().unwrap(), "mcp", name];
    let all = [&[client.to_str().unwrap()], arguments, &["--"], &command].concat();
    let output = home.program(node(), &all).run();
    let lines = output.stdout.lines();
    let lines = lines.map(|line| serde_json::from_str(line).unwrap());
    (output.code(), lines.collect())
}

#[test]
fn the_typescript_client_calls_fastmcp_through_authkeeper() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "5")]);
    connect_mcp(&home, &server, "tools");
    let arguments = ["--calls", "7", "--every", "1000"];
    let (code, lines) = ts_client(&home, &arguments, "tools");
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines[1]["tools"], json!(["add", "echo", "slow"]));
    assert_eq!(lines.last().unwrap()["failed"], 0);
    assert!(server.count("outcomes", "refresh_token 200") > 0);
}

#[test]
fn the_typescript_example_server_works_through_authkeeper() {
    let home = Home::new();
    let server = Server::mcp_example(&home.outside(), &[]);
    let _ = home
        .run(&["connect", "example", server.resource()])
        .expect_code(0);
    let arguments = ["--tool", "greet", "--arguments", r#"{"name":"you"}"#];
    let (code, lines) = ts_client(&home, &arguments, "example");
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines[2]["text"], "Hello, you!");
    assert_eq!(server.count("outcomes", "authorization_code 200"), 1);
    let issued = server.ctl("issued");
    let kinds: Vec<&str> = issued
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| text(secret, "kind"))
        .collect();
    assert!(kinds.contains(&"access_token"), "{kinds:?}");
    assert!(!kinds.contains(&"refresh_token"), "it has none");
}

#[test]
fn the_typescript_example_server_refuses_when_it_is_told_to() {
    let home = Home::new();
    let server = Server::mcp_example(&home.outside(), &[]);
    let callback = Callback::new();
    let token = sign_in_at_example(&server, &callback);
    let call_with = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let body = e2e::recorder::INITIALIZE;
        http::request(server.port(), "POST", "/mcp", &headers, body).unwrap()
    };
    let call = || call_with(&token);
    assert_eq!(call().status, 200);
    assert_eq!(call_with("unknown").status, 500, "and not 401");
    server.ctl("early401");
    let refused = call();
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some());
    assert_eq!(call().status, 200);
}

/// Its authorization server asks nobody.
fn sign_in_at_example(server: &Server, callback: &Callback) -> String {
    let port = server.issuer().trim_end_matches('/').rsplit_once(':');
    let port: u16 = port.unwrap().1.parse().unwrap();
    let uri = callback.uri();
    let json_type = [("content-type", "application/json")];
    let client = json!({"redirect_uris": [uri], "token_endpoint_auth_method": "none"});
    let registered =
        http::request(port, "POST", "/register", &json_type, &client.to_string()).unwrap();
    let id = text(&registered.json(), "client_id").to_owned();
    let path = format!(
        "/authorize?response_type=code&client_id={id}&redirect_uri={}&code_challenge={}\
         &code_challenge_method=S256",
        http::percent_encode(&uri),
        e2e::recorder::CHALLENGE,
    );
    let redirect = http::get(port, &path).unwrap();
    let location = redirect.header("location").unwrap();
    let code = e2e::browser::parameter(location, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", id.as_str()),
        ("code", code),
        ("redirect_uri", uri.as_str()),
        ("code_verifier", e2e::recorder::VERIFIER),
    ];
    let tokens = http::post_form(port, "/token", &form).unwrap().json();
    text(&tokens, "access_token").to_owned()
}
