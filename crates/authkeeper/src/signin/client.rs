//! The authorization server of a URL, and our client there: given, known, or registered.

use std::{borrow::Cow, sync::Arc};

use http::StatusCode;

use crate::{
    http::Transport,
    model::{
        AttemptId, ClientRegistration, Failing, FailingOf, Issuer, Provider, RegistrationSource,
        Said, Scope, ServerMetadata,
    },
    oauth::{
        WithHeaders, assertion,
        classify::Refused,
        discovery::{self, Discovered, DiscoveryError, WantedIssuer},
        register::{self, ClientPlan, GivenClient, KnownClients, Purpose, RegistrationError},
    },
    refresh::{client_refusals, decide, provider_state},
    runtime::Runtime,
    signin::{ConnectError, ConnectRequest},
    store::StoreError,
};

impl ConnectRequest {
    /// What the authorization server publishes for a client with this one's certificate, or without one.
    pub(super) fn published<'a>(&self, found: &'a Discovered) -> Cow<'a, ServerMetadata> {
        let certificate = self.client.certificate.is_some();
        found.provider.metadata.for_client(certificate)
    }
}

impl Runtime {
    fn transport_for(&self, request: &ConnectRequest) -> Arc<dyn Transport> {
        self.context
            .transport_with(request.client.certificate.as_ref())
    }

    /// Who issues tokens for this URL.
    pub(super) async fn discover(
        &self,
        request: &ConnectRequest,
    ) -> Result<Discovered, ConnectError> {
        let headers = &request.requests.headers;
        let transport = self.transport_for(request);
        let transport = &WithHeaders::new(&transport, &request.url, headers);
        let found = if let Some(metadata) = &request.endpoints {
            let provider = Provider {
                issuer: Issuer::new(&metadata.issuer),
                metadata: metadata.clone(),
            };
            Discovered::of(provider, transport.reach(&request.url).await)
        } else {
            let wanted = WantedIssuer {
                given: request.issuer.as_ref(),
                before: request.same_issuer.as_ref(),
                known: request.provider.is_some(),
            };
            Box::pin(discovery::discover(transport, &request.url, wanted)).await?
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
        let metadata = &*request.published(found);
        let known = self.known_clients(request, &found.provider.issuer).await?;
        let client = match register::plan(metadata, &request.client, known, (purpose, wanted))? {
            ClientPlan::Ready(client) => client,
            ClientPlan::Dynamic { endpoint, scope } => {
                let (transport, at) = (self.transport_for(request), (&endpoint, found.reach));
                let whatfor = (purpose, scope.as_ref());
                let bound = request.client.certificate.is_some()
                    && metadata.tls_client_certificate_bound_access_tokens;
                let registered =
                    register::register(&*transport, at, (metadata, bound), whatfor).await;
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
        let mut registered = Vec::new();
        for client in store.registered_clients(issuer).await? {
            if !self.may_be_forgotten(&client).await? {
                registered.push(client);
            }
        }
        registered.sort_by_key(|client| Some(&client.client_id) != request.same_client.as_ref());
        Ok(KnownClients { given, registered })
    }

    /// The provider refused our client. One that registered itself is registered again at the next sign-in; one that a person
    /// gave stays. Every connection that uses it is told of.
    pub(super) async fn note_refusal(
        &self,
        client: &ClientRegistration,
        refused: &Refused,
    ) -> Result<(), StoreError> {
        let by = AttemptId::new(self.context.seams.random_id());
        let of = (&client.issuer, &client.client_id);
        client_refusals::note(&self.context, of, (refused, &by), None).await
    }

    /// Nobody came back from a sign-in with our client. The provider has said nothing against it, so its grants go on as
    /// before, and the next sign-in uses it again.
    pub(super) async fn note_unfinished(
        &self,
        client: &ClientRegistration,
    ) -> Result<(), StoreError> {
        let now = self.context.seams.clock.now();
        provider_state::change(&self.context, &sign_ins_with(client), |seen| {
            let times = seen.map_or(0, |seen| seen.times).saturating_add(1);
            let unfinished = Failing {
                since: seen.map_or(now, |seen| seen.since),
                times,
                failures: 0,
                said: Said::Unavailable("nobody finished the sign-in".to_owned()),
                rest: None,
                lineage: None,
                told: vec![],
            };
            Some((unfinished, None))
        })
        .await
    }

    /// A sign-in with our client is done: the provider knows it.
    pub(super) async fn note_finished(
        &self,
        client: &ClientRegistration,
    ) -> Result<(), StoreError> {
        let of = (&client.issuer, &client.client_id);
        provider_state::answered(&self.context, &sign_ins_with(client)).await;
        client_refusals::end_if_known(&self.context, of).await
    }

    /// Whether the provider may have forgotten our client, by the sign-ins that nobody finished.
    async fn may_be_forgotten(&self, client: &ClientRegistration) -> Result<bool, StoreError> {
        let unfinished = self.context.store.failing(&sign_ins_with(client)).await?;
        if !decide::may_be_forgotten(unfinished.as_ref(), false) {
            return Ok(false);
        }
        let of = (&client.issuer, &client.client_id);
        let lives = client_refusals::is_in_use(&self.context, of).await?;
        Ok(decide::may_be_forgotten(unfinished.as_ref(), lives))
    }
}

fn sign_ins_with(client: &ClientRegistration) -> FailingOf {
    FailingOf::SignIns(client.issuer.clone(), client.client_id.clone())
}

/// A client that a person made goes to the issuer it was made for and to no other, whatever the resource's metadata says
/// today. A dynamically registered client is registered again there, and one behind a document is the same everywhere (MCP
/// 2026-07-28 "Authorization Server Binding").
pub(super) fn check_same_issuer(
    request: &ConnectRequest,
    found: &Discovered,
) -> Result<(), ConnectError> {
    let given = request.client.client_id.is_some();
    match &request.same_issuer {
        Some(was) if given && *was != found.provider.issuer => Err(ConnectError::IssuerChanged {
            name: request.name.clone(),
            url: request.url.as_str().to_owned(),
            was: was.clone(),
            now: found.provider.issuer.clone(),
        }),
        _ => Ok(()),
    }
}

/// Who does not register a client where nobody said that clients are registered has no OAuth.
pub(super) fn not_registered(
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
            certificate: None,
        },
        RegistrationSource::MetadataDocument => GivenClient {
            metadata_url: Some(client.client_id.as_str().to_owned()),
            ..GivenClient::default()
        },
        RegistrationSource::Dynamic => GivenClient::default(),
    }
}
