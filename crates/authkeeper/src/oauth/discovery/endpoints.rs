//! Endpoints of an authorization server, checked as each flow needs them.

use crate::{
    http::HttpUrl,
    model::ServerMetadata,
    oauth::{discovery::error::DiscoveryError, published_url::parse_published},
    text::sanitize::one_line,
};

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

/// Checks that a server promises PKCE with S256. One that publishes no methods at all gets a challenge where somebody
/// trusts it with one: `unadvertised`.
pub fn require_pkce(metadata: &ServerMetadata, unadvertised: bool) -> Result<(), DiscoveryError> {
    let offered = &metadata.code_challenge_methods_supported;
    let trusted = offered.is_empty() && unadvertised;
    if trusted || offered.iter().any(|method| method == "S256") {
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

pub(super) fn endpoint(
    metadata: &ServerMetadata,
    name: &'static str,
    value: Option<&String>,
) -> Result<HttpUrl, DiscoveryError> {
    let value = value.ok_or_else(|| DiscoveryError::NoEndpoint {
        issuer: metadata.issuer.clone(),
        endpoint: name,
    })?;
    Ok(parse_published(&metadata.issuer, name, value)?)
}
