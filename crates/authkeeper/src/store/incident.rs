//! Records of incidents, failed calls and history.

use jiff::Timestamp;

use crate::model::{ConnectionName, Incident, IncidentId, Lineage, Record, TaskId};

/// An incident to be kept, told once.
#[derive(Clone, Debug)]
pub struct NewIncident {
    /// Its id if it is new.
    pub id: IncidentId,
    /// The lineage it belongs to.
    pub lineage: Lineage,
    /// What is told.
    pub record: Record,
}

/// A carried call that failed for lack of authority.
#[derive(Clone, Debug)]
pub struct CarriedCall {
    /// In which run.
    pub task: TaskId,
    /// Over which connection.
    pub connection: ConnectionName,
    /// A hash that is the same for the same call made again.
    pub fingerprint: String,
}

/// What befell a connection, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Its incidents, with when each was over.
    pub incidents: Vec<(Incident, Option<Timestamp>)>,
    /// What happened to it as the audit has it. No secrets.
    pub events: Vec<(Timestamp, serde_json::Value)>,
}

impl History {
    /// When its present grant was given: the last sign-in or import.
    pub fn signed_in_at(&self) -> Option<Timestamp> {
        let last = self.events.iter().rev();
        let mut signed_in = last.filter(|(_, event)| event["event"] == "signed_in");
        signed_in.next().map(|(at, _)| *at)
    }
}
