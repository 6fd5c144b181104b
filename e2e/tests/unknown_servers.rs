//! Two authorization servers of other schools, which authkeeper was not written against:
//! `LemonLDAP::NG`, whose refresh tokens stay, and authgent-server, where a replay ends the family.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::collections::BTreeSet;
use std::path::Path;

use e2e::home::{Home, Output, Running};
use e2e::http;
use e2e::recorder::{Subject, secret_of};
use e2e::scenario::{
    SOON, assert_no_leaks, assert_told, newest, notifications, python_job, records_of, refreshes,
    status, token, until_expired, until_held,
};
use e2e::servers::Server;
use e2e::wait::wait_until;
use serde_json::{Value, json};

const PROCESSES: usize = 20;
/// So long that those who waited for a refresh use its token, so short that a test sees it end.
const LIFETIME: (&str, &str) = ("AT_TTL", "8");
const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

/// `LemonLDAP::NG`, and `api` connected as its public client.
fn lemonldap(home: &Home) -> Server {
    let server = Server::lemonldap(&home.outside(), &[LIFETIME]);
    worked(connect_lemonldap(home, &server, &["--client-id", "agent"]));
    server
}

/// It has no registration and no protected resource metadata: a person knows the issuer and the
/// client, and an administrator the redirect URI.
fn connect_lemonldap(home: &Home, server: &Server, client: &[&str]) -> Output {
    let redirect = server.named("redirect_uri").unwrap();
    let person = [
        "--redirect-uri",
        redirect,
        "--scope",
        "openid offline_access",
    ];
    connect_by_issuer(home, server, &[client, &person].concat())
}

fn connect_by_issuer(home: &Home, server: &Server, given: &[&str]) -> Output {
    let (resource, issuer) = (server.resource(), server.issuer());
    let connect = ["connect", "api", resource, "--issuer", issuer];
    home.run(&[&connect, given].concat())
}

/// authgent-server, and `api` connected by discovery: it says for any path that it guards it.
fn authgent(home: &Home) -> Server {
    let server = Server::authgent(&home.outside(), &[LIFETIME]);
    worked(home.run(&["connect", "api", server.resource()]));
    server
}

fn worked(output: Output) {
    let _ = output.expect_code(0);
}

// ---- Refreshing -------------------------------------------------------------------------------

#[test]
fn lemonldap_is_asked_once_an_expiry() {
    let home = Home::new();
    let server = lemonldap(&home);
    asks_once_an_expiry(&home, &server);
}

/// It would refuse a replay, and everything after it.
#[test]
fn authgent_is_asked_once_an_expiry() {
    let home = Home::new();
    let server = authgent(&home);
    asks_once_an_expiry(&home, &server);
}

fn asks_once_an_expiry(home: &Home, server: &Server) {
    let mut tokens = BTreeSet::from([token(home, "api").run().expect_code(0).stdout]);
    for expiry in 1..=3 {
        until_expired(home, "api");
        let printed = all_at_once(home, server);
        assert_eq!(printed.len(), 1, "they print different tokens");
        tokens.extend(printed);
        assert_eq!(refreshes(server), expiry, "one refresh for all");
    }
    assert_eq!(tokens.len(), 4, "each refresh brings a new token");
    assert_eq!(server.count("outcomes", "refresh_token 200"), 3);
    assert_no_leaks(home, &[server]);
}

/// Processes that all want a token while the one refresh waits before the server; what they print.
fn all_at_once(home: &Home, server: &Server) -> BTreeSet<String> {
    server.ctl("hold");
    let all: Vec<Running<'_>> = (0..PROCESSES).map(|_| token(home, "api").spawn()).collect();
    until_held(server, 1);
    let waiting = wait_until(SOON, || all.iter().all(Running::has_opened_store));
    assert!(waiting, "all have asked the store");
    server.ctl("release");
    all.into_iter()
        .map(|one| one.finish(SOON).expect_code(0).stdout)
        .collect()
}

// ---- The grant ends ---------------------------------------------------------------------------

/// The last answer of the token endpoint: its status and its body, byte for byte.
fn last_answer(server: &Server) -> (u64, String) {
    let answers = server.ctl("answers");
    let last = answers.as_array().unwrap().last().unwrap();
    let body = last["body"].as_str().unwrap_or_default();
    (last["status"].as_u64().unwrap(), body.to_owned())
}

/// An administrator ends the grant; a person is asked, once.
fn a_person_is_asked_once(home: &Home, server: &Server, answer: &str) {
    assert!(server.ctl("revoke")["revoked"].as_u64() >= Some(1));
    until_expired(home, "api");
    for _ in 0..3 {
        let asked = token(home, "api").run();
        asked.expect_failure(75, &["authkeeper reauthorize api"]);
    }
    let command = ["run", "--with", "api", "--", "touch", "started"];
    let run = home.authkeeper(&command).env("BROWSER", "false").run();
    let _ = run.expect_code(75);
    assert!(!home.path().join("started").exists(), "it was started");

    assert_eq!(last_answer(server), (400, answer.to_owned()));
    assert_eq!(refreshes(server), 1, "the provider is asked once");
    let told = notifications(home);
    assert_eq!(told.len(), 1, "the owner is told once: {told:?}");
    assert_eq!(told[0]["event"], "reauthorization_required");
    let now = status(home, "api");
    assert_eq!(now["state"], "reauthorization_required");
    assert_eq!(now["action"], "authkeeper reauthorize api");

    worked(home.run(&["reauthorize", "api"]));
    worked(token(home, "api").run());
    assert_eq!(status(home, "api")["state"], "active");
    assert_no_leaks(home, &[server]);
}

#[test]
fn a_person_is_asked_once_when_authgent_has_ended_the_grant() {
    const ANSWER: &str =
        r#"{"error":"invalid_grant","error_description":"Refresh token not found"}"#;
    let home = Home::new();
    home.write_config(HOOK);
    let server = authgent(&home);
    a_person_is_asked_once(&home, &server, ANSWER);
}

/// No word of the refresh token: the same bytes as for a request without one.
const DEAD_AT_LEMONLDAP: &str = r#"{"error":"invalid_request"}"#;

#[test]
fn a_person_is_asked_once_when_lemonldap_has_ended_the_grant() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = lemonldap(&home);
    a_person_is_asked_once(&home, &server, DEAD_AT_LEMONLDAP);
}

/// Calls until one fails, and goes on for three seconds; says how the last one ended.
const CALLS: &str = r#"
import os, sys, time, urllib.error, urllib.request
def call():
    request = urllib.request.Request(
        os.environ["AUTHKEEPER_URL"] + "/c/api",
        headers={"Authorization": "Bearer " + os.environ["AUTHKEEPER_TASK"]},
    )
    try:
        return urllib.request.urlopen(request, timeout=20).status, None
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-authkeeper-error"]
print(*call(), flush=True)
deadline, until = time.monotonic() + 30, None
while time.monotonic() < (until or deadline):
    status, error = call()
    if status != 200:
        until = until or time.monotonic() + 3
    time.sleep(0.2)
print(status, error)
"#;

#[test]
fn a_run_asks_lemonldap_once_for_a_dead_grant() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = lemonldap(&home);
    let run = python_job(&home, CALLS, &[]).spawn();
    let called = wait_until(SOON, || run.stdout().contains("200"));
    assert!(called, "{}", run.stderr());
    assert!(server.ctl("revoke")["revoked"].as_u64() >= Some(1));
    let output = run.finish(SOON * 2).expect_code(75);
    assert!(
        output.stdout.contains("403 authorization_missing"),
        "{}",
        output.stdout
    );
    assert_eq!(last_answer(&server), (400, DEAD_AT_LEMONLDAP.to_owned()));
    assert_eq!(refreshes(&server), 1, "asked once, not once a call");
    let said = records_of(&output, "reauthorization_required");
    assert_eq!(said.len(), 1, "{}", output.stderr);
    assert_told(&notifications(&home), &said);
    assert_no_leaks(&home, &[&server]);
}

/// What the entry of the catalogue says of a replay, without authkeeper.
#[test]
fn a_replay_ends_the_family_at_authgent() {
    const REPLAYED: &str = "Refresh token has already been used (replay detected)";
    let home = Home::new();
    let server = Server::authgent(&home.outside(), &[]);
    let subject = Subject::authgent(&server);
    let refresh = |tokens: &Value| {
        let token = tokens["refresh_token"].as_str().unwrap();
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        subject.token(&subject.public, &form)
    };
    let first = subject.sign_in(&subject.public, &subject.access);
    let second = refresh(&first).json();
    let third = refresh(&second).json();
    for (spent, which) in [(&first, "the first"), (&third, "its newest successor")] {
        let refused = refresh(spent);
        let expected = json!({"error": "invalid_grant", "error_description": REPLAYED});
        assert_eq!((refused.status, refused.json()), (400, expected), "{which}");
    }
}

// ---- A client with a secret -------------------------------------------------------------------

const WRONG_SECRET: &str = r#"{"error":"invalid_client"}"#;

#[test]
fn lemonldap_issues_to_the_client_itself_until_its_secret_changes() {
    let home = Home::new();
    let server = Server::lemonldap(&home.outside(), &[("AT_TTL", "3")]);
    let secret = home.secret_file("job", &secret_of(&server, "job"));
    worked(connect_job(&home, &server, &secret));
    let first = token(&home, "api").run().expect_code(0).stdout;
    until_expired(&home, "api");
    let second = token(&home, "api").run().expect_code(0).stdout;
    assert_ne!(first, second);
    server.ctl("rotate-secret?id=job");
    until_expired(&home, "api");
    let refused = token(&home, "api").run();
    refused.expect_failure(78, &["refuses our client job"]);
    assert_eq!(last_answer(&server), (401, WRONG_SECRET.to_owned()));
    assert_eq!(server.count("outcomes", "client_credentials 200"), 2);
    assert_no_leaks(&home, &[&server]);
}

fn connect_job(home: &Home, server: &Server, secret: &Path) -> Output {
    let client = ["--grant", "client_credentials", "--client-id", "job"];
    let secret = [
        "--client-secret-file",
        secret.to_str().unwrap(),
        "--scope",
        "api",
    ];
    connect_by_issuer(home, server, &[&client[..], &secret].concat())
}

#[test]
fn a_wrong_secret_of_the_client_itself_is_said_at_once() {
    let home = Home::new();
    let server = Server::lemonldap(&home.outside(), &[]);
    let wrong = home.secret_file("job", "not-the-secret-of-this-client");
    let refused = connect_job(&home, &server, &wrong);
    refused.expect_failure(78, &["refuses our client job", "invalid_client"]);
    assert_eq!(last_answer(&server), (401, WRONG_SECRET.to_owned()));
    assert_no_leaks(&home, &[&server]);
}

/// A secret in the header is refused with 401, one in the body with 400: the refresh token is
/// untouched by both, and works again with the right secret.
#[test]
fn a_secret_changed_at_lemonldap_costs_no_refresh_token() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::lemonldap(&home.outside(), &[("AT_TTL", "3")]);
    for (method, code) in [("client_secret_basic", 401), ("client_secret_post", 400)] {
        let old = home.secret_file("old", &secret_of(&server, "web"));
        let secret = ["--client-secret-file", old.to_str().unwrap()];
        let client = ["--client-id", "web", "--client-auth", method];
        worked(connect_lemonldap(
            &home,
            &server,
            &[&client[..], &secret].concat(),
        ));
        server.ctl("rotate-secret?id=web");
        until_expired(&home, "api");
        let refused = token(&home, "api").run();
        refused.expect_failure(78, &["refuses our client web", "no token was harmed"]);
        assert_eq!(last_answer(&server), (code, WRONG_SECRET.to_owned()));
        assert_eq!(status(&home, "api")["state"], "active");

        let new = home.secret_file("new", &secret_of(&server, "web"));
        let rotate = ["rotate", "api", "--client-secret-file"];
        worked(home.run(&[&rotate[..], &[new.to_str().unwrap()]].concat()));
        worked(token(&home, "api").run());
        assert_eq!(status(&home, "api")["incidents"], json!([]));
        let told = notifications(&home);
        let [.., first, over] = told.as_slice() else {
            panic!("one message and one all-clear: {told:#?}")
        };
        assert_eq!(
            (&first["status"], &first["severity"]),
            (&json!("firing"), &json!("critical"))
        );
        assert_eq!(
            (&over["status"], &over["id"]),
            (&json!("resolved"), &first["id"])
        );
        worked(home.run(&["disconnect", "api"]));
    }
    assert_eq!(notifications(&home).len(), 4);
    assert_eq!(server.count("outcomes", "refresh_token 200"), 2);
    assert_no_leaks(&home, &[&server]);
}

// ---- Disconnecting ----------------------------------------------------------------------------

/// How many revocations it was asked for.
fn revocations(server: &Server) -> u64 {
    server.count("requests", "POST /revoke")
}

/// It gave the client a secret at registration, and wants to see it.
#[test]
fn a_client_registered_at_authgent_is_disconnected_with_its_secret() {
    let home = Home::new();
    let server = authgent(&home);
    let form = [("token", newest(&server, "access_token"))];
    let introspect = || {
        let form: Vec<_> = form
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        http::post_form(server.port(), "/introspect", &form)
            .unwrap()
            .json()
    };
    assert_eq!(introspect()["active"], true);
    worked(home.run(&["disconnect", "api"]));
    assert_eq!(introspect()["active"], false, "the access token is dead");
    assert_eq!(home.run(&["status", "--json"]).json(), json!([]));
    assert_no_leaks(&home, &[&server]);
}

/// A client that was given by hand and has no secret can't revoke: that is said, in the words of
/// the provider, and `--forget` ends it.
#[test]
fn a_public_client_of_authgent_is_told_why_it_can_not_be_disconnected() {
    const REFUSED: &str = "Client authentication required for revocation";
    let home = Home::new();
    let server = Server::authgent(&home.outside(), &[LIFETIME]);
    let subject = Subject::authgent(&server);
    let (id, uri) = (subject.public.id.clone(), subject.callback.uri());
    // Its port is taken over.
    drop(subject);
    let client = ["--client-id", &id, "--redirect-uri", &uri];
    worked(home.run(&[&["connect", "api", server.resource()], &client[..]].concat()));

    let ended = home.run(&["disconnect", "api"]).expect_code(0);
    for said in [
        REFUSED,
        "forgotten here",
        "What stays good there",
        "by hand",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let asked = revocations(&server);
    assert!(asked <= 2, "at most once for each token: {asked}");
    let _ = token(&home, "api").run().expect_code(66);
    assert_eq!(home.run(&["status", "--json"]).json(), json!([]));
    assert_no_leaks(&home, &[&server]);
}
