use super::{
    ConnectError, ConnectRequest, access_request::chosen, client::check_same_issuer,
    request_credentials::RequestCredentials,
};
use crate::{
    http::{HttpUrl, Reach},
    model::{ClientId, ConnectionName, Issuer, Provider, Scope},
    oauth::{
        discovery::{Discovered, DpopOffer},
        token::TokenAnswer,
    },
};

fn found(issuer: &str) -> Discovered {
    let metadata = format!(r#"{{"issuer":"{issuer}"}}"#);
    Discovered {
        provider: Provider {
            issuer: Issuer::new(issuer),
            metadata: serde_json::from_str(&metadata).unwrap(),
        },
        resource: None,
        scope: None,
        listed: Some(Scope::new("files:read mail")),
        dpop: DpopOffer::None,
        reach: Reach::PublicOnly,
        assumed: false,
    }
}

#[test]
fn where_bound_tokens_are_demanded_a_sign_in_without_a_key_takes_none() {
    let with = |must| RequestCredentials {
        certificate: None,
        said: None,
        audience: None,
        key: None,
        must,
    };
    let body = r#"{"access_token":"a","token_type":"Bearer"}"#;
    let answer = TokenAnswer::read(&serde_json::from_str(body).unwrap()).unwrap();
    assert_eq!(with(false).binds(&answer), Ok(None));
    let why = with(true).binds(&answer).unwrap_err();
    assert!(why.contains("DPoP"), "{why}");
}

#[test]
fn a_client_of_one_issuer_is_never_shown_to_another() {
    let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
    let mut request = ConnectRequest::new(ConnectionName::parse("x").unwrap(), url);
    assert!(
        check_same_issuer(&request, &found("https://a")).is_ok(),
        "a first sign-in"
    );
    request.same_issuer = Some(Issuer::new("https://a"));
    assert!(
        check_same_issuer(&request, &found("https://a/")).is_ok(),
        "a new client is registered there"
    );
    request.client.client_id = Some(ClientId::new("given"));
    assert!(check_same_issuer(&request, &found("https://a")).is_ok());
    let changed = check_same_issuer(&request, &found("https://a/"));
    assert!(matches!(changed, Err(ConnectError::IssuerChanged { .. })));
}

#[test]
fn what_is_chosen_goes_before_what_the_resource_asks_for() {
    let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
    let mut request = ConnectRequest::new(ConnectionName::parse("x").unwrap(), url);
    let found = found("https://a");
    let text =
        |request: &ConnectRequest| chosen(request, &found).map(|scope| scope.as_str().to_owned());
    assert_eq!(text(&request), None);
    request.scope = Some(Scope::new("mail  offline_access"));
    assert_eq!(text(&request).as_deref(), Some("mail  offline_access"));
    request.also_listed = true;
    let all = text(&request);
    assert_eq!(all.as_deref(), Some("mail  offline_access files:read"));
    request.same_issuer = Some(Issuer::new("https://before"));
    assert_eq!(text(&request).as_deref(), Some("mail files:read"));
}
