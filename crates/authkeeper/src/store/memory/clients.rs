//! Our clients, and what each was told of its issuer.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, StoreRows};
use crate::{
    model::{ClientId, ClientRegistration, Issuer, Provider, RegistrationSource},
    store::{Clients, Result},
};

#[async_trait]
impl Clients for MemoryStore {
    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>> {
        self.read(|rows| rows.provider(issuer, client).cloned())
    }

    async fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>> {
        self.read(|rows| rows.registration(issuer, id).cloned())
    }

    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        self.read(|rows| rows.registered_clients(issuer))
    }

    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()> {
        self.note(|rows| {
            rows.put_provider(provider, &client.client_id);
            rows.put_client(client);
        })
        .await
    }

    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        self.note(|rows| rows.put_provider(provider, client)).await
    }

    async fn mark_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        refused: Option<Timestamp>,
    ) -> Result<()> {
        self.note(|rows| rows.mark_registration(issuer, id, refused))
            .await
    }

    async fn mark_secret(&self, secret: u64, refused: Option<Timestamp>) -> Result<()> {
        self.note(|rows| rows.mark_secret(secret, refused)).await
    }
}

impl StoreRows {
    /// As [`Clients::provider`].
    pub fn provider(&self, issuer: &Issuer, client: &ClientId) -> Option<&Provider> {
        self.providers.get(&(issuer.clone(), client.clone()))
    }

    /// As [`Clients::registration`].
    pub fn registration(&self, issuer: &Issuer, id: &ClientId) -> Option<&ClientRegistration> {
        self.clients.get(self.client(issuer, id)?)
    }

    /// As [`Clients::registered_clients`].
    pub fn registered_clients(&self, issuer: &Issuer) -> Vec<ClientRegistration> {
        let newest = self.clients.iter().rev().filter(|client| {
            client.issuer == *issuer
                && client.source == RegistrationSource::Dynamic
                && client.refused.is_none()
        });
        newest.take(16).cloned().collect()
    }

    /// As [`Clients::mark_registration`].
    pub fn mark_registration(
        &mut self,
        issuer: &Issuer,
        id: &ClientId,
        refused: Option<Timestamp>,
    ) {
        let at = self.client(issuer, id);
        if let Some(client) = at.and_then(|at| self.clients.get_mut(at)) {
            client.refused = refused;
        }
    }

    /// As [`Clients::mark_secret`].
    pub fn mark_secret(&mut self, secret: u64, refused: Option<Timestamp>) {
        let clients = self.clients.iter_mut();
        let mut secrets = clients.flat_map(|client| client.secrets.iter_mut());
        if let Some(secret) = secrets.find(|kept| kept.id == Some(secret)) {
            secret.refused = refused;
        }
    }

    /// Where the client is.
    fn client(&self, issuer: &Issuer, id: &ClientId) -> Option<usize> {
        let mut clients = self.clients.iter();
        clients.position(|client| client.issuer == *issuer && client.client_id == *id)
    }

    /// As [`Clients::keep_provider`].
    pub fn put_provider(&mut self, provider: &Provider, client: &ClientId) {
        let key = (provider.issuer.clone(), client.clone());
        self.providers.insert(key, provider.clone());
    }

    /// Puts the client as it is now, last.
    pub fn put_client(&mut self, client: &ClientRegistration) {
        let known = self.client(&client.issuer, &client.client_id);
        let known = known.map(|at| self.clients.remove(at));
        let next_id = || {
            self.last_secret += 1;
            self.last_secret
        };
        let kept = client.kept_over(known.as_ref(), next_id);
        self.clients.push(kept);
    }

    pub(super) fn put_signed_in_client(
        &mut self,
        provider: &Provider,
        client: &ClientRegistration,
    ) {
        let key = (provider.issuer.clone(), client.client_id.clone());
        let known = self.providers.entry(key);
        known.or_insert_with(|| provider.clone());
        if self.client(&client.issuer, &client.client_id).is_none() {
            self.put_client(client);
        }
    }
}
