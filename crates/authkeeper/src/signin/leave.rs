//! Disconnecting.

use super::ConnectError;
use crate::{
    http::Reach,
    model::ConnectionName,
    oauth::revoke::{self, Revocation},
    runtime::Runtime,
};

impl Runtime {
    /// Forgets a connection that was disconnected, though its provider never confirmed that.
    pub async fn forget(&self, name: &ConnectionName) -> Result<(), ConnectError> {
        Ok(self.tools.store.forget(name).await?)
    }

    /// Revokes at the provider (RFC 7009) and forgets. The connection is unusable from the first step on, whatever the
    /// provider says.
    pub async fn disconnect(&self, name: &ConnectionName) -> Result<Revocation, ConnectError> {
        let now = self.now();
        let connection = self.tools.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let grant = self.tools.store.disconnect(name, now).await?;
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
                let client = self.tools.our_client(&provider.metadata, &client);
                revoke::revoke(&*self.tools.transport, reach, &provider, client, &grant).await
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
