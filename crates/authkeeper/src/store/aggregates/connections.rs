//! Connections and their sign-ins.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{ClientId, Connection, ConnectionName, Grant, Issuer},
    secret::SecretString,
    store::{PendingSignIn, Result, SignedIn},
};

/// The connections, and what signing in and disconnecting do to them.
#[async_trait]
pub trait Connections: Send + Sync {
    /// One connection.
    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>>;
    /// All connections, by name.
    async fn connections(&self) -> Result<Vec<Connection>>;
    /// The connections over whose grants this refresh token is held already, or was spent since the sign-in or import that
    /// brought it.
    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>>;
    /// Adopts a sign-in: the connection, its lineage raised by one, its generation raised by one, active, unclaimed. One that
    /// brings no refresh token goes on with the one before ([`SignedIn::kept_refresh`]); if that is claimed, lineage,
    /// generation and claim stay as they are. What
    /// was remembered of it meanwhile goes. A client that is kept already stays as it is: its secrets may have been
    /// replaced while the person was away. A refresh token that another connection of the same principal holds for the same
    /// resource is one grant: the connection joins it, and nothing else is changed.
    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant>;
    /// Marks the connection's grant revoked, for good, and returns the grant as it was. A connection whose grant another one
    /// uses too is merely removed, and none is returned. The secrets of the other stay until [`Connections::forget`], so that they
    /// can be revoked at the provider.
    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>>;
    /// Removes the connection and wipes the grant's secrets; the grant's row stays as a tombstone.
    async fn forget(&self, name: &ConnectionName) -> Result<()>;
    /// Keeps a sign-in that a person is at, in the place of an older one of the same name. Those that have ended go.
    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()>;
    /// The sign-in of this name that a person is at.
    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>>;
    /// Forgets the sign-in of this name: it is done, or over.
    async fn drop_pending(&self, name: &ConnectionName) -> Result<()>;
}
