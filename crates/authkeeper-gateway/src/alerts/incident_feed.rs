//! The incidents that a watcher looks for.

use async_trait::async_trait;
use authkeeper::{
    model::{FailedCall, Incident, IncidentId, Record},
    store::StoreError,
};

use super::policy::AlertFact;

/// The open incidents that a watcher reports, the failed calls of its task, and the causes that alerts tell of.
#[async_trait]
pub trait IncidentFeed: Send + Sync + 'static {
    /// The incidents of this task's connections that are not over.
    async fn open(&self) -> Result<Vec<Incident>, StoreError>;
    /// Whether it is to be reported by now: the next resend may still resolve it.
    async fn is_due(&self, incident: &Incident) -> Result<bool, StoreError>;
    /// Failed calls of this task that have not succeeded since.
    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError>;

    /// A number that has changed if anything was written to the store; none if it can't be told.
    fn version(&self) -> Option<u64> {
        None
    }
    /// Whether these are the incidents of a run.
    fn in_run(&self) -> bool {
        false
    }
    /// Every cause that holds for a connection of the store that has an incident, that was told of (`names`), or over which a
    /// call of this task failed.
    async fn facts(&self, names: &[String]) -> Result<Vec<AlertFact>, StoreError>;
    /// What was told, as all processes know it.
    async fn alert_state(&self) -> Result<Option<String>, StoreError>;
    /// Replaces it, if it is still as it was seen; true if it was.
    async fn put_alert_state(
        &self,
        seen: Option<&str>,
        new: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Marks an incident as told.
    async fn mark_told(&self, _id: &IncidentId) -> Result<(), StoreError> {
        Ok(())
    }
    /// The link by which a person resolves the incident, if there is one.
    async fn link(&self, _record: &Record) -> Option<String> {
        None
    }
}
