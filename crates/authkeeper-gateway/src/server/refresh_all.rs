//! Keeps every connection fresh: those there are, and those that other processes add.

use std::{collections::HashSet, time::Duration};

use authkeeper::{
    model::ConnectionName,
    runtime::{RefreshScheduler, Runtime},
    store::StoreError,
};

use crate::lifecycle::Lifecycle;

/// How soon a new connection is seen.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps every connection fresh until the soft stop. It begins with those that there are.
pub async fn refresh_all(lifecycle: &Lifecycle, runtime: &Runtime) -> Result<(), StoreError> {
    let mut kept = KeptConnections::new(runtime.clone());
    kept.look().await?;
    lifecycle.spawn_until_stop(kept.go_on());
    Ok(())
}

struct KeptConnections {
    runtime: Runtime,
    /// What was written when it was looked last.
    seen: Option<u64>,
    /// A keeper goes on looking for a connection that is forgotten, and finds one of the same name.
    names: HashSet<ConnectionName>,
    keepers: Vec<RefreshScheduler>,
}

impl KeptConnections {
    fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            seen: None,
            names: HashSet::new(),
            keepers: vec![],
        }
    }

    async fn go_on(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "can't look for new connections");
            }
        }
    }

    /// Takes in what is new since the last look. Nothing is read where nothing was written.
    async fn look(&mut self) -> Result<(), StoreError> {
        let written = self.runtime.changes()?;
        if self.seen == Some(written) {
            return Ok(());
        }
        let mut names = self.runtime.names().await?;
        names.retain(|name| self.names.insert(name.clone()));
        if !names.is_empty() {
            tracing::info!(connections = names.len(), "keeping more connections fresh");
            self.keepers.push(self.runtime.keep_fresh(names));
        }
        self.seen = Some(written);
        Ok(())
    }
}
