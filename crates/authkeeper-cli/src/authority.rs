//! The runtime, as carriers and runs want it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    error::TokenError,
    model::{ConnectionName, FailedCall, Generation, Incident, IncidentId, ScopeRefusal, TaskId},
    platform::clock::Seams,
    runtime::{Runtime, TokenRequest},
    store::{CarriedCall, StoreError},
};

use crate::{
    carry::{Authority, CarryRefusal, CarryToken},
    commands::run::Incidents,
    hold::{Inviting, Links, is_mended_by_sign_in},
};

/// Tokens from the runtime; failed calls are noted for the run around this process, if there is one.
pub(crate) struct Keeping {
    runtime: Runtime,
    task: Option<TaskId>,
    links: Links,
    /// What failed through this process, so that a call that succeeds costs no write where none had failed.
    failed: Mutex<HashSet<(String, String)>>,
    /// What failed and could not be noted in the store.
    unnoted: Mutex<HashMap<(String, String), FailedCall>>,
    /// Whether calls of a connection were refused for lack of a scope, as far as this process has looked.
    wanting: Mutex<HashMap<ConnectionName, bool>>,
}

impl Keeping {
    pub(crate) fn new(runtime: Runtime, task: Option<TaskId>, links: Links) -> Self {
        Self {
            runtime,
            task,
            links,
            failed: Mutex::default(),
            unnoted: Mutex::default(),
            wanting: Mutex::default(),
        }
    }

    fn wanting(&self) -> MutexGuard<'_, HashMap<ConnectionName, bool>> {
        self.wanting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store says, for the calls to come.
    async fn look_for_scopes(&self, connection: &ConnectionName) -> bool {
        match self.runtime.step_ups(connection).await {
            Ok(step_ups) => {
                let wants = !step_ups.is_empty();
                self.wanting().insert(connection.clone(), wants);
                wants
            }
            Err(error) => {
                tracing::debug!(%error, "can't see which scopes are wanted");
                false
            }
        }
    }

    fn call(&self, connection: &ConnectionName, fingerprint: &str) -> Option<CarriedCall> {
        let task = self.task.clone()?;
        let (connection, fingerprint) = (connection.clone(), fingerprint.to_owned());
        Some(CarriedCall {
            task,
            connection,
            fingerprint,
        })
    }

    fn unnoted(&self) -> MutexGuard<'_, HashMap<(String, String), FailedCall>> {
        self.unnoted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held in memory until the verdict, since the store would not take it.
    fn hold(&self, call: &CarriedCall, reason: &str) {
        let mut unnoted = self.unnoted();
        let held = unnoted
            .entry(key(&call.connection, &call.fingerprint))
            .or_insert_with(|| FailedCall {
                connection: call.connection.clone(),
                times: 0,
                first: Seams::system().clock.now().wall,
                reason: reason.to_owned(),
            });
        held.times += 1;
    }

    fn failed(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(connection: &ConnectionName, fingerprint: &str) -> (String, String) {
    (connection.to_string(), fingerprint.to_owned())
}

#[async_trait]
impl Authority for Keeping {
    async fn token(
        &self,
        connection: &ConnectionName,
        rejected: Option<Generation>,
    ) -> Result<CarryToken, CarryRefusal> {
        let request = TokenRequest::new(connection.clone()).after_401(rejected);
        match self.runtime.access_token(&request).await {
            Ok(token) => Ok(CarryToken {
                secret: token.secret.clone(),
                generation: token.generation,
                lineage: token.lineage,
                url: token.url.clone(),
                presentation: token.presentation.clone(),
                binding: token.binding.clone(),
            }),
            Err(error) => {
                let mut refusal = refusal(error);
                if let CarryRefusal::Authority { record } = &mut refusal
                    && is_mended_by_sign_in(record)
                {
                    record.link = self.links.link(connection);
                }
                Err(refusal)
            }
        }
    }

    async fn step_up(
        &self,
        connection: &ConnectionName,
        refused: &ScopeRefusal,
    ) -> Result<(), CarryRefusal> {
        self.wanting().insert(connection.clone(), true);
        let stepped = Box::pin(self.runtime.step_up(connection, refused));
        stepped.await.map_err(refusal)
    }

    fn wants_scopes(&self, connection: &ConnectionName) -> bool {
        // Once a process looks at the store.
        self.wanting().get(connection).copied().unwrap_or(true)
    }

    async fn scope_sufficed(&self, connection: &ConnectionName, operation: &str) {
        let known = self.wanting().contains_key(connection);
        if !known && !self.look_for_scopes(connection).await {
            return;
        }
        let sufficed = self.runtime.scope_sufficed(connection, operation).await;
        if let Err(error) = sufficed {
            tracing::warn!(%error, "can't note that a scope is wanted no more");
        }
        self.look_for_scopes(connection).await;
    }

    async fn call_failed(&self, connection: &ConnectionName, fingerprint: &str, reason: &str) {
        self.failed().insert(key(connection, fingerprint));
        let Some(call) = self.call(connection, fingerprint) else {
            return;
        };
        if let Err(error) = self.runtime.call_failed(&call, reason).await {
            tracing::warn!(%error, "can't note a failed call");
            self.hold(&call, reason);
        }
    }

    async fn call_succeeded(&self, connection: &ConnectionName, fingerprint: &str) {
        if !self.failed().remove(&key(connection, fingerprint)) {
            return;
        }
        self.unnoted().remove(&key(connection, fingerprint));
        if let Err(error) = self.runtime.token_works(connection).await {
            tracing::debug!(%error, "what was told of a refused token is not ended");
        }
        let Some(call) = self.call(connection, fingerprint) else {
            return;
        };
        if let Err(error) = self.runtime.call_recovered(&call).await {
            tracing::warn!(%error, "can't note a recovered call");
        }
    }
}

/// Why a call failed, in a word that stays the same.
pub(crate) fn reason(error: &TokenError) -> &str {
    match error {
        TokenError::ReauthorizationRequired { record } => &record.reason,
        other => fixed_reason(other),
    }
}

fn fixed_reason(error: &TokenError) -> &'static str {
    match error {
        TokenError::NoSuchConnection { .. } => "no_such_connection",
        TokenError::ReauthorizationRequired { .. } => "reauthorization_required",
        TokenError::Suspended { .. } => "suspended",
        TokenError::Rejected { .. } => "rejected",
        TokenError::ScopeMissing { .. } => "insufficient_scope",
        TokenError::ScopeRefused { .. } => "scope_refused",
        TokenError::Uncertain { .. } => "uncertain",
        TokenError::Unavailable { .. } => "unavailable",
        TokenError::ClientRefused { .. } => "client_refused",
        TokenError::RequestRefused { .. } => "request_refused",
        TokenError::EndpointMoved { .. } => "token_endpoint_moved",
        TokenError::Store(_) => "store",
        _ => "no_token",
    }
}

fn refusal(error: TokenError) -> CarryRefusal {
    let reason = fixed_reason(&error);
    match error {
        TokenError::ReauthorizationRequired { record }
        | TokenError::Suspended { record, .. }
        | TokenError::ScopeMissing { record } => CarryRefusal::Authority { record },
        TokenError::ScopeRefused { record } => CarryRefusal::Permission { record },
        TokenError::Rejected { record } => CarryRefusal::Rejected { record },
        TokenError::NoSuchConnection { .. } => CarryRefusal::NoSuchConnection,
        TokenError::Unavailable { why, retry_after } => CarryRefusal::Unavailable {
            reason,
            message: why,
            retry_after,
        },
        TokenError::Uncertain { retry_after, .. } => CarryRefusal::Unavailable {
            reason,
            message: error.to_string(),
            retry_after: Some(retry_after),
        },
        TokenError::ClientRefused { .. }
        | TokenError::RequestRefused { .. }
        | TokenError::EndpointMoved { .. } => CarryRefusal::Refused {
            reason,
            message: error.to_string(),
        },
        other => CarryRefusal::Fault {
            reason,
            message: other.to_string(),
        },
    }
}

fn by_connection(
    mut calls: Vec<FailedCall>,
    more: impl Iterator<Item = FailedCall>,
) -> Vec<FailedCall> {
    for call in more {
        match calls
            .iter_mut()
            .find(|known| known.connection == call.connection)
        {
            Some(known) => known.times += call.times,
            None => calls.push(call),
        }
    }
    calls
}

/// The open incidents of some connections or of all, and what failed in a run.
pub(crate) struct OpenIncidents {
    runtime: Runtime,
    /// None: all that there are.
    connections: Option<Vec<ConnectionName>>,
    task: Option<TaskId>,
    /// What failed through this process, as far as the store does not know of it.
    keeping: Option<Arc<Keeping>>,
    inviting: Inviting,
}

impl OpenIncidents {
    pub(crate) fn new(
        runtime: Runtime,
        connections: Vec<ConnectionName>,
        task: Option<TaskId>,
        inviting: Inviting,
    ) -> Self {
        Self {
            runtime,
            connections: Some(connections),
            task,
            keeping: None,
            inviting,
        }
    }

    /// Of everything that is connected. Whose calls failed is not known then.
    pub(crate) fn of_all(runtime: Runtime, inviting: Inviting) -> Self {
        Self {
            connections: None,
            ..Self::new(runtime, vec![], None, inviting)
        }
    }

    fn are_of(&self, connection: &ConnectionName) -> bool {
        let some = self.connections.as_ref();
        some.is_none_or(|some| some.contains(connection))
    }

    /// What failed through this process counts too.
    pub(crate) fn keeping(self, keeping: Arc<Keeping>) -> Self {
        let keeping = Some(keeping);
        Self { keeping, ..self }
    }
}

#[async_trait]
impl Incidents for OpenIncidents {
    async fn open(&self) -> Result<Vec<Incident>, StoreError> {
        let all = self.runtime.incidents().await?;
        let mut open = Vec::new();
        for mut incident in all {
            let name = ConnectionName::parse(&incident.record.connection).ok();
            let Some(name) = name.filter(|name| self.are_of(name)) else {
                continue;
            };
            incident.record.task = self.task.as_ref().map(ToString::to_string);
            incident.record.link = self.inviting.link(&name, &incident.record).await;
            open.push(incident);
        }
        Ok(open)
    }

    async fn is_due(&self, incident: &Incident) -> Result<bool, StoreError> {
        match self.runtime.notify_in(incident).await? {
            None => Ok(false),
            Some(Duration::ZERO) => Ok(true),
            // A call that failed over it was not spared.
            Some(_) => {
                let failed = self.unrecovered().await?;
                let over = &incident.record.connection;
                Ok(failed.iter().any(|call| call.connection.as_str() == over))
            }
        }
    }

    async fn claim_notification(&self, id: &IncidentId) -> bool {
        self.runtime.claim_notification(id).await.unwrap_or(false)
    }

    async fn is_open(&self, id: &IncidentId) -> bool {
        let open = self.runtime.incidents().await;
        open.map_or(true, |open| open.iter().any(|incident| incident.id == *id))
    }

    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        let noted = match &self.task {
            Some(task) => self.runtime.unrecovered(task).await?,
            None => vec![],
        };
        let unnoted = self.keeping.iter().flat_map(|keeping| {
            let held: Vec<FailedCall> = keeping.unnoted().values().cloned().collect();
            held
        });
        Ok(by_connection(noted, unnoted))
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{Event, SuspendReason};

    use super::*;

    #[test]
    fn calls_over_one_connection_are_counted_together() {
        let failed = |name: &str, times| FailedCall {
            connection: ConnectionName::parse(name).unwrap(),
            times,
            first: jiff::Timestamp::UNIX_EPOCH,
            reason: "store".to_owned(),
        };
        let held = [failed("a", 2), failed("b", 1)].into_iter();
        let all = by_connection(vec![failed("a", 1)], held);
        assert_eq!(all, [failed("a", 3), failed("b", 1)]);
    }

    #[test]
    fn a_token_that_is_not_there_has_a_reason() {
        let record = crate::carry::tests::record(Event::AuthorityLost, "notion");
        let suspended = TokenError::Suspended {
            record: Box::new(record),
            reason: SuspendReason::Manual,
        };
        let unavailable = TokenError::Unavailable {
            why: "busy".to_owned(),
            retry_after: None,
        };
        assert_eq!(reason(&suspended), "suspended");
        assert!(matches!(refusal(suspended), CarryRefusal::Authority { .. }));
        assert!(matches!(
            refusal(unavailable),
            CarryRefusal::Unavailable {
                reason: "unavailable",
                ..
            }
        ));
    }
}
