//! Client authentication, each method, and what goes wrong with it.

use authkeeper_sandbox::{AuthMethod, ClientSpec, Profile, SandboxSettings};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::bench::{Bench, Got, settings};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn with_clients(profile: Profile, clients: Vec<ClientSpec>) -> Bench {
    Bench::start(SandboxSettings {
        clients,
        ..settings(profile)
    })
    .await
}

fn basic(client: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")))
}

async fn by_basic(bench: &Bench, secret: &str) -> Got {
    let header = basic("svc", secret);
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "read"),
        ("client_id", "svc"),
    ];
    bench
        .form("/token", &[("Authorization", &header)], &fields)
        .await
}

#[tokio::test]
async fn client_credentials_give_an_access_token_alone() {
    let spec = ClientSpec::secret("svc", AuthMethod::Basic, "s1");
    let bench = with_clients(Profile::Strict, vec![spec, ClientSpec::public("public")]).await;
    let got = by_basic(&bench, "s1").await;
    assert_eq!((got.status, got.text("scope").as_str()), (200, "read"));
    assert!(got.json()["refresh_token"].is_null());
    let me = bench.api(&got.text("access_token")).await.json();
    assert_eq!(
        (&me["sub"], &me["client_id"]),
        (&Value::Null, &json!("svc"))
    );
    by_basic(&bench, "s1").await;
    assert_eq!(bench.sandbox.counters().grants[0].generation, 2);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "public"),
    ];
    let public = bench.form("/token", &[], &fields).await;
    assert_eq!(public.status, 400, "not for public clients");
}

#[tokio::test]
async fn a_wrong_secret_is_said_in_each_servers_words() {
    let bench = with_clients(
        Profile::Strict,
        vec![ClientSpec::secret("svc", AuthMethod::Basic, "s1")],
    )
    .await;
    let url = bench.sandbox.url().to_owned();
    let got = by_basic(&bench, "wrong").await;
    let words = "error=\"invalid_client\", error_description=\"client authentication failed\"";
    let challenge = format!("Basic realm=\"{url}\", {words}");
    assert_eq!(
        (got.status, got.header("www-authenticate")),
        (401, Some(challenge.as_str()))
    );
    bench.say("set profile=grace");
    let got = by_basic(&bench, "wrong").await;
    assert_eq!(got.json(), json!({"error": "invalid_client"}));
    assert_eq!(
        got.header("www-authenticate"),
        Some("Bearer error=\"invalid_client\"")
    );
    bench.say("set profile=single-use");
    let got = by_basic(&bench, "wrong").await;
    assert_eq!(got.json()["error_description"], "Invalid client_secret");
    let header = basic("svc", "s1");
    let fields = [("grant_type", "client_credentials")];
    let got = bench
        .form("/token", &[("Authorization", &header)], &fields)
        .await;
    assert_eq!(got.json()["error_description"], "Missing client_id");
    bench.say("set profile=burns-on-error");
    let got = by_basic(&bench, "wrong").await;
    assert_eq!((got.status, got.body.as_str()), (400, ""));
    assert_eq!(bench.sandbox.counters().clients_refused, 5);
}

#[tokio::test]
async fn the_secret_must_come_the_registered_way_and_rolls_over() {
    let bench = with_clients(
        Profile::Strict,
        vec![ClientSpec::secret("svc", AuthMethod::Post, "s1")],
    )
    .await;
    assert_eq!(by_basic(&bench, "s1").await.status, 401);
    let by_post = async |secret: &str| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", "svc"),
            ("client_secret", secret),
        ];
        bench.form("/token", &[], &fields).await.status
    };
    assert_eq!(by_post("s1").await, 200);
    let new = bench.say("rotate-secret svc 30s")["client_secret"].clone();
    let new = new.as_str().unwrap();
    assert_eq!((by_post("s1").await, by_post(new).await), (200, 200));
    bench.advance(30);
    assert_eq!((by_post("s1").await, by_post(new).await), (401, 200));
    bench.say("rotate-secret svc");
    assert_eq!(by_post(new).await, 401);
    bench.say("delete-client svc");
    assert_eq!(by_post("s1").await, 401);
}

/// A signed assertion: header, claims, and what signs them.
fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

async fn by_assertion(bench: &Bench, jwt: &str) -> Got {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", jwt),
    ];
    bench.form("/token", &[], &fields).await
}

/// 2026-01-01, where the standing clock starts.
const START: i64 = 1_767_225_600;

fn claims(audience: &str, id: &str) -> Value {
    json!({"iss": "svc", "sub": "svc", "aud": audience, "jti": id, "exp": START + 60})
}

#[tokio::test]
async fn an_es256_assertion_counts_once_and_only_for_this_server() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let key = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": part(1..33), "y": part(33..65)});
    let spec = ClientSpec::signing("svc", json!({"keys": [key]}));
    let bench = with_clients(Profile::Strict, vec![spec]).await;
    let random = SystemRandom::new();
    let sign = |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
    let header = json!({"alg": "ES256", "kid": "k"});
    let url = bench.sandbox.url().to_owned();
    let endpoint = format!("{url}/token");
    let good = signed(&header, &claims(&endpoint, "1"), sign);
    assert_eq!(by_assertion(&bench, &good).await.status, 200);
    let replayed = by_assertion(&bench, &good).await;
    assert_eq!(
        (replayed.status, replayed.text("error").as_str()),
        (401, "invalid_client")
    );
    let for_issuer = signed(&header, &claims(&url, "2"), sign);
    assert_eq!(by_assertion(&bench, &for_issuer).await.status, 200);
    let elsewhere = signed(&header, &claims("https://evil.example", "3"), sign);
    assert_eq!(by_assertion(&bench, &elsewhere).await.status, 401);
    let mut late = claims(&url, "4");
    late["exp"] = json!(START);
    assert_eq!(
        by_assertion(&bench, &signed(&header, &late, sign))
            .await
            .status,
        401
    );
    let stranger = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let forged = signed(&header, &claims(&url, "5"), |message| {
        stranger.sign(&random, message).unwrap().as_ref().to_vec()
    });
    assert_eq!(by_assertion(&bench, &forged).await.status, 401);
    let unsigned = signed(&json!({"alg": "none"}), &claims(&url, "6"), |_| Vec::new());
    assert_eq!(by_assertion(&bench, &unsigned).await.status, 401);
}

#[tokio::test]
async fn an_eddsa_assertion_is_good_too() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let spec = ClientSpec::signing("svc", json!({"keys": [key]}));
    let bench = with_clients(Profile::Strict, vec![spec]).await;
    let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
    let jwt = signed(
        &json!({"alg": "EdDSA"}),
        &claims(bench.sandbox.url(), "1"),
        sign,
    );
    assert_eq!(by_assertion(&bench, &jwt).await.status, 200);
}

#[tokio::test]
async fn the_most_token_requests_at_once_are_counted() {
    let bench = Bench::with(Profile::NoRotation).await;
    let tokens = bench.sign_in(&[]).await;
    bench.fault("slow=50ms,at=refresh");
    let three = [(); 3].map(|()| bench.refresh(&tokens.refresh, &[]));
    let [a, b, c] = three;
    tokio::join!(a, b, c);
    assert_eq!(bench.sandbox.counters().max_concurrent_token_requests, 3);
}
