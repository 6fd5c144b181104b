//! Requests to the token endpoint (RFC 6749 §4.1.3, §4.4.2, §6; RFC 7523 §2.1; RFC 8628 §3.4; RFC 8707).

use crate::{
    http::Request,
    model::{Resource, Scope},
    oauth::client_auth::ClientProof,
    secret::SecretString,
};

/// A request that spends a refresh token. The scope is left out unless the provider needs it: on some servers naming one
/// narrows the grant for ever, and leaving it out means "as granted" (RFC 6749 §6).
pub fn refresh_request(
    client: &ClientProof,
    refresh_token: &SecretString,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the refresh token is sent to its issuer"
    )]
    let secret = refresh_token.expose();
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", secret.as_str()),
    ];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    fields.extend(client.refresh_parameters());
    client.form(&fields)
}

/// A request for a token of our client's own (RFC 6749 §4.4.2). Each request issues a new token and spends nothing.
pub fn client_credentials_request(
    client: &ClientProof,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    let mut fields = vec![("grant_type", "client_credentials")];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A request that asks whether a person has signed in on the other device (RFC 8628 §3.4).
pub fn device_request(
    client: &ClientProof,
    device_code: &SecretString,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the device code is sent to its issuer"
    )]
    let code = device_code.expose();
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", code.as_str()),
    ];
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A request for a token in return for an assertion (RFC 7523 §2.1). The assertion may be good again: nothing of ours is
/// spent by it.
pub fn jwt_bearer_request(
    client: &ClientProof,
    assertion: &SecretString,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the assertion is sent to the server that it is for"
    )]
    let assertion = assertion.expose();
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion.as_str()),
    ];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
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
