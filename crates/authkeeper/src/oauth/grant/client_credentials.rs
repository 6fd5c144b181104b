//! Our client's own tokens (RFC 6749 §4.4).

use crate::{
    http::Request,
    model::GrantType,
    oauth::grant::flow::{GrantFlow, GrantRequest},
};

/// The client credentials grant.
pub(super) struct ClientCredentials;

impl GrantFlow for ClientCredentials {
    fn grant_type(&self) -> GrantType {
        GrantType::ClientCredentials
    }

    /// RFC 6749 §4.4.2. Each request issues a new token and spends nothing.
    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request> {
        let fields = vec![("grant_type", "client_credentials")];
        Some(asked.form(fields))
    }
}
