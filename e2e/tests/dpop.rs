//! Tokens that are bound to a key (RFC 9449), at a server nobody here wrote: oidc-provider checks every proof, at its token
//! endpoint and at its `/me`, which is the API here.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use e2e::browser::visit;
use e2e::home::{Home, Output};
use e2e::http;
use e2e::recorder::{SigningKey, secret_of};
use e2e::scenario::{
    SOON, assert_no_leaks, call_script, newest, refreshes, status, token, until_expired,
};
use e2e::servers::Server;
use e2e::wait::wait_until;
use serde_json::Value;

fn oidc(home: &Home, ttl: &str) -> Server {
    Server::oidc_provider(&home.outside(), &[("AT_TTL", ttl)])
}

fn connect(home: &Home, server: &Server, more: &[&str]) -> Output {
    let (url, issuer) = (server.url("/me"), server.issuer().to_owned());
    let words = ["connect", "api", &url, "--issuer", &issuer];
    let bound = ["--dpop", "required"];
    home.run(&[&words[..], &bound, more].concat())
}

fn sign_in(home: &Home, server: &Server) {
    let more = ["--client-id", "pub", "--scope", "openid"];
    let _ = connect(home, server, &more).expect_code(0);
}

/// What a job gets that knows nothing of keys and proofs.
fn call(home: &Home) -> String {
    let job = call_script("api");
    let run = ["run", "--with", "api", "--", "sh", "-c", &job];
    home.run(&run).expect_code(0).stdout
}

fn shown(home: &Home, more: &[&str]) -> Value {
    let words = ["token", "api", "--json"];
    home.run(&[&words[..], more].concat()).expect_code(0).json()
}

fn me(server: &Server, scheme: &str, token: &str, proof: Option<&str>) -> u16 {
    let shown = format!("{scheme} {token}");
    let mut headers = vec![("authorization", shown.as_str())];
    headers.extend(proof.map(|proof| ("dpop", proof)));
    let answer = http::request(server.port(), "GET", "/me", &headers, "");
    answer.unwrap().status
}

#[test]
fn a_job_calls_with_a_bound_token_and_knows_nothing_of_it() {
    let home = Home::new();
    let server = oidc(&home, "4");
    sign_in(&home, &server);
    assert_eq!(call(&home), "200");
    until_expired(&home, "api");
    assert_eq!(call(&home), "200");
    assert!(refreshes(&server) >= 1);

    // Alone the token is good for nothing, and that is said in the place of printing it.
    token(&home, "api")
        .run()
        .expect_failure(64, &["bound to a key", "--proof"]);
    let asked = format!("GET {}", server.url("/me"));
    let one = shown(&home, &["--proof", &asked]);
    assert_eq!(one["token_type"], "DPoP");
    let (secret, proof) = (one["access_token"].as_str(), one["proof"].as_str());
    let (secret, proof) = (secret.unwrap(), proof.unwrap());
    assert_eq!(me(&server, "Bearer", secret, None), 401);
    assert_eq!(me(&server, "DPoP", secret, Some(proof)), 200);
    assert_ne!(
        me(&server, "DPoP", secret, Some(proof)),
        200,
        "a proof is good once"
    );
    let elsewhere = [
        "token",
        "api",
        "--json",
        "--proof",
        "GET http://127.0.0.1:9/",
    ];
    home.run(&elsewhere)
        .expect_failure(64, &["is not on the server"]);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn both_servers_numbers_are_learned_and_no_token_is_spent_by_that() {
    let home = Home::new();
    let server = oidc(&home, "4");
    sign_in(&home, &server);
    let outcome = |status: u16| server.count("outcomes", &format!("refresh_token {status}"));
    server.ctl("set?nonce=1");
    assert_eq!(call(&home), "200", "the API wants its number");
    until_expired(&home, "api");
    assert_eq!(call(&home), "200");
    assert_eq!(
        (outcome(400), outcome(200)),
        (1, 1),
        "the token endpoint does too"
    );
    assert_eq!(server.ctl("stats")["grants_revoked"], 0);
    assert_eq!(status(&home, "api")["incidents"], serde_json::json!([]));
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_stolen_refresh_token_is_good_for_nobody_and_the_grant_lives() {
    let home = Home::new();
    let server = oidc(&home, "4");
    sign_in(&home, &server);
    let stolen = newest(&server, "refresh_token");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", stolen.as_str()),
        ("client_id", "pub"),
    ];
    let thief = SigningKey::generate();
    let proof = thief.proof("POST", &server.url("/token"));
    let form = "application/x-www-form-urlencoded";
    for headers in [
        &[("content-type", form)][..],
        &[("content-type", form), ("dpop", &proof)],
    ] {
        let body = http::form(&fields);
        let answer = http::request(server.port(), "POST", "/token", headers, &body).unwrap();
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert_eq!(answer.json()["error"], "invalid_grant");
    }
    until_expired(&home, "api");
    assert_eq!(call(&home), "200");
}

#[test]
fn the_key_is_resealed_with_the_store() {
    let home = Home::new();
    let server = oidc(&home, "4");
    sign_in(&home, &server);
    let before = shown(&home, &[])["bound_to"].clone();
    let done = home.run(&["rotate-key", "--json"]).expect_code(0).json();
    // The check of the key, the key for marks, the refresh token, the access token, and the key that they are bound to.
    assert_eq!(done["rows"]["resealed"], 5, "{done}");
    until_expired(&home, "api");
    assert_eq!(call(&home), "200");
    assert_eq!(shown(&home, &[])["bound_to"], before);

    let again = ["reauthorize", "api"];
    let _ = home.run(&again).expect_code(0);
    let after = shown(&home, &[])["bound_to"].clone();
    assert!(after.is_string(), "what was bound stays bound");
    assert_ne!(after, before, "each sign-in has a key of its own");
    assert_eq!(call(&home), "200");
}

#[test]
fn every_other_grant_can_be_bound_too() {
    let home = Home::new();
    let server = oidc(&home, "60");
    server.ctl("set?nonce=1");
    let secret = home.secret_file("svc", &secret_of(&server, "svc"));
    let secret = secret.display().to_string();
    // What it connects to answers to a person's token alone.
    let own = [
        "--no-check",
        "--grant",
        "client_credentials",
        "--client-id",
        "svc",
    ];
    let own = [&own[..], &["--client-secret-file", &secret]].concat();
    let _ = connect(&home, &server, &own).expect_code(0);
    assert!(shown(&home, &[])["bound_to"].is_string());
    let _ = home.run(&["disconnect", "api"]).expect_code(0);

    let (url, issuer) = (server.url("/me"), server.issuer().to_owned());
    let words = [
        "connect", "api", &url, "--issuer", &issuer, "--dpop", "required",
    ];
    let device = ["--device", "--client-id", "device", "--scope", "openid"];
    let running = home.authkeeper(&[&words[..], &device].concat());
    let running = running.env("BROWSER", "false").spawn();
    assert!(wait_until(SOON, || running.stderr().contains("user_code=")));
    let said = running.stderr();
    let mut words = said.split_whitespace();
    let link = words.find(|word| word.contains("user_code=")).unwrap();
    visit(link, "approve");
    let _ = running.finish(SOON).expect_code(0);
    assert_eq!(call(&home), "200");
    assert_no_leaks(&home, &[&server]);
}
