//! The public handle [`Runtime`]: tokens, sign-ins, status, incidents and runs.
//!
//! | file | contents |
//! | --- | --- |
//! | `builder` | [`Settings`], [`RuntimeBuilder`] |
//! | `token` | [`TokenRequest`], [`IssuedToken`] |
//! | `access_token` | [`Runtime::access_token`]: serve, refresh, or refuse |
//! | `hand_out` | a token made of a grant, for a caller or for all who waited for a refresh |
//! | `token_cache`, `thread_tokens`, `cached_token`, `live_token` | tokens from memory |
//! | `status`, [`inspect`] | status of connections; details for diagnosis |
//! | `step_up`, `step_up_locks` | calls that were refused for lack of a scope |
//! | `issuer_change`, `issuer_checks` | a resource that names another authorization server |
//! | `validation` | calls that prove a connection while nobody calls |
//! | [`rotate_key`] | the change to another seal key |

mod access_token;
mod builder;
mod cached_token;
mod hand_out;
pub mod inspect;
mod issuer_change;
mod issuer_checks;
mod live_token;
pub mod rotate_key;
mod status;
pub(crate) mod step_up;
mod step_up_locks;
mod thread_tokens;
mod token;
mod token_cache;
mod validation;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

pub use self::{
    builder::{RuntimeBuilder, Settings},
    live_token::LiveToken,
    status::{CertificateStatus, ConnectionStatus, OwnCertificate},
    token::{IssuedToken, TokenRequest},
};
use self::{
    hand_out::HandOut, issuer_checks::IssuerChecks, step_up_locks::StepUpLocks,
    token_cache::TokenCache,
};
pub use crate::refresh::scheduler::RefreshScheduler;
use crate::{
    error::TokenError,
    model::{
        ConnectionName, Event, FailedCall, GrantLifecycle, Incident, IncidentId, Record, TaskId,
    },
    refresh::{
        Context, OnBehalfOf, decide, goal::Goal, incident, outcome::RefreshOutcome,
        single_flight::Flights,
    },
    secret::SecretString,
    store::{CarriedCall, StoreError, Use},
};

/// A handle on the store, the transport and the refresh transaction. Clones share all of it.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) context: Arc<Context>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) token_cache: Arc<TokenCache>,
    pub(crate) hand_out: HandOut,
    step_up_locks: Arc<StepUpLocks>,
    issuer_checks: Arc<IssuerChecks>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}

impl Runtime {
    /// A runtime over an opened context.
    pub(crate) fn over(context: Context) -> Self {
        let context = Arc::new(context);
        let token_cache = TokenCache::new(Arc::clone(&context.seams.clock), &*context.store);
        let hand_out = HandOut::new(Arc::clone(&context), Arc::clone(&token_cache));
        Self {
            flights: Flights::new(Arc::clone(&context), Arc::new(hand_out.clone())),
            token_cache,
            hand_out,
            step_up_locks: Arc::default(),
            issuer_checks: Arc::default(),
            context,
        }
    }

    /// Keeps these connections fresh ahead of time for as long as the keeper lives.
    pub fn keep_fresh(&self, connections: Vec<ConnectionName>) -> RefreshScheduler {
        // From now on this process is seen to be at work, claim or no claim.
        if let Err(error) = self.context.liveness.mine(&self.context.seams) {
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
            Event::ReauthorizationRequired => grant.grant_type.is_key(),
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

    /// Looks at the store, and gives a number that has changed if anything was written to it since, by whatever process. It
    /// costs little, and shows within [`decide::BELIEVED_FOR`] what others wrote.
    pub fn changes(&self) -> Result<u64, StoreError> {
        self.token_cache.look(&*self.context.store)?;
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

    /// What was told of the open incidents, as [`Self::put_alert_state`] has kept it.
    pub async fn alert_state(&self) -> Result<Option<String>, StoreError> {
        self.context.store.alert_state().await
    }

    /// Keeps what was told, if it is still as it was seen; true if it was.
    pub async fn put_alert_state(
        &self,
        seen: Option<&str>,
        new: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.context.store.put_alert_state(seen, new).await
    }

    /// Claims the notification for this open incident. Returns true for exactly one caller across all processes.
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
