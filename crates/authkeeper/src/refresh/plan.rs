//! The token endpoint and the client registration with which a grant is refreshed.

use crate::{
    http::HttpUrl,
    model::{ClientRegistration, Grant, Provider},
    refresh::context::Context,
    store::{Result, StoreError},
};

/// Where and as whom a grant is refreshed.
pub(super) struct RefreshPlan {
    pub(super) endpoint: HttpUrl,
    pub(super) provider: Provider,
    pub(super) registration: ClientRegistration,
}

impl RefreshPlan {
    pub(super) async fn load(context: &Context, grant: &Grant) -> Result<Self> {
        let damaged = |detail: &str| StoreError::Damaged {
            place: "the store".to_owned(),
            detail: format!("{detail} of {} is missing", grant.issuer),
        };
        let provider = context
            .store
            .provider(&grant.issuer, &grant.client_id)
            .await?;
        let provider = provider.ok_or_else(|| damaged("the metadata"))?;
        let registration = context
            .store
            .registration(&grant.issuer, &grant.client_id)
            .await?;
        let registration = registration.ok_or_else(|| damaged("the client"))?;
        let metadata = provider
            .metadata
            .for_client(grant.grant_material.certificate.is_some());
        let own = &metadata.quirks.refresh_endpoint;
        let own = own.as_ref().filter(|_| !grant.grant_type.is_issued_again());
        let endpoint = own.or(metadata.token_endpoint.as_ref());
        let endpoint = endpoint.map(|endpoint| HttpUrl::parse(endpoint));
        let endpoint = endpoint.and_then(std::result::Result::ok);
        let endpoint = endpoint.ok_or_else(|| damaged("the token endpoint"))?;
        Ok(Self {
            endpoint,
            provider,
            registration,
        })
    }
}
