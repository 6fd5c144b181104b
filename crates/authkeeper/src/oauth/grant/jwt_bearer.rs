//! Tokens in return for an assertion that a workload's platform gives (RFC 7523 §2.1).

use crate::{
    http::Request,
    model::GrantType,
    oauth::grant::flow::{GrantFlow, GrantRequest},
};

/// The JWT bearer grant.
pub(super) struct JwtBearer;

impl GrantFlow for JwtBearer {
    fn grant_type(&self) -> GrantType {
        GrantType::JwtBearer
    }

    /// RFC 7523 §2.1. The assertion may be good again: nothing of ours is spent by it.
    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the assertion is sent to the server that it is for"
        )]
        let assertion = asked.shown?.expose();
        let fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ];
        Some(asked.form(fields))
    }
}
