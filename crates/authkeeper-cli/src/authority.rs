//! The runtime, as carriers and runs want it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use authkeeper::{
    error::TokenError,
    model::{ConnectionName, FailedCall, Generation, TaskId, Trouble, TroubleId},
    runtime::{Runtime, TokenRequest},
    store::CarriedCall,
};

use crate::{
    carry::{Authority, CarryRefusal, CarryToken},
    commands::run::Troubles,
};

/// Tokens from the runtime; failed calls are noted for the run around this process, if there is one.
pub(crate) struct Keeping {
    runtime: Runtime,
    task: Option<TaskId>,
    /// What failed through this process, so that a call that succeeds costs no write where none had failed.
    failed: Mutex<HashSet<(String, String)>>,
}

impl Keeping {
    pub(crate) fn new(runtime: Runtime, task: Option<TaskId>) -> Self {
        Self {
            runtime,
            task,
            failed: Mutex::default(),
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

    fn failed(&self) -> std::sync::MutexGuard<'_, HashSet<(String, String)>> {
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
                secret: token.secret,
                generation: token.generation,
                url: token.url,
            }),
            Err(error) => Err(refusal(error)),
        }
    }

    async fn call_failed(&self, connection: &ConnectionName, fingerprint: &str, reason: &str) {
        self.failed().insert(key(connection, fingerprint));
        let Some(call) = self.call(connection, fingerprint) else {
            return;
        };
        if let Err(error) = self.runtime.call_failed(&call, reason).await {
            tracing::warn!(%error, "can't note a failed call");
        }
    }

    async fn call_succeeded(&self, connection: &ConnectionName, fingerprint: &str) {
        if !self.failed().remove(&key(connection, fingerprint)) {
            return;
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
        TokenError::Uncertain { .. } => "uncertain",
        TokenError::Unavailable { .. } => "unavailable",
        TokenError::ClientRefused { .. } => "client_refused",
        TokenError::RequestRefused { .. } => "request_refused",
        TokenError::Store(_) => "store",
        _ => "no_token",
    }
}

fn refusal(error: TokenError) -> CarryRefusal {
    let reason = fixed_reason(&error);
    match error {
        TokenError::ReauthorizationRequired { record } => CarryRefusal::Authority { record },
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
        other => CarryRefusal::Fault {
            reason,
            message: other.to_string(),
        },
    }
}

/// The open troubles of some connections, and what failed in a run.
pub(crate) struct OpenTroubles {
    runtime: Runtime,
    connections: Vec<ConnectionName>,
    task: Option<TaskId>,
}

impl OpenTroubles {
    pub(crate) fn new(
        runtime: Runtime,
        connections: Vec<ConnectionName>,
        task: Option<TaskId>,
    ) -> Self {
        Self {
            runtime,
            connections,
            task,
        }
    }
}

#[async_trait]
impl Troubles for OpenTroubles {
    async fn open(&self) -> Vec<Trouble> {
        let all = self.runtime.troubles().await.unwrap_or_default();
        let ours = |trouble: &Trouble| {
            self.connections
                .iter()
                .any(|name| name.as_str() == trouble.record.connection)
        };
        let mut open: Vec<Trouble> = all.into_iter().filter(ours).collect();
        for trouble in &mut open {
            trouble.record.task = self.task.as_ref().map(ToString::to_string);
        }
        open
    }

    async fn claim_notification(&self, id: &TroubleId) -> bool {
        self.runtime.claim_notification(id).await.unwrap_or(false)
    }

    async fn unrecovered(&self) -> Vec<FailedCall> {
        match &self.task {
            Some(task) => self.runtime.unrecovered(task).await.unwrap_or_default(),
            None => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::model::SuspendReason;

    use super::*;

    #[test]
    fn a_token_that_is_not_there_has_a_reason() {
        let connection = crate::carry::tests::notion();
        let suspended = TokenError::Suspended {
            connection,
            reason: SuspendReason::Manual,
        };
        let unavailable = TokenError::Unavailable {
            why: "busy".to_owned(),
            retry_after: None,
        };
        assert!(matches!(
            refusal(suspended),
            CarryRefusal::Fault {
                reason: "suspended",
                ..
            }
        ));
        assert!(matches!(
            refusal(unavailable),
            CarryRefusal::Unavailable {
                reason: "unavailable",
                ..
            }
        ));
    }
}
