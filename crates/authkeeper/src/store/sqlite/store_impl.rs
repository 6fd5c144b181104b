//! [`Store`] for [`SqliteStore`]: each method in the file of its subject.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{
        AttemptId, Claim, ClientId, ClientRegistration, Connection, ConnectionName, Event,
        FailedCall, Failing, FailingOf, Generation, Grant, GrantId, Incident, IncidentId, Issuer,
        Lineage, Moment, Observation, Provider, ProviderObservation, ReauthorizeReason, Record,
        RefreshToken, StepUps, TaskId, UnknownKind, Validation,
    },
    secret::SecretString,
    store::{
        CarriedCall, Committed, Epoch, FailingChange, History, NewIncident, NewKey, PendingSignIn,
        Refreshed, Result, SignedIn, Spend, Store, Use,
        sqlite::{
            SqliteStore, clients, copy_detection, copy_detection::Home, failing, history,
            incidents::keep_incident, observations, pending::drop_pending, refusals, sign_in,
            statement::audit, step_ups, validations,
        },
    },
    vault::ResealCount,
};

#[async_trait]
impl Store for SqliteStore {
    fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    fn used(&self) -> &Use {
        &self.used
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

    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        Self::connection(self, name)
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        Self::connections(self)
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        Self::grant(self, id)
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

    async fn refuse_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<()> {
        Self::refuse_registration(self, issuer, id, at).await
    }

    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>> {
        let mark = self.mark(refresh);
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

    async fn claim(&self, spend: &Spend, claim: &Claim) -> Result<bool> {
        Self::claim(self, spend, claim).await
    }

    async fn claim_probe(&self, spend: &Spend, claim: &Claim, at: Timestamp) -> Result<bool> {
        Self::claim_probe(self, spend, claim, at).await
    }

    async fn count_suspect(&self, grant: &GrantId) -> Result<u32> {
        Self::count_suspect(self, grant).await
    }

    async fn note_refusal(&self, grant: &GrantId, words: &str, now: Moment) -> Result<Moment> {
        let (grant, words) = (grant.clone(), words.to_owned());
        self.write(move |sql| refusals::note(sql, &grant, &words, now))
            .await
    }

    async fn take_over(&self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> Result<bool> {
        Self::take_over(self, spend, seen, claim).await
    }

    async fn release(&self, grant: &GrantId, attempt: &AttemptId) -> Result<bool> {
        Self::release(self, grant, attempt).await
    }

    async fn mark_unknown(
        &self,
        grant: &GrantId,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> Result<bool> {
        Self::mark_unknown(self, grant, attempt, kind, since).await
    }

    async fn keep_subject(
        &self,
        spend: &Spend,
        (attempt, shown): (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> Result<bool> {
        Self::keep_subject(self, spend, (attempt, shown), refresh).await
    }

    async fn commit_refresh(&self, refreshed: Refreshed) -> Result<Committed> {
        Self::commit_refresh(self, refreshed).await
    }

    async fn require_sign_in(
        &self,
        grant: &GrantId,
        lineage: Lineage,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        Self::require_sign_in(self, grant, lineage, reason, at).await
    }

    async fn commit_refusal(
        &self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        Self::commit_refusal(self, spend, attempt, reason, at).await
    }

    async fn refuse_secret(&self, secret: u64, at: Timestamp) -> Result<()> {
        Self::refuse_secret(self, secret, at).await
    }

    async fn accept_registration(&self, issuer: &Issuer, id: &ClientId) -> Result<()> {
        Self::accept_registration(self, issuer, id).await
    }

    async fn accept_secret(&self, secret: u64) -> Result<()> {
        Self::accept_secret(self, secret).await
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

    async fn confirm_sole_copy(&self, grant: &GrantId, at: Timestamp) -> Result<bool> {
        let grant = grant.clone();
        self.write(move |sql| sign_in::confirm_sole_copy(sql, &grant, at))
            .await
    }

    async fn replace_key(&self, grant: &GrantId, seen: Generation, key: &NewKey) -> Result<bool> {
        self.put_new_key(grant, seen, key).await
    }

    async fn fall_back(&self, grant: &GrantId, refused: Generation, at: Moment) -> Result<bool> {
        self.put_standby_back(grant, refused, at).await
    }

    async fn reseal(&self) -> Result<ResealCount> {
        self.reseal_rows().await
    }

    async fn retire_access(&self, grant: &GrantId, generation: Generation) -> Result<()> {
        Self::retire_access(self, grant, generation).await
    }

    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        let observation = observation.clone();
        self.write(move |sql| observations::put(sql, &observation, at))
            .await
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        self.read(|sql| observations::all(sql, issuer))
    }

    async fn failing(&self, of: &FailingOf) -> Result<Option<Failing>> {
        self.read(|sql| failing::of(sql, of))
    }

    async fn put_failing(&self, change: FailingChange) -> Result<bool> {
        Self::put_failing(self, change).await
    }

    async fn validation(&self, name: &ConnectionName) -> Result<Option<Validation>> {
        self.read(|sql| validations::of(sql, name))
    }

    async fn put_validation(
        &self,
        name: &ConnectionName,
        seen: Option<&Validation>,
        new: &Validation,
    ) -> Result<bool> {
        let (name, seen, new) = (name.clone(), seen.cloned(), new.clone());
        self.write(move |sql| validations::put(sql, &name, (seen.as_ref(), &new)))
            .await
    }

    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)> {
        self.write(move |sql| keep_incident(sql, &incident)).await
    }

    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        Self::amend_incident(self, id, record).await
    }

    async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps> {
        self.read(|sql| step_ups::of(sql, name))
    }

    async fn put_step_ups(
        &self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> Result<bool> {
        let (name, seen, new) = (name.clone(), seen.clone(), new.clone());
        self.write(move |sql| step_ups::put(sql, &name, (&seen, &new)))
            .await
    }

    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool> {
        Self::is_open(self, connection, event)
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        Self::incidents(self)
    }

    async fn longest_run(&self) -> Result<Option<Duration>> {
        Self::longest_run(self)
    }

    async fn history(&self, connection: &ConnectionName) -> Result<History> {
        self.read(|sql| history::of(sql, connection))
    }

    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        Self::end_incident(self, id, at).await
    }

    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()> {
        Self::end_incidents(self, connection, at).await
    }

    async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool> {
        Self::claim_notification(self, id, at).await
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
