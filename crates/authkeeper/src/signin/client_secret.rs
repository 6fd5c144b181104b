//! A new secret for a client that has one already.

use crate::{
    model::{ClientRegistration, ClientSecret, ConnectionName},
    refresh::client_refusals,
    runtime::Runtime,
    signin::ConnectError,
};

impl Runtime {
    /// Puts a new secret in front of the ones that the connection's client has. They stay behind it, so that it makes no
    /// difference whether the provider knows the new one yet. For every connection of that client.
    pub async fn replace_client_secret(
        &self,
        name: &ConnectionName,
        secret: ClientSecret,
    ) -> Result<ClientRegistration, ConnectError> {
        let missing = || ConnectError::NoSuchConnection(name.clone());
        let none = || ConnectError::NoClientSecret(name.clone());
        let store = &self.context.store;
        let connection = store.connection(name).await?.ok_or_else(missing)?;
        let (issuer, id) = (&connection.issuer, &connection.client_id);
        let client = store.registration(issuer, id).await?;
        let provider = store.provider(issuer, id).await?;
        let shows_one = |client: &ClientRegistration| client.auth_method.shows_a_secret();
        let mut client = client.filter(shows_one).ok_or_else(none)?;
        if let Some(known) = client.secrets.iter().find(|kept| kept.is_same_as(&secret)) {
            // It is kept already: whatever was thought of it, it is good again.
            if let Some(known) = known.id {
                store.accept_secret(known).await?;
            }
            client_refusals::end(&self.context, (issuer, id)).await?;
            store.end_incidents(name, self.now()).await?;
            return Ok(client);
        }
        client.secrets.insert(0, secret);
        let provider = provider.ok_or_else(none)?;
        store.keep_registration(&provider, &client).await?;
        client_refusals::end(&self.context, (issuer, id)).await?;
        store.end_incidents(name, self.now()).await?;
        Ok(client)
    }
}
