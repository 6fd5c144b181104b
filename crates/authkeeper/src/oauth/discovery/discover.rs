//! Finds the authorization server of a protected resource.

use http::StatusCode;

use crate::{
    http::{HttpUrl, Reach, Transport},
    model::{Issuer, Provider, Resource, Scope},
    oauth::{
        discovery::{
            document::Fetcher,
            error::DiscoveryError,
            resource::{
                AUTHORIZATION_SERVERS, DpopOffer, Probed, ResourceMetadata, check_resource,
                dpop_offer, listed, named_by, probe, resource_metadata, scope_asked_for,
            },
            server::{is_same_issuer, provider},
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

/// Which issuer is wanted of those that a resource names.
#[derive(Clone, Copy, Debug, Default)]
pub struct WantedIssuer<'a> {
    /// The one that a person gave: it overrides what the resource names.
    pub given: Option<&'a Issuer>,
    /// The one that the connection had: it is taken where the resource still names it.
    pub before: Option<&'a Issuer>,
    /// Whether the provider is one of the catalogue, which knows what to ask for.
    pub known: bool,
}

/// Finds the authorization server of a protected resource.
pub async fn discover(
    transport: &dyn Transport,
    url: &HttpUrl,
    wanted: WantedIssuer<'_>,
) -> Result<Discovered, DiscoveryError> {
    let mut fetcher = Fetcher {
        transport,
        reach: transport.reach(url).await,
        clock: None,
    };
    if let Some(issuer) = wanted.given {
        let of_issuer = transport.reach(&HttpUrl::parse(issuer.as_str())?).await;
        fetcher.reach = fetcher.reach.or(of_issuer);
        let provider = provider(transport, issuer, fetcher.reach).await?;
        let mut found = Discovered::of(provider, fetcher.reach);
        if !wanted.known {
            ask_resource(&fetcher, url, &mut found).await;
        }
        return Ok(found);
    }
    let probed = probe(&fetcher, url).await?;
    let (found, trouble) = resource_metadata(&fetcher, url, &probed).await?;
    let Some((at, metadata)) = found else {
        return without_metadata(&fetcher, url, &probed, trouble).await;
    };
    check_resource(url, &at, &metadata)?;
    let provider = usable_server(&fetcher, (&at, &metadata), wanted.before).await?;
    let mut found = Discovered::of(provider, fetcher.reach);
    found.take_over(&probed, Some(metadata));
    Ok(found)
}

impl Discovered {
    /// An authorization server of which the resource has said nothing.
    pub(crate) fn of(provider: Provider, reach: Reach) -> Self {
        Self {
            provider,
            resource: None,
            scope: None,
            listed: None,
            dpop: DpopOffer::None,
            reach,
            assumed: false,
        }
    }

    /// Takes over what the resource says of the tokens that it wants.
    fn take_over(&mut self, probed: &Probed, metadata: Option<ResourceMetadata>) {
        let supported = metadata.as_ref();
        let supported = supported.and_then(|metadata| metadata.scopes_supported.as_deref());
        self.scope = scope_asked_for(probed, supported);
        self.listed = listed(supported);
        if let Some(metadata) = metadata {
            self.dpop = dpop_offer(probed, &metadata);
            self.resource = Some(Resource::new(metadata.resource));
        }
    }
}

/// A person names the issuer, and the resource still says what its tokens are for. One that says nothing, or of which
/// nothing can be had, is a plain API.
async fn ask_resource(fetcher: &Fetcher<'_>, url: &HttpUrl, found: &mut Discovered) {
    let Ok(probed) = probe(fetcher, url).await else {
        return;
    };
    let metadata = resource_metadata(fetcher, url, &probed).await;
    let metadata = metadata.ok().and_then(|(metadata, _)| metadata);
    let ours = metadata.filter(|(at, metadata)| check_resource(url, at, metadata).is_ok());
    found.take_over(&probed, ours.map(|(_, metadata)| metadata));
}

/// The first authorization server that can be used. One that the connection had before comes first: a client that is known
/// there stays.
async fn usable_server(
    fetcher: &Fetcher<'_>,
    (at, metadata): (&HttpUrl, &ResourceMetadata),
    before: Option<&Issuer>,
) -> Result<Provider, DiscoveryError> {
    let was = |name: &str| before.is_some_and(|before| is_same_issuer(before.as_str(), name));
    let (same, others): (Vec<&String>, Vec<&String>) =
        (metadata.authorization_servers.iter()).partition(|name| was(name));
    let mut trouble = None;
    for name in same.into_iter().chain(others) {
        match server_named(fetcher, at, name).await {
            Ok(provider) => return Ok(provider),
            Err(error) => {
                tracing::debug!(%error, "the resource names an authorization server that can't be used");
                trouble.get_or_insert(error);
            }
        }
    }
    Err(
        trouble.unwrap_or_else(|| DiscoveryError::NoAuthorizationServer {
            url: at.as_str().to_owned(),
        }),
    )
}

async fn server_named(
    fetcher: &Fetcher<'_>,
    at: &HttpUrl,
    name: &str,
) -> Result<Provider, DiscoveryError> {
    let authority = parse_published(at.as_str(), AUTHORIZATION_SERVERS, name)?;
    let provider = provider(fetcher.transport, &Issuer::new(name), fetcher.reach).await;
    provider.map_err(|error| named_by(at, AUTHORIZATION_SERVERS, &authority, error))
}

/// A server that asks for authorization and has no protected-resource metadata may be of MCP 2025-03-26. Where metadata
/// may come in a moment, or was promised, nothing is assumed.
async fn without_metadata(
    fetcher: &Fetcher<'_>,
    url: &HttpUrl,
    probed: &Probed,
    trouble: Option<DiscoveryError>,
) -> Result<Discovered, DiscoveryError> {
    if let Some(error) = trouble {
        if error.is_passing() {
            return Err(error);
        }
        let published = legacy_discovery::find_published(fetcher, url).await;
        return match published {
            Ok(Some(provider)) => {
                let mut found = Discovered::of(provider, fetcher.reach);
                found.take_over(probed, None);
                Ok(found)
            }
            _ => Err(error),
        };
    }
    at_own_origin(fetcher, url, probed).await
}

/// It knows no `resource` either.
async fn at_own_origin(
    fetcher: &Fetcher<'_>,
    url: &HttpUrl,
    probed: &Probed,
) -> Result<Discovered, DiscoveryError> {
    let refused = probed.status == StatusCode::UNAUTHORIZED;
    let published = if refused {
        legacy_discovery::find_published(fetcher, url).await?
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
    let mut found = Discovered::of(provider, fetcher.reach);
    found.take_over(probed, None);
    found.assumed = is_assumed;
    Ok(found)
}
