//! Our clients at the issuers.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{ClientId, ClientRegistration, Issuer, Provider},
    store::Result,
};

/// Our clients, and what each was told of its issuer.
#[async_trait]
pub trait Clients: Send + Sync {
    /// What a client of ours was told of its issuer.
    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>>;
    /// Our client at an issuer, by id.
    async fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>>;
    /// The clients that registered themselves at an issuer and were not refused since, the newest first.
    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>>;
    /// Keeps a client before the sign-in that uses it: a registration must not be lost. Secrets that are not kept yet go
    /// in front of those that are; none is taken away. A refusal of the client stays noted unless a secret is new: that
    /// somebody begins a sign-in proves nothing.
    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()>;
    /// Keeps what an issuer says of itself today, for one client of ours there.
    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()>;
    /// Notes when the provider refused our client, or that it takes it again.
    async fn mark_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        refused: Option<Timestamp>,
    ) -> Result<()>;
    /// Notes when the provider refused one of our client's secrets, or that it takes it again.
    async fn mark_secret(&self, secret: u64, refused: Option<Timestamp>) -> Result<()>;

    /// Notes that the provider refused our client: the next sign-in registers a new client.
    async fn refuse_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<()> {
        self.mark_registration(issuer, id, Some(at)).await
    }
    /// Notes that the provider takes a client that it had refused.
    async fn accept_registration(&self, issuer: &Issuer, id: &ClientId) -> Result<()> {
        self.mark_registration(issuer, id, None).await
    }
    /// Notes that the provider refused one of our client's secrets, so that the next in order is tried.
    async fn refuse_secret(&self, secret: u64, at: Timestamp) -> Result<()> {
        self.mark_secret(secret, Some(at)).await
    }
    /// Notes that the provider takes a secret that it had refused.
    async fn accept_secret(&self, secret: u64) -> Result<()> {
        self.mark_secret(secret, None).await
    }
}
