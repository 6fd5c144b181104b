use super::{
    endpoints::{code_endpoints, require_pkce},
    error::DiscoveryError,
    resource::{ResourceMetadata, check_resource, resource_metadata_places},
    server::server_metadata_places,
};
use crate::{http::HttpUrl, model::ServerMetadata};

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
            ..ResourceMetadata::default()
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
        require_pkce(&metadata, false),
        Err(DiscoveryError::NoPkce { .. })
    ));
    assert!(
        require_pkce(&metadata, true).is_ok(),
        "it publishes nothing"
    );
    metadata.code_challenge_methods_supported = vec!["plain".to_owned()];
    assert!(
        require_pkce(&metadata, true).is_err(),
        "it publishes that it has none"
    );
    assert!(matches!(
        require_pkce(&metadata, false),
        Err(DiscoveryError::NoPkce { .. })
    ));
    metadata
        .code_challenge_methods_supported
        .push("S256".to_owned());
    assert!(require_pkce(&metadata, false).is_ok());
    assert_eq!(
        code_endpoints(&metadata).unwrap().token.as_str(),
        "https://a/t"
    );
}
