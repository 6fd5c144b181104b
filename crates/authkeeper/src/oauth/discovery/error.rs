//! Errors of discovery.

use crate::{
    http::{ConnectError, InvalidUrl},
    oauth::{PublishedUrl, WireError},
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
    /// The metadata lies elsewhere, where nobody vouches for it.
    #[error("{url} redirects to {to}; metadata is followed on its own origin only")]
    MetadataRedirected {
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
    /// There is nothing where the challenge says that the protected-resource metadata is.
    #[error("{by} names {url} as its metadata, and nothing is there")]
    NoResourceMetadata {
        /// Which server.
        by: String,
        /// The place.
        url: String,
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
    /// A server without protected-resource metadata publishes the metadata of an authorization server elsewhere.
    #[error("{url} is the metadata of {claimed:?}, and not of the server that publishes it")]
    IssuerElsewhere {
        /// Where the metadata was.
        url: String,
        /// Whose it is.
        claimed: String,
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
    #[error("{url} can't answer now (status {answer})")]
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
