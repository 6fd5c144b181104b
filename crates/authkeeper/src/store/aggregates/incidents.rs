//! Incidents.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{ConnectionName, Event, Incident, IncidentId, Record},
    store::{History, NewIncident, Result},
};

/// The incidents, and what was told of them.
#[async_trait]
pub trait Incidents: Send + Sync {
    /// Keeps an incident. Returns it as kept, and whether it is new.
    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)>;
    /// Replaces the record of an open incident. Its notification state stays.
    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()>;
    /// Whether an incident of this kind is open for the connection.
    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool> {
        let open = self.incidents().await?;
        Ok(open.iter().any(|incident| {
            incident.record.event == event && incident.record.connection == connection.as_str()
        }))
    }
    /// The incidents that are not over.
    async fn incidents(&self) -> Result<Vec<Incident>>;
    /// What befell a connection.
    async fn history(&self, connection: &ConnectionName) -> Result<History>;
    /// Ends every incident of a connection, and of those that live on its grant.
    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()>;
    /// Ends one incident.
    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()>;
    /// Claims the notification for this open incident. Returns true for exactly one caller across all processes.
    async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool>;
}
