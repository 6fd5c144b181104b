//! One flow a grant type: the token request that renews a grant, and what is kept of the reply.
//!
//! | grant type | token request | specification |
//! | --- | --- | --- |
//! | `authorization_code`, `device_code` | spends the refresh token | RFC 6749 §6 |
//! | `client_credentials` | shows our client alone | RFC 6749 §4.4 |
//! | `jwt_bearer` | shows a workload's assertion | RFC 7523 §2.1 |
//! | `id_jag` | shows an identity provider's assertion | RFC 7523 §2.1 |
//! | `token_exchange` | shows a workload's token | RFC 8693 §2.1 |
//! | `api_key` | none | |
//!
//! What else is known of a grant type is in the table of [`GrantType`]. A new flow is one file here and a row in [`flow_of`].

mod api_key;
mod authorization_code;
mod client_credentials;
mod device_code;
mod flow;
mod id_jag;
mod jwt_bearer;
mod token_exchange;

pub use self::{
    authorization_code::code_request,
    device_code::device_request,
    flow::{GrantFlow, GrantRequest},
};
use crate::model::GrantType;

/// The flow of a grant type.
pub fn flow_of(grant_type: GrantType) -> &'static dyn GrantFlow {
    match grant_type {
        GrantType::AuthorizationCode => &authorization_code::AuthorizationCode,
        GrantType::ClientCredentials => &client_credentials::ClientCredentials,
        GrantType::DeviceCode => &device_code::DeviceCode,
        GrantType::ApiKey => &api_key::ApiKey,
        GrantType::JwtBearer => &jwt_bearer::JwtBearer,
        GrantType::IdJag => &id_jag::IdJag,
        GrantType::TokenExchange => &token_exchange::TokenExchange,
    }
}

#[cfg(test)]
mod tests;
