//! Grants that came to be elsewhere. Somebody else may still spend their refresh token, and a token spent twice can cost
//! the grant: until a person confirms that the other copy is retired, an imported grant is not spent.

use jiff::Timestamp;

use super::{AccessRequest, ConnectError, ConnectRequest};
use crate::{
    http::Reach,
    model::{
        ClientRegistration, Connection, ConnectionName, Grant, GrantId, GrantLifecycle,
        GrantMaterial, GrantType, Issuer, RefreshToken, ServerMetadata, SuspendReason, TokenSet,
    },
    oauth::{
        discovery::{Discovered, DpopOffer},
        register::{Purpose, RegistrationError},
    },
    runtime::Runtime,
    secret::SecretString,
    store::{Obtained, SignedIn, may_share},
};

/// What is imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportRequest {
    /// The connection it becomes: its name, URL, client and scopes. The way is not looked at.
    pub connect: ConnectRequest,
    /// Where the refresh token is spent; none asks the resource.
    pub token_url: Option<String>,
    /// The refresh token.
    pub refresh_token: SecretString,
    /// When it ends, where that is known.
    pub refresh_expires_at: Option<Timestamp>,
    /// An access token that came with it.
    pub tokens: Option<TokenSet>,
    /// Whether a person has confirmed that the other copy is retired.
    pub sole_copy: bool,
}

impl ImportRequest {
    /// A refresh token, and nothing known beside it.
    pub fn new(connect: ConnectRequest, refresh_token: SecretString) -> Self {
        Self {
            connect,
            token_url: None,
            refresh_token,
            refresh_expires_at: None,
            tokens: None,
            sole_copy: false,
        }
    }
}

impl Runtime {
    /// Takes over a refresh token that another program was given. It is kept, and spent only once it is the sole copy.
    pub async fn import(&self, import: ImportRequest) -> Result<Grant, ConnectError> {
        let mut request = import.connect;
        self.check_name(&request).await?;
        self.check_unused(&request.name).await?;
        let found = match &import.token_url {
            Some(token_url) => self.told(&request, token_url).await?,
            None => self.discover(&request).await?,
        };
        let found = self.check_endpoint(&request, found).await?;
        // At a later sign-in it is the issuer that is asked, not the resource.
        if import.token_url.is_some() {
            request.issuer = Some(found.provider.issuer.clone());
        }
        let client = self.known_client(&request, &found).await?;
        let wanted = AccessRequest::of_ours(&request, &found);
        let now = self.now();
        let issuer = found.provider.issuer.clone();
        let mut connection = request.connection((issuer, client.client_id.clone()), now);
        connection.resource = wanted.resource;
        connection.internal = found.reach == Reach::Anywhere;
        let held = self.is_held(&connection, &import.refresh_token).await?;
        let refresh = RefreshToken {
            secret: import.refresh_token,
            expires_at: import.refresh_expires_at,
        };
        let after = self.newest_lineage(&connection.name).await?;
        let signed_in = SignedIn {
            connection,
            client: Some((found.provider, client)),
            grant_type: GrantType::AuthorizationCode,
            // What is held already may have been refreshed since: nothing of it is replaced.
            obtained: match import.tokens.filter(|_| !held) {
                Some(tokens) => Obtained::Tokens(TokenSet {
                    refresh_token: Some(refresh),
                    ..tokens
                }),
                None => Obtained::RefreshToken(refresh),
            },
            lifecycle: if import.sole_copy {
                GrantLifecycle::Active
            } else {
                GrantLifecycle::Suspended {
                    reason: SuspendReason::SecondCopy,
                    since: now,
                }
            },
            grant_material: GrantMaterial {
                audience: request.assertion_audience,
                dpop: request.dpop,
                certificate: request.client.certificate,
                ..GrantMaterial::default()
            },
            rotate_by: None,
            after,
            new_grant: GrantId::new(self.context.seams.random_id()),
            at: now,
        };
        self.adopt_signed_in(signed_in).await
    }

    /// An unproven token never takes the place of one that works.
    async fn check_unused(&self, name: &ConnectionName) -> Result<(), ConnectError> {
        let store = &self.context.store;
        let connection = store.connection(name).await?;
        let grant = match connection.and_then(|connection| connection.grant) {
            Some(id) => store.grant(&id).await?,
            None => None,
        };
        if grant.is_some_and(|grant| grant.lifecycle == GrantLifecycle::Active) {
            return Err(ConnectError::InUse(name.clone()));
        }
        Ok(())
    }

    /// Whether a refresh token is the one of a grant that is known. It is one grant, and its access token goes to one place.
    async fn is_held(
        &self,
        connection: &Connection,
        refresh: &SecretString,
    ) -> Result<bool, ConnectError> {
        let (issuer, client) = (&connection.issuer, &connection.client_id);
        let holders = self.context.store.holders(issuer, client, refresh).await?;
        let mut others = holders.iter();
        let elsewhere =
            others.find(|holder| holder.name != connection.name && !may_share(holder, connection));
        match elsewhere {
            Some(holder) => Err(ConnectError::HeldBy(holder.name.clone())),
            None => Ok(!holders.is_empty()),
        }
    }

    /// What is told of an issuer on a command line never changes where the tokens that are kept already are sent, and
    /// takes nothing away from what is known.
    async fn check_endpoint(
        &self,
        request: &ConnectRequest,
        found: Discovered,
    ) -> Result<Discovered, ConnectError> {
        let Some(id) = &request.client.client_id else {
            return Ok(found);
        };
        let known = self
            .context
            .store
            .provider(&found.provider.issuer, id)
            .await?;
        let Some(known) = known else {
            return Ok(found);
        };
        let endpoint = |metadata: &ServerMetadata| metadata.token_endpoint.clone();
        let (was, now) = (
            endpoint(&known.metadata),
            endpoint(&found.provider.metadata),
        );
        if was != now {
            return Err(ConnectError::OtherEndpoint {
                issuer: found.provider.issuer,
                client_id: id.clone(),
                known: was.unwrap_or_default(),
                given: now.unwrap_or_default(),
            });
        }
        Ok(Discovered {
            provider: known,
            ..found
        })
    }

    /// A person has confirmed that no other copy of an imported refresh token is used. False if nothing waited for that.
    pub async fn confirm_sole_copy(&self, name: &ConnectionName) -> Result<bool, ConnectError> {
        let missing = || ConnectError::NoSuchConnection(name.clone());
        let store = &self.context.store;
        let connection = store.connection(name).await?.ok_or_else(missing)?;
        let grant = connection.grant.ok_or_else(missing)?;
        Ok(store.confirm_sole_copy(&grant, self.now()).await?)
    }

    /// A provider of which only the token endpoint is told. Its issuer is the one that was given, else the endpoint's
    /// origin.
    async fn told(
        &self,
        request: &ConnectRequest,
        token_url: &str,
    ) -> Result<Discovered, ConnectError> {
        let endpoint = crate::http::HttpUrl::parse(token_url)?;
        let transport = &*self.context.transport;
        let issuer = request
            .issuer
            .clone()
            .unwrap_or_else(|| Issuer::new(endpoint.origin()));
        let metadata = ServerMetadata {
            issuer: issuer.as_str().to_owned(),
            token_endpoint: Some(endpoint.as_str().to_owned()),
            ..ServerMetadata::default()
        };
        Ok(Discovered {
            provider: crate::model::Provider { issuer, metadata },
            resource: None,
            scope: None,
            listed: None,
            dpop: DpopOffer::None,
            reach: transport
                .reach(&request.url)
                .await
                .or(transport.reach(&endpoint).await),
            assumed: false,
        })
    }

    /// The client that the refresh token was given to: no other can spend it, so none is registered.
    async fn known_client(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
    ) -> Result<ClientRegistration, ConnectError> {
        if request.client.client_id.is_none() {
            let issuer = found.provider.issuer.as_str().to_owned();
            return Err(RegistrationError::Impossible { issuer }.into());
        }
        let purpose = Purpose::of(GrantType::AuthorizationCode);
        self.client(request, found, (purpose, None)).await
    }
}
