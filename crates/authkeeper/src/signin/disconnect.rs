//! Disconnecting, and leaving an authorization server for another.

use crate::{
    http::Reach,
    model::{Connection, ConnectionName, Grant, GrantId, GrantLifecycle},
    oauth::revoke::{self, Revocation},
    refresh::{journal::Journal, revoke_leftovers},
    runtime::Runtime,
    signin::ConnectError,
    store::{SignedIn, StoreError},
};

impl Runtime {
    /// What processes were given that died, or lost their store, before they could commit it: good tokens that nobody else
    /// knows of.
    fn left_in_journals(&self, grant: &Grant) -> Vec<(Journal, Grant)> {
        let journals = Journal::all_of(&self.context.journals, &grant.id).into_iter();
        let left = |journal: Journal| {
            let left = revoke_leftovers::tokens_in(&self.context, &journal, grant)?;
            Some((journal, left))
        };
        journals.filter_map(left).collect()
    }

    /// Forgets a connection that was disconnected, though its provider never confirmed that.
    pub async fn forget(&self, name: &ConnectionName) -> Result<(), ConnectError> {
        Ok(self.context.store.forget(name).await?)
    }

    pub(super) async fn connections_on(
        &self,
        grant: &GrantId,
    ) -> Result<Vec<ConnectionName>, ConnectError> {
        let all = self.context.store.connections().await?.into_iter();
        let on_it = all.filter(|connection| connection.grant.as_ref() == Some(grant));
        Ok(on_it.map(|connection| connection.name).collect())
    }

    /// Revokes at the provider (RFC 7009) and forgets. The connection is unusable from the first step on, whatever the
    /// provider says.
    pub async fn disconnect(&self, name: &ConnectionName) -> Result<Revocation, ConnectError> {
        let now = self.now();
        let connection = self.context.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let grant = self.context.store.disconnect(name, now).await?;
        if let (None, Some(id)) = (&grant, &connection.grant) {
            return Ok(Revocation::Shared(self.connections_on(id).await?));
        }
        let revocation = match grant {
            Some(grant) => self.revoke(&connection, &grant).await?,
            None => Revocation::NotOffered,
        };
        // What could not be revoked is kept, unusable, so that revoking it can be tried again.
        if let Some(grant) = &connection.grant {
            self.context.reply_archive.clear(grant);
        }
        if !matches!(revocation, Revocation::Failed(_)) {
            self.context.store.forget(name).await?;
        }
        Ok(revocation)
    }

    /// Revokes what a grant holds, and what dead processes had been given of it, where the connection had it from.
    async fn revoke(
        &self,
        connection: &Connection,
        grant: &Grant,
    ) -> Result<Revocation, StoreError> {
        let (store, issuer, id) = (
            &self.context.store,
            &connection.issuer,
            &connection.client_id,
        );
        let (Some(provider), Some(client)) = (
            store.provider(issuer, id).await?,
            store.registration(issuer, id).await?,
        ) else {
            return Ok(Revocation::NotOffered);
        };
        let reach = Reach::of(connection.internal);
        let named = (issuer, connection.provider.as_deref());
        let audience = self
            .context
            .audience(grant.grant_material.audience.as_deref(), named);
        let client = self.context.our_client(&provider.metadata, &client);
        let client = client.for_audience(audience.as_deref());
        let transport = &*self.context.transport_of(grant);
        let mut leftovers = None;
        for (journal, left) in self.left_in_journals(grant) {
            let done = revoke::revoke(transport, reach, &provider, client, &left).await;
            tracing::info!(connection = %connection.name, ?done, "revoking what a dead process had been given");
            if matches!(done, Revocation::Failed(_)) {
                leftovers = Some(done);
            } else {
                journal.remove();
            }
        }
        let done = revoke::revoke(transport, reach, &provider, client, grant).await;
        Ok(leftovers.unwrap_or(done))
    }

    /// What a sign-in leaves behind at another authorization server, or under another client at the same. Of what was imported
    /// and is not the only copy, nothing: somebody else uses it. Nor the very token that was brought.
    pub(super) async fn left_at_another(
        &self,
        before: Option<&Connection>,
        signed_in: &SignedIn,
    ) -> Result<Option<(Connection, Grant)>, StoreError> {
        let new = &signed_in.connection;
        let moved = before
            .filter(|before| (&before.issuer, &before.client_id) != (&new.issuer, &new.client_id));
        let Some((connection, id)) =
            moved.and_then(|before| Some((before, before.grant.as_ref()?)))
        else {
            return Ok(None);
        };
        let grant = self.context.store.grant(id).await?.filter(|grant| {
            let lifecycle = &grant.lifecycle;
            !matches!(lifecycle, GrantLifecycle::Suspended { .. }) && !is_brought(grant, signed_in)
        });
        Ok(grant.map(|grant| (connection.clone(), grant)))
    }

    /// Revokes what was left, if its server can be asked. Nobody waits for that but a shutdown, and nothing depends on it:
    /// nobody here will use it any more.
    pub(super) fn revoke_left(&self, connection: Connection, left: Grant) {
        let (runtime, aboard) = (self.clone(), self.flights.aboard());
        self.context.tasks.spawn(Box::pin(async move {
            let done = runtime.revoke(&connection, &left).await;
            tracing::info!(
                connection = %connection.name, issuer = %left.issuer, ?done,
                "revoked what was left of the grant before"
            );
            drop(aboard);
        }));
    }
}

fn is_brought(grant: &Grant, signed_in: &SignedIn) -> bool {
    let (held, new) = (grant.refresh.as_ref(), signed_in.obtained.refresh());
    #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
    let same = held
        .zip(new)
        .is_some_and(|(held, new)| held.secret.expose() == new.secret.expose());
    same
}
