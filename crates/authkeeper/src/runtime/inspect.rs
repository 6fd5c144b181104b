//! Looking at how things stand without changing any of it: for `doctor`, `check` and `why`. No secret leaves here.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    catalogue::{self, Entry},
    error::TokenError,
    http::{Reach, Transport},
    model::{
        AccessToken, ClientAuthMethod, ClientRegistration, Connection, ConnectionName,
        LifetimeSource, Observation, RegistrationSource, ReplayRule, ServerMetadata,
    },
    oauth::{
        classify,
        discovery::{self, DiscoveryError},
        unrecognized_response,
    },
    refresh::{
        GrantContext, OnBehalfOf,
        decide::{self, GrantView},
        decision_log::PastDecision,
        incident,
        journal::StoredReply,
        recover,
    },
    runtime::{ConnectionStatus, Runtime},
    store::{History, StoreError},
};

/// A connection, looked at closely.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// How it stands.
    pub status: ConnectionStatus,
    /// When its grant was given last: by a sign-in or an import.
    pub signed_in_at: Timestamp,
    /// Its access token, if it has one.
    pub access: Option<AccessFacts>,
    /// What its provider does with a refresh token that comes twice, as far as it is set or known.
    pub replay: ReplayRule,
    /// Its client, if it has one.
    pub client: Option<ClientFacts>,
    /// What was known of its provider when it was signed in.
    pub metadata: Option<ServerMetadata>,
}

/// What is known of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessFacts {
    /// When it was asked for.
    pub issued_at: Timestamp,
    /// How long it lives from then.
    pub lifetime: Duration,
    /// Where that belief comes from.
    pub lifetime_source: LifetimeSource,
    /// How old it is when it is refreshed, at the latest.
    pub due_after: Duration,
}

/// What is known of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientFacts {
    /// How it proves itself.
    pub auth_method: ClientAuthMethod,
    /// How it came to be.
    pub source: RegistrationSource,
    /// What is known of its secrets, in the order in which they are tried.
    pub secrets: Vec<SecretFacts>,
}

/// What is known of a client's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// When the provider last refused it.
    pub refused: Option<Timestamp>,
    /// When the provider said that it ends.
    pub expires_at: Option<Timestamp>,
}

/// An answer to a refresh that could not be read. It is kept, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadAnswer {
    /// When the request for it left.
    pub asked_at: Timestamp,
    /// What can be told of it without its values: status, content type, the names of its fields, its size.
    pub shape: String,
}

impl UnreadAnswer {
    fn of(stored: &StoredReply) -> Self {
        Self {
            asked_at: stored.issued.wall,
            shape: unrecognized_response::shape_of(&stored.reply),
        }
    }
}

/// What a provider says of itself today.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refetched {
    /// Its metadata.
    pub metadata: ServerMetadata,
    /// How far its clock is ahead of ours, in seconds, if it told the time.
    pub skew_s: Option<i64>,
}

impl AccessFacts {
    fn of(mut unhurried: GrantView<'_>, token: &AccessToken) -> Self {
        unhurried.jitter = 0.0;
        let due = decide::until_due(unhurried, token.issued);
        Self {
            issued_at: token.issued.wall,
            lifetime: token.lifetime,
            lifetime_source: token.lifetime_source,
            due_after: due,
        }
    }
}

impl Inspection {
    /// The catalogue's entry of its provider: the one it was connected by, else the one of its issuer's host.
    pub fn entry(&self) -> Option<&'static Entry> {
        let connection = &self.status.connection;
        match &connection.provider {
            Some(name) => catalogue::named(name),
            None => catalogue::recognise(connection.issuer.as_str()),
        }
    }

    /// The scopes that a refresh token is asked for with at its provider, where the catalogue or the provider names one.
    pub fn refresh_scope(&self) -> Option<String> {
        refresh_scope(self.entry(), self.metadata.as_ref())
    }
}

fn refresh_scope(entry: Option<&Entry>, metadata: Option<&ServerMetadata>) -> Option<String> {
    let known = entry.map(|entry| entry.scopes.for_refresh.join(" "));
    known.filter(|scopes| !scopes.is_empty()).or_else(|| {
        let mut listed = metadata?.scopes_supported.iter();
        listed.find(|scope| *scope == "offline_access").cloned()
    })
}

impl From<ClientRegistration> for ClientFacts {
    fn from(client: ClientRegistration) -> Self {
        let shown = client.auth_method.shows_a_secret();
        let secrets = client.secrets.iter().filter(|_| shown);
        let secrets = secrets.map(|secret| SecretFacts {
            refused: secret.refused,
            expires_at: secret.expires_at,
        });
        Self {
            auth_method: client.auth_method,
            source: client.source,
            secrets: secrets.collect(),
        }
    }
}

impl Runtime {
    /// The names of all connections.
    pub async fn names(&self) -> Result<Vec<ConnectionName>, StoreError> {
        let all = self.context.store.connections().await?;
        Ok(all.into_iter().map(|connection| connection.name).collect())
    }

    /// One connection, looked at closely.
    pub async fn inspect(&self, name: &ConnectionName) -> Result<Inspection, TokenError> {
        let status = self.status(name).await?;
        let connection = &status.connection;
        let grant = match &connection.grant {
            Some(id) => self.context.store.grant(id).await?,
            None => None,
        };
        let store = &self.context.store;
        let client = store
            .registration(&connection.issuer, &connection.client_id)
            .await?;
        let provider = store
            .provider(&connection.issuer, &connection.client_id)
            .await?;
        let signed_in_at = store.history(name).await?.signed_in_at();
        let habits = self
            .context
            .rules
            .habits(connection.issuer.as_str(), connection.provider.as_deref());
        let access = grant
            .as_ref()
            .map(|grant| {
                self.context
                    .grant_view(connection.provider.as_deref(), grant)
            })
            .and_then(|grant_view| Some(AccessFacts::of(grant_view, grant_view.access?)));
        Ok(Inspection {
            signed_in_at: signed_in_at.unwrap_or(connection.created),
            access,
            replay: habits.replay,
            client: client.map(ClientFacts::from),
            metadata: provider.map(|provider| provider.metadata),
            status,
        })
    }

    /// What was noticed of all providers.
    pub async fn observed(&self) -> Result<Vec<Observation>, StoreError> {
        self.context.store.observed(None).await
    }

    /// The answers to refreshes of a connection that could not be read, the newest first.
    pub async fn unread_answers(
        &self,
        name: &ConnectionName,
    ) -> Result<Vec<UnreadAnswer>, TokenError> {
        let (_, grant) = self.find(name).await?;
        let unread = self
            .context
            .reply_archive
            .unread(&grant.id, grant.lineage)
            .into_iter();
        let current = unread.filter(|unread| unread.generation > grant.generation);
        Ok(current
            .map(|unread| UnreadAnswer::of(&unread.stored))
            .collect())
    }

    /// Reads the answers again that could not be read when they came: a later version of this library, or another
    /// [`ProviderHabits::tokens_in`], may understand them. True if one was adopted.
    ///
    /// # Errors
    ///
    /// The connection is not known, or the store can't be used.
    ///
    /// [`ProviderHabits::tokens_in`]: crate::model::ProviderHabits::tokens_in
    pub async fn reread(&self, name: &ConnectionName) -> Result<bool, TokenError> {
        let (connection, grant) = self.find(name).await?;
        let of = GrantContext {
            context: &self.context,
            on_behalf_of: &OnBehalfOf::of(&connection),
            grant: &grant,
        };
        Ok(recover::reread(of).await?)
    }

    /// All connections, looked at closely.
    pub async fn inspections(&self) -> Result<Vec<Inspection>, TokenError> {
        let mut all = Vec::new();
        for status in self.statuses().await? {
            all.push(self.inspect(&status.connection.name).await?);
        }
        Ok(all)
    }

    /// How long the longest run took that has ended.
    pub async fn longest_run(&self) -> Result<Option<Duration>, StoreError> {
        self.context.store.longest_run().await
    }

    /// Every decision about a refresh that is still in the log, oldest first.
    pub fn decisions(&self) -> Vec<PastDecision> {
        self.context.log.read()
    }

    /// The transport to a connection's servers, with its client certificate.
    async fn transport_of(&self, connection: &Connection) -> Arc<dyn Transport> {
        let grant = match &connection.grant {
            Some(id) => self.context.store.grant(id).await.ok().flatten(),
            None => None,
        };
        let material = grant.map(|grant| grant.grant_material).unwrap_or_default();
        self.context.transport_with(material.certificate.as_ref())
    }

    /// What befell a connection.
    pub async fn history(&self, name: &ConnectionName) -> Result<History, StoreError> {
        incident::open(&self.context).await?;
        self.context.store.history(name).await
    }

    /// What a connection's provider says of itself today. Nothing is kept of it.
    pub async fn refetch_metadata(
        &self,
        connection: &Connection,
    ) -> Result<Refetched, DiscoveryError> {
        let reach = Reach::of(connection.internal);
        let transport = self.transport_of(connection).await;
        let (provider, reply) =
            discovery::provider_and_reply(&*transport, &connection.issuer, reach).await?;
        Ok(Refetched {
            metadata: provider.metadata,
            skew_s: classify::skew_seconds(&reply, self.now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_access_is_named_only_where_the_provider_knows_it() {
        let metadata = |listed: &str| -> ServerMetadata {
            serde_json::from_str(&format!(
                r#"{{"issuer":"https://as.example","scopes_supported":[{listed}]}}"#
            ))
            .unwrap()
        };
        let lists = metadata(r#""openid","offline_access""#);
        let other = metadata(r#""openid""#);
        let named = |entry: Option<&str>, metadata| {
            refresh_scope(entry.and_then(catalogue::named), metadata)
        };
        let offline = Some("offline_access".to_owned());
        assert_eq!(named(None, Some(&lists)), offline);
        assert_eq!(named(None, Some(&other)), None);
        assert_eq!(named(None, None), None);
        assert_eq!(named(Some("okta"), Some(&other)), offline);
        assert_eq!(named(Some("google"), Some(&other)), None);
        let salesforce = named(Some("salesforce"), None);
        assert_eq!(salesforce.as_deref(), Some("refresh_token"));
    }
}
