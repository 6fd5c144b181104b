//! The incidents that a watcher looks for.

use async_trait::async_trait;
use authkeeper::{
    model::{FailedCall, Incident, IncidentId},
    store::StoreError,
};

/// The open incidents that a watcher reports, and the failed calls of its task.
#[async_trait]
pub trait IncidentFeed: Send + Sync + 'static {
    /// The incidents of this task's connections that are not over.
    async fn open(&self) -> Result<Vec<Incident>, StoreError>;
    /// Whether its owner is to be notified by now: the next resend may still resolve it.
    async fn is_due(&self, incident: &Incident) -> Result<bool, StoreError>;
    /// Claims the notification for this incident. Returns true for exactly one caller across all processes.
    async fn claim_notification(&self, id: &IncidentId) -> bool;
    /// Whether it is still open, as far as can be told.
    async fn is_open(&self, _id: &IncidentId) -> bool {
        true
    }
    /// Failed calls of this task that have not succeeded since.
    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError>;
}
