//! Adoption: connection, client and grant of a sign-in are written in one step.

use crate::{
    http::Reach,
    model::{
        ClientRegistration, ConnectionName, Grant, GrantId, GrantLifecycle, GrantMaterial,
        GrantType, Lineage, TokenSet,
    },
    oauth::discovery::Discovered,
    refresh::provider_state,
    runtime::Runtime,
    signin::{ConnectError, ConnectRequest, access_request::AccessRequest},
    store::{Obtained, SignedIn},
};

/// What a sign-in brought.
pub(super) struct SignInOutcome {
    pub(super) grant_type: GrantType,
    pub(super) wanted: AccessRequest,
    pub(super) tokens: TokenSet,
    pub(super) grant_material: GrantMaterial,
}

impl Runtime {
    pub(super) async fn adopt(
        &self,
        request: ConnectRequest,
        found: Discovered,
        client: ClientRegistration,
        outcome: SignInOutcome,
    ) -> Result<Grant, ConnectError> {
        let SignInOutcome {
            grant_type,
            wanted,
            tokens,
            grant_material,
        } = outcome;
        let issuer = found.provider.issuer.clone();
        let internal = found.reach == Reach::Anywhere;
        let mut connection = request.connection((issuer, client.client_id.clone()), self.now());
        connection.resource = wanted.resource;
        connection.scope = wanted.scope;
        connection.internal = internal;
        let after = self.newest_lineage(&connection.name).await?;
        let used = client.clone();
        let signed_in = SignedIn {
            connection,
            client: Some((found.provider, client)),
            grant_type,
            obtained: Obtained::Tokens(tokens),
            lifecycle: GrantLifecycle::Active,
            rotate_by: None,
            grant_material,
            after,
            new_grant: GrantId::new(self.context.seams.random_id()),
            at: self.now(),
        };
        let grant = self.adopt_signed_in(signed_in).await?;
        // The sign-in is kept; what stays open of the client's refusal ends with the next refresh.
        if let Err(error) = self.note_finished(&used).await {
            tracing::warn!(%error, "that a client is good again can't be kept");
        }
        Ok(grant)
    }

    /// The newest lineage of this name that is known beside the store.
    pub(crate) async fn newest_lineage(
        &self,
        name: &ConnectionName,
    ) -> Result<Lineage, ConnectError> {
        let connection = self.context.store.connection(name).await?;
        let grant = connection.and_then(|connection| connection.grant);
        let last = grant.and_then(|grant| self.context.reply_archive.last(&grant));
        Ok(last.map_or(Lineage(0), |last| last.lineage))
    }

    /// Adopts a sign-in. What was kept of the sign-ins before it is of no use any more.
    pub(crate) async fn adopt_signed_in(&self, signed_in: SignedIn) -> Result<Grant, ConnectError> {
        let store = &self.context.store;
        let before = store.connection(&signed_in.connection.name).await?;
        let new = signed_in.new_grant.clone();
        let left = self.left_at_another(before.as_ref(), &signed_in).await?;
        let grant = store.adopt_sign_in(signed_in).await?;
        // A person has acted: what failed before is tried again at once.
        provider_state::answered(&self.context, &provider_state::client_of(&grant)).await;
        let replaced = before.and_then(|connection| connection.grant);
        // One that was joined goes on from what is kept of it.
        let joined = replaced.as_ref() != Some(&grant.id) && grant.id != new;
        // So does one whose refresh token is kept while an attempt may be spending it.
        if !joined && grant.claim.is_none() {
            self.context.reply_archive.clear(&grant.id);
        }
        if let Some(replaced) = replaced.filter(|id| *id != grant.id)
            && self.connections_on(&replaced).await?.is_empty()
        {
            if let Some((connection, left)) = left {
                self.revoke_left(connection, left);
            }
            self.context.reply_archive.clear(&replaced);
        }
        Ok(grant)
    }
}
