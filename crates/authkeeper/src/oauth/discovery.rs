//! From a URL to the authorization server behind it: protected-resource metadata (RFC 9728), then authorization-server
//! metadata (RFC 8414) or `OpenID` Connect discovery, in the order the MCP specification sets.

use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

use super::{
    PublishedUrl, WireError, body_hint, challenge, dpop, exchange, exchange_by, published,
};
use crate::oauth::legacy_discovery;
use crate::{
    http::{ConnectError, HttpUrl, InvalidUrl, Reach, Reply, Request, Transport},
    model::{Issuer, Provider, Quirks, Resource, Scope, ServerMetadata},
    platform::clock::Clock,
    text::sanitize::one_line,
};

/// Why no authorization server could be found or believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The typed URL can't be used.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A server published a URL that can't be used.
    #[error(transparent)]
    Published(#[from] PublishedUrl),
    /// A server published a URL where nobody can be reached.
    #[error("{by} names {url} in {field}: {source}")]
    PublishedUnreachable {
        /// Which server, by the address of its document.
        by: String,
        /// The name of the field.
        field: &'static str,
        /// Where it points.
        url: String,
        /// What happened there.
        source: ConnectError,
    },
    /// A server did not answer.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Nothing there speaks of OAuth.
    #[error(
        "{url} has no OAuth that can be found: it answered {answer}, and publishes no metadata"
    )]
    NoOAuth {
        /// Where we asked.
        url: String,
        /// What it answered.
        answer: u16,
    },
    /// The URL leads elsewhere.
    #[error("{url} redirects to {to}; tokens are never sent across a redirect")]
    Redirected {
        /// Where we asked.
        url: String,
        /// Where it points.
        to: String,
    },
    /// The protected-resource metadata is for something else (RFC 9728 §3.3).
    #[error("{url} says it protects {resource:?}, which is not the server asked for ({asked:?})")]
    ResourceMismatch {
        /// Where the metadata was.
        url: String,
        /// What it says.
        resource: String,
        /// What we asked for.
        asked: String,
    },
    /// The protected-resource metadata names no authorization server.
    #[error("{url} names no authorization server")]
    NoAuthorizationServer {
        /// Where the metadata was.
        url: String,
    },
    /// The authorization server's metadata is for another issuer (RFC 8414 §3.3).
    #[error("{url} claims to be issuer {claimed:?}, but {expected:?} was asked for")]
    IssuerMismatch {
        /// Where the metadata was.
        url: String,
        /// Who it says it is.
        claimed: String,
        /// Who was asked for.
        expected: String,
    },
    /// No metadata at any of the places where it must be.
    #[error("{issuer} publishes no authorization-server metadata (tried {tried})")]
    NoMetadata {
        /// The issuer.
        issuer: String,
        /// The places.
        tried: String,
    },
    /// A server can't answer now. What it publishes is not known then, and nothing is concluded from it.
    #[error("{url} has trouble of its own (status {answer})")]
    Unavailable {
        /// Where.
        url: String,
        /// What it answered.
        answer: u16,
    },
    /// Metadata came that is not metadata.
    #[error("{url} answered with something that is not metadata ({answer})")]
    NotMetadata {
        /// Where.
        url: String,
        /// What came, without its body.
        answer: String,
    },
    /// An endpoint that this flow needs is missing.
    #[error("{issuer} publishes no {endpoint}")]
    NoEndpoint {
        /// The issuer.
        issuer: String,
        /// Which.
        endpoint: &'static str,
    },
    /// PKCE with S256 is not offered (RFC 7636, required by MCP).
    #[error("{issuer} does not offer PKCE with S256 (code_challenge_methods_supported: {offered})")]
    NoPkce {
        /// The issuer.
        issuer: String,
        /// What it offers.
        offered: String,
    },
}

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

/// What a resource says of tokens that are bound to a key (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpopOffer {
    /// Nothing.
    #[default]
    None,
    /// It takes them.
    Offered,
    /// It takes no others.
    Demanded,
}

/// RFC 9728 §2, as far as we act on it.
#[derive(Debug, Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    dpop_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    dpop_bound_access_tokens_required: bool,
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
    let authority = published(at.as_str(), AUTHORIZATION_SERVERS, issuer.as_str())?;
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

/// Fields that name a URL (RFC 9728 §2 and §5.1).
const AUTHORIZATION_SERVERS: &str = "authorization_servers";
const RESOURCE_METADATA: &str = "resource_metadata";

/// Says of a host that can't be reached who named it: nobody typed it.
fn named_by(
    by: &HttpUrl,
    field: &'static str,
    url: &HttpUrl,
    error: DiscoveryError,
) -> DiscoveryError {
    match error {
        DiscoveryError::Wire(WireError::Connect(source)) if !url.same_origin(by) => {
            DiscoveryError::PublishedUnreachable {
                by: by.as_str().to_owned(),
                field,
                url: url.as_str().to_owned(),
                source,
            }
        }
        error => error,
    }
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
        legacy_discovery::published(transport, url, reach).await?
    } else {
        None
    };
    // Only who refuses by a `Bearer` challenge is believed to have endpoints that nobody published.
    let assumed =
        || (refused && probed.challenge.is_some()).then(|| legacy_discovery::assumed(url));
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

/// The challenge's scope is authoritative; else all that the metadata lists; else none.
fn scope_asked_for(probed: &Probed, supported: Option<&[String]>) -> Option<Scope> {
    let challenged = probed
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.scope.clone());
    match challenged {
        Some(scope) => Some(super::scope_told(&scope)).filter(|scope| !scope.is_empty()),
        None => listed(supported),
    }
}

fn listed(scopes: Option<&[String]>) -> Option<Scope> {
    let scopes = super::scope_told(&scopes?.join(" "));
    Some(scopes).filter(|scope| !scope.is_empty())
}

/// Which authorization servers a resource names today; empty if it names none. None of them is asked anything.
pub(crate) async fn authorization_servers(
    clock: &dyn Clock,
    transport: &dyn Transport,
    url: &HttpUrl,
) -> Result<Vec<Issuer>, DiscoveryError> {
    let reach = transport.reach(url).await;
    let reply = exchange_by(clock, transport, (url, reach), probe_request()).await?;
    let said = challenge::bearer(&reply.headers).or_else(|| challenge::dpop(&reply.headers));
    let named = said.and_then(|said| said.resource_metadata);
    let places = named.map_or_else(|| resource_metadata_places(url), |named| vec![named]);
    for place in places {
        let at = published(url.as_str(), RESOURCE_METADATA, &place)?;
        let reply = exchange_by(clock, transport, (&at, reach), Request::get_json()).await?;
        if let Ok(metadata) = parse_metadata::<ResourceMetadata>(&at, &reply) {
            check_resource(url, &at, &metadata)?;
            let named = metadata.authorization_servers.iter();
            return Ok(named.map(Issuer::new).collect());
        }
    }
    Ok(vec![])
}

/// By its metadata (RFC 9728 §2), or by the scheme that it challenges with (RFC 9449 §7.1).
fn dpop_offer(probed: &Probed, metadata: &ResourceMetadata) -> DpopOffer {
    let listed = &metadata.dpop_signing_alg_values_supported;
    if metadata.dpop_bound_access_tokens_required {
        DpopOffer::Demanded
    } else if probed.dpop || listed.iter().any(|name| name == dpop::ALGORITHM) {
        DpopOffer::Offered
    } else {
        DpopOffer::None
    }
}

struct Probed {
    status: StatusCode,
    /// Whether it challenges for a token that is bound to a key.
    dpop: bool,
    challenge: Option<challenge::BearerChallenge>,
}

/// An unauthorized call, made to be refused: the refusal says where the metadata is.
async fn probe(
    transport: &dyn Transport,
    url: &HttpUrl,
    reach: Reach,
) -> Result<Probed, DiscoveryError> {
    let reply = exchange(transport, url, reach, probe_request()).await?;
    if reply.status.is_redirection() {
        let to = reply
            .headers
            .get(header::LOCATION)
            .and_then(|to| to.to_str().ok());
        return Err(DiscoveryError::Redirected {
            url: url.as_str().to_owned(),
            to: one_line(to.unwrap_or("an unnamed place")),
        });
    }
    let dpop = challenge::dpop(&reply.headers);
    Ok(Probed {
        status: reply.status,
        dpop: dpop.is_some(),
        challenge: challenge::bearer(&reply.headers).or(dpop),
    })
}

/// A `ping`: harmless on an MCP server, and a plain API refuses it like any other call.
fn probe_request() -> Request {
    let mut headers = http::HeaderMap::new();
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(header::ACCEPT, accept);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let body = br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#.as_slice();
    Request {
        method: Method::POST,
        headers,
        body: body.into(),
    }
}

async fn resource_metadata(
    transport: &dyn Transport,
    url: &HttpUrl,
    reach: Reach,
    probed: &Probed,
) -> Result<Option<(HttpUrl, ResourceMetadata)>, DiscoveryError> {
    let named = probed
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.resource_metadata.as_ref());
    if let Some(named) = named {
        let at = published(url.as_str(), RESOURCE_METADATA, named)?;
        let reply = exchange(transport, &at, reach, Request::get_json()).await;
        let reply = reply.map_err(|error| named_by(url, RESOURCE_METADATA, &at, error.into()))?;
        let metadata = parse_metadata(&at, &reply)?;
        return Ok(Some((at, metadata)));
    }
    let mut incident = Ok(());
    for place in resource_metadata_places(url) {
        let at = HttpUrl::parse(&place)?;
        let reply = exchange(transport, &at, reach, Request::get_json()).await?;
        if reply.status.is_success()
            && let Some(metadata) = reply.json_as()
        {
            return Ok(Some((at, metadata)));
        }
        incident = incident.and(check_available(&at, &reply));
    }
    incident.map(|()| None)
}

/// RFC 9728 §3.1: the well-known name goes between host and path; then the root.
fn resource_metadata_places(url: &HttpUrl) -> Vec<String> {
    let root = format!("{}/.well-known/oauth-protected-resource", url.origin());
    let path = url.path().trim_end_matches('/');
    if path.is_empty() {
        vec![root]
    } else {
        vec![format!("{root}{path}"), root]
    }
}

/// The metadata must be for what we asked for: the same origin, and the same path or one above it.
fn check_resource(
    url: &HttpUrl,
    at: &HttpUrl,
    metadata: &ResourceMetadata,
) -> Result<(), DiscoveryError> {
    let covers = HttpUrl::parse(&metadata.resource).is_ok_and(|resource| {
        resource.same_origin(url) && path_covers(resource.path(), url.path())
    });
    if covers {
        return Ok(());
    }
    Err(DiscoveryError::ResourceMismatch {
        url: at.as_str().to_owned(),
        resource: one_line(&metadata.resource),
        asked: url.as_str().to_owned(),
    })
}

fn path_covers(resource: &str, asked: &str) -> bool {
    let resource = resource.trim_end_matches('/');
    asked
        .strip_prefix(resource)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

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
    let mut incident = Ok(());
    for place in &places {
        let at = HttpUrl::parse(place)?;
        let reply = exchange(transport, &at, reach, Request::get_json()).await?;
        if !reply.status.is_success() {
            incident = incident.and(check_available(&at, &reply));
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
    incident?;
    let tried = places.join(", ");
    Err(DiscoveryError::NoMetadata {
        issuer: issuer.as_str().to_owned(),
        tried,
    })
}

/// MCP 2026-07-28 "Authorization Server Metadata Discovery": with a path RFC 8414's insertion, `OpenID` Connect's
/// insertion, `OpenID` Connect's appending; without one RFC 8414, then `OpenID` Connect.
fn server_metadata_places(issuer: &HttpUrl) -> Vec<String> {
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
pub(super) fn check_available(at: &HttpUrl, reply: &Reply) -> Result<(), DiscoveryError> {
    let status = reply.status;
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(DiscoveryError::Unavailable {
            url: at.as_str().to_owned(),
            answer: status.as_u16(),
        });
    }
    Ok(())
}

fn parse_metadata<T: serde::de::DeserializeOwned>(
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

/// What a sign-in with an authorization code needs of the metadata.
#[derive(Clone, Debug)]
pub struct CodeEndpoints {
    /// Where a person signs in.
    pub authorization: HttpUrl,
    /// Where the code is exchanged.
    pub token: HttpUrl,
}

/// Where a code flow goes.
pub fn code_endpoints(metadata: &ServerMetadata) -> Result<CodeEndpoints, DiscoveryError> {
    let authorization = endpoint(
        metadata,
        "authorization_endpoint",
        metadata.authorization_endpoint.as_ref(),
    )?;
    let token = token_endpoint(metadata)?;
    Ok(CodeEndpoints {
        authorization,
        token,
    })
}

/// Checks that a server promises PKCE with S256.
pub fn require_pkce(metadata: &ServerMetadata) -> Result<(), DiscoveryError> {
    let offered = &metadata.code_challenge_methods_supported;
    if offered.iter().any(|method| method == "S256") {
        return Ok(());
    }
    let offered = if offered.is_empty() {
        "none".to_owned()
    } else {
        one_line(&offered.join(", "))
    };
    Err(DiscoveryError::NoPkce {
        issuer: metadata.issuer.clone(),
        offered,
    })
}

/// Where tokens are exchanged.
pub fn token_endpoint(metadata: &ServerMetadata) -> Result<HttpUrl, DiscoveryError> {
    endpoint(metadata, "token_endpoint", metadata.token_endpoint.as_ref())
}

/// Where a device asks for a code (RFC 8628 §3.1).
pub fn device_endpoint(metadata: &ServerMetadata) -> Result<HttpUrl, DiscoveryError> {
    endpoint(
        metadata,
        "device_authorization_endpoint",
        metadata.device_authorization_endpoint.as_ref(),
    )
}

/// Where authorization requests are pushed (RFC 9126 §2).
pub fn pushed_endpoint(metadata: &ServerMetadata) -> Result<HttpUrl, DiscoveryError> {
    endpoint(
        metadata,
        "pushed_authorization_request_endpoint",
        metadata.pushed_authorization_request_endpoint.as_ref(),
    )
}

fn endpoint(
    metadata: &ServerMetadata,
    name: &'static str,
    value: Option<&String>,
) -> Result<HttpUrl, DiscoveryError> {
    let value = value.ok_or_else(|| DiscoveryError::NoEndpoint {
        issuer: metadata.issuer.clone(),
        endpoint: name,
    })?;
    Ok(published(&metadata.issuer, name, value)?)
}

impl DiscoveryError {
    /// Whether trying again later may help, without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Wire(WireError::Connect(source)) | Self::PublishedUnreachable { source, .. } => {
                !matches!(source, ConnectError::Internal { .. })
            }
            Self::Wire(_) | Self::Unavailable { .. } => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).unwrap()
    }

    #[test]
    fn metadata_is_looked_for_in_the_specified_order() {
        assert_eq!(
            server_metadata_places(&url("https://as.example/tenant1")),
            [
                "https://as.example/.well-known/oauth-authorization-server/tenant1",
                "https://as.example/.well-known/openid-configuration/tenant1",
                "https://as.example/tenant1/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            server_metadata_places(&url("http://127.0.0.1:9/")),
            [
                "http://127.0.0.1:9/.well-known/oauth-authorization-server",
                "http://127.0.0.1:9/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            resource_metadata_places(&url("https://x.example/public/mcp")),
            [
                "https://x.example/.well-known/oauth-protected-resource/public/mcp",
                "https://x.example/.well-known/oauth-protected-resource",
            ]
        );
    }

    #[test]
    fn metadata_for_another_resource_is_refused() {
        let check = |resource: &str| {
            let metadata = ResourceMetadata {
                resource: resource.to_owned(),
                authorization_servers: vec![],
                scopes_supported: None,
                dpop_signing_alg_values_supported: vec![],
                dpop_bound_access_tokens_required: false,
            };
            let asked = url("https://x.example/mcp/a");
            check_resource(&asked, &asked, &metadata).is_ok()
        };
        for good in [
            "https://x.example/mcp/a",
            "https://x.example/mcp",
            "https://x.example",
            "https://x.example/",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "https://evil.example/mcp",
            "https://x.example/mc",
            "https://x.example:8/mcp",
            "x",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn without_s256_there_is_no_code_flow() {
        let mut metadata: ServerMetadata = serde_json::from_str(
            r#"{"issuer":"https://a","authorization_endpoint":"https://a/a","token_endpoint":"https://a/t"}"#,
        )
        .unwrap();
        assert!(matches!(
            require_pkce(&metadata),
            Err(DiscoveryError::NoPkce { .. })
        ));
        metadata.code_challenge_methods_supported = vec!["plain".to_owned()];
        assert!(matches!(
            require_pkce(&metadata),
            Err(DiscoveryError::NoPkce { .. })
        ));
        metadata
            .code_challenge_methods_supported
            .push("S256".to_owned());
        assert!(require_pkce(&metadata).is_ok());
        assert_eq!(
            code_endpoints(&metadata).unwrap().token.as_str(),
            "https://a/t"
        );
    }
}
