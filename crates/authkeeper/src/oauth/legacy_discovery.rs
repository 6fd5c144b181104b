//! Servers of MCP 2025-03-26, from before protected-resource metadata: the authorization server is the MCP server's own
//! origin, its metadata lies there, and where there is none its endpoints have fixed paths (that revision's
//! "Server Metadata Discovery" and "Fallbacks for Servers without Metadata Discovery").

use crate::{
    http::HttpUrl,
    model::{Issuer, Provider, ServerMetadata},
    oauth::discovery::{DiscoveryError, Fetcher},
    text::sanitize::one_line,
};

/// The authorization server that an origin publishes (RFC 8414, else `OpenID` Connect discovery), if it does. A page or
/// anything else there is none.
pub(super) async fn find_published(
    fetcher: &Fetcher<'_>,
    url: &HttpUrl,
) -> Result<Option<Provider>, DiscoveryError> {
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let at = HttpUrl::parse(&format!("{}/.well-known/{name}", url.origin()))?;
        let document = match fetcher.document(&at).await {
            Ok(document) => document,
            Err(DiscoveryError::NotMetadata { .. } | DiscoveryError::MetadataRedirected { .. }) => {
                None
            }
            Err(error) => return Err(error),
        };
        let metadata = document.and_then(|(document, _)| document.server());
        if let Some(metadata) = metadata {
            return of_origin(&at, metadata).map(Some);
        }
    }
    Ok(None)
}

fn of_origin(at: &HttpUrl, metadata: ServerMetadata) -> Result<Provider, DiscoveryError> {
    let origin = at.origin();
    if !is_of(&metadata.issuer, &origin) {
        return Err(DiscoveryError::IssuerElsewhere {
            url: at.as_str().to_owned(),
            claimed: one_line(&metadata.issuer),
        });
    }
    let issuer = Issuer::new(&metadata.issuer);
    Ok(Provider { issuer, metadata })
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
