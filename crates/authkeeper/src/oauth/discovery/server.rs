//! Authorization-server metadata (RFC 8414) and `OpenID` Connect discovery.

use http::StatusCode;

use crate::{
    http::{HttpUrl, Reach, Reply, Request, Transport},
    model::{Issuer, Provider, Quirks, ServerMetadata},
    oauth::{body_hint, discovery::error::DiscoveryError, exchange},
    text::sanitize::one_line,
};

/// Fetches and checks an issuer's metadata.
pub async fn provider(
    transport: &dyn Transport,
    issuer: &Issuer,
    reach: Reach,
) -> Result<Provider, DiscoveryError> {
    let (provider, _reply) = provider_and_reply(transport, issuer, reach).await?;
    Ok(provider)
}

/// The same, with the reply that brought it: its `Date` tells the provider's clock.
pub(crate) async fn provider_and_reply(
    transport: &dyn Transport,
    issuer: &Issuer,
    reach: Reach,
) -> Result<(Provider, Reply), DiscoveryError> {
    let places = server_metadata_places(&HttpUrl::parse(issuer.as_str())?);
    let mut unavailable = Ok(());
    for place in &places {
        let at = HttpUrl::parse(place)?;
        let reply = exchange(transport, &at, reach, Request::get_json()).await?;
        if !reply.status.is_success() {
            unavailable = unavailable.and(check_available(&at, &reply));
            continue;
        }
        let mut metadata: ServerMetadata = parse_metadata(&at, &reply)?;
        // Ours to know, and not a server's to say.
        metadata.quirks = Quirks::default();
        if metadata.issuer != issuer.as_str() {
            return Err(DiscoveryError::IssuerMismatch {
                url: place.clone(),
                claimed: one_line(&metadata.issuer),
                expected: issuer.as_str().to_owned(),
            });
        }
        let issuer = issuer.clone();
        return Ok((Provider { issuer, metadata }, reply));
    }
    unavailable?;
    let tried = places.join(", ");
    Err(DiscoveryError::NoMetadata {
        issuer: issuer.as_str().to_owned(),
        tried,
    })
}

/// MCP 2026-07-28 "Authorization Server Metadata Discovery": with a path RFC 8414's insertion, `OpenID` Connect's
/// insertion, `OpenID` Connect's appending; without one RFC 8414, then `OpenID` Connect.
pub(super) fn server_metadata_places(issuer: &HttpUrl) -> Vec<String> {
    let origin = issuer.origin();
    let path = issuer.path().trim_end_matches('/');
    let oauth = format!("{origin}/.well-known/oauth-authorization-server{path}");
    let openid = format!("{origin}/.well-known/openid-configuration{path}");
    if path.is_empty() {
        return vec![oauth, openid];
    }
    vec![
        oauth,
        openid,
        format!("{origin}{path}/.well-known/openid-configuration"),
    ]
}

/// What is not answered now may be answered in a moment: it does not count as not there.
pub(crate) fn check_available(at: &HttpUrl, reply: &Reply) -> Result<(), DiscoveryError> {
    let status = reply.status;
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(DiscoveryError::Unavailable {
            url: at.as_str().to_owned(),
            answer: status.as_u16(),
        });
    }
    Ok(())
}

pub(super) fn parse_metadata<T: serde::de::DeserializeOwned>(
    at: &HttpUrl,
    reply: &Reply,
) -> Result<T, DiscoveryError> {
    check_available(at, reply)?;
    let parsed = reply.json_as().filter(|_| reply.status.is_success());
    parsed.ok_or_else(|| DiscoveryError::NotMetadata {
        url: at.as_str().to_owned(),
        answer: body_hint(reply),
    })
}
