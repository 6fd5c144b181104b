//! A store of your own: the six aggregates over a medium that keeps whole snapshots. It passes the suite that every store
//! must pass:
//!
//! ```text
//! cargo test -p authkeeper --features test-util --example toy_store
//! ```
//!
//! What a claim, a commit or a refusal does to a grant is decided by `GrantChange` in the model, and what a sign-in does by
//! `store::adoption`; the rows in memory (`store::memory::StoreRows`) apply both. A store reads, applies and writes, in
//! one transaction: here a write works on a copy of the newest snapshot, which takes its place. A store that outlives
//! its process also seals every secret before it reaches its medium (`vault::seal`), and returns from a write when that is
//! durable.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    model::{
        ClientId, ClientRegistration, Connection, ConnectionName, FailedCall, Grant, GrantChange,
        GrantChanged, GrantId, Incident, IncidentId, Issuer, Observation, Provider,
        ProviderObservation, Record, TaskId,
    },
    secret::SecretString,
    store::{
        CarriedCall, Clients, Connections, Epoch, Grants, History, Incidents, NewIncident,
        Observations, PendingSignIn, Remembered, RememberedChange, Result, SignedIn, Store,
        StoreError, Tasks, Use, memory::StoreRows,
    },
};
use jiff::Timestamp;

/// What all processes share: each commit is a snapshot.
type Medium = Arc<Mutex<Vec<Arc<StoreRows>>>>;

/// One process's handle.
#[derive(Default)]
struct ToyStore {
    medium: Medium,
    epoch: Arc<Epoch>,
    used: Use,
    /// How many snapshots this process has seen.
    seen: AtomicUsize,
}

impl ToyStore {
    fn on(medium: &Medium) -> Arc<Self> {
        let medium = Arc::clone(medium);
        Arc::new(Self {
            medium,
            ..Self::default()
        })
    }

    fn rows(&self) -> Arc<StoreRows> {
        self.used.count_read();
        let medium = self.medium.lock().unwrap_or_else(PoisonError::into_inner);
        medium.last().cloned().unwrap_or_default()
    }

    fn commit<T>(&self, work: impl FnOnce(&mut StoreRows) -> T) -> Result<T> {
        let damaged = |error: PoisonError<_>| StoreError::Damaged {
            place: "memory".to_owned(),
            detail: error.to_string(),
        };
        let mut medium = self.medium.lock().map_err(damaged)?;
        let mut rows = medium.last().cloned().unwrap_or_default();
        let done = work(Arc::make_mut(&mut rows));
        medium.push(rows);
        self.used.count_commit();
        self.epoch.raise();
        Ok(done)
    }
}

#[async_trait]
impl Store for ToyStore {
    fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    fn look(&self) -> Result<()> {
        self.used.count_read();
        let medium = self.medium.lock().unwrap_or_else(PoisonError::into_inner);
        if self.seen.swap(medium.len(), Ordering::AcqRel) != medium.len() {
            self.epoch.raise();
        }
        Ok(())
    }

    fn used(&self) -> &Use {
        &self.used
    }

    async fn settle_here(&self, _at: Timestamp) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Grants for ToyStore {
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        let rows = self.rows();
        Ok(rows.grants.get(id).map(|row| row.record.grant.clone()))
    }

    async fn change(&self, id: &GrantId, change: GrantChange) -> Result<GrantChanged> {
        self.commit(|rows| rows.change(id, &change))
    }
}

#[async_trait]
impl Connections for ToyStore {
    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        Ok(self.rows().connections.get(name).cloned())
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        Ok(self.rows().connections.values().cloned().collect())
    }

    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>> {
        Ok(self.rows().holders((issuer, client), refresh))
    }

    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant> {
        self.commit(|rows| rows.adopt(&signed_in))
    }

    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>> {
        self.commit(|rows| rows.disconnect(name, at))
    }

    async fn forget(&self, name: &ConnectionName) -> Result<()> {
        self.commit(|rows| rows.forget(name))
    }

    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.keep_pending(pending, at))
    }

    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>> {
        Ok(self.rows().pending.get(name).cloned())
    }

    async fn drop_pending(&self, name: &ConnectionName) -> Result<()> {
        self.commit(|rows| drop(rows.pending.remove(name)))
    }
}

#[async_trait]
impl Clients for ToyStore {
    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>> {
        Ok(self.rows().provider(issuer, client).cloned())
    }

    async fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>> {
        Ok(self.rows().registration(issuer, id).cloned())
    }

    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        Ok(self.rows().registered_clients(issuer))
    }

    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()> {
        self.commit(|rows| {
            rows.put_provider(provider, &client.client_id);
            rows.put_client(client);
        })
    }

    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        self.commit(|rows| rows.put_provider(provider, client))
    }

    async fn mark_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        refused: Option<Timestamp>,
    ) -> Result<()> {
        self.commit(|rows| rows.mark_registration(issuer, id, refused))
    }

    async fn mark_secret(&self, secret: u64, refused: Option<Timestamp>) -> Result<()> {
        self.commit(|rows| rows.mark_secret(secret, refused))
    }
}

#[async_trait]
impl Incidents for ToyStore {
    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)> {
        self.commit(|rows| rows.keep_incident(incident))
    }

    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        self.commit(|rows| rows.amend_incident(id, record))
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        Ok(self.rows().open_incidents())
    }

    async fn history(&self, connection: &ConnectionName) -> Result<History> {
        Ok(self.rows().history(connection))
    }

    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.end_incidents_of_all(connection, at))
    }

    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.end_incident(id, at))
    }

    async fn claim_notification(&self, id: &IncidentId, _at: Timestamp) -> Result<bool> {
        self.commit(|rows| rows.claim_notification(id))
    }
}

#[async_trait]
impl Tasks for ToyStore {
    async fn longest_run(&self) -> Result<Option<Duration>> {
        Ok(self.rows().longest_run())
    }

    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.begin_task(task, process, at))
    }

    async fn end_task(&self, task: &TaskId, _code: i32, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.end_task(task, at))
    }

    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        Ok(self.rows().task_led_by(processes))
    }

    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.call_failed(call, reason, at))
    }

    async fn call_recovered(&self, call: &CarriedCall, _at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.call_recovered(call))
    }

    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        Ok(self.rows().unrecovered(task))
    }
}

#[async_trait]
impl Observations for ToyStore {
    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        self.commit(|rows| rows.observation(observation, at))
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        Ok(self.rows().observed(issuer))
    }

    async fn remembered(&self, of: &Remembered) -> Result<Option<String>> {
        Ok(self.rows().remembered.get(of).cloned())
    }

    async fn remember(&self, change: RememberedChange) -> Result<bool> {
        self.commit(|rows| rows.remember(change))
    }
}

#[tokio::main]
async fn main() {
    authkeeper::store::conformance::run(|| {
        let medium = Medium::default();
        let (one, other) = (ToyStore::on(&medium), ToyStore::on(&medium));
        async move { (one as Arc<dyn Store>, other as Arc<dyn Store>) }
    })
    .await;
    #[expect(clippy::print_stdout, reason = "an example tells its user")]
    {
        println!("the toy store passes the suite");
    }
}

#[test]
fn the_toy_store_passes_the_suite() {
    main();
}
