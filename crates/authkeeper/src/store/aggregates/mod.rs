//! The seam to a database, one trait for each aggregate. [`Store`] is all of them and the handle's own state.

mod clients;
mod connections;
mod grants;
mod incidents;
mod observations;
mod tasks;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

pub use self::{
    clients::Clients, connections::Connections, grants::Grants, incidents::Incidents,
    observations::Observations, tasks::Tasks,
};
use crate::{
    store::{
        Result,
        changes::{Epoch, Use},
    },
    vault::ResealCount,
};

/// One process's handle of a store of connections and grants.
#[async_trait]
pub trait Store:
    Connections + Grants + Clients + Incidents + Tasks + Observations + Send + Sync + 'static
{
    /// Raised after each commit of this process, before that is answered.
    fn epoch(&self) -> &Arc<Epoch>;
    /// Looks whether anybody else has changed anything since the last look, and raises the epoch if so. It costs
    /// microseconds and waits for nobody.
    fn look(&self) -> Result<()>;
    /// What this process has asked of it.
    fn used(&self) -> &Use;
    /// Whether this is a copy of which nobody has confirmed yet that the other one is retired: it serves, and spends
    /// nothing.
    fn is_copy(&self) -> bool {
        false
    }
    /// A person has confirmed that the other copy is retired: this one is the store from now on.
    async fn settle_here(&self, at: Timestamp) -> Result<()>;
    /// Reseals every value that is not sealed with the current key. A store without sealing does nothing.
    async fn reseal(&self) -> Result<ResealCount> {
        Ok(ResealCount::default())
    }
}
