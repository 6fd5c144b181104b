//! Signing in, in each of the ways there are, and disconnecting.
//!
//! Every way ends in one adoption: the connection, its client and its grant are written in one step. What a person must
//! do in between is shown through [`Person`]; what must be remembered meanwhile is kept sealed, so that a sign-in that
//! is cut off goes on where it was.

mod code;
mod device;
mod import;
mod key;
mod leave;
mod own;
mod pending;
mod secret;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use self::{import::ImportRequest, key::Rotation};
use crate::{
    http::{HttpUrl, InvalidUrl, Reach, Reply, Request},
    model::{
        ClientRegistration, Connection, ConnectionName, Grant, GrantId, GrantLifecycle, GrantType,
        Issuer, Moment, Presentation, PrincipalId, Provider, RegistrationSource, Resource, Scope,
        ServerMetadata, TokenSet,
    },
    oauth::{
        WireError,
        assertion::{self, AssertionError},
        authorize::{RedirectError, scope_to_ask},
        classify::{self, Outcome, Refused},
        client_auth::ClientProof,
        device::DeviceError,
        discovery::{self, Discovered, DiscoveryError},
        exchange,
        loopback::ListenError,
        register::{self, GivenClient, Plan, Purpose, RegistrationError},
    },
    runtime::Runtime,
    secret::SecretString,
    store::{Brought, SignedIn, StoreError},
};

/// How to sign in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Way {
    /// In a browser on this machine, whose redirect comes back to a loopback port.
    Browser,
    /// In a browser anywhere; the URL it ends at is pasted here.
    Headless,
    /// On another device, with a short code (RFC 8628).
    Device,
    /// As our own client; nobody signs in (RFC 6749 §4.4).
    ClientCredentials,
    /// With a key that a person made in the provider's console.
    ApiKey {
        /// The key.
        key: SecretString,
        /// When it should be replaced.
        rotate_by: Option<Timestamp>,
    },
}

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
    /// How to sign in.
    pub way: Way,
    /// Plain OAuth: the issuer, given by the person.
    pub issuer: Option<Issuer>,
    /// The provider's endpoints, where they are known beforehand and need no discovery.
    pub endpoints: Option<ServerMetadata>,
    /// What the provider wants beside the usual in the authorization request.
    pub extra: Vec<(String, String)>,
    /// Which entry of the catalogue this is.
    pub provider: Option<String>,
    /// The `resource`, given by the person; none takes what the resource's metadata says.
    pub resource: Option<Resource>,
    /// The scopes, given by the person.
    pub scope: Option<Scope>,
    /// The client, given by the person.
    pub client: GivenClient,
    /// How a token is shown to the resource.
    pub presentation: Presentation,
    /// A harmless request that proves the token.
    pub check_url: Option<HttpUrl>,
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
            way: Way::Browser,
            issuer: None,
            endpoints: None,
            extra: vec![],
            provider: None,
            resource: None,
            scope: None,
            client: GivenClient::default(),
            presentation: Presentation::default(),
            check_url: None,
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
    /// Nobody signed in yet; the code or the URL that a person has stays good.
    #[error("nobody signed in within {} s; the sign-in stays open", .0.as_secs())]
    StillOpen(Duration),
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
    /// The other device got nowhere.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Standard input ended before the final URL was pasted.
    #[error("nothing was pasted: the sign-in needs the URL that the browser ended at")]
    NothingPasted,
    /// Our client can't prove itself.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    /// Our client's own tokens need a client that can be told from others.
    #[error("{issuer} gives client_credentials only to a client with a secret or a key")]
    NoSecret {
        /// The provider.
        issuer: Issuer,
    },
    /// A key that can't stand in a header.
    #[error("the API key is empty or has characters that can't stand in a header")]
    BadKey,
    /// Nobody signs in to an API key.
    #[error("{0} is connected by an API key: there is nothing to sign in to")]
    NoSignIn(ConnectionName),
    /// Only an API key is replaced by a person.
    #[error("{name} is no API key but was given by {grant_type}")]
    NoKey {
        /// Which connection.
        name: ConnectionName,
        /// How its grant was given.
        grant_type: &'static str,
    },
    /// There is no client secret to replace.
    #[error("{0} has no client that shows a secret")]
    NoClientSecret(ConnectionName),
    /// Somebody else changed the connection at the same moment.
    #[error("{0} was changed by another process at the same moment")]
    Overtaken(ConnectionName),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is shown to the person who signs in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Invitation {
    /// Where the sign-in is.
    pub issuer: Issuer,
    /// How long it may take.
    pub patience: Duration,
    /// Whether it goes on from a sign-in that was cut off.
    pub resumed: bool,
    /// What the person does.
    pub task: Errand,
}

/// What a person does to sign in.
#[derive(Debug)]
#[non_exhaustive]
pub enum Errand {
    /// Opens this URL in a browser on this machine. It carries `state`, so it is shown to that person alone.
    Open(SecretString),
    /// Opens this URL in any browser, and pastes the one it ends at.
    OpenAndPaste(SecretString),
    /// Types a code at another device.
    Enter {
        /// The code.
        user_code: String,
        /// Where.
        verification_uri: String,
        /// The same with the code in it.
        verification_uri_complete: Option<String>,
    },
}

/// The person who signs in, as the library sees them.
#[async_trait]
pub trait Person: Send + Sync {
    /// Shows what there is to do.
    fn invite(&self, invitation: &Invitation);
    /// The next line they paste; none when there will be no more.
    async fn paste(&self) -> Option<SecretString>;
    /// What they pasted is not it.
    fn paste_again(&self, why: &RedirectError);
}

impl Runtime {
    /// Signs in and adopts what comes.
    pub async fn connect(
        &self,
        request: ConnectRequest,
        person: &dyn Person,
    ) -> Result<Grant, ConnectError> {
        self.check_name(&request).await?;
        match request.way.clone() {
            Way::ApiKey { key, rotate_by } => self.connect_key(request, key, rotate_by).await,
            Way::ClientCredentials => self.connect_own(request).await,
            Way::Device => self.connect_device(request, person).await,
            Way::Browser | Way::Headless => self.connect_code(request, person).await,
        }
    }

    /// The same sign-in again, in place: same URL, same client, same scopes, and the same way unless another is given.
    pub async fn reauthorize(
        &self,
        name: &ConnectionName,
        again: Again,
        person: &dyn Person,
    ) -> Result<Grant, ConnectError> {
        let connection = self.tools.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let way = match again.way {
            Some(way) => way,
            None => self.way_of(&connection).await?,
        };
        let mut request = ConnectRequest::new(name.clone(), HttpUrl::parse(&connection.url)?);
        let store = &self.tools.store;
        let client = store
            .registration(&connection.issuer, &connection.client_id)
            .await?;
        // What a catalogue's entry said is not published by the provider.
        let known = match &connection.provider {
            Some(_) => store.provider(&connection.issuer).await?,
            None => None,
        };
        request.endpoints = known
            .map(|provider| provider.metadata)
            .filter(|metadata| metadata.token_endpoint.is_some());
        request.client = client.map(given_again).unwrap_or_default();
        request.way = way;
        request.extra = again.extra;
        request.provider = connection.provider;
        request.principal = connection.principal;
        request.issuer = connection.issuer_given.then(|| connection.issuer.clone());
        request.resource = connection.resource;
        request.same_issuer = Some(connection.issuer);
        request.scope = connection.scope;
        request.presentation = connection.presentation;
        request.check_url = connection
            .check_url
            .as_deref()
            .map(HttpUrl::parse)
            .transpose()?;
        request.callback_port = again.callback_port;
        request.patience = again.patience;
        self.connect(request, person).await
    }

    /// How a connection was signed in the last time.
    async fn way_of(&self, connection: &Connection) -> Result<Way, ConnectError> {
        let grant = match &connection.grant {
            Some(id) => self.tools.store.grant(id).await?,
            None => None,
        };
        match grant.map(|grant| grant.grant_type) {
            Some(GrantType::DeviceCode) => Ok(Way::Device),
            Some(GrantType::ClientCredentials) => Ok(Way::ClientCredentials),
            Some(GrantType::ApiKey) => Err(ConnectError::NoSignIn(connection.name.clone())),
            Some(GrantType::AuthorizationCode) | None => Ok(Way::Browser),
        }
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

    /// Who issues tokens for this URL.
    async fn discover(&self, request: &ConnectRequest) -> Result<Discovered, ConnectError> {
        let transport = &*self.tools.transport;
        let found = match &request.endpoints {
            Some(metadata) => Discovered {
                provider: Provider {
                    issuer: Issuer::new(&metadata.issuer),
                    metadata: metadata.clone(),
                },
                resource: None,
                scope: None,
                reach: transport.reach(&request.url).await,
            },
            None => discovery::discover(transport, &request.url, request.issuer.as_ref()).await?,
        };
        check_same_issuer(request, &found)?;
        Ok(found)
    }

    /// Our client there: given, known, or registered now. It is kept before anyone is sent away: a registration must
    /// not be lost, and a store that can't be written is noticed now and not after the sign-in.
    async fn client(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        purpose: Purpose<'_>,
    ) -> Result<ClientRegistration, ConnectError> {
        let metadata = &found.provider.metadata;
        let known = self
            .tools
            .store
            .registered_client(&found.provider.issuer)
            .await?;
        let client = match register::plan(metadata, &request.client, known, purpose)? {
            Plan::Ready(client) => client,
            Plan::Dynamic(endpoint) => {
                let transport = &*self.tools.transport;
                register::register(transport, found.reach, &endpoint, metadata, purpose).await?
            }
        };
        if client.private_key.is_some() {
            assertion::check(&client, &self.tools.seams)?;
        }
        self.tools
            .store
            .keep_registration(&found.provider, &client)
            .await?;
        Ok(client)
    }

    /// One request that our client proves itself in. While its secret is replaced two are good: the next in order is
    /// tried, and which one was refused is kept.
    async fn ask(
        &self,
        (endpoint, found): (&HttpUrl, &Discovered),
        client: &mut ClientRegistration,
        make: impl Fn(&ClientProof) -> Request + Send + Sync,
    ) -> Result<(Reply, Moment), ConnectError> {
        loop {
            let metadata = &found.provider.metadata;
            let proof = self.tools.our_client(metadata, client).proof()?;
            let issued = self.tools.seams.clock.now();
            let transport = &*self.tools.transport;
            let reply = exchange(transport, endpoint, found.reach, make(&proof)).await?;
            let refused = matches!(
                classify::classify(&reply, issued.wall),
                Outcome::ClientRefused(_)
            );
            if !refused || !client.has_another_than(proof.rank()) {
                return Ok((reply, issued));
            }
            let (issuer, id) = (&client.issuer, &client.client_id);
            let store = &self.tools.store;
            store
                .refuse_secret(issuer, id, proof.rank(), issued.wall)
                .await?;
            if let Some(secret) = client.secrets.get_mut(proof.rank()) {
                secret.refused = Some(issued.wall);
            }
        }
    }

    /// The tokens in an answer to a sign-in, or why there are none.
    async fn tokens(
        &self,
        (client, provider): (&ClientRegistration, Option<&str>),
        (reply, issued): (Reply, Moment),
    ) -> Result<TokenSet, ConnectError> {
        let issuer = client.issuer.clone();
        match classify::classify(&reply, issued.wall) {
            Outcome::Accepted(answer) => {
                let habits = self.tools.rules.habits(issuer.as_str(), provider);
                Ok(answer.into_token_set(issued, habits.default_lifetime))
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
        outcome: (GrantType, Wanted, TokenSet),
    ) -> Result<Grant, ConnectError> {
        let (grant_type, wanted, tokens) = outcome;
        let issuer = found.provider.issuer.clone();
        let internal = found.reach == Reach::Anywhere;
        let mut connection = request.connection((issuer, client.client_id.clone()), self.now());
        connection.resource = wanted.resource;
        connection.scope = wanted.scope;
        connection.internal = internal;
        let name = connection.name.clone();
        let signed_in = SignedIn {
            connection,
            client: Some((found.provider, client)),
            grant_type,
            brought: Brought::Tokens(tokens),
            lifecycle: GrantLifecycle::Active,
            rotate_by: None,
            new_grant: GrantId::new(self.tools.seams.random_id()),
            at: self.now(),
        };
        let grant = self.tools.store.adopt_sign_in(signed_in).await?;
        self.tools.store.drop_pending(&name).await?;
        Ok(grant)
    }
}

/// How to sign in again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Again {
    /// Another way than the last time.
    pub way: Option<Way>,
    /// What the provider wants beside the usual in the authorization request.
    pub extra: Vec<(String, String)>,
    /// The port for the redirect; none takes a free one.
    pub callback_port: Option<u16>,
    /// How long to wait for the person.
    pub patience: Duration,
}

impl Again {
    /// The same way as the last time.
    pub fn new(patience: Duration) -> Self {
        Self {
            way: None,
            extra: vec![],
            callback_port: None,
            patience,
        }
    }
}

impl ConnectRequest {
    /// The connection as asked for, at this issuer and as this client.
    fn connection(
        &self,
        (issuer, client_id): (Issuer, crate::model::ClientId),
        created: Timestamp,
    ) -> Connection {
        Connection {
            name: self.name.clone(),
            principal: self.principal.clone(),
            url: self.url.as_str().to_owned(),
            resource: self.resource.clone(),
            issuer,
            issuer_given: self.issuer.is_some(),
            internal: false,
            client_id,
            scope: self.scope.clone(),
            provider: self.provider.clone(),
            presentation: self.presentation.clone(),
            check_url: self.check_url.as_ref().map(|url| url.as_str().to_owned()),
            grant: None,
            created,
        }
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
#[derive(Clone, Debug)]
struct Wanted {
    scope: Option<Scope>,
    resource: Option<Resource>,
}

impl Wanted {
    /// What a person asks for; `offline_access` is added where the server lists it.
    fn of_a_person(request: &ConnectRequest, found: &Discovered) -> Self {
        let metadata = &found.provider.metadata;
        Self {
            scope: scope_to_ask(request.scope.clone(), found.scope.clone(), metadata),
            ..Self::of_ours(request, found)
        }
    }

    /// What our client asks for itself: it has no use for offline access.
    fn of_ours(request: &ConnectRequest, found: &Discovered) -> Self {
        Self {
            scope: request.scope.clone().or_else(|| found.scope.clone()),
            resource: request.resource.clone().or_else(|| found.resource.clone()),
        }
    }
}

/// A client that was given or stands behind a document is given again; one that was registered is looked up.
fn given_again(client: ClientRegistration) -> GivenClient {
    match client.source {
        RegistrationSource::Given => GivenClient {
            client_id: Some(client.client_id),
            // The good ones first: what was refused is tried last, in case it was a mistake.
            secrets: {
                let (good, refused): (Vec<_>, Vec<_>) = client
                    .secrets
                    .into_iter()
                    .partition(|secret| secret.refused.is_none());
                let all = good.into_iter().chain(refused);
                all.map(|secret| secret.secret).collect()
            },
            private_key: client.private_key,
            key_id: client.key_id,
            auth_method: Some(client.auth_method),
            redirect_uri: client.redirect_uris.into_iter().next(),
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
