//! The interface of a grant type's flow.

use crate::{
    http::Request,
    model::{GrantType, Resource, Scope, TokenSet},
    oauth::{client_auth::ClientProof, token::refresh_request},
    secret::SecretString,
};

/// What a token request is made of.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it lasts as long as a call, and a proof is not printed"
)]
pub struct GrantRequest<'a> {
    /// Our client, which proves itself.
    pub client: &'a ClientProof,
    /// The secret that is shown: the refresh token or the assertion. None where the flow shows none.
    pub shown: Option<&'a SecretString>,
    /// The scopes to ask for.
    pub scope: Option<&'a Scope>,
    /// What the tokens shall be for (RFC 8707).
    pub resource: Option<&'a Resource>,
}

impl<'a> GrantRequest<'a> {
    /// A request of these fields, with scope and resource where they are asked for.
    pub(super) fn form(&self, mut fields: Vec<(&'a str, &'a str)>) -> Request {
        fields.extend(self.scope.map(|scope| ("scope", scope.as_str())));
        fields.extend(
            self.resource
                .map(|resource| ("resource", resource.as_str())),
        );
        self.client.form(&fields)
    }

    /// A request that spends the refresh token (RFC 6749 §6); none without one.
    pub(super) fn refresh(&self) -> Option<Request> {
        let refresh_token = self.shown?;
        let request = refresh_request(self.client, refresh_token, self.scope, self.resource);
        Some(request)
    }
}

/// The flow of one grant type at the token endpoint. What else is known of a grant type is a property of [`GrantType`].
pub trait GrantFlow: Sync {
    /// Which grant type it is.
    fn grant_type(&self) -> GrantType;

    /// The request that brings new tokens. None if there is no such request, or nothing to show in it.
    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request>;

    /// What is kept of the tokens in a reply. RFC 6749 §4.4.3: a grant that is issued again has no refresh token of its
    /// server, and one that comes all the same is not used.
    fn reply(&self, tokens: TokenSet) -> TokenSet {
        let kept = !self.grant_type().is_issued_again();
        TokenSet {
            refresh_token: tokens.refresh_token.filter(|_| kept),
            ..tokens
        }
    }
}
