//! Waiting for a change of a connection.

use std::time::Duration;

use authkeeper::{
    error::TokenError,
    model::{ConnectionName, ConnectionState, Record},
    platform::clock::Seams,
    runtime::{ConnectionStatus, Runtime},
};

/// How often the store is asked whether anything was written.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Resolves when `so` holds for the connection, or when it is gone. Writes of other processes are seen within 50 ms.
pub(super) async fn until(
    runtime: &Runtime,
    connection: &ConnectionName,
    so: impl Fn(&ConnectionStatus) -> bool + Send + Sync,
) {
    let mut seen = None;
    loop {
        let now = runtime.changes().ok();
        if now.is_none() || now != seen {
            match runtime.status(connection).await {
                Ok(status) if so(&status) => return,
                Err(TokenError::NoSuchConnection { .. }) => return,
                // What was written is seen, and was something else.
                Ok(_) => seen = now,
                Err(error) => tracing::debug!(%error, "can't look at a connection"),
            }
        }
        Seams::system().clock.sleep(LOOK).await;
    }
}

/// An incident is over once calls may go on and it is not open any more.
pub(super) fn is_over(status: &ConnectionStatus, incident: impl Fn(&Record) -> bool) -> bool {
    let told = status.incidents.iter().any(|open| incident(&open.record));
    status.state == ConnectionState::Active && !told
}
