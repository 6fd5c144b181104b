//! Signing in and disconnecting: discovery, registration, the code flow, adoption; and RFC 7009 at the end.

use std::time::Duration;

use crate::{
    http::{HttpUrl, InvalidUrl, Reach},
    model::{
        AttemptId, ClientRegistration, Connection, ConnectionName, Grant, Issuer, PrincipalId,
        Provider, RegistrationSource, Resource, Scope, TokenSet,
    },
    oauth::{
        WireError,
        authorize::{AuthorizationAsk, RedirectError, SignIn, scope_to_ask},
        classify::{self, Outcome, Refused},
        discovery::{self, CodeEndpoints, Discovered, DiscoveryError},
        exchange,
        loopback::{ListenError, Loopback},
        register::{self, GivenClient, Plan, RegistrationError},
        revoke::{self, Revocation},
        token::code_request,
    },
    refresh::spill::Journal,
    runtime::Runtime,
    secret::SecretString,
    store::{SignedIn, StoreError},
};

/// What a person wants to connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// Under which name.
    pub name: ConnectionName,
    /// Where calls go.
    pub url: HttpUrl,
    /// On whose authority.
    pub principal: PrincipalId,
    /// Plain OAuth: the issuer, given by the person.
    pub issuer: Option<Issuer>,
    /// The `resource`, given by the person; none takes what the resource's metadata says.
    pub resource: Option<Resource>,
    /// The scopes, given by the person.
    pub scope: Option<Scope>,
    /// The client, given by the person.
    pub client: GivenClient,
    /// The port for the redirect; none takes a free one.
    pub callback_port: Option<u16>,
    /// How long to wait for the person.
    pub patience: Duration,
    /// A connection that is signed in again stays with the issuer it had.
    same_issuer: Option<Issuer>,
}

impl ConnectRequest {
    /// A request with everything left to discovery.
    pub fn new(name: ConnectionName, url: HttpUrl) -> Self {
        Self {
            name,
            url,
            principal: PrincipalId::local_user(),
            issuer: None,
            resource: None,
            scope: None,
            client: GivenClient::default(),
            callback_port: None,
            patience: Duration::from_mins(5),
            same_issuer: None,
        }
    }
}

/// Why a sign-in did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name is taken by another URL.
    #[error("{name} is connected to {url} already")]
    NameTaken {
        /// The name.
        name: ConnectionName,
        /// Where it goes.
        url: String,
    },
    /// The resource names another authorization server than at the last sign-in.
    #[error("{url} names {now} as its authorization server now; it was {was}")]
    IssuerChanged {
        /// The resource.
        url: String,
        /// Who it was.
        was: Issuer,
        /// Who it is said to be.
        now: Issuer,
    },
    /// Nothing is connected under this name.
    #[error("there is no connection named {0}")]
    NoSuchConnection(ConnectionName),
    /// The stored URL can't be used.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// No authorization server was found or believed.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// There is no client id.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The listener for the redirect can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The redirect brought no code.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// Nobody signed in.
    #[error("nobody signed in within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The code could not be exchanged.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The token endpoint refused the code.
    #[error("{issuer} refused the sign-in's code: {}", refused.code)]
    CodeRefused {
        /// The provider.
        issuer: Issuer,
        /// What it said.
        refused: Refused,
    },
    /// The token endpoint answered with something else.
    #[error("{issuer} did not answer the sign-in's code with tokens ({why})")]
    NoTokens {
        /// The provider.
        issuer: Issuer,
        /// What came.
        why: String,
        /// Whether it was the kind of trouble that passes.
        passing: bool,
    },
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is shown to the person who signs in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Invitation {
    /// The URL to open. It carries `state`, so it is shown to that person alone.
    pub url: SecretString,
    /// Where the sign-in is.
    pub issuer: Issuer,
    /// How long the listener waits.
    pub patience: Duration,
}

impl Runtime {
    /// Signs in and adopts what comes. `invite` shows the person where to go.
    pub async fn connect(
        &self,
        request: ConnectRequest,
        invite: impl FnOnce(&Invitation) + Send,
    ) -> Result<Grant, ConnectError> {
        self.check_name(&request).await?;
        let transport = &*self.tools.transport;
        let found = discovery::discover(transport, &request.url, request.issuer.as_ref()).await?;
        check_same_issuer(&request, &found)?;
        let endpoints = discovery::code_endpoints(&found.provider.metadata)?;
        let listener = self.listen(&request, &found.provider).await?;
        let client = self
            .client(&request, &found, &listener.redirect_uri())
            .await?;
        // Written before the person is sent away: a store that can't be written is noticed now and not after the code.
        self.tools
            .store
            .keep_registration(&found.provider, &client)
            .await?;
        let attempt = AttemptId::new(self.tools.seams.random_id());
        Journal::prepare(&self.tools.spill, &attempt)?.remove();
        let metadata = &found.provider.metadata;
        let sign_in = SignIn::begin(&self.tools.seams, metadata, listener.redirect_uri());
        let wanted = Wanted::new(&request, &found);
        let url = sign_in.url(&AuthorizationAsk {
            endpoint: &endpoints.authorization,
            client_id: &client.client_id,
            scope: wanted.scope.as_ref(),
            resource: wanted.resource.as_ref(),
        });
        invite(&Invitation {
            url,
            issuer: found.provider.issuer.clone(),
            patience: request.patience,
        });
        let waited = tokio::time::timeout(request.patience, listener.wait(&sign_in)).await;
        let Ok(code) = waited else {
            // A provider that has forgotten our client shows an error page and never sends the person back.
            self.register_anew_next_time(&client).await?;
            return Err(ConnectError::TimedOut(request.patience));
        };
        let code = code?;
        let tokens = self
            .exchange_code(&found, &endpoints, &client, (&sign_in, &code), &wanted)
            .await?;
        self.adopt(request, found, client, wanted, tokens).await
    }

    /// The same sign-in again, in place: same URL, same client, same scopes.
    pub async fn reauthorize(
        &self,
        name: &ConnectionName,
        callback_port: Option<u16>,
        patience: Duration,
        invite: impl FnOnce(&Invitation) + Send,
    ) -> Result<Grant, ConnectError> {
        let connection = self.tools.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let mut request = ConnectRequest::new(name.clone(), HttpUrl::parse(&connection.url)?);
        let client = self
            .tools
            .store
            .registration(&connection.issuer, &connection.client_id)
            .await?;
        request.client = client.map(given_again).unwrap_or_default();
        request.principal = connection.principal;
        request.issuer = connection.issuer_given.then(|| connection.issuer.clone());
        request.resource = connection.resource;
        request.same_issuer = Some(connection.issuer);
        request.scope = connection.scope;
        request.callback_port = callback_port;
        request.patience = patience;
        self.connect(request, invite).await
    }

    /// Revokes at the provider (RFC 7009) and forgets. The connection is unusable from the first step on, whatever the
    /// provider says.
    pub async fn disconnect(&self, name: &ConnectionName) -> Result<Revocation, ConnectError> {
        let now = self.now();
        let connection = self.tools.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let grant = self.tools.store.disconnect(name, now).await?;
        let provider = self.tools.store.provider(&connection.issuer).await?;
        let client = self
            .tools
            .store
            .registration(&connection.issuer, &connection.client_id)
            .await?;
        let revocation = match (grant, provider, client) {
            (Some(grant), Some(provider), Some(client)) => {
                let reach = Reach::of(connection.internal);
                revoke::revoke(&*self.tools.transport, reach, &provider, &client, &grant).await
            }
            _ => Revocation::NotOffered,
        };
        // What could not be revoked is kept, unusable, so that revoking it can be tried again.
        if !matches!(revocation, Revocation::Failed(_)) {
            self.tools.store.forget(name).await?;
        }
        Ok(revocation)
    }

    /// The same name may be connected to the same URL again, never silently to another.
    async fn check_name(&self, request: &ConnectRequest) -> Result<(), ConnectError> {
        match self.tools.store.connection(&request.name).await? {
            Some(known) if known.url != request.url.as_str() => Err(ConnectError::NameTaken {
                name: known.name,
                url: known.url,
            }),
            _ => Ok(()),
        }
    }

    /// A registered client knows one port: it is taken again if it is free.
    async fn listen(
        &self,
        request: &ConnectRequest,
        provider: &Provider,
    ) -> Result<Loopback, ConnectError> {
        if let Some(port) = request.callback_port {
            return Ok(Loopback::bind(port).await?);
        }
        let known = self.tools.store.registered_client(&provider.issuer).await?;
        let port = known.and_then(|client| {
            let uri = client.redirect_uris.first()?;
            uri.parse::<http::Uri>().ok()?.port_u16()
        });
        if let Some(port) = port
            && let Ok(listener) = Loopback::bind(port).await
        {
            return Ok(listener);
        }
        Ok(Loopback::bind(0).await?)
    }

    async fn client(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        redirect_uri: &str,
    ) -> Result<ClientRegistration, ConnectError> {
        let metadata = &found.provider.metadata;
        let known = self
            .tools
            .store
            .registered_client(&found.provider.issuer)
            .await?;
        match register::plan(metadata, &request.client, known, redirect_uri)? {
            Plan::Ready(client) => Ok(client),
            Plan::Dynamic(endpoint) => {
                let transport = &*self.tools.transport;
                let reach = found.reach;
                Ok(register::register(transport, reach, &endpoint, metadata, redirect_uri).await?)
            }
        }
    }

    async fn exchange_code(
        &self,
        found: &Discovered,
        endpoints: &CodeEndpoints,
        client: &ClientRegistration,
        (sign_in, code): (&SignIn, &SecretString),
        wanted: &Wanted,
    ) -> Result<TokenSet, ConnectError> {
        let resource = wanted.resource.as_ref();
        let request = code_request(
            client,
            code,
            &sign_in.verifier,
            &sign_in.redirect_uri,
            resource,
        );
        let issued = self.tools.seams.clock.now();
        let reply = exchange(
            &*self.tools.transport,
            &endpoints.token,
            found.reach,
            request,
        )
        .await?;
        let issuer = found.provider.issuer.clone();
        let default = self.tools.rules.providers.get(issuer.as_str());
        match classify::classify(&reply, issued.wall) {
            Outcome::Accepted(answer) => {
                let default = default.and_then(|habits| habits.default_lifetime);
                Ok(answer.into_token_set(issued, default))
            }
            Outcome::ClientRefused(refused) => {
                self.register_anew_next_time(client).await?;
                Err(ConnectError::CodeRefused { issuer, refused })
            }
            Outcome::GrantRefused(refused) | Outcome::RequestRefused(refused) => {
                Err(ConnectError::CodeRefused { issuer, refused })
            }
            Outcome::Transient { why, .. } => Err(ConnectError::NoTokens {
                issuer,
                why,
                passing: true,
            }),
            Outcome::Unknown(kind) => {
                let why = format!("{}, {}", kind.as_str(), crate::oauth::body_hint(&reply));
                Err(ConnectError::NoTokens {
                    issuer,
                    why,
                    passing: reply.status.is_server_error(),
                })
            }
        }
    }

    /// A client that registered itself can do so again; one that a person gave stays.
    async fn register_anew_next_time(&self, client: &ClientRegistration) -> Result<(), StoreError> {
        let now = self.now();
        let store = &self.tools.store;
        store
            .refuse_registration(&client.issuer, &client.client_id, now)
            .await
    }

    async fn adopt(
        &self,
        request: ConnectRequest,
        found: Discovered,
        client: ClientRegistration,
        wanted: Wanted,
        tokens: TokenSet,
    ) -> Result<Grant, ConnectError> {
        let new_grant = crate::model::GrantId::new(self.tools.seams.random_id());
        let connection = Connection {
            name: request.name,
            principal: request.principal,
            url: request.url.as_str().to_owned(),
            resource: wanted.resource,
            issuer: found.provider.issuer.clone(),
            issuer_given: request.issuer.is_some(),
            internal: found.reach == Reach::Anywhere,
            client_id: client.client_id.clone(),
            scope: wanted.scope,
            grant: None,
            created: self.now(),
        };
        let provider = found.provider;
        let signed_in = SignedIn {
            connection,
            provider,
            registration: client,
            tokens,
            new_grant,
        };
        Ok(self.tools.store.adopt_sign_in(signed_in).await?)
    }
}

/// A secret of ours goes to the issuer it was made for and to no other, whatever the resource's metadata says today.
fn check_same_issuer(request: &ConnectRequest, found: &Discovered) -> Result<(), ConnectError> {
    match &request.same_issuer {
        Some(was) if *was != found.provider.issuer => Err(ConnectError::IssuerChanged {
            url: request.url.as_str().to_owned(),
            was: was.clone(),
            now: found.provider.issuer.clone(),
        }),
        _ => Ok(()),
    }
}

/// What the sign-in asks for.
struct Wanted {
    scope: Option<Scope>,
    resource: Option<Resource>,
}

impl Wanted {
    fn new(request: &ConnectRequest, found: &Discovered) -> Self {
        let metadata = &found.provider.metadata;
        Self {
            scope: scope_to_ask(request.scope.clone(), found.scope.clone(), metadata),
            resource: request.resource.clone().or_else(|| found.resource.clone()),
        }
    }
}

/// A client that was given or stands behind a document is given again; one that was registered is looked up.
fn given_again(client: ClientRegistration) -> GivenClient {
    match client.source {
        RegistrationSource::Given => GivenClient {
            client_id: Some(client.client_id),
            client_secret: client.client_secret,
            metadata_url: None,
        },
        RegistrationSource::MetadataDocument => GivenClient {
            metadata_url: Some(client.client_id.as_str().to_owned()),
            ..GivenClient::default()
        },
        RegistrationSource::Dynamic => GivenClient::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(issuer: &str) -> Discovered {
        let metadata = format!(r#"{{"issuer":"{issuer}"}}"#);
        Discovered {
            provider: Provider {
                issuer: Issuer::new(issuer),
                metadata: serde_json::from_str(&metadata).unwrap(),
            },
            resource: None,
            scope: None,
            reach: Reach::PublicOnly,
        }
    }

    #[test]
    fn a_client_of_one_issuer_is_never_shown_to_another() {
        let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
        let mut request = ConnectRequest::new(ConnectionName::parse("x").unwrap(), url);
        assert!(
            check_same_issuer(&request, &found("https://a")).is_ok(),
            "a first sign-in"
        );
        request.same_issuer = Some(Issuer::new("https://a"));
        assert!(check_same_issuer(&request, &found("https://a")).is_ok());
        let changed = check_same_issuer(&request, &found("https://a/"));
        assert!(matches!(changed, Err(ConnectError::IssuerChanged { .. })));
    }
}
