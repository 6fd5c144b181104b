//! Servers of MCP 2025-03-26, from before protected-resource metadata: the authorization server is the MCP server's own
//! origin, its metadata lies there, and where there is none its endpoints have fixed paths (that revision's
//! "Server Metadata Discovery" and "Fallbacks for Servers without Metadata Discovery").

use crate::{
    http::{HttpUrl, Reach, Request, Transport},
    model::{Issuer, Provider, Quirks, ServerMetadata},
    oauth::{
        discovery::{DiscoveryError, check_available},
        exchange,
    },
    text::sanitize::one_line,
};

/// The authorization server that an origin publishes (RFC 8414), if it does.
pub(super) async fn find_published(
    transport: &dyn Transport,
    url: &HttpUrl,
    reach: Reach,
) -> Result<Option<Provider>, DiscoveryError> {
    let origin = url.origin();
    let place = format!("{origin}/.well-known/oauth-authorization-server");
    let at = HttpUrl::parse(&place)?;
    let reply = exchange(transport, &at, reach, Request::get_json()).await?;
    check_available(&at, &reply)?;
    let read = reply.json_as();
    let metadata: Option<ServerMetadata> = read.filter(|_| reply.status.is_success());
    let Some(mut metadata) = metadata else {
        return Ok(None);
    };
    // Ours to know, and not a server's to say.
    metadata.quirks = Quirks::default();
    if !is_of(&metadata.issuer, &origin) {
        return Err(DiscoveryError::IssuerMismatch {
            url: place,
            claimed: one_line(&metadata.issuer),
            expected: origin,
        });
    }
    let issuer = Issuer::new(&metadata.issuer);
    Ok(Some(Provider { issuer, metadata }))
}

/// Nobody named the issuer, so both spellings of an origin are it (RFC 3986 §6.2.3); from here on it is the server's.
fn is_of(issuer: &str, origin: &str) -> bool {
    issuer.strip_suffix('/').unwrap_or(issuer) == origin
}

/// The endpoints of an origin that publishes none. PKCE, which it can't promise, is required of it all the same.
pub(super) fn assume_endpoints(url: &HttpUrl) -> Provider {
    let origin = url.origin();
    let at = |path: &str| Some(format!("{origin}{path}"));
    let metadata = ServerMetadata {
        issuer: origin.clone(),
        authorization_endpoint: at("/authorize"),
        token_endpoint: at("/token"),
        registration_endpoint: at("/register"),
        code_challenge_methods_supported: vec!["S256".to_owned()],
        ..ServerMetadata::default()
    };
    let issuer = Issuer::new(&metadata.issuer);
    Provider { issuer, metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_the_issuer_in_either_spelling_and_nobody_else() {
        for (issuer, good) in [
            ("https://x.example", true),
            ("https://x.example/", true),
            ("https://x.example//", false),
            ("https://x.example/oauth", false),
            ("https://X.example", false),
            ("https://x.example:443", false),
            ("https://login.example", false),
        ] {
            assert_eq!(is_of(issuer, "https://x.example"), good, "{issuer}");
        }
    }

    #[test]
    fn endpoints_that_nobody_publishes_are_at_the_root() {
        let url = HttpUrl::parse("http://127.0.0.1:9/public/mcp").unwrap();
        let provider = assume_endpoints(&url);
        assert_eq!(provider.issuer.as_str(), "http://127.0.0.1:9");
        let token = provider.metadata.token_endpoint.as_deref();
        assert_eq!(token, Some("http://127.0.0.1:9/token"));
    }
}
