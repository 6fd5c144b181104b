//! Disconnecting.

use super::ConnectError;
use crate::{
    http::Reach,
    model::{ConnectionName, Grant, GrantId},
    oauth::revoke::{self, Revocation},
    refresh::{spill::Journal, unrevoked},
    runtime::Runtime,
};

impl Runtime {
    /// What processes were given that died, or lost their store, before they could commit it: good tokens that nobody else
    /// knows of.
    fn left_in_journals(&self, grant: &Grant) -> Vec<(Journal, Grant)> {
        let journals = Journal::all_of(&self.tools.spill, &grant.id).into_iter();
        let left = |journal: Journal| {
            let left = unrevoked::tokens_in(&self.tools, &journal, grant)?;
            Some((journal, left))
        };
        journals.filter_map(left).collect()
    }

    /// Forgets a connection that was disconnected, though its provider never confirmed that.
    pub async fn forget(&self, name: &ConnectionName) -> Result<(), ConnectError> {
        Ok(self.tools.store.forget(name).await?)
    }

    pub(super) async fn connections_on(
        &self,
        grant: &GrantId,
    ) -> Result<Vec<ConnectionName>, ConnectError> {
        let all = self.tools.store.connections().await?.into_iter();
        let on_it = all.filter(|connection| connection.grant.as_ref() == Some(grant));
        Ok(on_it.map(|connection| connection.name).collect())
    }

    /// Revokes at the provider (RFC 7009) and forgets. The connection is unusable from the first step on, whatever the
    /// provider says.
    pub async fn disconnect(&self, name: &ConnectionName) -> Result<Revocation, ConnectError> {
        let now = self.now();
        let connection = self.tools.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let grant = self.tools.store.disconnect(name, now).await?;
        if let (None, Some(id)) = (&grant, &connection.grant) {
            return Ok(Revocation::Shared(self.connections_on(id).await?));
        }
        let provider = self
            .tools
            .store
            .provider(&connection.issuer, &connection.client_id)
            .await?;
        let client = self
            .tools
            .store
            .registration(&connection.issuer, &connection.client_id)
            .await?;
        let revocation = match (grant, provider, client) {
            (Some(grant), Some(provider), Some(client)) => {
                let reach = Reach::of(connection.internal);
                let named = (&connection.issuer, connection.provider.as_deref());
                let audience = self.tools.audience(grant.means.audience.as_deref(), named);
                let client = self.tools.our_client(&provider.metadata, &client);
                let client = client.for_audience(audience.as_deref());
                let transport = &*self.tools.transport;
                let mut unrevoked = None;
                for (journal, left) in self.left_in_journals(&grant) {
                    let done = revoke::revoke(transport, reach, &provider, client, &left).await;
                    tracing::info!(connection = %name, ?done, "revoking what a dead process had been given");
                    if matches!(done, Revocation::Failed(_)) {
                        unrevoked = Some(done);
                    } else {
                        journal.remove();
                    }
                }
                let done = revoke::revoke(transport, reach, &provider, client, &grant).await;
                unrevoked.unwrap_or(done)
            }
            _ => Revocation::NotOffered,
        };
        // What could not be revoked is kept, unusable, so that revoking it can be tried again.
        if let Some(grant) = &connection.grant {
            self.tools.shelf.clear(grant);
        }
        if !matches!(revocation, Revocation::Failed(_)) {
            self.tools.store.forget(name).await?;
        }
        Ok(revocation)
    }
}
