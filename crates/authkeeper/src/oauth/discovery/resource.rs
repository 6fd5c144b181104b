//! Protected-resource metadata (RFC 9728) and the challenge that names it.

use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    http::{HttpUrl, Request, Transport},
    model::{Issuer, Scope},
    oauth::{
        WireError, challenge,
        discovery::{
            document::{Document, Fetcher, may_be_elsewhere, not_metadata, target, to_tell},
            error::DiscoveryError,
        },
        dpop,
        published_url::parse_published,
        quote::displayable_scope,
    },
    platform::clock::Clock,
    text::sanitize::one_line,
};

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
#[derive(Debug, Default)]
pub(super) struct ResourceMetadata {
    pub(super) resource: String,
    pub(super) authorization_servers: Vec<String>,
    pub(super) scopes_supported: Option<Vec<String>>,
    pub(super) dpop_signing_alg_values_supported: Vec<String>,
    pub(super) dpop_bound_access_tokens_required: bool,
}

impl ResourceMetadata {
    /// Reads a document; none if it names no resource or no authorization server: then it is something else.
    fn read(document: &Document) -> Option<Self> {
        Some(Self {
            resource: document.text("resource")?,
            authorization_servers: document.texts("authorization_servers").unwrap_or_default(),
            scopes_supported: document.scopes("scopes_supported"),
            dpop_signing_alg_values_supported: document
                .texts("dpop_signing_alg_values_supported")
                .unwrap_or_default(),
            dpop_bound_access_tokens_required: document.flag("dpop_bound_access_tokens_required"),
        })
    }
}

/// Fields that name a URL (RFC 9728 §2 and §5.1).
pub(super) const AUTHORIZATION_SERVERS: &str = "authorization_servers";

const RESOURCE_METADATA: &str = "resource_metadata";

/// Says of a host that can't be reached who named it: nobody typed it.
pub(super) fn named_by(
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

/// The challenge's scope is authoritative; else all that the metadata lists; else none.
pub(super) fn scope_asked_for(probed: &Probed, supported: Option<&[String]>) -> Option<Scope> {
    let challenged = probed
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.scope.clone());
    match challenged {
        Some(scope) => Some(displayable_scope(&scope)).filter(|scope| !scope.is_empty()),
        None => listed(supported),
    }
}

pub(super) fn listed(scopes: Option<&[String]>) -> Option<Scope> {
    let scopes = displayable_scope(&scopes?.join(" "));
    Some(scopes).filter(|scope| !scope.is_empty())
}

/// Which authorization servers a resource names today; empty if it names none. None of them is asked anything.
pub(crate) async fn authorization_servers(
    clock: &dyn Clock,
    transport: &dyn Transport,
    url: &HttpUrl,
) -> Result<Vec<Issuer>, DiscoveryError> {
    let fetcher = Fetcher {
        transport,
        reach: transport.reach(url).await,
        clock: Some(clock),
    };
    let probed = probe(&fetcher, url).await?;
    let (found, trouble) = resource_metadata(&fetcher, url, &probed).await?;
    match (found, trouble) {
        (Some((at, metadata)), _) => {
            check_resource(url, &at, &metadata)?;
            let named = metadata.authorization_servers.iter();
            Ok(named.map(Issuer::new).collect())
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(vec![]),
    }
}

/// By its metadata (RFC 9728 §2), or by the scheme that it challenges with (RFC 9449 §7.1).
pub(super) fn dpop_offer(probed: &Probed, metadata: &ResourceMetadata) -> DpopOffer {
    let listed = &metadata.dpop_signing_alg_values_supported;
    if metadata.dpop_bound_access_tokens_required {
        DpopOffer::Demanded
    } else if probed.dpop || listed.iter().any(|name| name == dpop::ALGORITHM) {
        DpopOffer::Offered
    } else {
        DpopOffer::None
    }
}

pub(super) struct Probed {
    pub(super) status: StatusCode,
    /// Whether it challenges for a token that is bound to a key.
    pub(super) dpop: bool,
    pub(super) challenge: Option<challenge::BearerChallenge>,
}

/// An unauthorized call, made to be refused: the refusal says where the metadata is.
pub(super) async fn probe(fetcher: &Fetcher<'_>, url: &HttpUrl) -> Result<Probed, DiscoveryError> {
    let reply = fetcher.ask(url, probe_request()).await?;
    if let Some(to) = target(url, &reply) {
        return Err(DiscoveryError::Redirected {
            url: url.as_str().to_owned(),
            to: to.map_or_else(|named| named, |to| to.as_str().to_owned()),
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

pub(super) type FoundMetadata = (HttpUrl, ResourceMetadata);

/// The metadata where the challenge says it is, else at the server's own well-known places; and what went wrong at the
/// places before. An error is about the server as a whole.
pub(super) async fn resource_metadata(
    fetcher: &Fetcher<'_>,
    url: &HttpUrl,
    probed: &Probed,
) -> Result<(Option<FoundMetadata>, Option<DiscoveryError>), DiscoveryError> {
    let named = probed.challenge.as_ref();
    let named = named.and_then(|challenge| challenge.resource_metadata.as_deref());
    let mut trouble = None;
    if let Some(named) = named {
        match named_metadata(fetcher, url, named).await {
            Ok(found) => return Ok((Some(found), None)),
            Err(error) => trouble = Some(error),
        }
    }
    for place in resource_metadata_places(url) {
        let at = HttpUrl::parse(&place)?;
        match metadata_at(fetcher, &at).await {
            Ok(Some(metadata)) => return Ok((Some((at, metadata)), None)),
            // A server may answer every path with its page.
            Ok(None) | Err(DiscoveryError::NotMetadata { .. }) => {}
            Err(error) if may_be_elsewhere(&error) => trouble = Some(to_tell(trouble, error)),
            Err(error) => return Err(to_tell(trouble, error)),
        }
    }
    Ok((None, trouble))
}

/// The metadata at the place that the challenge names.
async fn named_metadata(
    fetcher: &Fetcher<'_>,
    url: &HttpUrl,
    named: &str,
) -> Result<FoundMetadata, DiscoveryError> {
    let at = parse_published(url.as_str(), RESOURCE_METADATA, named)?;
    let found = metadata_at(fetcher, &at).await;
    let found = found.map_err(|error| named_by(url, RESOURCE_METADATA, &at, error))?;
    let none = || DiscoveryError::NoResourceMetadata {
        by: url.as_str().to_owned(),
        url: at.as_str().to_owned(),
    };
    let metadata = found.ok_or_else(none)?;
    Ok((at, metadata))
}

async fn metadata_at(
    fetcher: &Fetcher<'_>,
    at: &HttpUrl,
) -> Result<Option<ResourceMetadata>, DiscoveryError> {
    let Some((document, reply)) = fetcher.document(at).await? else {
        return Ok(None);
    };
    let read = ResourceMetadata::read(&document);
    read.map(Some).ok_or_else(|| not_metadata(at, &reply))
}

/// RFC 9728 §3.1: the well-known name goes between host and path; then the root.
pub(super) fn resource_metadata_places(url: &HttpUrl) -> Vec<String> {
    let root = format!("{}/.well-known/oauth-protected-resource", url.origin());
    let path = url.path().trim_end_matches('/');
    if path.is_empty() {
        vec![root]
    } else {
        vec![format!("{root}{path}"), root]
    }
}

/// The metadata must be for what we asked for: the same origin, and the same path or one above it.
pub(super) fn check_resource(
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
