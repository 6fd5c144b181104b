//! Grants whose tokens are bound to a key (RFC 9449), at a server that checks the proof of each request.

use super::{kinds::with, *};
use crate::{
    model::{ReauthorizeReason, SuspendReason},
    oauth::dpop::ProofKey,
    refresh::tests::server::Fault,
    secret::SecretString,
};

/// Binds a sign-in's tokens to a new key.
fn bound(signed_in: &mut SignedIn) {
    let (key, kept) = ProofKey::generate().unwrap();
    bind(signed_in, &key, kept);
}

fn bind(signed_in: &mut SignedIn, key: &ProofKey, kept: SecretString) {
    signed_in.grant_material.proof_key = Some(kept);
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.subject_binding.bound_to = Some(key.thumbprint().to_owned());
    }
}

async fn machine(change: impl FnOnce(&mut SignedIn)) -> (Bench, Runtime) {
    let (bench, runtime) = with(change).await;
    bench.server.checks_proofs();
    (bench, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_proves_the_key_that_its_tokens_are_bound_to() {
    let (bench, runtime) = machine(bound).await;
    let thumbprint = grant(&runtime).await.subject_binding.bound_to.unwrap();
    for _ in 0..2 {
        bench.clock.advance(secs(3600));
        let token = ask(&runtime).await.unwrap();
        assert_eq!(
            token.presentation.prefix(),
            "DPoP ",
            "never as a bearer token"
        );
        assert_eq!(token.binding.as_ref().unwrap().thumbprint(), thumbprint);
        assert_in_step(&bench, &runtime).await;
    }
    let proofs = bench.server.proofs();
    let [one, two] = &proofs[..] else {
        panic!("{proofs:?}");
    };
    assert_eq!(one["htu"], "https://as.example/token");
    assert_eq!((&one["htm"], one.get("ath")), (&"POST".into(), None));
    assert_ne!(one["jti"], two["jti"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_its_number_is_asked_once_more_and_nothing_is_spent_by_that() {
    let (bench, runtime) = machine(bound).await;
    bench.server.wants_nonce("n1");
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 2);
    assert_in_step(&bench, &runtime).await;

    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 3, "its number is known now");

    bench.server.wants_nonce("n2");
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 5);
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
    assert!(runtime.incidents().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_never_right_ends_the_attempt_and_not_the_grant() {
    let (bench, runtime) = machine(bound).await;
    let refused = Fault::Says(400, r#"{"error":"use_dpop_nonce"}"#);
    bench.server.script([refused]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(error, TokenError::RequestRefused { .. }),
        "{error}"
    );
    assert_eq!(
        bench.server.requests(),
        1,
        "without a number there is nothing to say again"
    );
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_is_not_even_shown_and_the_grant_lives() {
    let (bench, runtime) = machine(|signed_in| {
        let (key, _) = ProofKey::generate().unwrap();
        let (_, other) = ProofKey::generate().unwrap();
        bind(signed_in, &key, other);
    })
    .await;
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(&error, TokenError::ClientRefused { refused, .. } if refused.code == "proof_key_unusable"),
        "{error}"
    );
    assert_eq!(bench.server.requests(), 0);
    let stored = grant(&runtime).await;
    assert_eq!(stored.lifecycle, GrantLifecycle::Active);
    assert_eq!(refresh_of(&stored), bench.server.good());
    assert!(stored.claim.is_none());
}

#[tokio::test]
async fn a_key_that_cannot_be_read_any_more_asks_a_person() {
    let (bench, runtime) = machine(bound).await;
    let sql = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    let spoil = "UPDATE grant_family SET means = randomblob(99)";
    assert_eq!(sql.execute(spoil, []).unwrap(), 1);
    let error = ask(&bench.process()).await.unwrap_err();
    let TokenError::ReauthorizationRequired { record } = &error else {
        panic!("{error}");
    };
    assert_eq!(record.reason, ReauthorizeReason::SecretLost.as_str());
    assert_eq!(bench.server.requests(), 0);
    drop(runtime);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bearer_token_in_the_place_of_a_bound_one_is_kept_and_not_handed_out() {
    let (bench, runtime) = with(bound).await;
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(
            &error,
            TokenError::Suspended {
                reason: SuspendReason::TokenType,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        refresh_of(&grant(&runtime).await),
        bench.server.good(),
        "nothing is lost"
    );
}

#[tokio::test]
async fn a_key_goes_with_its_connection() {
    let (bench, runtime) = machine(bound).await;
    let id = grant(&runtime).await.id;
    runtime.disconnect(&name()).await.unwrap();
    assert!(!bench.server.revoked().is_empty());
    let left = runtime.context.store.grant(&id).await.unwrap().unwrap();
    assert!(left.grant_material.proof_key.is_none());
}
