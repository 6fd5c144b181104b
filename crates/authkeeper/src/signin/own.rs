//! Tokens that nobody signs in for: our client's own (RFC 6749 §4.4), a workload's (RFC 7523 §2.1), or those that the
//! company's identity provider vouches for. They are issued again rather than refreshed.

use serde_json::{Value, json};

use super::{
    ConnectError, ConnectRequest, Wanted, Way,
    pending::{Begun, Memory},
    steps::Outcome,
};
use crate::{
    http::{HttpUrl, Request},
    model::{
        ClientAuthMethod, ClientId, ClientRegistration, Grant, GrantType, IdentityProvider,
        RefreshToken, SubjectFile,
    },
    oauth::{
        classify,
        client_auth::ClientProof,
        discovery::{self, Discovered},
        exchange,
        id_jag::{self, Ask, Given},
        register::Purpose,
        token::{client_credentials_request, jwt_bearer_request},
    },
    refresh::legs,
    runtime::Runtime,
    secret::SecretString,
};

/// What stands in the place of a person.
enum Basis {
    /// Our client itself.
    Client,
    /// An assertion, and the identity provider's refresh token behind it.
    Assertion(SecretString, Option<RefreshToken>),
}

impl Runtime {
    pub(super) async fn connect_own(&self, request: ConnectRequest) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let endpoint = discovery::token_endpoint(&found.provider.metadata)?;
        let wanted = Wanted::of_ours(&request, &found);
        let client = self.own_client(&request, (&found, &wanted)).await?;
        let runtime = self.clone();
        // An identity provider may take the token that it was shown and answer with another.
        self.land(Box::pin(async move {
            let with = (endpoint, client, wanted);
            runtime.issue_own(request, found, with).await
        }))
        .await
    }

    async fn own_client(
        &self,
        request: &ConnectRequest,
        (found, wanted): (&Discovered, &Wanted),
    ) -> Result<ClientRegistration, ConnectError> {
        let mut request = request.clone();
        let given = &mut request.client;
        // RFC 7523 §3.1: whoever shows an assertion need not be a client too.
        let nobody = given.client_id.is_none() && given.metadata_url.is_none();
        if nobody && matches!(request.way, Way::JwtBearer { .. }) {
            given.client_id = Some(ClientId::new(""));
        }
        let meant = given.auth_method == Some(ClientAuthMethod::None);
        let client = self
            .client(&request, found, (Purpose::Own, wanted.scope.as_ref()))
            .await?;
        // RFC 6749 §4.4 is for clients that prove themselves; one that does not is a mistake unless it was asked for.
        let proves_itself = client.auth_method != ClientAuthMethod::None;
        if !proves_itself && !meant && matches!(request.way, Way::ClientCredentials) {
            let issuer = found.provider.issuer.clone();
            return Err(ConnectError::NoSecret { issuer });
        }
        Ok(client)
    }

    async fn issue_own(
        self,
        request: ConnectRequest,
        found: Discovered,
        (endpoint, mut client, wanted): (HttpUrl, ClientRegistration, Wanted),
    ) -> Result<Grant, ConnectError> {
        let with = self.with(&request, &found)?;
        let basis = self.basis(&request, &found, &wanted).await?;
        let answer = self
            .ask((&endpoint, &found, &with), &mut client, |client| {
                basis.request(client, &wanted)
            })
            .await?;
        if let (Basis::Assertion(..), Some(refused)) = (&basis, classify::refused(&answer.0)) {
            let issuer = found.provider.issuer;
            return Err(ConnectError::AssertionRefused { issuer, refused });
        }
        let mut tokens = self
            .tokens((&client, request.provider.as_deref(), &with), answer)
            .await?;
        // RFC 6749 §4.4.3: none should come; one that comes all the same is not used.
        let grant_type;
        (grant_type, tokens.refresh_token) = match (&request.way, basis) {
            (Way::IdJag(_), Basis::Assertion(_, refresh)) => (GrantType::IdJag, refresh),
            (Way::JwtBearer { .. }, _) => (GrantType::JwtBearer, None),
            _ => (GrantType::ClientCredentials, None),
        };
        let outcome = Outcome {
            means: with.means(&request, &tokens),
            grant_type,
            wanted,
            tokens,
        };
        self.adopt(request, found, client, outcome).await
    }

    async fn basis(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        wanted: &Wanted,
    ) -> Result<Basis, ConnectError> {
        match &request.way {
            Way::JwtBearer { assertion_file } => {
                let assertion = legs::jwt_of(&self.tools, assertion_file).await?;
                Ok(Basis::Assertion(assertion, None))
            }
            Way::IdJag(idp) => self.vouch(request, idp, (found, wanted)).await,
            _ => Ok(Basis::Client),
        }
    }

    /// Asks the identity provider. A refresh token that it gives in the place of the one it was shown is kept at once: the
    /// authorization server may still refuse, and the file holds one that is spent.
    async fn vouch(
        &self,
        request: &ConnectRequest,
        idp: &IdentityProvider,
        (found, wanted): (&Discovered, &Wanted),
    ) -> Result<Basis, ConnectError> {
        let (shown, instead_of) = self.subject(request, idp, found).await?;
        let ask = Ask {
            audience: &found.provider.issuer,
            resource: wanted.resource.as_ref(),
            scope: wanted.scope.as_ref(),
        };
        let endpoint = id_jag::endpoint(idp)?;
        let reach = self.tools.transport.reach(&endpoint).await;
        let transport = &*self.tools.transport;
        let asked = id_jag::exchange_request(idp, &shown, ask);
        let issued = self.tools.seams.clock.now();
        let reply = exchange(transport, &endpoint, reach, asked).await?;
        let Given {
            assertion,
            refresh_token,
        } = id_jag::read(idp, &reply, issued).map_err(|outcome| not_vouched(idp, *outcome))?;
        let Some(instead_of) = instead_of else {
            return Ok(Basis::Assertion(assertion, None));
        };
        if let Some(new) = &refresh_token {
            let begun = Begun::Vouched {
                instead_of,
                refresh_token: new.secret.clone(),
            };
            let client = ClientId::new(idp.client_id.as_str());
            self.remember_as(&asked_of(idp), (request, client), begun)
                .await?;
        }
        let refresh = refresh_token.unwrap_or(RefreshToken {
            secret: shown,
            expires_at: None,
        });
        Ok(Basis::Assertion(assertion, Some(refresh)))
    }

    /// The person's token, and what the file holds if that is a refresh token. One that came in its place at a sign-in that
    /// was cut off is shown instead.
    async fn subject(
        &self,
        request: &ConnectRequest,
        idp: &IdentityProvider,
        found: &Discovered,
    ) -> Result<(SecretString, Option<SecretString>), ConnectError> {
        let path = match &idp.subject {
            SubjectFile::IdToken(path) => {
                return Ok((legs::jwt_of(&self.tools, path).await?, None));
            }
            SubjectFile::RefreshToken(path) => path,
        };
        let in_file = legs::token_of(&self.tools, path).await?;
        let recalled = self.recall(request, &asked_of(idp)).await?;
        let newer = recalled.and_then(|memory| memory.vouched_instead_of(&in_file));
        if let Some(newer) = newer {
            return Ok((newer, Some(in_file)));
        }
        self.check_unspent(request, (&in_file, path), found).await?;
        Ok((in_file.clone(), Some(in_file)))
    }

    /// A file that nobody has written to since it was read at the last sign-in holds a token that is spent by now, and to
    /// spend it again may cost the person's whole session at the identity provider.
    async fn check_unspent(
        &self,
        request: &ConnectRequest,
        (in_file, path): (&SecretString, &std::path::Path),
        found: &Discovered,
    ) -> Result<(), ConnectError> {
        let (issuer, store) = (&found.provider.issuer, &self.tools.store);
        let Some(client) = &request.client.client_id else {
            return Ok(());
        };
        for holder in store.holders(issuer, client, in_file).await? {
            let grant = match &holder.grant {
                Some(id) => store.grant(id).await?,
                None => None,
            };
            let held = grant.and_then(|grant| grant.refresh);
            #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
            let current = held.is_some_and(|held| held.secret.expose() == in_file.expose());
            if !current {
                return Err(ConnectError::SpentSubject {
                    file: path.display().to_string(),
                    name: holder.name,
                });
            }
        }
        Ok(())
    }
}

impl Basis {
    fn request(&self, client: &ClientProof, wanted: &Wanted) -> Request {
        let (scope, resource) = (wanted.scope.as_ref(), wanted.resource.as_ref());
        match self {
            Self::Client => client_credentials_request(client, scope, resource),
            Self::Assertion(assertion, _) => jwt_bearer_request(client, assertion, scope, resource),
        }
    }
}

/// What makes one exchange at an identity provider another than the next.
fn asked_of(idp: &IdentityProvider) -> Value {
    json!({"identity_provider": idp.token_url, "client": idp.client_id.as_str()})
}

fn not_vouched(idp: &IdentityProvider, outcome: classify::Outcome) -> ConnectError {
    use classify::Outcome as O;
    let (why, passing) = match outcome {
        O::GrantRefused(refused) | O::ClientRefused(refused) | O::RequestRefused(refused) => {
            (refused.to_string(), false)
        }
        O::Transient { why, .. } | O::Suspect { why } => (why, true),
        O::Unknown(kind) => (id_jag::told(idp, kind.as_str()), false),
        O::Accepted(_) => (id_jag::told(idp, "it gave an access token instead"), false),
    };
    ConnectError::NotVouched { why, passing }
}

impl Memory {
    /// The refresh token that an identity provider gave in the place of this one.
    fn vouched_instead_of(self, spent: &SecretString) -> Option<SecretString> {
        match self.begun {
            Begun::Vouched {
                instead_of,
                refresh_token,
            } => {
                #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
                let same = instead_of.expose() == spent.expose();
                same.then_some(refresh_token)
            }
            Begun::Headless { .. } | Begun::Device(_) => None,
        }
    }
}
