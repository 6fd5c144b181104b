//! The steps that every way of signing in has in common: who issues, as which client, one request, its answer, adoption.

use std::sync::Arc;

use http::StatusCode;
use jiff::SignedDuration;

use crate::signin::{ConnectError, ConnectRequest, Way};
use crate::{
    http::{HttpUrl, Reach, Reply, Request},
    model::{
        AssertionSource, ClientAuthMethod, ClientRegistration, ConnectionName, DpopUse, Grant,
        GrantId, GrantLifecycle, GrantMaterial, GrantType, Issuer, Lineage, Moment, Provider,
        RegistrationSource, Resource, Scope, TokenSet,
    },
    oauth::{
        WireError, assertion,
        authorize::scope_to_ask,
        classify::{self, Outcome as Answer},
        client_auth::ClientProof,
        discovery::{self, Discovered, DiscoveryError, DpopOffer},
        dpop::{self, Binding, ProofKey, UnusableKey},
        exchange, moved,
        register::{self, GivenClient, KnownClients, Plan, Purpose, RegistrationError},
        token::TokenAnswer,
    },
    platform::tasks,
    refresh::provider_state,
    runtime::Runtime,
    secret::SecretString,
    store::{Obtained, SignedIn, StoreError},
};

/// A refused assertion is signed again if the provider's clock turns out to differ by more.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(20);

impl Runtime {
    /// Who issues tokens for this URL.
    pub(super) async fn discover(
        &self,
        request: &ConnectRequest,
    ) -> Result<Discovered, ConnectError> {
        let transport = &*self.context.transport;
        let found = match &request.endpoints {
            Some(metadata) => Discovered {
                provider: Provider {
                    issuer: Issuer::new(&metadata.issuer),
                    metadata: metadata.clone(),
                },
                resource: None,
                scope: None,
                listed: None,
                dpop: DpopOffer::None,
                reach: transport.reach(&request.url).await,
                assumed: false,
            },
            None => discovery::discover(transport, &request.url, request.issuer.as_ref()).await?,
        };
        check_same_issuer(request, &found)?;
        Ok(found)
    }

    /// Our client there: given, known, or registered now. It is kept before anyone is sent away: a registration must
    /// not be lost, and a store that can't be written is noticed now and not after the sign-in.
    pub(super) async fn client(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        (purpose, wanted): (Purpose<'_>, Option<&Scope>),
    ) -> Result<ClientRegistration, ConnectError> {
        let metadata = &found.provider.metadata;
        let known = self.known_clients(request, &found.provider.issuer).await?;
        let client = match register::plan(metadata, &request.client, known, (purpose, wanted))? {
            Plan::Ready(client) => client,
            Plan::Dynamic { endpoint, scope } => {
                let (transport, at) = (&*self.context.transport, (&endpoint, found.reach));
                let whatfor = (purpose, scope.as_ref());
                let registered = register::register(transport, at, metadata, whatfor).await;
                registered.map_err(|error| not_registered(error, request, found))?
            }
        };
        if client.private_key.is_some() {
            assertion::check(&client, &self.context.seams)?;
        }
        let store = &self.context.store;
        store.keep_registration(&found.provider, &client).await?;
        // Read back: what was kept has its place in the store.
        let kept = store
            .registration(&client.issuer, &client.client_id)
            .await?;
        Ok(kept.unwrap_or(client))
    }

    /// What is known of our clients at an issuer; the one that signed in before comes first.
    async fn known_clients(
        &self,
        request: &ConnectRequest,
        issuer: &Issuer,
    ) -> Result<KnownClients, ConnectError> {
        let store = &self.context.store;
        let given = match &request.client.client_id {
            Some(id) => store.registration(issuer, id).await?,
            None => None,
        };
        let mut registered = store.registered_clients(issuer).await?;
        registered.sort_by_key(|client| Some(&client.client_id) != request.same_client.as_ref());
        Ok(KnownClients { given, registered })
    }

    /// One request that our client proves itself in. While its secret is replaced two are good: the next in order is
    /// tried, and which one was refused is kept.
    pub(super) async fn ask(
        &self,
        (endpoint, found, with): (&HttpUrl, &Discovered, &With),
        client: &mut ClientRegistration,
        make: impl Fn(&ClientProof) -> Request + Send + Sync,
    ) -> Result<(Reply, Moment), ConnectError> {
        let mut wanted_nonce = false;
        let mut dated_again = false;
        loop {
            let metadata = &found.provider.metadata;
            let our = self.context.our_client(metadata, client);
            let proof = our.for_audience(with.audience.as_deref()).proof()?;
            let issued = self.context.seams.clock.now();
            let transport = &*self.context.transport;
            let mut request = make(&proof);
            with.prove(&mut request, endpoint)?;
            let dated = self.context.time_at(endpoint.as_str());
            let reply = exchange(transport, endpoint, found.reach, request).await?;
            self.context.hear(endpoint, &reply);
            // Nothing was done for want of the server's number in the proof: the same again, once.
            if with.wants_nonce(endpoint, &reply) && !wanted_nonce {
                wanted_nonce = true;
                continue;
            }
            let refused = matches!(
                classify::classify(&reply, issued.wall),
                Answer::ClientRefused(_)
            );
            // It was dated by another clock than the one that the provider has just told.
            let off = self
                .context
                .time_at(endpoint.as_str())
                .duration_since(dated);
            let by_key = client.auth_method == ClientAuthMethod::PrivateKeyJwt;
            if refused && by_key && off.abs() > CLOCKS_DIFFER && !dated_again {
                dated_again = true;
                continue;
            }
            let shown = proof.secret();
            if !refused || !client.has_another_than(shown) {
                return Ok((reply, issued));
            }
            if let Some(secret) = shown {
                let store = &self.context.store;
                store.refuse_secret(secret, issued.wall).await?;
            }
            for secret in client
                .secrets
                .iter_mut()
                .filter(|secret| secret.id == shown)
            {
                secret.refused = Some(issued.wall);
            }
        }
    }

    /// Judges an answer that is not tokens (a device's code, a pushed request): a client that the provider has forgotten
    /// is registered anew the next time, and incident that passes is told as such.
    pub(super) async fn check_answer(
        &self,
        client: &ClientRegistration,
        (reply, issued): &(Reply, Moment),
    ) -> Result<(), ConnectError> {
        let issuer = client.issuer.clone();
        match classify::classify(reply, issued.wall) {
            Answer::ClientRefused(refused) => {
                self.register_again_next_time(client).await?;
                let client_id = client.client_id.clone();
                Err(ConnectError::ClientRefused {
                    issuer,
                    client_id,
                    refused,
                })
            }
            Answer::Transient { why, .. } => Err(ConnectError::NoTokens {
                issuer,
                why,
                passing: true,
            }),
            Answer::Suspect { why } => Err(ConnectError::Unexplained { issuer, why }),
            _ => Ok(()),
        }
    }

    /// The tokens in an answer to a sign-in, or why there are none.
    pub(super) async fn tokens(
        &self,
        (client, provider, with): (&ClientRegistration, Option<&str>, &With),
        (reply, issued): (Reply, Moment),
    ) -> Result<TokenSet, ConnectError> {
        let issuer = client.issuer.clone();
        self.context.notice_odd_answer(&issuer, &reply).await;
        let habits = self.context.rules.habits(issuer.as_str(), provider);
        match classify::classify_in(&reply, issued.wall, habits.tokens_in.as_deref()) {
            Answer::Accepted(answer) => {
                let bound_to = with.binds(&answer).map_err(|why| ConnectError::NoTokens {
                    issuer: issuer.clone(),
                    why,
                    passing: false,
                })?;
                let mut tokens = answer.into_token_set(issued, habits.default_lifetime);
                tokens.believe(habits.lifetime);
                tokens.subject_binding.bound_to = bound_to;
                Ok(tokens)
            }
            Answer::ClientRefused(refused) => {
                self.register_again_next_time(client).await?;
                let client_id = client.client_id.clone();
                Err(ConnectError::ClientRefused {
                    issuer,
                    client_id,
                    refused,
                })
            }
            Answer::GrantRefused(refused)
            | Answer::RequestRefused(refused)
            | Answer::Unrecognized { refused, .. } => {
                Err(ConnectError::CodeRefused { issuer, refused })
            }
            Answer::RefreshTokenAlone(_) => Err(ConnectError::NoTokens {
                issuer,
                why: "the provider gave a refresh token and no access token; name the scopes of its API with --scope"
                    .to_owned(),
                passing: false,
            }),
            Answer::Moved { status, target } => Err(ConnectError::TokenEndpointMoved {
                issuer,
                said: moved::said(status, target.as_deref()),
            }),
            Answer::Suspect { why } => Err(ConnectError::Unexplained { issuer, why }),
            Answer::Transient { why, .. } => Err(ConnectError::NoTokens {
                issuer,
                why,
                passing: true,
            }),
            Answer::Unknown(kind) => {
                let why = format!("{}, {}", kind.as_str(), crate::oauth::body_hint(&reply));
                Err(ConnectError::NoTokens {
                    issuer,
                    why,
                    passing: reply.status.is_server_error(),
                })
            }
        }
    }

    /// Finishes an exchange whose answer may be a new grant, whoever has given up waiting for it.
    pub(super) async fn land<T: Send + 'static>(
        &self,
        exchange: impl Future<Output = Result<T, ConnectError>> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let aboard = self.flights.aboard();
        // Its owner is the flights' count, which a shutdown waits for.
        let landed = tasks::spawn(async move {
            let _aboard = aboard;
            exchange.await
        });
        match landed.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }

    /// A client that registered itself can do so again; one that a person gave stays.
    pub(super) async fn register_again_next_time(
        &self,
        client: &ClientRegistration,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let store = &self.context.store;
        store
            .refuse_registration(&client.issuer, &client.client_id, now)
            .await
    }

    pub(super) async fn adopt(
        &self,
        request: ConnectRequest,
        found: Discovered,
        client: ClientRegistration,
        outcome: Outcome,
    ) -> Result<Grant, ConnectError> {
        let Outcome {
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
        self.adopt_signed_in(signed_in).await
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

/// A client that a person made goes to the issuer it was made for and to no other, whatever the resource's metadata says
/// today. One that registered itself is registered anew there, and one behind a document is the same everywhere (MCP
/// 2026-07-28 "Authorization Server Binding").
fn check_same_issuer(request: &ConnectRequest, found: &Discovered) -> Result<(), ConnectError> {
    let given = request.client.client_id.is_some();
    match &request.same_issuer {
        Some(was) if given && *was != found.provider.issuer => Err(ConnectError::IssuerChanged {
            url: request.url.as_str().to_owned(),
            was: was.clone(),
            now: found.provider.issuer.clone(),
        }),
        _ => Ok(()),
    }
}

/// Who does not register a client where nobody said that clients are registered has no OAuth.
fn not_registered(
    error: RegistrationError,
    request: &ConnectRequest,
    found: &Discovered,
) -> ConnectError {
    if found.assumed && matches!(error, RegistrationError::Refused { .. }) {
        let url = request.url.as_str().to_owned();
        let answer = StatusCode::UNAUTHORIZED.as_u16();
        return DiscoveryError::NoOAuth { url, answer }.into();
    }
    error.into()
}

/// What a sign-in brought.
pub(super) struct Outcome {
    pub(super) grant_type: GrantType,
    pub(super) wanted: Wanted,
    pub(super) tokens: TokenSet,
    pub(super) grant_material: GrantMaterial,
}

/// What every request of a sign-in to the token endpoint is made with.
#[derive(Clone, Debug)]
pub(super) struct With {
    /// Whom our client's assertions are for, as a person said it.
    said: Option<String>,
    /// The same, or as the provider is known to want it.
    audience: Option<String>,
    /// The key that the tokens shall be bound to.
    key: Option<NewKey>,
    /// Whether tokens that are bound to none will not do.
    must: bool,
}

/// A key, ready for use, and the text it is kept as.
#[derive(Clone, Debug)]
struct NewKey {
    binding: Binding,
    kept: SecretString,
}

impl Runtime {
    pub(super) fn with(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
    ) -> Result<With, ConnectError> {
        let said = request.assertion_audience.clone();
        let named = (&found.provider.issuer, request.provider.as_deref());
        let (wanted, must) = wants_key(request.dpop, found);
        let key = wanted.then(ProofKey::generate).transpose()?;
        Ok(With {
            audience: self.context.audience(said.as_deref(), named),
            said,
            key: key.map(|(key, kept)| self.new_key(key, kept)),
            must,
        })
    }

    fn new_key(&self, key: ProofKey, kept: SecretString) -> NewKey {
        let context = &self.context;
        let binding = Binding::new(key, Arc::clone(&context.heard), context.seams.clone());
        NewKey { binding, kept }
    }

    /// The same for a sign-in that goes on where it was: with the key that it began with.
    pub(super) fn with_key_of(
        &self,
        with: With,
        kept: Option<SecretString>,
    ) -> Result<With, ConnectError> {
        let key = kept.map(|kept| Ok((ProofKey::read(&kept)?, kept)));
        let key = key.transpose().map_err(|unusable: UnusableKey| unusable)?;
        Ok(With {
            key: key.map(|(key, kept)| self.new_key(key, kept)),
            ..with
        })
    }
}

/// Whether tokens shall be bound to a key, and whether others will not do (RFC 9449 §5.1; RFC 9728 §2).
fn wants_key(wanted: DpopUse, found: &Discovered) -> (bool, bool) {
    let listed = &found.provider.metadata.dpop_signing_alg_values_supported;
    let offered = listed.iter().any(|name| name == dpop::ALGORITHM);
    match (wanted, found.dpop) {
        // A server need not say that it can what its resource demands.
        (DpopUse::Required, _) | (DpopUse::Auto, DpopOffer::Demanded) => (true, true),
        (DpopUse::Auto, DpopOffer::Offered) => (offered, false),
        (DpopUse::Off, _) | (DpopUse::Auto, DpopOffer::None) => (false, false),
    }
}

impl With {
    /// Puts the proof of the key on a request, if there is one.
    fn prove(&self, request: &mut Request, endpoint: &HttpUrl) -> Result<(), WireError> {
        match &self.key {
            Some(key) => Ok(key.binding.prove(request, endpoint.uri())?),
            None => Ok(()),
        }
    }

    fn wants_nonce(&self, endpoint: &HttpUrl, reply: &Reply) -> bool {
        let key = self.key.as_ref();
        key.is_some_and(|key| key.binding.hears(endpoint.uri(), reply))
    }

    /// By which a server knows the key again.
    pub(super) fn thumbprint(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.binding.thumbprint())
    }

    /// The text that the key is kept as.
    pub(super) fn kept_key(&self) -> Option<SecretString> {
        self.key.as_ref().map(|key| key.kept.clone())
    }

    /// The thumbprint of the key that tokens are bound to; an error says why they are of no use.
    fn binds(&self, answer: &TokenAnswer) -> Result<Option<String>, String> {
        let bound = answer.unusable_type(true);
        if let (Some(key), None) = (&self.key, bound) {
            return Ok(Some(key.binding.thumbprint().to_owned()));
        }
        // A sign-in that was begun before that was so has no key.
        if self.must {
            let kind = bound.unwrap_or("DPoP without a key of ours");
            return Err(format!(
                "tokens of the type {kind}, and tokens that are bound to a key (DPoP) are wanted"
            ));
        }
        match answer.unusable_type(false) {
            None => Ok(None),
            Some(kind) => Err(format!(
                "tokens of the type {kind}, and authkeeper can present Bearer tokens only, or DPoP tokens where it asked \
                 for them (--dpop required)"
            )),
        }
    }

    /// What the grant needs beside these tokens.
    pub(super) fn grant_material(
        &self,
        request: &ConnectRequest,
        tokens: &TokenSet,
    ) -> GrantMaterial {
        let bound = tokens.subject_binding.bound_to.is_some();
        GrantMaterial {
            assertion: match &request.way {
                Way::JwtBearer { assertion_file } => {
                    Some(AssertionSource::File(assertion_file.clone()))
                }
                Way::IdJag(idp) => Some(AssertionSource::IdentityProvider(idp.clone())),
                _ => None,
            },
            audience: self.said.clone(),
            proof_key: self.kept_key().filter(|_| bound),
            dpop: request.dpop,
            began_with: None,
        }
    }
}

/// What the sign-in asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) scope: Option<Scope>,
    pub(super) resource: Option<Resource>,
}

impl Wanted {
    /// What a person asks for; `offline_access` is added where the server lists it.
    pub(super) fn of_a_person(request: &ConnectRequest, found: &Discovered) -> Self {
        let metadata = &found.provider.metadata;
        let chosen = chosen(request, found);
        Self {
            scope: scope_to_ask(chosen, found.scope.clone(), metadata),
            ..Self::of_ours(request, found)
        }
    }

    /// What our client asks for itself: it has no use for offline access.
    pub(super) fn of_ours(request: &ConnectRequest, found: &Discovered) -> Self {
        Self {
            scope: chosen(request, found).or_else(|| found.scope.clone()),
            resource: request.resource.clone().or_else(|| found.resource.clone()),
        }
    }
}

/// What is asked for whatever the resource wants: what a person chose or an earlier sign-in asked for, and what calls were
/// refused for lack of since.
fn chosen(request: &ConnectRequest, found: &Discovered) -> Option<Scope> {
    let scope = request.scope.clone()?;
    let scope = match &found.listed {
        Some(listed) if request.also_listed => scope.union(listed),
        _ => scope,
    };
    let offered = &found.provider.metadata.scopes_supported;
    let moved = (request.same_issuer.as_ref()).is_some_and(|was| *was != found.provider.issuer);
    // Asked for where the server before listed it; this one may not know it.
    if moved && !offered.iter().any(|offered| offered == "offline_access") {
        let rest = scope.iter().filter(|word| *word != "offline_access");
        let rest = Scope::new(rest.collect::<Vec<_>>().join(" "));
        return Some(rest).filter(|scope| !scope.is_empty());
    }
    Some(scope)
}

/// A client that was given or stands behind a document is given again; one that was registered is looked up.
pub(super) fn given_again(client: ClientRegistration) -> GivenClient {
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
    use crate::model::ClientId;

    fn found(issuer: &str) -> Discovered {
        let metadata = format!(r#"{{"issuer":"{issuer}"}}"#);
        Discovered {
            provider: Provider {
                issuer: Issuer::new(issuer),
                metadata: serde_json::from_str(&metadata).unwrap(),
            },
            resource: None,
            scope: None,
            listed: Some(Scope::new("files:read mail")),
            dpop: DpopOffer::None,
            reach: Reach::PublicOnly,
            assumed: false,
        }
    }

    #[test]
    fn where_bound_tokens_are_demanded_a_sign_in_without_a_key_takes_none() {
        let with = |must| With {
            said: None,
            audience: None,
            key: None,
            must,
        };
        let body = r#"{"access_token":"a","token_type":"Bearer"}"#;
        let answer = TokenAnswer::read(&serde_json::from_str(body).unwrap()).unwrap();
        assert_eq!(with(false).binds(&answer), Ok(None));
        let why = with(true).binds(&answer).unwrap_err();
        assert!(why.contains("DPoP"), "{why}");
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
        assert!(
            check_same_issuer(&request, &found("https://a/")).is_ok(),
            "a new client is registered there"
        );
        request.client.client_id = Some(ClientId::new("given"));
        assert!(check_same_issuer(&request, &found("https://a")).is_ok());
        let changed = check_same_issuer(&request, &found("https://a/"));
        assert!(matches!(changed, Err(ConnectError::IssuerChanged { .. })));
    }

    #[test]
    fn what_is_chosen_goes_before_what_the_resource_asks_for() {
        let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
        let mut request = ConnectRequest::new(ConnectionName::parse("x").unwrap(), url);
        let found = found("https://a");
        let text = |request: &ConnectRequest| {
            chosen(request, &found).map(|scope| scope.as_str().to_owned())
        };
        assert_eq!(text(&request), None);
        request.scope = Some(Scope::new("mail  offline_access"));
        assert_eq!(text(&request).as_deref(), Some("mail  offline_access"));
        request.also_listed = true;
        let all = text(&request);
        assert_eq!(all.as_deref(), Some("mail  offline_access files:read"));
        request.same_issuer = Some(Issuer::new("https://before"));
        assert_eq!(text(&request).as_deref(), Some("mail files:read"));
    }
}
