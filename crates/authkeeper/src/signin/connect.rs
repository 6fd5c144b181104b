//! Connects a name to a URL, and signs in to a known connection again.

use crate::{
    catalogue,
    http::HttpUrl,
    model::{Connection, ConnectionName, DpopUse, Grant, Scope},
    runtime::Runtime,
};

use crate::signin::{
    Again, ConnectError, ConnectRequest, Prompter, SignInMethod, client::given_again,
};

impl Runtime {
    /// Signs in and adopts what comes.
    pub async fn connect(
        &self,
        request: ConnectRequest,
        person: &dyn Prompter,
    ) -> Result<Grant, ConnectError> {
        let known = self.check_name(&request).await?;
        let request = self.keep_headers(request, known).await?;
        let name = request.name.clone();
        let done = match request.way.clone() {
            SignInMethod::ApiKey { key, rotate_by } => {
                Box::pin(self.connect_key(request, key, rotate_by)).await
            }
            SignInMethod::Unattended(unattended) => {
                Box::pin(self.connect_own(request, unattended)).await
            }
            SignInMethod::Device => Box::pin(self.connect_device(request, person)).await,
            SignInMethod::Browser | SignInMethod::Headless => {
                Box::pin(self.connect_code(request, person)).await
            }
        };
        // What was refused, denied or used up is not gone on with.
        if done.as_ref().is_err_and(|error| !error.leaves_it_open()) {
            self.context.store.drop_pending(&name).await?;
        }
        done
    }

    /// The same sign-in again, in place: same URL, same client, same scopes and those that calls were refused for lack of
    /// since, and the same way unless another is given. Where the resource names another authorization server by now, a
    /// dynamically registered client is registered again there.
    pub async fn reauthorize(
        &self,
        name: &ConnectionName,
        again: Again,
        person: &dyn Prompter,
    ) -> Result<Grant, ConnectError> {
        let connection = self.context.store.connection(name).await?;
        let connection = connection.ok_or_else(|| ConnectError::NoSuchConnection(name.clone()))?;
        let grant = match &connection.grant {
            Some(id) => self.context.store.grant(id).await?,
            None => None,
        };
        // Asked first: nobody signs in to an API key, in whatever way.
        let way = way_of(&connection, grant.as_ref())?;
        let way = again.way.unwrap_or(way);
        let before = match &grant {
            Some(grant) => connection.requested_scope(grant),
            None => connection.scope.clone(),
        };
        let mut request = ConnectRequest::new(name.clone(), HttpUrl::parse(&connection.url)?);
        let store = &self.context.store;
        let client = store
            .registration(&connection.issuer, &connection.client_id)
            .await?;
        // Endpoints that the catalogue gave are not published by the provider.
        let entry = connection.provider.as_deref().and_then(catalogue::named);
        if let Some(entry) = entry.filter(|entry| entry.endpoints.discovery.is_none()) {
            let id = &connection.client_id;
            let known = store.provider(&connection.issuer, id).await?;
            let known = known.map(|provider| provider.metadata);
            let known = known.filter(|metadata| metadata.authorization_endpoint.is_some());
            request.endpoints = known.map(|metadata| entry.brought_up_to_date(metadata));
        }
        request.client = client.map(given_again).unwrap_or_default();
        request.way = way;
        // What was bound to a key stays so, whatever the servers say of it today.
        let bound = grant.as_ref().is_some_and(Grant::is_bound);
        let grant_material = grant.map(|grant| grant.grant_material).unwrap_or_default();
        request.assertion_audience = grant_material.audience;
        request.client.certificate = grant_material.certificate;
        request.requests = grant_material.requests.with(again.requests);
        request.dpop = if bound {
            DpopUse::Required
        } else {
            grant_material.dpop
        };
        request.extra = again.extra;
        request.provider = connection.provider;
        request.principal = connection.principal;
        request.issuer = connection.issuer_given.then(|| connection.issuer.clone());
        request.resource = connection.resource;
        request.same_issuer = Some(connection.issuer);
        request.same_client = Some(connection.client_id);
        let scope_request = store.step_ups(name).await?.scope_request();
        request.scope = connection.scope;
        if let Some(scope_request) = &scope_request {
            request.scope = with(before, scope_request.scope.as_ref());
            request.also_listed = scope_request.unnamed;
        }
        if again.scope.is_some() {
            request.scope = again.scope;
        }
        request.presentation = connection.presentation;
        request.check_url = connection
            .check_url
            .as_deref()
            .map(HttpUrl::parse)
            .transpose()?;
        request.callback_port = again.callback_port;
        request.patience = again.patience;
        let done = Box::pin(self.connect(request, person)).await;
        // A sign-in for what was asked for before must stay possible.
        if scope_request.is_some() && done.as_ref().is_err_and(ConnectError::is_about_scope) {
            self.change_step_ups(name, |all| (all.not_given(), None))
                .await?;
        }
        done
    }

    /// The same name may be connected to the same URL again, never silently to another.
    pub(super) async fn check_name(
        &self,
        request: &ConnectRequest,
    ) -> Result<Option<Connection>, ConnectError> {
        match self.context.store.connection(&request.name).await? {
            Some(known) if known.url != request.url.as_str() => Err(ConnectError::NameTaken {
                name: known.name,
                url: known.url,
            }),
            known => Ok(known),
        }
    }

    /// The extra headers of a known connection stay, except those that are set again or set to nothing.
    async fn keep_headers(
        &self,
        mut request: ConnectRequest,
        known: Option<Connection>,
    ) -> Result<ConnectRequest, ConnectError> {
        let grant = match known.and_then(|known| known.grant) {
            Some(id) => self.context.store.grant(&id).await?,
            None => None,
        };
        let before = grant.map(|grant| grant.grant_material.requests.headers);
        let headers = std::mem::take(&mut request.requests.headers);
        let headers = before.unwrap_or_default().with(&headers);
        request.requests.headers = headers.without_removed();
        Ok(request)
    }
}

/// How a connection was signed in the last time.
fn way_of(connection: &Connection, grant: Option<&Grant>) -> Result<SignInMethod, ConnectError> {
    let Some(grant) = grant else {
        return Ok(SignInMethod::Browser);
    };
    if grant.grant_type.is_key() {
        return Err(ConnectError::NoSignIn(connection.name.clone()));
    }
    let lost = || ConnectError::GrantMaterialLost(connection.name.clone());
    SignInMethod::of(grant).ok_or_else(lost)
}

/// What was asked for before, then what is wanted beside it.
fn with(before: Option<Scope>, more: Option<&Scope>) -> Option<Scope> {
    match (before, more) {
        (Some(before), Some(more)) => Some(before.union(more)),
        (before, more) => before.or_else(|| more.cloned()),
    }
}
