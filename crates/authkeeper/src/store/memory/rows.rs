//! The rows, and what each write does to them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;

use crate::{
    model::{
        ClientId, ClientRegistration, Connection, ConnectionName, GrantChange, GrantChanged,
        GrantId, GrantRecord, Incident, Issuer, Lineage, Observation, Provider, TaskId,
    },
    secret::SecretString,
    store::{PendingSignIn, Remembered},
};

/// Everything that is stored. A copy of it is a copy of the store.
#[derive(Clone, Debug, Default)]
pub struct StoreRows {
    /// Which write made them what they are.
    pub(super) last_write: u64,
    /// The connections.
    pub connections: BTreeMap<ConnectionName, Connection>,
    /// The grants.
    pub grants: BTreeMap<GrantId, GrantRow>,
    pub(super) providers: BTreeMap<(Issuer, ClientId), Provider>,
    /// In the order in which they were put.
    pub(super) clients: Vec<ClientRegistration>,
    pub(super) last_secret: u64,
    pub(super) observed: Vec<Observation>,
    /// The sign-ins that people are at.
    pub pending: BTreeMap<ConnectionName, PendingSignIn>,
    /// What is remembered.
    pub remembered: BTreeMap<Remembered, String>,
    pub(super) incidents: Vec<KeptIncident>,
    pub(super) audit: Vec<(Timestamp, serde_json::Value)>,
    pub(super) tasks: Vec<Run>,
    pub(super) calls: BTreeMap<(TaskId, ConnectionName, String), Call>,
}

/// One grant and what only its row knows.
#[derive(Clone, Debug)]
pub struct GrantRow {
    /// The grant.
    pub record: GrantRecord,
    /// The refresh token that the sign-in brought.
    pub(super) first: Option<SecretString>,
}

#[derive(Clone, Debug)]
pub(super) struct KeptIncident {
    pub(super) incident: Incident,
    pub(super) lineage: Lineage,
    pub(super) ended: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: TaskId,
    pub(super) process: String,
    pub(super) began: Timestamp,
    pub(super) ended: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) times: u64,
    pub(super) first: Timestamp,
    pub(super) reason: String,
    pub(super) recovered: bool,
}

/// Each write has a number of its own, also in a store that was put back.
static WRITES: AtomicU64 = AtomicU64::new(1);

impl StoreRows {
    /// Somebody has written.
    pub fn touch(&mut self) {
        self.last_write = WRITES.fetch_add(1, Ordering::Relaxed);
    }

    /// Applies a change of a grant.
    pub fn change(&mut self, id: &GrantId, change: &GrantChange) -> GrantChanged {
        let Some(row) = self.grants.get_mut(id) else {
            return GrantChanged {
                applied: false,
                record: None,
            };
        };
        let after = change.applied_to(&row.record);
        let applied = after.is_some();
        if let Some(after) = after {
            row.record = after;
        }
        let record = row.record.clone();
        let event = change.audit(&record.grant).filter(|_| applied);
        self.audit.extend(event);
        GrantChanged {
            applied,
            record: Some(record),
        }
    }

    pub(super) fn tell(&mut self, at: Timestamp, record: serde_json::Value) {
        self.audit.push((at, record));
    }

    /// The connections that live on a grant.
    pub(super) fn on_grant<'a>(
        &'a self,
        id: &'a GrantId,
    ) -> impl Iterator<Item = &'a Connection> + 'a {
        let all = self.connections.values();
        all.filter(move |connection| connection.grant.as_ref() == Some(id))
    }
}
