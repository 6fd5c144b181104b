//! Sign-ins by an identity provider's word: what it gives in the place of the file's token is never lost, and what is spent is
//! never sent again.

use super::{server::Fault, *};
use crate::{
    http::HttpUrl,
    model::{AssertionSource, IdentityProvider, SubjectFile},
    oauth::authorize::RedirectError,
    secret::SecretString,
    signin::{
        Again, ConnectError, ConnectRequest, Prompter, SignInMethod, SignInPrompt, UnattendedSignIn,
    },
};

/// Nobody is there.
struct Nobody;

#[async_trait]
impl Prompter for Nobody {
    fn invite(&self, _: &SignInPrompt) {}

    async fn paste(&self) -> Option<SecretString> {
        None
    }

    fn paste_again(&self, _: &RedirectError) {}
}

const METADATA: &str = r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token",
    "authorization_endpoint":"https://as.example/authorize","code_challenge_methods_supported":["S256"],
    "response_types_supported":["code"]}"#;

/// A machine with a file that holds the good token.
async fn machine() -> (Bench, Runtime, PathBuf) {
    let (bench, runtime) = Bench::new().await;
    let file = bench.folder.path().join("rt");
    std::fs::write(&file, bench.server.sign_in()).unwrap();
    (bench, runtime, file)
}

fn vouched(name: &str, file: PathBuf) -> ConnectRequest {
    let url = HttpUrl::parse(&format!("https://{name}.example/mcp")).unwrap();
    let mut request = ConnectRequest::new(ConnectionName::parse(name).unwrap(), url);
    request.endpoints = Some(serde_json::from_str(METADATA).unwrap());
    request.client.client_id = Some(ClientId::new("client"));
    request.client.auth_method = Some(ClientAuthMethod::None);
    request.way = of(
        GrantType::IdJag,
        AssertionSource::IdentityProvider(IdentityProvider {
            token_url: "https://idp.example/token".to_owned(),
            client_id: ClientId::new("at-idp"),
            client_secret: None,
            subject: SubjectFile::RefreshToken(file),
        }),
    );
    request
}

fn of(grant_type: GrantType, source: AssertionSource) -> SignInMethod {
    SignInMethod::Unattended(UnattendedSignIn::new(grant_type, Some(source)).unwrap())
}

async fn connect(runtime: &Runtime, request: &ConnectRequest) -> Result<Grant, ConnectError> {
    Box::pin(runtime.connect(request.clone(), &Nobody)).await
}

#[tokio::test]
async fn a_file_whose_token_was_replaced_is_not_spent_again() {
    let (bench, runtime, file) = machine().await;
    let request = vouched("one", file.clone());
    let first = connect(&runtime, &request).await.unwrap();
    assert_eq!(refresh_of(&first), bench.server.good(), "it was replaced");
    let before = bench.server.requests();
    let spent = |done: Result<Grant, ConnectError>| match done {
        Err(ConnectError::SpentSubject { name, .. }) => name.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(spent(connect(&runtime, &request).await), "one");
    let resource =
        r#"{"resource":"https://one.example/mcp","authorization_servers":["https://as.example"]}"#;
    bench.server.page(
        "/.well-known/oauth-protected-resource/mcp",
        200,
        None,
        resource,
    );
    bench.server.page(
        "/.well-known/oauth-authorization-server",
        200,
        None,
        METADATA,
    );
    let again = Box::pin(runtime.reauthorize(&request.name, Again::new(secs(5)), &Nobody)).await;
    assert_eq!(spent(again), "one");
    let mut elsewhere = vouched("two", file.clone());
    let metadata = METADATA.replace("https://as.example", "https://other.example");
    elsewhere.endpoints = Some(serde_json::from_str(&metadata).unwrap());
    assert_eq!(spent(connect(&runtime, &elsewhere).await), "one");
    assert_eq!(bench.server.requests(), before, "nobody was asked");
    assert_eq!(bench.server.reuses(), 0);

    std::fs::write(&file, bench.server.sign_in()).unwrap();
    connect(&runtime, &request).await.unwrap();
}

#[tokio::test]
async fn what_the_identity_provider_gave_outlives_whatever_becomes_of_the_sign_in() {
    let (bench, runtime, file) = machine().await;
    let request = vouched("one", file.clone());
    for status in [200, 503, 400] {
        bench
            .server
            .script([Fault::None, Fault::Says(status, "{}")]);
        connect(&runtime, &request).await.unwrap_err();
    }
    // It gives what nobody asked for.
    bench.server.script([Fault::NoAssertion]);
    let error = connect(&runtime, &request).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotVouched { .. }), "{error}");
    // The same name, in another way, as far as somebody has a URL open.
    let mut headless = request.clone();
    headless.way = SignInMethod::Headless;
    let error = connect(&runtime, &headless).await.unwrap_err();
    assert!(matches!(error, ConnectError::NothingPasted), "{error}");
    // Another name, the same file.
    let refused = Fault::Says(400, r#"{"error":"invalid_grant"}"#);
    bench.server.script([Fault::None, refused]);
    connect(&runtime, &vouched("two", file.clone()))
        .await
        .unwrap_err();
    let grant = connect(&runtime, &request).await.unwrap();
    assert_eq!(refresh_of(&grant), bench.server.good());
    assert_eq!(bench.server.reuses(), 0);
    let error = connect(&runtime, &vouched("two", file)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::SpentSubject { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_grant_goes_on_with_what_a_sign_in_got_that_failed() {
    let (bench, runtime, file) = machine().await;
    let request = vouched("one", file.clone());
    bench.server.script([Fault::OmitRefresh]);
    let grant = connect(&runtime, &request).await.unwrap();
    assert_eq!(refresh_of(&grant), bench.server.good(), "it is the file's");
    // Signed in to again, and this time the token is replaced.
    let refused = Fault::Says(400, r#"{"error":"invalid_grant"}"#);
    bench.server.script([Fault::None, refused]);
    connect(&runtime, &request).await.unwrap_err();
    let grant = runtime
        .context
        .store
        .grant(&grant.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refresh_of(&grant), bench.server.good());
    bench.clock.advance(secs(3600));
    let token = runtime.access_token(&TokenRequest::new(request.name)).await;
    assert!(token.is_ok());
    assert_eq!(bench.server.reuses(), 0);
}

#[tokio::test]
async fn nothing_is_spent_where_an_answer_can_not_be_kept() {
    let (bench, runtime, file) = machine().await;
    std::fs::remove_dir_all(bench.journal_folder()).unwrap();
    connect(&runtime, &vouched("one", file)).await.unwrap_err();
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test]
async fn a_path_that_can_not_be_kept_is_refused_before_anybody_is_asked() {
    use std::os::unix::ffi::OsStringExt as _;

    let (bench, runtime, file) = machine().await;
    let odd = file.with_file_name(std::ffi::OsString::from_vec(b"rt-\xff".to_vec()));
    std::fs::rename(file, &odd).unwrap();
    let error = connect(&runtime, &vouched("one", odd.clone()))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Given(_)), "{error}");
    let mut workload = vouched("one", odd.clone());
    workload.way = of(GrantType::JwtBearer, AssertionSource::File(odd));
    let error = connect(&runtime, &workload).await.unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
    assert_eq!(bench.server.requests(), 0);
}
