//! The status of a connection.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    error::TokenError,
    http::{CertificateFacts, CertificateFiles, UnusableCertificate},
    model::{
        Claim, ClaimPhase, Connection, ConnectionName, ConnectionState, Failing, Grant, GrantType,
        Health, HealthFacts, Incident, Moment, Scope, ScopeRequest, health,
    },
    oauth::bound_certificate,
    refresh::{decide, incident, provider_state},
    runtime::Runtime,
    store::StoreError,
};

/// A connection as it stands now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// The connection.
    pub connection: Connection,
    /// Its state.
    pub state: ConnectionState,
    /// Which sign-in its grant stems from.
    pub lineage: u64,
    /// Which generation its grant is at.
    pub generation: u64,
    /// When the access token ends, if there is one.
    pub expires_at: Option<Timestamp>,
    /// How long the access token may still be presented.
    pub left: Duration,
    /// When it is due for refresh.
    pub due_in: Duration,
    /// Whether it can be refreshed without a person.
    pub refreshable: bool,
    /// How its grant was given.
    pub grant_type: Option<GrantType>,
    /// When a person should replace an API key.
    pub rotate_by: Option<Timestamp>,
    /// Until when the API key before this one may serve again.
    pub standby_until: Option<Timestamp>,
    /// When the provider said that the refresh token ends.
    pub refresh_expires_at: Option<Timestamp>,
    /// What was granted.
    pub scope: Option<Scope>,
    /// What calls were refused for lack of: the next sign-in asks for it.
    pub scope_request: Option<ScopeRequest>,
    /// A refresh that somebody is at.
    pub claim: Option<Claim>,
    /// After a lost answer: when the provider is asked again; none where it is not told yet (late in the token's life).
    pub asked_again_in: Option<Duration>,
    /// The incidents that are not over.
    pub incidents: Vec<Incident>,
    /// Whether calls work, why not, and whose move it is.
    pub health: Health,
    /// The client certificate that its servers are shown, if it has one of its own.
    pub certificate: Option<OwnCertificate>,
}

/// Where a connection's client certificate is (RFC 8705). What its files hold is looked at by those that tell of it alone.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    files: CertificateFiles,
    /// The thumbprint that the access token says it is bound to.
    bound: Option<String>,
}

/// A connection's client certificate as its files hold it now (RFC 8705).
#[derive(Clone, Debug)]
pub struct CertificateStatus {
    /// Where it is.
    pub files: CertificateFiles,
    /// What it is, or why it can't be shown.
    pub found: Result<CertificateFacts, UnusableCertificate>,
    /// Whether the access token says itself that it is bound to another one.
    pub token_of_another: bool,
}

impl OwnCertificate {
    fn of(grant: &Grant) -> Option<Self> {
        let files = grant.grant_material.certificate.clone()?;
        let access = grant.access.as_ref();
        let bound = access.and_then(|access| bound_certificate(&access.secret));
        Some(Self { files, bound })
    }

    /// Reads the files.
    pub fn look(&self) -> CertificateStatus {
        let found = self.files.facts();
        let own = found.as_ref().ok().map(|facts| &facts.thumbprint);
        let both = self.bound.as_ref().zip(own);
        CertificateStatus {
            token_of_another: both.is_some_and(|(bound, own)| bound != own),
            files: self.files.clone(),
            found,
        }
    }
}

impl ConnectionStatus {
    /// Whether an answer was lost and it is not known whether the provider acted.
    pub fn is_uncertain(&self) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|claim| matches!(claim.phase, ClaimPhase::Unknown { .. }))
    }
}

/// Since when an answer has been missing.
fn uncertain_since(grant: &Grant) -> Option<Timestamp> {
    let claim = grant.claim.as_ref().filter(|claim| claim.is_uncertain())?;
    match claim.phase {
        ClaimPhase::Unknown { since, .. } => Some(since.wall),
        ClaimPhase::Spending => Some(claim.since.wall),
    }
}

fn rests_for(failing: &Failing, now: Moment) -> Option<Duration> {
    failing.rest.as_ref().map(|rest| rest.left(now))
}

impl Runtime {
    /// How one connection stands.
    pub async fn status(&self, name: &ConnectionName) -> Result<ConnectionStatus, TokenError> {
        let connection = self.context.store.connection(name).await?;
        let connection =
            connection.ok_or_else(|| TokenError::NoSuchConnection { name: name.clone() })?;
        let incidents = incident::open(&self.context).await?;
        Ok(self.status_of(connection, &incidents).await?)
    }

    /// How all connections stand, by name.
    pub async fn statuses(&self) -> Result<Vec<ConnectionStatus>, StoreError> {
        let incidents = incident::open(&self.context).await?;
        let mut all = Vec::new();
        for connection in self.context.store.connections().await? {
            all.push(self.status_of(connection, &incidents).await?);
        }
        Ok(all)
    }

    async fn status_of(
        &self,
        connection: Connection,
        incidents: &[Incident],
    ) -> Result<ConnectionStatus, StoreError> {
        let grant = match &connection.grant {
            Some(id) => self.context.store.grant(id).await?,
            None => None,
        };
        let now = self.context.seams.clock.now();
        let access = grant.as_ref().and_then(|grant| grant.access.as_ref());
        let refresh = grant.as_ref().and_then(|grant| grant.refresh.as_ref());
        let asked_again_in = match &grant {
            Some(grant) => self.asked_again_in(&connection, grant).await,
            None => None,
        };
        let of_this = |incident: &&Incident| incident.record.connection == connection.name.as_str();
        let incidents: Vec<Incident> = incidents.iter().filter(of_this).cloned().collect();
        let failing = match &grant {
            Some(grant) => provider_state::failing_of(&self.context, grant).await,
            None => None,
        };
        let left = access.map(|token| token.left(now)).unwrap_or_default();
        let health = health(&HealthFacts {
            name: &connection.name,
            lifecycle: grant.as_ref().map(|grant| &grant.lifecycle),
            grant_type: grant.as_ref().map(|grant| grant.grant_type),
            refreshable: grant.as_ref().is_some_and(Grant::is_refreshable),
            left,
            uncertain_since: grant.as_ref().and_then(uncertain_since),
            asked_again_in,
            failing: failing.as_ref(),
            rests_for: failing.as_ref().and_then(|failing| rests_for(failing, now)),
            incidents: &incidents,
            now: now.wall,
        });
        let grant_view = grant.as_ref().map(|grant| {
            let provider = connection.provider.as_deref();
            self.context.grant_view(provider, grant)
        });
        let due_in = grant_view.map(|grant_view| decide::until_due(grant_view, now));
        let step_ups = self.context.store.step_ups(&connection.name).await?;
        Ok(ConnectionStatus {
            state: ConnectionState::of(grant.as_ref()),
            lineage: grant.as_ref().map_or(0, |grant| grant.lineage.0),
            generation: grant.as_ref().map_or(0, |grant| grant.generation.0),
            expires_at: access.and_then(crate::model::AccessToken::expires_at),
            grant_type: grant.as_ref().map(|grant| grant.grant_type),
            rotate_by: grant.as_ref().and_then(|grant| grant.rotate_by),
            standby_until: grant
                .as_ref()
                .and_then(|grant| Some(grant.standby.as_ref()?.until)),
            left,
            due_in: due_in.unwrap_or_default(),
            refreshable: grant.as_ref().is_some_and(Grant::is_refreshable),
            refresh_expires_at: refresh.and_then(|token| token.expires_at),
            scope: access.and_then(|token| token.scope.clone()),
            scope_request: step_ups.scope_request(),
            claim: grant.as_ref().and_then(|grant| grant.claim.clone()),
            asked_again_in,
            certificate: grant.as_ref().and_then(OwnCertificate::of),
            incidents,
            health,
            connection,
        })
    }

    async fn asked_again_in(&self, connection: &Connection, grant: &Grant) -> Option<Duration> {
        let claim = grant.claim.as_ref()?;
        let now = self.context.seams.clock.now();
        let left = grant.access.as_ref().map(|access| access.left(now));
        let provider = connection.provider.as_deref();
        let rules = self.context.recovery(provider, grant).await;
        decide::asked_again_in(claim, rules, left.unwrap_or_default(), now)
    }
}
