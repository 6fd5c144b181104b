//! The public handle: everything an embedder or the command line does goes through [`Runtime`].

mod access_token;
pub mod inspect;
mod issuer_change;
pub mod rotate_key;
pub(crate) mod step_up;
pub mod token_cache;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

pub use crate::refresh::scheduler::RefreshScheduler;
use crate::{
    error::TokenError,
    http::Transport,
    incident,
    model::{
        Claim, ClaimPhase, Connection, ConnectionName, ConnectionState, Event, FailedCall,
        Generation, Grant, GrantLifecycle, GrantType, Incident, IncidentId, Lineage, Presentation,
        Record, Resource, Scope, ScopeRequest, TaskId,
    },
    oauth::dpop::Binding,
    platform::{
        clock::Seams,
        files::Folder,
        filesystem,
        process_lease::{Owners, private_folder},
        tasks::TokioTasks,
    },
    refresh::{
        Context, OnBehalfOf, RefreshRules,
        decide::{self, Freshness},
        decision_log::DecisionLog,
        findings::Findings,
        goal::Goal,
        outcome::RefreshOutcome,
        reply_archive::ReplyArchive,
        single_flight::Flights,
        unkept_replies::UnkeptReplies,
    },
    runtime::{step_up::Turns, token_cache::Live},
    secret::SecretString,
    store::{CarriedCall, StoreError, Use, sqlite::SqliteStore},
    vault::seal::unusable,
};

/// Where things are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The folder that holds the store and what lies beside it.
    pub data: PathBuf,
    /// The store's file; `store.db` in the folder if none is named.
    pub store: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// The waits of the refresh transaction and the providers' habits.
    pub rules: RefreshRules,
}

impl Settings {
    /// The usual places in one folder.
    pub fn in_folder(data: PathBuf) -> Self {
        let (store, key) = (data.join("store.db"), data.join("key"));
        Self {
            data,
            store,
            key,
            rules: RefreshRules::default(),
        }
    }
}

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    connection: ConnectionName,
    min_ttl: Option<Duration>,
    rejected: Option<Generation>,
}

impl TokenRequest {
    /// A token for this connection.
    pub fn new(connection: ConnectionName) -> Self {
        Self {
            connection,
            min_ttl: None,
            rejected: None,
        }
    }

    pub(crate) fn connection(&self) -> &ConnectionName {
        &self.connection
    }

    pub(crate) fn ask(&self) -> Freshness {
        Freshness {
            min_ttl: self.min_ttl,
            rejected: self.rejected,
        }
    }

    /// One that lives at least this much longer, if the provider can give that.
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Option<Duration>) -> Self {
        self.min_ttl = min_ttl;
        self
    }

    /// One newer than this generation, which just got a 401.
    #[must_use]
    pub fn after_401(mut self, rejected: Option<Generation>) -> Self {
        self.rejected = rejected;
        self
    }
}

/// A token that may be presented now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The access token.
    pub secret: SecretString,
    /// Which generation it is: named when it gets a 401.
    pub generation: Generation,
    /// Which sign-in it stems from: named when it gets a 403 for lack of a scope.
    pub lineage: Lineage,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends; none if it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// What was granted, where known.
    pub scope: Option<Scope>,
    /// What it is for.
    pub resource: Option<Resource>,
    /// Where it may be sent: the connection's URL. A token goes to this origin and no other.
    pub url: String,
    /// How it is shown there.
    pub presentation: Presentation,
    /// The key that it is bound to; it is good only with a proof of that for each request (RFC 9449).
    pub binding: Option<Binding>,
    /// Whether it lives as long as was asked for.
    pub min_ttl_met: bool,
}

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
}

impl ConnectionStatus {
    /// Whether an answer was lost and it is not known whether the provider acted.
    pub fn is_uncertain(&self) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|claim| matches!(claim.phase, ClaimPhase::Unknown { .. }))
    }
}

/// The runtime: a store, a transport, and the refresh transaction over both.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) context: Arc<Context>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) live: Arc<Live>,
    pub(crate) turns: Arc<Turns>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}

/// How long ahead a key's owner is told that it should be replaced.
pub const ROTATION_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

impl Runtime {
    /// Opens the store and its folder, making both where they are not.
    pub fn open(
        settings: &Settings,
        seams: Seams,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, StoreError> {
        Self::context(settings, seams, transport).map(Self::over)
    }

    /// What a runtime stands on, over the store and its folder.
    pub(crate) fn context(
        settings: &Settings,
        seams: Seams,
        transport: Arc<dyn Transport>,
    ) -> Result<Context, StoreError> {
        filesystem::check(&settings.data)?;
        let folder = |name: &str| {
            let path = settings.data.join(name);
            private_folder(&path)
                .map_err(|error| unusable(&path, &error))
                .map(|()| path)
        };
        let (journals, owners, decisions) =
            (folder("spill")?, folder("owners")?, folder("decisions")?);
        let answers = folder("answers")?;
        let store = SqliteStore::open(&settings.store, &settings.key, &seams)?;
        Ok(Context {
            reply_archive: ReplyArchive::new(Folder::on_disk(answers), store.sealer().clone()),
            sealer: store.sealer().clone(),
            store: Arc::new(store),
            transport,
            seams,
            tasks: Arc::new(TokioTasks),
            owners: Owners::new(owners),
            journals: Folder::on_disk(journals),
            rules: settings.rules.clone(),
            log: DecisionLog::new(decisions),
            findings: Findings::default(),
            unkept_replies: UnkeptReplies::default(),
            heard: Arc::default(),
        })
    }

    /// A runtime over these tools.
    pub(crate) fn over(context: Context) -> Self {
        let context = Arc::new(context);
        Self {
            flights: Flights::new(Arc::clone(&context)),
            live: Live::new(Arc::clone(&context.seams.clock), &*context.store),
            turns: Arc::default(),
            context,
        }
    }

    /// What its keepers stand on.
    #[cfg(feature = "simulation")]
    pub(crate) fn parts(&self) -> (Arc<Context>, Arc<Flights>) {
        (Arc::clone(&self.context), Arc::clone(&self.flights))
    }

    /// Keeps these connections fresh ahead of time for as long as the keeper lives.
    pub fn keep_fresh(&self, connections: Vec<ConnectionName>) -> RefreshScheduler {
        // From now on this process is seen to be at work, claim or no claim.
        if let Err(error) = self.context.owners.mine(&self.context.seams) {
            tracing::warn!(%error, "can't show that this process lives");
        }
        RefreshScheduler::start(&self.context, &self.flights, connections)
    }

    /// Refreshes once, now, however long the current token may live: an imported grant has proved nothing yet.
    pub async fn prove(&self, name: &ConnectionName) -> Result<Arc<IssuedToken>, TokenError> {
        let (connection, grant) = self.find(name).await?;
        let on_behalf_of = OnBehalfOf::of(&connection);
        let request = TokenRequest::new(name.clone());
        if grant.is_refreshable() && grant.lifecycle == GrantLifecycle::Active {
            let goal = Goal::of(&grant);
            let end = self
                .flights
                .refresh(&on_behalf_of, goal, decide::Why::Proof)
                .await;
            if !matches!(
                end,
                RefreshOutcome::Fresh | RefreshOutcome::Refused | RefreshOutcome::Withdrawn
            ) {
                return Err(Self::failed(&connection, &grant, end, self.now()));
            }
        }
        self.access_token(&request).await
    }

    /// A connection's token was taken by its resource: what was told of that resource refusing it is over.
    pub async fn token_works(&self, name: &ConnectionName) -> Result<(), TokenError> {
        let (_, grant) = self.find(name).await?;
        let is_over = |record: &Record| match record.event {
            Event::ReauthorizationRequired => grant.grant_type == GrantType::ApiKey,
            Event::AuthorityLost => record.reason == incident::REJECTED,
            _ => false,
        };
        for incident in incident::open(&self.context).await? {
            if incident.record.connection == name.as_str() && is_over(&incident.record) {
                let store = &self.context.store;
                store.end_incident(&incident.id, self.now()).await?;
            }
        }
        Ok(())
    }

    /// Whether the store is a copy that spends nothing yet.
    pub fn store_is_copy(&self) -> bool {
        self.context.store.is_copy()
    }

    /// A person has confirmed that the other copy of the store is retired.
    pub async fn settle_here(&self) -> Result<(), StoreError> {
        self.context.store.settle_here(self.now()).await
    }

    /// Waits until no refresh of this process is under way; false if `patience` ran out.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.flights.drain(patience).await
    }

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
            left: access.map(|token| token.left(now)).unwrap_or_default(),
            due_in: grant
                .as_ref()
                .map(|g| self.context.grant_view(connection.provider.as_deref(), g))
                .map(|grant_view| decide::until_due(grant_view, now))
                .unwrap_or_default(),
            refreshable: grant.as_ref().is_some_and(Grant::is_refreshable),
            refresh_expires_at: refresh.and_then(|token| token.expires_at),
            scope: access.and_then(|token| token.scope.clone()),
            scope_request: self
                .context
                .store
                .step_ups(&connection.name)
                .await?
                .scope_request(),
            claim: grant.as_ref().and_then(|grant| grant.claim.clone()),
            asked_again_in,
            incidents: incidents.iter().filter(of_this).cloned().collect(),
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

    /// Looks at the store, and gives a number that has changed if anything was written to it since, by whatever process. It
    /// costs little, and shows within [`decide::BELIEVED_FOR`] what others wrote.
    pub fn changes(&self) -> Result<u64, StoreError> {
        self.live.look(&*self.context.store)?;
        Ok(self.context.store.epoch().get())
    }

    /// The incidents that are not over.
    pub async fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        incident::open(&self.context).await
    }

    /// How long after now the owner is to be notified of an incident, if all stays as it is: zero when that is due, none when
    /// it is over. See [`decide::notify_after`].
    pub async fn notify_in(&self, incident: &Incident) -> Result<Option<Duration>, StoreError> {
        incident::notify_in(&self.context, incident).await
    }

    /// Takes the duty to tell the owner of an incident that is not over; true for exactly one caller of all processes.
    pub async fn claim_notification(&self, id: &IncidentId) -> Result<bool, StoreError> {
        self.context.store.claim_notification(id, self.now()).await
    }

    /// Begins a run led by this process.
    pub async fn begin_task(&self, process: &str) -> Result<TaskId, StoreError> {
        let task = TaskId::new(self.context.seams.random_id());
        self.context
            .store
            .begin_task(&task, process, self.now())
            .await?;
        Ok(task)
    }

    /// Ends a run.
    pub async fn end_task(&self, task: &TaskId, code: i32) -> Result<(), StoreError> {
        self.context.store.end_task(task, code, self.now()).await
    }

    /// The open run led by one of these processes.
    pub async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>, StoreError> {
        self.context.store.task_led_by(processes).await
    }

    /// Notes that a carried call failed for lack of authority.
    pub async fn call_failed(&self, call: &CarriedCall, reason: &str) -> Result<(), StoreError> {
        self.context
            .store
            .call_failed(call, reason, self.now())
            .await
    }

    /// Notes that a call that had failed has now succeeded.
    pub async fn call_recovered(&self, call: &CarriedCall) -> Result<(), StoreError> {
        self.context.store.call_recovered(call, self.now()).await
    }

    /// The calls of a run that failed and were not recovered.
    pub async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>, StoreError> {
        self.context.store.unrecovered(task).await
    }

    /// An unguessable value, for a handle.
    pub fn random_handle(&self) -> SecretString {
        format!(
            "{}{}",
            self.context.seams.random_id(),
            self.context.seams.random_id()
        )
        .into()
    }

    /// What this process has asked of the store so far.
    pub fn store_use(&self) -> &Use {
        self.context.store.used()
    }

    /// The time by the runtime's clock.
    pub fn now(&self) -> Timestamp {
        self.context.seams.clock.now().wall
    }
}
