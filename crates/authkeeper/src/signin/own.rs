//! Tokens of our client's own (RFC 6749 §4.4): nobody signs in, and they are issued again rather than refreshed.

use super::{ConnectError, ConnectRequest, Wanted};
use crate::{
    model::{ClientAuthMethod, Grant, GrantType},
    oauth::{discovery, register::Purpose, token::client_credentials_request},
    runtime::Runtime,
};

impl Runtime {
    pub(super) async fn connect_own(&self, request: ConnectRequest) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let endpoint = discovery::token_endpoint(&found.provider.metadata)?;
        let wanted = Wanted::of_ours(&request, &found);
        let mut client = self.client(&request, &found, Purpose::Own).await?;
        // RFC 6749 §4.4 is for clients that prove themselves; one that does not is a mistake unless it was asked for.
        let meant = request.client.auth_method == Some(ClientAuthMethod::None);
        if client.auth_method == ClientAuthMethod::None && !meant {
            let issuer = found.provider.issuer;
            return Err(ConnectError::NoSecret { issuer });
        }
        let (scope, resource) = (wanted.scope.clone(), wanted.resource.clone());
        let answer = self
            .ask((&endpoint, &found), &mut client, |client| {
                client_credentials_request(client, scope.as_ref(), resource.as_ref())
            })
            .await?;
        let mut tokens = self
            .tokens((&client, request.provider.as_deref()), answer)
            .await?;
        // RFC 6749 §4.4.3: none should come; one that comes all the same is not used.
        tokens.refresh_token = None;
        let outcome = (GrantType::ClientCredentials, wanted, tokens);
        self.adopt(request, found, client, outcome).await
    }
}
