//! Authorization-server metadata (RFC 8414) and `OpenID` Connect discovery.

use crate::{
    http::{HttpUrl, Reach, Reply, Transport},
    model::{Issuer, Provider},
    oauth::discovery::{
        document::{Fetcher, may_be_elsewhere, not_metadata, to_tell},
        error::DiscoveryError,
    },
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
    let fetcher = Fetcher {
        transport,
        reach,
        clock: None,
    };
    let places = server_metadata_places(&HttpUrl::parse(issuer.as_str())?);
    let mut trouble = None;
    for place in &places {
        match server_at(&fetcher, &HttpUrl::parse(place)?, issuer).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error @ DiscoveryError::IssuerMismatch { .. }) => return Err(error),
            Err(error) if may_be_elsewhere(&error) => trouble = Some(to_tell(trouble, error)),
            Err(error) => return Err(to_tell(trouble, error)),
        }
    }
    let issuer = issuer.as_str().to_owned();
    let tried = places.join(", ");
    Err(trouble.unwrap_or(DiscoveryError::NoMetadata { issuer, tried }))
}

/// The metadata at one place. Its own spelling of the issuer counts from here on.
async fn server_at(
    fetcher: &Fetcher<'_>,
    at: &HttpUrl,
    issuer: &Issuer,
) -> Result<Option<(Provider, Reply)>, DiscoveryError> {
    let Some((document, reply)) = fetcher.document(at).await? else {
        return Ok(None);
    };
    let metadata = document.server().ok_or_else(|| not_metadata(at, &reply))?;
    if !is_same_issuer(&metadata.issuer, issuer.as_str()) {
        return Err(DiscoveryError::IssuerMismatch {
            url: at.as_str().to_owned(),
            claimed: one_line(&metadata.issuer),
            expected: issuer.as_str().to_owned(),
        });
    }
    let issuer = Issuer::new(&metadata.issuer);
    Ok(Some((Provider { issuer, metadata }, reply)))
}

/// Whether both name one issuer: to the last character (RFC 8414 §3.3), but for the slash of an empty path, which means
/// the same origin (RFC 3986 §6.2.3). With a path a slash makes another one.
pub(crate) fn is_same_issuer(one: &str, other: &str) -> bool {
    let without = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
    let is_origin = |text: &str| {
        let rest = text.split_once("://").map(|(_, rest)| rest);
        rest.is_some_and(|rest| !rest.contains(['/', '?']))
    };
    one == other || (is_origin(&without(one)) && without(one) == without(other))
}

/// The issuer whose metadata lies at this address, by the places above; another address stays as it is.
pub fn issuer_of_place(url: &str) -> String {
    const KNOWN: [&str; 2] = ["oauth-authorization-server", "openid-configuration"];
    let Some((head, tail)) = url.split_once("/.well-known/") else {
        return url.to_owned();
    };
    let (name, path) = tail.find('/').map_or((tail, ""), |at| tail.split_at(at));
    if KNOWN.contains(&name) {
        format!("{head}{path}")
    } else {
        url.to_owned()
    }
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
