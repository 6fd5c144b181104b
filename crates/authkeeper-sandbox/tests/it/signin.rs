//! Signing in: the page, its refusals, registration, and the device flow.

use authkeeper_sandbox::Profile;
use serde_json::{Value, json};

use crate::bench::{Bench, REDIRECT, Tokens, VERIFIER, query};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[tokio::test]
async fn the_page_asks_and_the_answer_goes_to_the_client_with_iss() {
    let bench = Bench::with(Profile::Strict).await;
    bench.say("set auto_approve=false");
    let page = bench.authorize(&[]).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("value=\"mallory\"") && page.body.contains("Deny"));
    let action = page
        .body
        .split("action=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let fields = [("user", "bob"), ("decision", "allow")];
    let elsewhere = [("Origin", "https://evil.example")];
    assert_eq!(bench.form(action, &elsewhere, &fields).await.status, 403);
    let answer = bench.form(action, &[], &fields).await;
    let location = answer.header("location").unwrap();
    assert!(location.starts_with(REDIRECT));
    assert_eq!(query(location, "state").as_deref(), Some("a state"));
    assert_eq!(query(location, "iss").as_deref(), Some(bench.sandbox.url()));
    let tokens = Tokens::of(&bench.exchange(&query(location, "code").unwrap()).await);
    assert_eq!(bench.api(&tokens.access).await.json()["sub"], "bob");
    assert_eq!(
        bench.form(action, &[], &fields).await.status,
        404,
        "an answer counts once"
    );
}

#[tokio::test]
async fn a_no_is_told_to_the_client() {
    let bench = Bench::with(Profile::Strict).await;
    bench.say("set auto_approve=false");
    let page = bench.authorize(&[]).await;
    let action = page
        .body
        .split("action=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let answer = bench
        .form(action, &[], &[("user", "bob"), ("decision", "deny")])
        .await;
    let location = answer.header("location").unwrap();
    assert_eq!(query(location, "error").as_deref(), Some("access_denied"));
    assert_eq!(query(location, "iss").as_deref(), Some(bench.sandbox.url()));
    assert_eq!(bench.sandbox.counters().sign_ins, 0);
}

#[tokio::test]
async fn what_can_not_be_trusted_is_not_redirected_and_pkce_is_required() {
    let bench = Bench::with(Profile::Strict).await;
    for more in [
        [("client_id", "nobody")],
        [("redirect_uri", "https://evil.example/")],
    ] {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("response_type", "code")])
            .extend_pairs(more)
            .finish();
        let got = bench
            .get(&format!("/authorize?{query}&client_id=public"), &[])
            .await;
        assert_eq!((got.status, got.header("location")), (400, None));
    }
    let plain = format!("/authorize?client_id=public&response_type=code&redirect_uri={REDIRECT}");
    let got = bench.get(&plain, &[]).await;
    let error = query(got.header("location").unwrap(), "error");
    assert_eq!(error.as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn a_code_counts_once_and_only_with_its_verifier() {
    let bench = Bench::with(Profile::Strict).await;
    let code = bench.code(&[]).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        (
            "code_verifier",
            "another-verifier-that-is-long-enough-for-rfc-7636",
        ),
        ("client_id", "public"),
    ];
    assert_eq!(
        bench.form("/token", &[], &fields).await.json()["error"],
        "invalid_grant"
    );
    let tokens = Tokens::of(&bench.exchange(&code).await);
    assert_eq!(bench.exchange(&code).await.json()["error"], "invalid_grant");
    assert_eq!(
        bench.api(&tokens.access).await.status,
        401,
        "the replay took the tokens along"
    );
    let late = bench.code(&[]).await;
    bench.advance(60);
    assert_eq!(bench.exchange(&late).await.status, 400);
}

#[tokio::test]
async fn a_token_is_good_only_at_the_resource_it_was_asked_for() {
    let bench = Bench::with(Profile::Strict).await;
    let mcp = format!("{}/mcp", bench.sandbox.url());
    let tokens = bench.sign_in(&[("resource", &mcp)]).await;
    assert_eq!(bench.api(&tokens.access).await.status, 401);
    let refused = bench.authorize(&[("resource", "http://evil/")]).await;
    let error = query(refused.header("location").unwrap(), "error");
    assert_eq!(error.as_deref(), Some("invalid_target"));
}

#[tokio::test]
async fn metadata_leads_from_the_resource_to_the_server() {
    let bench = Bench::with(Profile::Strict).await;
    let url = bench.sandbox.url();
    let refused = bench.get("/api/me", &[]).await;
    let pointer = format!("resource_metadata=\"{url}/.well-known/oauth-protected-resource/api\"");
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains(&pointer)
    );
    let resource = bench
        .get("/.well-known/oauth-protected-resource/mcp", &[])
        .await
        .json();
    assert_eq!(resource["resource"], format!("{url}/mcp"));
    assert_eq!(resource["authorization_servers"], json!([url]));
    let server = bench
        .get("/.well-known/oauth-authorization-server", &[])
        .await
        .json();
    assert_eq!(server["issuer"], *url);
    let alias = bench
        .get("/.well-known/openid-configuration", &[])
        .await
        .json();
    assert_eq!(alias, server);
}

#[tokio::test]
async fn a_client_registers_itself_and_signs_in() {
    let bench = Bench::with(Profile::Strict).await;
    let metadata = json!({
        "redirect_uris": ["http://127.0.0.1/callback"],
        "client_name": "a test",
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let json_type = [("Content-Type", "application/json")];
    let got = bench
        .send("POST", "/register", &json_type, &metadata.to_string())
        .await;
    assert_eq!(got.status, 201);
    let client = got.text("client_id");
    let code = bench.code(&[("client_id", &client)]).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("client_id", &client),
    ];
    let tokens = Tokens::of(&bench.form("/token", &[], &fields).await);
    Tokens::of(
        &bench
            .refresh(&tokens.refresh, &[("client_id", &client)])
            .await,
    );
    let wrong = bench
        .send("POST", "/register", &json_type, "{\"client_name\": \"x\"}")
        .await;
    assert_eq!(
        (wrong.status, wrong.text("error").as_str()),
        (400, "invalid_redirect_uri")
    );
    bench.say("restart");
    let forgotten = bench
        .refresh(&tokens.refresh, &[("client_id", &client)])
        .await;
    assert_eq!(forgotten.json()["error"], "invalid_client");
}

async fn device(bench: &Bench) -> Value {
    let fields = [("client_id", "public"), ("scope", "read")];
    let got = bench.form("/device_authorization", &[], &fields).await;
    assert_eq!(got.status, 200);
    got.json()
}

async fn poll(bench: &Bench, device: &Value) -> Value {
    let code = device["device_code"].as_str().unwrap_or_default();
    let fields = [
        ("grant_type", DEVICE),
        ("device_code", code),
        ("client_id", "public"),
    ];
    bench.form("/token", &[], &fields).await.json()
}

async fn decide(bench: &Bench, device: &Value, decision: &str) -> u16 {
    let complete = device["verification_uri_complete"]
        .as_str()
        .unwrap_or_default();
    let code = query(complete, "user_code").unwrap_or_default();
    let page = bench.get(&format!("/device?user_code={code}"), &[]).await;
    assert!(page.body.contains(&code));
    let fields = [
        ("user_code", code.as_str()),
        ("user", "bob"),
        ("decision", decision),
    ];
    bench.form("/device", &[], &fields).await.status
}

#[tokio::test]
async fn a_device_waits_is_told_to_slow_down_and_gets_its_tokens() {
    let bench = Bench::with(Profile::Strict).await;
    let waiting = device(&bench).await;
    assert_eq!(waiting["interval"], 5);
    assert_eq!(
        poll(&bench, &waiting).await["error"],
        "authorization_pending"
    );
    bench.advance(4);
    assert_eq!(poll(&bench, &waiting).await["error"], "slow_down");
    bench.advance(6);
    assert_eq!(
        poll(&bench, &waiting).await["error"],
        "slow_down",
        "the interval has grown"
    );
    assert_eq!(decide(&bench, &waiting, "allow").await, 200);
    bench.advance(20);
    let tokens = poll(&bench, &waiting).await;
    assert_eq!(tokens["scope"], "read");
    let me = bench.api(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!(me.json()["sub"], "bob");
    bench.advance(20);
    assert_eq!(poll(&bench, &waiting).await["error"], "invalid_grant");
}

#[tokio::test]
async fn a_device_can_be_denied_or_too_late() {
    let bench = Bench::with(Profile::Strict).await;
    let denied = device(&bench).await;
    assert_eq!(decide(&bench, &denied, "deny").await, 200);
    assert_eq!(poll(&bench, &denied).await["error"], "access_denied");
    let late = device(&bench).await;
    bench.advance(600);
    assert_eq!(poll(&bench, &late).await["error"], "expired_token");
    assert_eq!(decide(&bench, &late, "allow").await, 404);
}

#[tokio::test]
async fn introspection_tells_the_living_from_the_dead() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    let ask = async |token: &str| {
        let fields = [("token", token), ("client_id", "public")];
        bench.form("/introspect", &[], &fields).await.json()
    };
    let living = ask(&tokens.access).await;
    assert_eq!(
        (&living["active"], &living["sub"]),
        (&json!(true), &json!("alice"))
    );
    assert_eq!(ask(&tokens.refresh).await["active"], true);
    bench.say("revoke alice");
    assert_eq!(ask(&tokens.access).await, json!({"active": false}));
    assert_eq!(ask(&tokens.refresh).await, json!({"active": false}));
    assert_eq!(ask("unknown").await, json!({"active": false}));
}
