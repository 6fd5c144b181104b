//! [`Store`] for [`SqliteStore`]: each method in the file of its subject.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{
        ClientId, ClientRegistration, Connection, ConnectionName, Event, FailedCall, Grant,
        GrantChange, GrantChanged, GrantId, Incident, IncidentId, Issuer, Observation, Provider,
        ProviderObservation, Record, TaskId,
    },
    secret::SecretString,
    store::{
        CarriedCall, Clients, Connections, Epoch, Grants, History, Incidents, NewIncident,
        Observations, PendingSignIn, Remembered, RememberedChange, Result, SignedIn, Store, Tasks,
        Use,
        sqlite::{
            SqliteStore, clients, copy_detection, copy_detection::Home, history,
            incidents::keep_incident, observations, pending::drop_pending, remembered, sign_in,
            statement::audit,
        },
    },
    vault::ResealCount,
};

#[async_trait]
impl Connections for SqliteStore {
    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        Self::connection(self, name)
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        Self::connections(self)
    }

    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>> {
        let mark = self.seals.mark(refresh);
        self.read(|sql| sign_in::holders(sql, (issuer, client), &mark))
    }

    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant> {
        self.adopt(signed_in).await
    }

    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>> {
        Self::disconnect(self, name, at).await
    }

    async fn forget(&self, name: &ConnectionName) -> Result<()> {
        Self::forget(self, name).await
    }

    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()> {
        Self::keep_pending(self, pending, at).await
    }

    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>> {
        Self::pending(self, name)
    }

    async fn drop_pending(&self, name: &ConnectionName) -> Result<()> {
        let name = name.clone();
        self.write(move |sql| drop_pending(sql, name.as_str()))
            .await
    }
}

#[async_trait]
impl Grants for SqliteStore {
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        Self::read_grant(self, id)
    }

    async fn change(&self, id: &GrantId, change: GrantChange) -> Result<GrantChanged> {
        Self::change_grant(self, id, change).await
    }
}

#[async_trait]
impl Clients for SqliteStore {
    async fn mark_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        refused: Option<Timestamp>,
    ) -> Result<()> {
        Self::mark_registration(self, issuer, id, refused).await
    }

    async fn mark_secret(&self, secret: u64, refused: Option<Timestamp>) -> Result<()> {
        Self::mark_secret(self, secret, refused).await
    }

    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>> {
        self.read(|sql| clients::provider(sql, issuer, client))
    }

    async fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>> {
        Self::registration(self, issuer, id)
    }

    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        Self::registered_clients(self, issuer)
    }

    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()> {
        Self::keep_registration(self, provider, client).await
    }

    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        Self::keep_provider(self, provider, client).await
    }
}

#[async_trait]
impl Incidents for SqliteStore {
    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)> {
        self.write(move |sql| keep_incident(sql, &incident)).await
    }

    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        Self::amend_incident(self, id, record).await
    }

    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool> {
        Self::is_open(self, connection, event)
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        Self::incidents(self)
    }

    async fn history(&self, connection: &ConnectionName) -> Result<History> {
        self.read(|sql| history::of(sql, connection))
    }

    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()> {
        Self::end_incidents(self, connection, at).await
    }

    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        Self::end_incident(self, id, at).await
    }

    async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool> {
        Self::claim_notification(self, id, at).await
    }
}

#[async_trait]
impl Tasks for SqliteStore {
    async fn longest_run(&self) -> Result<Option<Duration>> {
        Self::longest_run(self)
    }

    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()> {
        Self::begin_task(self, task, process, at).await
    }

    async fn end_task(&self, task: &TaskId, code: i32, at: Timestamp) -> Result<()> {
        Self::end_task(self, task, code, at).await
    }

    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        Self::task_led_by(self, processes)
    }

    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()> {
        Self::call_failed(self, call, reason, at).await
    }

    async fn call_recovered(&self, call: &CarriedCall, at: Timestamp) -> Result<()> {
        Self::call_recovered(self, call, at).await
    }

    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        Self::unrecovered(self, task)
    }
}

#[async_trait]
impl Observations for SqliteStore {
    async fn remembered(&self, of: &Remembered) -> Result<Option<String>> {
        self.read(|sql| remembered::read(sql, of))
    }

    async fn remember(&self, change: RememberedChange) -> Result<bool> {
        self.write(move |sql| remembered::change(sql, &change))
            .await
    }

    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        let observation = observation.clone();
        self.write(move |sql| observations::put(sql, &observation, at))
            .await
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        self.read(|sql| observations::all(sql, issuer))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    fn look(&self) -> Result<()> {
        self.read(|sql| {
            // It changes with every commit that another connection than the reader made, in whatever process.
            let mut version = sql.prepare_cached("PRAGMA data_version")?;
            let version: i64 = version.query_row([], |row| row.get(0))?;
            if self.seen.swap(version, Ordering::AcqRel) != version {
                self.epoch.raise();
            }
            Ok(())
        })
    }

    fn used(&self) -> &Use {
        &self.used
    }

    fn is_copy(&self) -> bool {
        self.copied.load(Ordering::Relaxed)
    }

    async fn settle_here(&self, at: Timestamp) -> Result<()> {
        let here = Home::of(&self.path);
        self.write(move |sql| {
            copy_detection::settle(sql, &here)?;
            audit(sql, at, &serde_json::json!({"event": "copy_adopted"}))
        })
        .await?;
        self.copied.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn reseal(&self) -> Result<ResealCount> {
        self.reseal_rows().await
    }
}
