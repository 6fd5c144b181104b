//! Revocation (RFC 7009): the refresh token first, for on most servers it takes the access tokens with it.

use http::StatusCode;

use super::{WireError, body_hint, client_auth::OurClient, exchange_by};
use crate::{
    http::{HttpUrl, Reach, Transport},
    model::{ClientAuthMethod, ConnectionName, Grant, GrantType, Provider},
    secret::SecretString,
};

/// What became of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The provider confirmed it.
    Done,
    /// The provider has no revocation endpoint.
    NotOffered,
    /// The provider did not confirm it.
    Failed(String),
    /// Other connections live on the same grant: it is not revoked.
    Shared(Vec<ConnectionName>),
}

/// Revokes what a grant holds.
pub async fn revoke(
    transport: &dyn Transport,
    reach: Reach,
    provider: &Provider,
    client: OurClient<'_>,
    grant: &Grant,
) -> Revocation {
    let Some(endpoint) = &provider.metadata.revocation_endpoint else {
        return Revocation::NotOffered;
    };
    let endpoint = match HttpUrl::parse(endpoint) {
        Ok(endpoint) => endpoint,
        Err(error) => return Revocation::Failed(error.to_string()),
    };
    // The identity provider's is nothing for this server to see.
    let own = grant.grant_type != GrantType::IdJag;
    let refresh = grant
        .refresh
        .as_ref()
        .filter(|_| own)
        .map(|token| (&token.secret, "refresh_token"));
    let access = grant
        .access
        .as_ref()
        .map(|token| (&token.secret, "access_token"));
    for (token, hint) in refresh.into_iter().chain(access) {
        let sent = revoke_one(transport, reach, &endpoint, client, (token, hint)).await;
        match sent {
            Ok(None) => {}
            Ok(Some(refused)) => return Revocation::Failed(refused),
            Err(error) => return Revocation::Failed(error.to_string()),
        }
    }
    Revocation::Done
}

async fn revoke_one(
    transport: &dyn Transport,
    reach: Reach,
    endpoint: &HttpUrl,
    client: OurClient<'_>,
    (token, hint): (&SecretString, &str),
) -> Result<Option<String>, WireError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the token is sent to its issuer to be revoked"
    )]
    let fields = [
        ("token", token.expose().as_str()),
        ("token_type_hint", hint),
    ];
    let request = client.proof()?.form(&fields);
    let clock = &*client.seams.clock;
    let mut reply = exchange_by(clock, transport, (endpoint, reach), request).await?;
    let public = client.registration.auth_method == ClientAuthMethod::None;
    if public && reply.status == StatusCode::BAD_REQUEST {
        // The MCP Python SDK's servers take a public client only if it sends the secret it does not have, empty.
        let [token, hint] = fields;
        let request = client.proof()?.form(&[token, hint, ("client_secret", "")]);
        reply = exchange_by(clock, transport, (endpoint, reach), request).await?;
    }
    Ok((!reply.status.is_success()).then(|| body_hint(&reply)))
}
