//! API keys. They are no OAuth: no token endpoint gives or renews one.

use crate::{
    http::Request,
    model::GrantType,
    oauth::grant::flow::{GrantFlow, GrantRequest},
};

/// The flow without requests.
pub(super) struct ApiKey;

impl GrantFlow for ApiKey {
    fn grant_type(&self) -> GrantType {
        GrantType::ApiKey
    }

    fn request(&self, _asked: &GrantRequest<'_>) -> Option<Request> {
        None
    }
}
