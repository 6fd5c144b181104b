//! A new secret for a client that has one already.

use super::ConnectError;
use crate::{
    model::{ClientAuthMethod, ClientRegistration, ClientSecret, ConnectionName},
    runtime::Runtime,
};

/// How many secrets of one client are kept: a provider lets two be good at once, seldom three.
const MOST_SECRETS: usize = 4;

impl Runtime {
    /// Puts a new secret in front of the ones that the connection's client has. They stay behind it, so that it makes no
    /// difference whether the provider knows the new one yet. For every connection of that client.
    pub async fn replace_client_secret(
        &self,
        name: &ConnectionName,
        secret: ClientSecret,
    ) -> Result<ClientRegistration, ConnectError> {
        let missing = || ConnectError::NoSuchConnection(name.clone());
        let store = &self.tools.store;
        let connection = store.connection(name).await?.ok_or_else(missing)?;
        let (issuer, id) = (&connection.issuer, &connection.client_id);
        let found = (
            store.registration(issuer, id).await?,
            store.provider(issuer).await?,
        );
        let (Some(mut client), Some(provider)) = found else {
            return Err(ConnectError::NoClientSecret(name.clone()));
        };
        let shows_one = matches!(
            client.auth_method,
            ClientAuthMethod::Basic | ClientAuthMethod::Post
        );
        if !shows_one {
            return Err(ConnectError::NoClientSecret(name.clone()));
        }
        client.secrets.insert(0, secret);
        client.secrets.truncate(MOST_SECRETS);
        store.keep_registration(&provider, &client).await?;
        store.end_troubles(name, self.now()).await?;
        Ok(client)
    }
}
