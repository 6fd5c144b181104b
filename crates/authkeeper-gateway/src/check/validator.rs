//! Repeats, while nobody calls, the calls that proved connections: a credential that died is found out before a run needs it.

use std::{sync::Arc, time::Duration};

use authkeeper::{
    error::TokenError,
    model::{Connection, ConnectionName, ProvenCall},
    platform::clock::Seams,
    runtime::Runtime,
};
use tokio::time::timeout;

use super::{CheckCall, Probe, check_call_of, request};
use crate::{
    forward::{Forwarder, Target},
    lifecycle::Lifecycle,
    mcp::{ForwardUpstream, list_tools},
};

/// A harmless call takes no longer, or the server is failing.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How often is looked which connections are due, at most and at least.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Which connections are validated, and how often.
#[derive(Clone, Debug)]
pub struct ValidatorSettings {
    /// How long after its last call each one is called, whichever process made that.
    pub every: Duration,
    /// These; none means all.
    pub connections: Option<Vec<ConnectionName>>,
}

/// Validates connections until the soft stop. `forwarder` must note failed calls for no task: a validation is no call of a run.
pub fn validate(
    lifecycle: &Lifecycle,
    runtime: Runtime,
    forwarder: Arc<Forwarder>,
    settings: ValidatorSettings,
) {
    let validation = ValidatedConnections {
        runtime,
        forwarder,
        settings,
    };
    lifecycle.spawn_until_stop(validation.go_on());
}

struct ValidatedConnections {
    runtime: Runtime,
    forwarder: Arc<Forwarder>,
    settings: ValidatorSettings,
}

impl ValidatedConnections {
    async fn go_on(self) {
        let (shortest, longest) = LOOKS;
        let look = (self.settings.every / 10).clamp(shortest, longest);
        let clock = Seams::system().clock;
        loop {
            clock.sleep(look).await;
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "can't see which connections are to be validated");
            }
        }
    }

    /// One after the other: many connections don't call at one time.
    async fn look(&self) -> Result<(), TokenError> {
        for name in self.names().await? {
            match self
                .runtime
                .take_validation(&name, self.settings.every)
                .await
            {
                Ok(Some(call)) => self.validate(&name, call).await,
                Ok(None) | Err(TokenError::NoSuchConnection { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<ConnectionName>, TokenError> {
        if let Some(names) = &self.settings.connections {
            return Ok(names.clone());
        }
        let all = self.runtime.names().await?;
        Ok(all)
    }

    /// What a refusal means is for the forwarder, as with any call. An answer ends what was told of a refused token.
    async fn validate(&self, name: &ConnectionName, call: ProvenCall) {
        let status = self.runtime.status(name).await;
        let Ok(status) = status else {
            return;
        };
        let called = timeout(CALL_LIMIT, self.call(&status.connection, call)).await;
        if called != Ok(true) {
            tracing::debug!(connection = %name, "a validation got no good answer");
            return;
        }
        let worked = self.runtime.token_works(name).await;
        if let Err(error) = worked {
            tracing::debug!(%error, "what was told of a refused token is not ended");
        }
    }

    async fn call(&self, connection: &Connection, call: ProvenCall) -> bool {
        let forwarder = Arc::clone(&self.forwarder);
        let probe = match (call, check_call_of(connection)) {
            (ProvenCall::ListTools, _) => {
                let upstream = ForwardUpstream::new(forwarder, connection.name.clone());
                return list_tools(upstream).await.is_ok();
            }
            (ProvenCall::Get, _) => Probe::get(Target::exact()),
            (ProvenCall::Request, CheckCall::Request(probe)) => *probe,
            // It has no check of its own any more.
            (ProvenCall::Request, CheckCall::Tools) => return false,
        };
        let answer = request(&forwarder, connection, probe).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }
}
