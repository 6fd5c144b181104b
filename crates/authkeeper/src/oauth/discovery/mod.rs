//! From a URL to the authorization server behind it: protected-resource metadata (RFC 9728), then authorization-server
//! metadata (RFC 8414) or `OpenID` Connect discovery, in the order the MCP specification sets.

mod discover;
mod document;
mod endpoints;
mod error;
mod resource;
mod server;

pub(super) use self::document::Fetcher;
pub use self::{
    discover::{Discovered, WantedIssuer, discover},
    endpoints::{
        CodeEndpoints, code_endpoints, device_endpoint, pushed_endpoint, require_pkce,
        token_endpoint,
    },
    error::DiscoveryError,
    resource::DpopOffer,
    server::{issuer_of_place, provider},
};
pub(crate) use self::{
    resource::authorization_servers,
    server::{is_same_issuer, provider_and_reply},
};

#[cfg(test)]
mod fallback_tests;
#[cfg(test)]
mod tests;
