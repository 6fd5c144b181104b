//! The request that spends a refresh token (RFC 6749 §6, RFC 8707). The requests of the grant types are in
//! [`oauth::grant`](crate::oauth::grant).

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
