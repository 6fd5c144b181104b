//! Incidents.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, StoreRows, StoreWrite, rows::KeptIncident};
use crate::{
    model::{ConnectionName, Incident, IncidentId, Record},
    store::{History, Incidents, NewIncident, Result},
};

#[async_trait]
impl Incidents for MemoryStore {
    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)> {
        let keep = |rows: &mut StoreRows| {
            let kept = rows.keep_incident(incident);
            let new = kept.1;
            (kept, new)
        };
        self.write(StoreWrite::Other, keep).await
    }

    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        self.note(|rows| rows.amend_incident(id, record)).await
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        self.read(StoreRows::open_incidents)
    }

    async fn history(&self, connection: &ConnectionName) -> Result<History> {
        self.read(|rows| rows.history(connection))
    }

    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.end_incidents_of_all(connection, at))
            .await
    }

    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.end_incident(id, at)).await
    }

    async fn claim_notification(&self, id: &IncidentId, _at: Timestamp) -> Result<bool> {
        self.decide(|rows| rows.claim_notification(id)).await
    }
}

impl StoreRows {
    /// As [`Incidents::amend_incident`].
    pub fn amend_incident(&mut self, id: &IncidentId, record: &Record) {
        if let Some(kept) = self.open_incident(id) {
            kept.incident.record = record.clone();
        }
    }

    /// As [`Incidents::incidents`].
    pub fn open_incidents(&self) -> Vec<Incident> {
        let open = self.incidents.iter().filter(|kept| kept.ended.is_none());
        open.map(|kept| kept.incident.clone()).collect()
    }

    /// As [`Incidents::history`].
    pub fn history(&self, connection: &ConnectionName) -> History {
        let name = connection.as_str();
        let incidents = self.incidents.iter();
        let incidents = incidents.filter(|kept| kept.incident.record.connection == name);
        let events = self.audit.iter();
        let events = events.filter(|(_, record)| record["connection"] == name);
        History {
            incidents: incidents
                .map(|kept| (kept.incident.clone(), kept.ended))
                .collect(),
            events: events.cloned().collect(),
        }
    }

    /// As [`Incidents::end_incident`].
    pub fn end_incident(&mut self, id: &IncidentId, at: Timestamp) {
        if let Some(kept) = self.open_incident(id) {
            kept.ended = Some(at);
        }
    }

    /// As [`Incidents::claim_notification`].
    pub fn claim_notification(&mut self, id: &IncidentId) -> bool {
        let kept = self.open_incident(id);
        let kept = kept.filter(|kept| !kept.incident.notified);
        kept.map(|kept| kept.incident.notified = true).is_some()
    }

    fn open_incident(&mut self, id: &IncidentId) -> Option<&mut KeptIncident> {
        let mut all = self.incidents.iter_mut();
        all.find(|kept| kept.incident.id == *id && kept.ended.is_none())
    }

    /// As [`Incidents::keep_incident`].
    pub fn keep_incident(&mut self, new: NewIncident) -> (Incident, bool) {
        let told = &new.record;
        let mut open = self.incidents.iter().filter(|kept| kept.ended.is_none());
        let same = open.find(|kept| {
            let record = &kept.incident.record;
            kept.lineage == new.lineage
                && (&record.connection, record.event, &record.reason)
                    == (&told.connection, told.event, &told.reason)
        });
        if let Some(same) = same {
            return (same.incident.clone(), false);
        }
        let record = serde_json::to_value(told).unwrap_or_default();
        self.tell(told.ts, record);
        let incident = Incident {
            id: new.id,
            record: new.record,
            notified: false,
        };
        self.incidents.push(KeptIncident {
            incident: incident.clone(),
            lineage: new.lineage,
            ended: None,
        });
        (incident, true)
    }

    /// As [`Incidents::end_incidents`]: what is over for a grant is over for all that live on it.
    pub fn end_incidents_of_all(&mut self, connection: &ConnectionName, at: Timestamp) {
        let grant = self.connections.get(connection);
        let grant = grant.and_then(|connection| connection.grant.clone());
        let others = grant.iter().flat_map(|id| self.on_grant(id));
        let names: Vec<ConnectionName> = others.map(|other| other.name.clone()).collect();
        for name in names.iter().chain([connection]) {
            self.end_incidents(name, at);
        }
    }

    pub(super) fn end_incidents(&mut self, connection: &ConnectionName, at: Timestamp) {
        for kept in &mut self.incidents {
            if kept.ended.is_none() && kept.incident.record.connection == connection.as_str() {
                kept.ended = Some(at);
            }
        }
    }
}
