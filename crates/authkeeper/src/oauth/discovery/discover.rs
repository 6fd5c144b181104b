//! Finds the authorization server of a protected resource.

use http::StatusCode;

use crate::{
    http::{HttpUrl, Reach, Transport},
    model::{Issuer, Provider, Resource, Scope},
    oauth::{
        discovery::{
            error::DiscoveryError,
            resource::{
                AUTHORIZATION_SERVERS, DpopOffer, Probed, check_resource, dpop_offer, listed,
                named_by, probe, resource_metadata, scope_asked_for,
            },
            server::provider,
        },
        legacy_discovery,
        published_url::parse_published,
    },
};

/// What discovery found.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// The authorization server.
    pub provider: Provider,
    /// The `resource` for token requests, exactly as the metadata spells it; none for plain OAuth.
    pub resource: Option<Resource>,
    /// The scopes the resource asks for: its challenge's, else its metadata's.
    pub scope: Option<Scope>,
    /// The scopes that its metadata lists.
    pub listed: Option<Scope>,
    /// Whether the resource takes tokens that are bound to a key.
    pub dpop: DpopOffer,
    /// Where URLs named by these servers may lead.
    pub reach: Reach,
    /// Nobody publishes the endpoints: they are where servers of MCP 2025-03-26 have them.
    pub assumed: bool,
}

/// Finds the authorization server of a protected resource. A given issuer overrides what the resource names.
pub async fn discover(
    transport: &dyn Transport,
    url: &HttpUrl,
    issuer: Option<&Issuer>,
) -> Result<Discovered, DiscoveryError> {
    let reach = transport.reach(url).await;
    if let Some(issuer) = issuer {
        let issuer_reach = transport.reach(&HttpUrl::parse(issuer.as_str())?).await;
        let reach = reach.or(issuer_reach);
        let provider = provider(transport, issuer, reach).await?;
        return Ok(Discovered {
            provider,
            resource: None,
            scope: None,
            listed: None,
            dpop: DpopOffer::None,
            reach,
            assumed: false,
        });
    }
    let probed = probe(transport, url, reach).await?;
    let found = resource_metadata(transport, url, reach, &probed).await?;
    let Some((at, metadata)) = found else {
        return at_own_origin(transport, url, reach, &probed).await;
    };
    check_resource(url, &at, &metadata)?;
    let issuer = metadata
        .authorization_servers
        .first()
        .map(Issuer::new)
        .ok_or_else(|| DiscoveryError::NoAuthorizationServer {
            url: at.as_str().to_owned(),
        })?;
    let authority = parse_published(at.as_str(), AUTHORIZATION_SERVERS, issuer.as_str())?;
    let provider = provider(transport, &issuer, reach).await;
    let provider =
        provider.map_err(|error| named_by(&at, AUTHORIZATION_SERVERS, &authority, error))?;
    Ok(Discovered {
        provider,
        scope: scope_asked_for(&probed, metadata.scopes_supported.as_deref()),
        listed: listed(metadata.scopes_supported.as_deref()),
        dpop: dpop_offer(&probed, &metadata),
        resource: Some(Resource::new(metadata.resource)),
        reach,
        assumed: false,
    })
}

/// A server that asks for authorization and has no protected-resource metadata may be of MCP 2025-03-26. It knows no
/// `resource` either.
async fn at_own_origin(
    transport: &dyn Transport,
    url: &HttpUrl,
    reach: Reach,
    probed: &Probed,
) -> Result<Discovered, DiscoveryError> {
    let refused = probed.status == StatusCode::UNAUTHORIZED;
    let published = if refused {
        legacy_discovery::find_published(transport, url, reach).await?
    } else {
        None
    };
    // Only who refuses by a `Bearer` challenge is believed to have endpoints that nobody published.
    let assumed =
        || (refused && probed.challenge.is_some()).then(|| legacy_discovery::assume_endpoints(url));
    let is_assumed = published.is_none();
    let provider = published
        .or_else(assumed)
        .ok_or_else(|| DiscoveryError::NoOAuth {
            url: url.as_str().to_owned(),
            answer: probed.status.as_u16(),
        })?;
    Ok(Discovered {
        provider,
        scope: scope_asked_for(probed, None),
        listed: None,
        resource: None,
        dpop: DpopOffer::None,
        reach,
        assumed: is_assumed,
    })
}
