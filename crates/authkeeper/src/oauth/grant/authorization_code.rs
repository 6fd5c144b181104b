//! A person signed in in a browser (RFC 6749 §4.1).

use crate::{
    http::Request,
    model::{GrantType, Resource},
    oauth::{
        client_auth::ClientProof,
        grant::flow::{GrantFlow, GrantRequest},
    },
    secret::SecretString,
};

/// The authorization code grant.
pub(super) struct AuthorizationCode;

impl GrantFlow for AuthorizationCode {
    fn grant_type(&self) -> GrantType {
        GrantType::AuthorizationCode
    }

    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request> {
        asked.refresh()
    }
}

/// A request that exchanges an authorization code.
pub fn code_request(
    client: &ClientProof,
    code: &SecretString,
    verifier: &SecretString,
    redirect_uri: &str,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "code and verifier are sent to their issuer"
    )]
    let (code, verifier) = (code.expose().as_str(), verifier.expose().as_str());
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    fields.extend(client.exchange_parameters());
    client.form(&fields)
}
