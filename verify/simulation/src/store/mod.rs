//! A store in memory that behaves as the real one does, row by row and compare-and-set by compare-and-set. What happens
//! around a write (its turn, its failure, a lost answer) is decided by [`Hooks`].

mod adopt;
mod clients;
mod observations;
mod rows;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    model::{
        AttemptId, Claim, ClaimPhase, ClientId, ClientRegistration, Connection, ConnectionName,
        Event, FailedCall, Failing, FailingOf, Generation, Grant, GrantId, GrantLifecycle,
        Incident, IncidentId, Issuer, Lineage, Moment, Observation, Provider, ProviderObservation,
        ReauthorizeReason, Record, RefreshToken, StepUps, TaskId, UnknownKind, Validation,
    },
    secret::SecretString,
    store::{
        CarriedCall, Committed, Epoch, FailingChange, History, NewIncident, NewKey, PendingSignIn,
        Refreshed, Result, SignedIn, Spend, Store, Use,
    },
};
use jiff::Timestamp;

pub use self::rows::{GrantRow, StoreRows};

/// The writes that the simulation tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreWrite {
    Claim,
    TakeOver,
    Release,
    MarkUnknown,
    Commit,
    Refuse,
    SignIn,
    Disconnect,
    Forget,
    Other,
}

/// What happens around reads and writes.
#[async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Before a read: it may fail.
    fn read(&self) -> Result<()>;
    /// Waits for the turn of a write. An error means that nothing was written.
    async fn turn(&self, write: StoreWrite) -> Result<()>;
    /// It is durable; `done` says whether it changed what it was to change. An error means that its answer was lost.
    async fn written(&self, write: StoreWrite, done: bool) -> Result<()>;
}

/// Nothing happens around them.
#[derive(Clone, Copy, Debug)]
pub struct Calm;

#[async_trait]
impl Hooks for Calm {
    fn read(&self) -> Result<()> {
        Ok(())
    }

    async fn turn(&self, _write: StoreWrite) -> Result<()> {
        Ok(())
    }

    async fn written(&self, _write: StoreWrite, _done: bool) -> Result<()> {
        Ok(())
    }
}

/// The content, shared by all processes.
pub type Shared = Arc<Mutex<StoreRows>>;

/// One process's handle of the store.
pub struct MemoryStore {
    rows: Shared,
    hooks: Arc<dyn Hooks>,
    epoch: Arc<Epoch>,
    /// Which write this process saw last.
    seen: AtomicU64,
    used: Use,
}

pub fn lock(rows: &Shared) -> MutexGuard<'_, StoreRows> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    pub fn new(rows: Shared, hooks: Arc<dyn Hooks>) -> Self {
        Self {
            rows,
            hooks,
            epoch: Arc::default(),
            seen: AtomicU64::new(0),
            used: Use::default(),
        }
    }

    fn read<T>(&self, work: impl FnOnce(&StoreRows) -> T) -> Result<T> {
        self.used.count_read();
        self.hooks.read()?;
        Ok(work(&lock(&self.rows)))
    }

    async fn write<T: Send>(
        &self,
        write: StoreWrite,
        work: impl FnOnce(&mut StoreRows) -> (T, bool) + Send,
    ) -> Result<T> {
        self.hooks.turn(write).await?;
        let (out, done) = {
            let mut rows = lock(&self.rows);
            rows.touch();
            work(&mut rows)
        };
        self.used.count_commit();
        self.epoch.raise();
        self.hooks.written(write, done).await?;
        Ok(out)
    }

    async fn note(&self, work: impl FnOnce(&mut StoreRows) + Send) -> Result<()> {
        let done = |rows: &mut StoreRows| (work(rows), true);
        self.write(StoreWrite::Other, done).await
    }

    async fn decide(
        &self,
        write: StoreWrite,
        work: impl FnOnce(&mut StoreRows) -> bool + Send,
    ) -> Result<bool> {
        let twice = |rows: &mut StoreRows| {
            let done = work(rows);
            (done, done)
        };
        self.write(write, twice).await
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    fn look(&self) -> Result<()> {
        let last = self.read(|rows| rows.last_write)?;
        if self.seen.swap(last, Ordering::AcqRel) != last {
            self.epoch.raise();
        }
        Ok(())
    }

    fn used(&self) -> &Use {
        &self.used
    }

    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        self.read(|rows| rows.connections.get(name).cloned())
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        self.read(|rows| rows.connections.values().cloned().collect())
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        self.read(|rows| rows.grants.get(id).map(|row| row.grant.clone()))
    }

    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>> {
        self.read(|rows| rows.provider(issuer, client).cloned())
    }

    async fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>> {
        self.read(|rows| rows.client(issuer, id).cloned())
    }

    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        self.read(|rows| rows.registered(issuer))
    }

    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()> {
        self.note(|rows| {
            rows.put_provider(provider, &client.client_id);
            rows.put_client(client);
        })
        .await
    }

    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        self.note(|rows| rows.put_provider(provider, client)).await
    }

    async fn refuse_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<()> {
        self.note(|rows| {
            if let Some(client) = rows.client_mut(issuer, id) {
                client.refused = Some(at);
            }
        })
        .await
    }

    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>> {
        self.read(|rows| rows.holders(issuer, client, refresh))
    }

    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant> {
        let adopt = |rows: &mut StoreRows| (rows.adopt(signed_in), true);
        self.write(StoreWrite::SignIn, adopt).await
    }

    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>> {
        let disconnect = |rows: &mut StoreRows| {
            let grant = rows.disconnect(name, at);
            let done = grant.is_some();
            (grant, done)
        };
        self.write(StoreWrite::Disconnect, disconnect).await
    }

    async fn forget(&self, name: &ConnectionName) -> Result<()> {
        let forget = |rows: &mut StoreRows| (rows.forget(name), true);
        self.write(StoreWrite::Forget, forget).await
    }

    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.observation(observation, at)).await
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        self.read(|rows| rows.noticed_of(issuer))
    }

    fn is_copy(&self) -> bool {
        false
    }

    async fn settle_here(&self, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.tell(at, serde_json::json!({"event": "copy_adopted"})))
            .await
    }

    async fn claim(&self, spend: &Spend, claim: &Claim) -> Result<bool> {
        self.decide(StoreWrite::Claim, |rows| {
            rows.claim(spend, claim, |lifecycle| {
                *lifecycle == GrantLifecycle::Active
            })
        })
        .await
    }

    async fn claim_probe(&self, spend: &Spend, claim: &Claim, at: Timestamp) -> Result<bool> {
        self.decide(StoreWrite::Claim, |rows| {
            let claimed = rows.claim(spend, claim, |lifecycle| {
                matches!(lifecycle, GrantLifecycle::ReauthorizationRequired { .. })
            });
            if claimed && let Some(row) = rows.grants.get_mut(&spend.grant) {
                row.grant.probed = Some(at);
            }
            claimed
        })
        .await
    }

    async fn count_suspect(&self, grant: &GrantId) -> Result<u32> {
        let count = |rows: &mut StoreRows| {
            let row = rows.grants.get_mut(grant);
            let count = row.map_or(0, |row| {
                row.suspects += 1;
                row.suspects
            });
            (count, true)
        };
        self.write(StoreWrite::Other, count).await
    }

    async fn note_refusal(&self, grant: &GrantId, words: &str, now: Moment) -> Result<Moment> {
        let note = |rows: &mut StoreRows| {
            let Some(row) = rows.grants.get_mut(grant) else {
                return (now, false);
            };
            let same = row.refused.as_ref().filter(|(said, _)| said == words);
            let since = same.map_or(now, |(_, since)| *since);
            row.refused = Some((words.to_owned(), since));
            (since, true)
        };
        self.write(StoreWrite::Other, note).await
    }

    async fn take_over(&self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> Result<bool> {
        self.decide(StoreWrite::TakeOver, |rows| {
            rows.take_over(spend, seen, claim)
        })
        .await
    }

    async fn release(&self, grant: &GrantId, attempt: &AttemptId) -> Result<bool> {
        self.decide(StoreWrite::Release, |rows| {
            let held = rows.spending(grant, attempt);
            held.map(|grant| grant.claim = None).is_some()
        })
        .await
    }

    async fn mark_unknown(
        &self,
        grant: &GrantId,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> Result<bool> {
        self.decide(StoreWrite::MarkUnknown, |rows| {
            let held = rows.spending(grant, attempt);
            let claim = held.and_then(|grant| grant.claim.as_mut());
            claim
                .map(|claim| claim.phase = ClaimPhase::Unknown { kind, since })
                .is_some()
        })
        .await
    }

    async fn keep_subject(
        &self,
        spend: &Spend,
        by: (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> Result<bool> {
        self.decide(StoreWrite::Commit, |rows| {
            rows.keep_subject(spend, by, refresh)
        })
        .await
    }

    async fn commit_refresh(&self, refreshed: Refreshed) -> Result<Committed> {
        let commit = |rows: &mut StoreRows| {
            let committed = rows.commit(refreshed);
            (committed, committed == Committed::Yes)
        };
        self.write(StoreWrite::Commit, commit).await
    }

    async fn commit_refusal(
        &self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        self.decide(StoreWrite::Refuse, |rows| {
            rows.refuse(spend, attempt, reason, at)
        })
        .await
    }

    async fn refuse_secret(&self, secret: u64, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.mark_secret(secret, Some(at))).await
    }

    async fn accept_registration(&self, issuer: &Issuer, id: &ClientId) -> Result<()> {
        self.note(|rows| {
            if let Some(client) = rows.client_mut(issuer, id) {
                client.refused = None;
            }
        })
        .await
    }

    async fn accept_secret(&self, secret: u64) -> Result<()> {
        self.note(|rows| rows.mark_secret(secret, None)).await
    }

    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()> {
        self.note(|rows| {
            rows.pending.retain(|_, kept| kept.ends > at);
            rows.pending.insert(pending.name.clone(), pending.clone());
        })
        .await
    }

    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>> {
        self.read(|rows| rows.pending.get(name).cloned())
    }

    async fn drop_pending(&self, name: &ConnectionName) -> Result<()> {
        self.note(|rows| drop(rows.pending.remove(name))).await
    }

    async fn confirm_sole_copy(&self, grant: &GrantId, at: Timestamp) -> Result<bool> {
        self.decide(StoreWrite::Other, |rows| rows.confirm_sole_copy(grant, at))
            .await
    }

    async fn replace_key(&self, grant: &GrantId, seen: Generation, key: &NewKey) -> Result<bool> {
        self.decide(StoreWrite::Other, |rows| rows.replace_key(grant, seen, key))
            .await
    }

    async fn fall_back(&self, grant: &GrantId, refused: Generation, at: Moment) -> Result<bool> {
        self.decide(StoreWrite::Other, |rows| rows.fall_back(grant, refused, at))
            .await
    }

    async fn retire_access(&self, grant: &GrantId, generation: Generation) -> Result<()> {
        self.note(|rows| {
            if let Some(row) = rows.grants.get_mut(grant)
                && row
                    .grant
                    .access
                    .as_ref()
                    .is_some_and(|token| token.generation == generation)
            {
                row.grant.access = None;
            }
        })
        .await
    }

    async fn failing(&self, of: &FailingOf) -> Result<Option<Failing>> {
        self.read(|rows| rows.failing.get(of).cloned())
    }

    async fn put_failing(&self, change: FailingChange) -> Result<bool> {
        self.decide(StoreWrite::Other, |rows| rows.put_failing(change))
            .await
    }

    async fn validation(&self, name: &ConnectionName) -> Result<Option<Validation>> {
        self.read(|rows| rows.validations.get(name).cloned())
    }

    async fn put_validation(
        &self,
        name: &ConnectionName,
        seen: Option<&Validation>,
        new: &Validation,
    ) -> Result<bool> {
        let put = |rows: &mut StoreRows| rows.put_validation(name, seen, new);
        self.decide(StoreWrite::Other, put).await
    }

    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)> {
        let keep = |rows: &mut StoreRows| {
            let kept = rows.keep_incident(incident);
            let new = kept.1;
            (kept, new)
        };
        self.write(StoreWrite::Other, keep).await
    }

    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        self.note(|rows| rows.amend_incident(id, record)).await
    }

    async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps> {
        self.read(|rows| rows.step_ups.get(name).cloned().unwrap_or_default())
    }

    async fn alert_state(&self) -> Result<Option<String>> {
        self.read(|rows| rows.alerts.clone())
    }

    async fn put_alert_state(&self, seen: Option<&str>, new: Option<&str>) -> Result<bool> {
        self.decide(StoreWrite::Other, |rows| {
            let same = rows.alerts.as_deref() == seen;
            if same {
                rows.alerts = new.map(str::to_owned);
            }
            same
        })
        .await
    }

    async fn put_step_ups(
        &self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> Result<bool> {
        let put = |rows: &mut StoreRows| {
            let put = rows.put_step_ups(name, seen, new);
            (put, put)
        };
        self.write(StoreWrite::Other, put).await
    }

    async fn require_sign_in(
        &self,
        grant: &GrantId,
        lineage: Lineage,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let require = |rows: &mut StoreRows| {
            let required = rows.require_sign_in(grant, lineage, (reason, at));
            (required, required)
        };
        self.write(StoreWrite::Refuse, require).await
    }

    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool> {
        let open = self.incidents().await?;
        Ok(open.iter().any(|incident| {
            incident.record.event == event && incident.record.connection == connection.as_str()
        }))
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        self.read(|rows| {
            let open = rows.incidents.iter().filter(|kept| kept.ended.is_none());
            open.map(|kept| kept.incident.clone()).collect()
        })
    }

    async fn history(&self, connection: &ConnectionName) -> Result<History> {
        self.read(|rows| rows.history(connection))
    }

    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.end_incidents_of_all(connection, at))
            .await
    }

    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        self.note(|rows| {
            let open = rows
                .incidents
                .iter_mut()
                .filter(|kept| kept.ended.is_none());
            for kept in open.filter(|kept| kept.incident.id == *id) {
                kept.ended = Some(at);
            }
        })
        .await
    }

    async fn claim_notification(&self, id: &IncidentId, _at: Timestamp) -> Result<bool> {
        self.decide(StoreWrite::Other, |rows| {
            let mut all = rows.incidents.iter_mut();
            let open = all.find(|kept| kept.incident.id == *id && kept.ended.is_none());
            let kept = open.filter(|kept| !kept.incident.notified);
            kept.map(|kept| kept.incident.notified = true).is_some()
        })
        .await
    }

    async fn longest_run(&self) -> Result<Option<Duration>> {
        self.read(|rows| {
            let ended = rows.tasks.iter();
            let lasted = ended.filter_map(|task| Some(task.ended?.duration_since(task.began)));
            lasted.max().and_then(|longest| longest.try_into().ok())
        })
    }

    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()> {
        let began = rows::Run {
            id: task.clone(),
            process: process.to_owned(),
            began: at,
            ended: None,
        };
        self.note(|rows| rows.tasks.push(began)).await
    }

    async fn end_task(&self, task: &TaskId, _code: i32, at: Timestamp) -> Result<()> {
        self.note(|rows| {
            for run in rows.tasks.iter_mut().filter(|run| run.id == *task) {
                run.ended = Some(at);
            }
        })
        .await
    }

    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        self.read(|rows| {
            let led = |process: &String| {
                let mut open = rows.tasks.iter().rev().filter(|run| run.ended.is_none());
                open.find(|run| run.process == *process)
                    .map(|run| run.id.clone())
            };
            processes.iter().find_map(led)
        })
    }

    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.call_failed(call, reason, at)).await
    }

    async fn call_recovered(&self, call: &CarriedCall, _at: Timestamp) -> Result<()> {
        self.note(|rows| rows.call_recovered(call)).await
    }

    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        self.read(|rows| rows.unrecovered(task))
    }
}
