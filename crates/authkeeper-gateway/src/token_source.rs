//! Tokens from the runtime, and the bookkeeping of calls that failed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, FailedCall, Generation, Health, ScopeRefusal, TaskId},
    platform::clock::Seams,
    runtime::{Runtime, TokenRequest},
    store::CarriedCall,
};

use crate::{
    error::{CallError, CallErrorKind},
    forward::{Authority, CallToken, Forwarder},
    signin_link::{Links, is_resolved_by_sign_in},
};

/// Tokens from the runtime; failed calls are noted for the run around this process, if there is one.
pub struct TokenSource {
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

impl TokenSource {
    /// Failed calls are noted for `task`, if there is one; `links` complete the records of a missing sign-in.
    pub fn new(runtime: Runtime, task: Option<TaskId>, links: Links) -> Self {
        Self {
            runtime,
            task,
            links,
            failed: Mutex::default(),
            unnoted: Mutex::default(),
            wanting: Mutex::default(),
        }
    }

    /// Forwards calls with these tokens.
    pub fn forwarder(self: &Arc<Self>) -> Forwarder {
        Forwarder::new(self.clone())
    }

    /// Failed calls that the store does not know of, because it could not be written.
    pub(crate) fn unnoted_calls(&self) -> Vec<FailedCall> {
        self.unnoted().values().cloned().collect()
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
impl Authority for TokenSource {
    async fn token(
        &self,
        connection: &ConnectionName,
        rejected: Option<Generation>,
    ) -> Result<CallToken, CallError> {
        let request = TokenRequest::new(connection.clone()).after_401(rejected);
        match self.runtime.access_token(&request).await {
            Ok(token) => Ok(CallToken {
                secret: token.secret.clone(),
                generation: token.generation,
                lineage: token.lineage,
                url: token.url.clone(),
                presentation: token.presentation.clone(),
                headers: token.headers.clone(),
                binding: token.binding.clone(),
                certificate: token.certificate.clone(),
            }),
            Err(error) => {
                let error = CallError::from(error);
                let by_sign_in = error.kind == CallErrorKind::AuthorizationMissing
                    && error
                        .incident
                        .as_deref()
                        .is_some_and(is_resolved_by_sign_in);
                Err(if by_sign_in {
                    error.with_link(self.links.link(connection))
                } else {
                    error
                })
            }
        }
    }

    async fn health(&self, connection: &ConnectionName) -> Option<Health> {
        let status = self.runtime.status(connection).await;
        status.ok().map(|status| status.health)
    }

    async fn step_up(
        &self,
        connection: &ConnectionName,
        refused: &ScopeRefusal,
    ) -> Result<(), CallError> {
        self.wanting().insert(connection.clone(), true);
        let stepped = Box::pin(self.runtime.step_up(connection, refused));
        stepped.await.map_err(CallError::from)
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
        let had_failed = {
            let mut failed = self.failed();
            !failed.is_empty() && failed.remove(&key(connection, fingerprint))
        };
        if !had_failed {
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
