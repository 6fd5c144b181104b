//! The resource takes tokens of another authorization server now (MCP 2026-07-28 "Authorization Server Binding"). Looked
//! for where a 401 stays whatever is done: no other error says so. Nothing of the old server is ever shown to the new one;
//! the next sign-in starts from discovery.

use std::time::Duration;

use crate::{
    error::TokenError,
    http::HttpUrl,
    model::{
        Connection, Grant, GrantLifecycle, Issuer, ReauthorizeReason, Record, RegistrationSource,
    },
    oauth::{WithHeaders, discovery},
    platform::clock::within,
    refresh::{OnBehalfOf, incident},
    runtime::Runtime,
};

/// How long the callers of a refused token wait for the resource's metadata.
const PATIENCE: Duration = Duration::from_secs(10);

impl Runtime {
    /// Whether the resource names another authorization server than the one that issued this grant. If so, the caller is
    /// told that a sign-in is needed.
    pub(crate) async fn moved(
        &self,
        connection: &Connection,
        grant: &Grant,
    ) -> Result<Option<TokenError>, TokenError> {
        if grant.lifecycle != GrantLifecycle::Active
            || !self.was_discovered(connection, grant).await?
            || !self.may_check_issuer(connection)
        {
            return Ok(None);
        }
        let Some(issuer) = self.named_instead(connection, grant).await else {
            return Ok(None);
        };
        let (store, now) = (&self.context.store, self.now());
        let reason = ReauthorizeReason::AuthorizationServerChanged;
        let required = store.require_sign_in(&grant.id, grant.lineage, reason, now);
        if !required.await? {
            return Ok(None);
        }
        if let Some(access) = &grant.access {
            store.retire_access(&grant.id, access.generation).await?;
        }
        self.token_cache.evict(&connection.name);
        let record = self.moved_record(connection, grant, &issuer).await?;
        incident::keep(&self.context, grant, record.clone()).await?;
        Ok(Some(TokenError::ReauthorizationRequired {
            record: Box::new(record),
        }))
    }

    /// An issuer that a person gave, or that was guessed from an endpoint, is not the resource's to name.
    async fn was_discovered(
        &self,
        connection: &Connection,
        grant: &Grant,
    ) -> Result<bool, TokenError> {
        if connection.issuer_given || grant.grant_type.is_key() {
            return Ok(false);
        }
        let store = &self.context.store;
        let provider = store.provider(&grant.issuer, &grant.client_id).await?;
        let own = grant.grant_type.acts_for_itself();
        Ok(provider.is_some_and(|known| own || known.metadata.authorization_endpoint.is_some()))
    }

    fn may_check_issuer(&self, connection: &Connection) -> bool {
        let now = self.context.seams.clock.now();
        self.issuer_checks.may_check(&connection.name, now)
    }

    /// The first issuer that the resource names, if ours is not among them. What can't be read says nothing.
    async fn named_instead(&self, connection: &Connection, grant: &Grant) -> Option<Issuer> {
        let url = HttpUrl::parse(&connection.url).ok()?;
        let headers = &grant.grant_material.requests.headers;
        let transport = self.context.transport_of(grant);
        let transport = &WithHeaders::new(&transport, &url, headers);
        let clock = &*self.context.seams.clock;
        let asked = discovery::authorization_servers(clock, transport, &url);
        let named = match within(clock, PATIENCE, asked).await? {
            Ok(named) => named,
            Err(error) => {
                tracing::debug!(%error, "the resource does not say who issues its tokens");
                return None;
            }
        };
        let is_ours =
            |named: &Issuer| discovery::is_same_issuer(named.as_str(), connection.issuer.as_str());
        let ours = named.iter().any(is_ours);
        named.into_iter().next().filter(|_| !ours)
    }

    async fn moved_record(
        &self,
        connection: &Connection,
        grant: &Grant,
        issuer: &Issuer,
    ) -> Result<Record, TokenError> {
        let (store, now) = (&self.context.store, self.now());
        let client = store.registration(&grant.issuer, &grant.client_id).await?;
        let given = client.is_some_and(|client| client.source == RegistrationSource::Given);
        let reason = ReauthorizeReason::AuthorizationServerChanged;
        let (on_behalf_of, trace_id) = (OnBehalfOf::of(connection), self.context.seams.random_id());
        let record =
            incident::reauthorize_record(&on_behalf_of, grant, reason, (now, now), &trace_id);
        let action = if given {
            format!(
                "register a client at {issuer}, then authkeeper connect {} {} --client-id ID",
                connection.name, connection.url
            )
        } else {
            record.action
        };
        Ok(Record {
            detail: format!(
                "the server refuses the token, and names {issuer} as its authorization server now; it was {}",
                grant.issuer
            ),
            action,
            ..record
        })
    }
}
