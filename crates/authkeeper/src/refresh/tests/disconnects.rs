//! Disconnecting: it ends, whatever the provider says of the access token.

use super::{kinds, *};
use crate::{
    model::{ClientSecret, ConnectionState},
    oauth::revoke::Revocation,
};

const NOT_KNOWN: (u16, &str) = (
    400,
    r#"{"error":"invalid_request","error_description":"no"}"#,
);

async fn is_forgotten(runtime: &Runtime) -> bool {
    runtime.status(&name()).await.is_err()
}

fn secret_of(signed_in: &mut SignedIn, method: ClientAuthMethod) {
    let (_, client) = signed_in.client.as_mut().unwrap();
    client.auth_method = method;
    client.secrets = vec![ClientSecret::new("s".to_owned().into())];
    client.client_id = ClientId::new("other");
    signed_in.connection.client_id = ClientId::new("other");
}

#[tokio::test]
async fn an_access_token_ends_with_its_refresh_token() {
    for status in [400, 401, 403, 404] {
        let (bench, runtime) = kinds::with(|new| secret_of(new, ClientAuthMethod::Basic)).await;
        bench.server.revocations([(200, ""), (status, "{}")]);
        let done = runtime.disconnect(&name()).await.unwrap();
        assert_eq!(done, Revocation::Done, "{status}");
        assert!(is_forgotten(&runtime).await);
    }
}

#[tokio::test]
async fn a_server_error_is_tried_again() {
    let (bench, runtime) = Bench::new().await;
    bench.server.revocations([(200, ""), (503, "")]);
    let failed = runtime.disconnect(&name()).await.unwrap();
    assert!(matches!(failed, Revocation::Failed(_)), "{failed:?}");
    assert_eq!(status(&runtime).await.state, ConnectionState::Revoked);
    // The provider knows the refresh token no more; some say so with an error.
    bench
        .server
        .revocations([(400, r#"{"error":"invalid_token"}"#), (400, "{}")]);
    let done = runtime.disconnect(&name()).await.unwrap();
    assert_eq!(done, Revocation::Done);
    assert!(is_forgotten(&runtime).await);
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_stays_and_is_told_with_the_providers_words() {
    let (bench, runtime) = kinds::with(|new| secret_of(new, ClientAuthMethod::Basic)).await;
    bench.server.revocations([NOT_KNOWN]);
    let failed = runtime.disconnect(&name()).await.unwrap();
    let Revocation::Failed(why) = failed else {
        panic!("{failed:?}");
    };
    assert!(why.contains("invalid_request: no"), "{why}");
    assert_eq!(status(&runtime).await.state, ConnectionState::Revoked);
}

#[tokio::test]
async fn a_provider_that_takes_no_revocation_from_public_clients_is_not_asked_for_ever() {
    let (bench, runtime) = Bench::new().await;
    let refused = (401, r#"{"error":"invalid_client"}"#);
    bench.server.revocations([refused, refused]);
    let done = runtime.disconnect(&name()).await.unwrap();
    let Revocation::Refused(why) = done else {
        panic!("{done:?}");
    };
    assert!(why.contains("only from clients with a secret"), "{why}");
    assert_eq!(bench.server.shown(), ["none", "empty"]);
    assert!(is_forgotten(&runtime).await);
}

#[tokio::test]
async fn the_revocation_endpoints_own_methods_are_honoured() {
    let (bench, runtime) = kinds::with(|new| {
        secret_of(new, ClientAuthMethod::Basic);
        let (provider, _) = new.client.as_mut().unwrap();
        provider.metadata.revocation_endpoint_auth_methods_supported =
            vec!["client_secret_post".to_owned()];
    })
    .await;
    assert_eq!(runtime.disconnect(&name()).await.unwrap(), Revocation::Done);
    assert_eq!(bench.server.shown(), ["post", "post"]);
    // A secret that the token endpoint does not want.
    let (bench, runtime) = kinds::with(|new| secret_of(new, ClientAuthMethod::None)).await;
    bench.server.revocations([(401, "")]);
    assert_eq!(runtime.disconnect(&name()).await.unwrap(), Revocation::Done);
    assert_eq!(bench.server.shown(), ["none", "basic", "none"]);
}

#[tokio::test]
async fn a_wrong_url_of_the_provider_is_named_as_its_own() {
    let (_bench, runtime) = kinds::with(|new| {
        secret_of(new, ClientAuthMethod::Basic);
        let (provider, _) = new.client.as_mut().unwrap();
        provider.metadata.revocation_endpoint = Some("revoke".to_owned());
    })
    .await;
    let done = runtime.disconnect(&name()).await.unwrap();
    let Revocation::Refused(why) = done else {
        panic!("{done:?}");
    };
    let words = "https://as.example publishes a wrong revocation_endpoint: ";
    assert!(why.starts_with(words), "{why}");
}

/// The person has signed in again before the revocation was confirmed.
#[tokio::test]
async fn a_sign_in_to_a_name_that_is_half_disconnected_makes_a_new_grant() {
    let (bench, runtime) = Bench::new().await;
    let before = grant(&runtime).await;
    bench.server.revocations([(503, "")]);
    let _ = runtime.disconnect(&name()).await.unwrap();
    let new = bench.sign_in(&runtime).await;
    assert_ne!(new.id, before.id);
    assert_eq!(status(&runtime).await.state, ConnectionState::Active);
}
