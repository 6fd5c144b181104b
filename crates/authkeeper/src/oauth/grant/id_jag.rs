//! Tokens in return for an assertion that the company's identity provider gives for a person. The request to the identity
//! provider is in [`oauth::id_jag`](crate::oauth::id_jag).

use crate::{
    http::Request,
    model::{GrantType, TokenSet},
    oauth::grant::{
        flow::{GrantFlow, GrantRequest},
        jwt_bearer::JwtBearer,
    },
};

/// The JWT bearer grant, with an identity provider's assertion.
pub(super) struct IdJag;

impl GrantFlow for IdJag {
    fn grant_type(&self) -> GrantType {
        GrantType::IdJag
    }

    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request> {
        JwtBearer.request(asked)
    }

    /// The refresh token is the identity provider's: it was put in the place of the server's
    /// (`combined` in [`oauth::id_jag`](crate::oauth::id_jag)).
    fn reply(&self, tokens: TokenSet) -> TokenSet {
        tokens
    }
}
