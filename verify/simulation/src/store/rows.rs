//! The rows, and what each statement does to them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use authkeeper::{
    model::{
        AttemptId, Claim, ClaimPhase, ClientId, ClientRegistration, Connection, ConnectionName,
        FailedCall, Failing, FailingOf, Grant, GrantId, GrantLifecycle, GrantMaterial, Incident,
        IncidentId, Issuer, Lineage, Moment, Observation, Provider, ReauthorizeReason, Record,
        RefreshToken, StepUps, SuspendReason, TaskId, Validation,
    },
    secret::SecretString,
    store::{
        CarriedCall, Committed, FailingChange, History, NewIncident, PendingSignIn, Refreshed,
        Spend,
    },
};
use jiff::Timestamp;

/// Everything that is stored. A copy of it is a copy of the store.
#[derive(Clone, Default)]
pub struct StoreRows {
    /// Which write made them what they are.
    pub(super) last_write: u64,
    pub connections: BTreeMap<ConnectionName, Connection>,
    pub grants: BTreeMap<GrantId, GrantRow>,
    pub(super) providers: BTreeMap<(Issuer, ClientId), Provider>,
    /// In the order in which they were put.
    pub(super) clients: Vec<ClientRegistration>,
    pub(super) last_secret: u64,
    pub(super) observed: Vec<Observation>,
    pub(super) pending: BTreeMap<ConnectionName, PendingSignIn>,
    pub(super) step_ups: BTreeMap<ConnectionName, StepUps>,
    pub(super) validations: BTreeMap<ConnectionName, Validation>,
    pub(super) failing: BTreeMap<FailingOf, Failing>,
    /// What was told of the open incidents.
    pub(super) alerts: Option<String>,
    pub(super) incidents: Vec<KeptIncident>,
    audit: Vec<(Timestamp, serde_json::Value)>,
    pub(super) tasks: Vec<Run>,
    calls: BTreeMap<(TaskId, ConnectionName, String), Call>,
}

/// One grant and what only its row knows.
#[derive(Clone)]
pub struct GrantRow {
    pub grant: Grant,
    /// The refresh token that the sign-in brought.
    pub(super) first: Option<SecretString>,
    pub(super) suspects: u32,
    /// What the provider says, and since when it has said nothing else.
    pub(super) refused: Option<(String, Moment)>,
}

#[derive(Clone)]
pub(super) struct KeptIncident {
    pub(super) incident: Incident,
    lineage: Lineage,
    pub(super) ended: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) struct Run {
    pub(super) id: TaskId,
    pub(super) process: String,
    pub(super) began: Timestamp,
    pub(super) ended: Option<Timestamp>,
}

#[derive(Clone)]
struct Call {
    times: u64,
    first: Timestamp,
    reason: String,
    recovered: bool,
}

impl GrantRow {
    pub(super) fn new(grant: Grant) -> Self {
        let first = grant.refresh.as_ref().map(|token| token.secret.clone());
        Self {
            grant,
            first,
            suspects: 0,
            refused: None,
        }
    }
}

/// Each write has a number of its own, also in a store that was put back.
static WRITES: AtomicU64 = AtomicU64::new(1);

impl StoreRows {
    /// Somebody has written.
    pub fn touch(&mut self) {
        self.last_write = WRITES.fetch_add(1, Ordering::Relaxed);
    }

    /// The row if exactly this is still current.
    fn current(&mut self, spend: &Spend) -> Option<&mut GrantRow> {
        self.grants.get_mut(&spend.grant).filter(|row| {
            row.grant.lineage == spend.lineage && row.grant.generation == spend.generation
        })
    }

    pub(super) fn claim(
        &mut self,
        spend: &Spend,
        claim: &Claim,
        may: impl FnOnce(&GrantLifecycle) -> bool,
    ) -> bool {
        let row = self.current(spend).filter(|row| {
            let grant = &row.grant;
            let spendable = grant.refresh.is_some() || grant.grant_type.is_issued_again();
            may(&grant.lifecycle) && grant.claim.is_none() && spendable
        });
        row.map(|row| row.grant.claim = Some(claim.clone()))
            .is_some()
    }

    pub(super) fn take_over(&mut self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> bool {
        let row = self.current(spend).filter(|row| {
            let held = row.grant.claim.as_ref();
            let lost = held.is_some_and(|held| {
                held.attempt == *seen && matches!(held.phase, ClaimPhase::Unknown { .. })
            });
            row.grant.lifecycle == GrantLifecycle::Active && lost
        });
        row.map(|row| row.grant.claim = Some(claim.clone()))
            .is_some()
    }

    /// The grant if this attempt is spending it.
    pub(super) fn spending(&mut self, grant: &GrantId, attempt: &AttemptId) -> Option<&mut Grant> {
        let grant = &mut self.grants.get_mut(grant)?.grant;
        let held = grant.claim.as_ref()?;
        (held.attempt == *attempt && held.phase == ClaimPhase::Spending).then_some(grant)
    }

    pub(super) fn keep_subject(
        &mut self,
        spend: &Spend,
        (attempt, shown): (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> bool {
        let Some(GrantRow { grant, .. }) = self.current(spend) else {
            return false;
        };
        if matches!(grant.lifecycle, GrantLifecycle::Revoked { .. }) {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "two tokens are compared")]
        let current =
            (grant.refresh.as_ref()).is_some_and(|held| held.secret.expose() == shown.expose());
        match &mut grant.claim {
            Some(claim) if claim.attempt == *attempt => claim.phase = ClaimPhase::Spending,
            _ if current => {}
            _ => return false,
        }
        grant.refresh = Some(refresh.clone());
        true
    }

    pub(super) fn commit(&mut self, refreshed: Refreshed) -> Committed {
        let spend = &refreshed.spend;
        let revoked = |grant: &Grant| matches!(grant.lifecycle, GrantLifecycle::Revoked { .. });
        let known = self.grants.get(&spend.grant);
        if known.is_some_and(|row| revoked(&row.grant)) {
            return Committed::Revoked;
        }
        let Some(row) = self.current(spend) else {
            return Committed::Superseded;
        };
        row.suspects = 0;
        row.refused = None;
        let grant = &mut row.grant;
        grant.generation = refreshed.access.generation;
        grant.probed = None;
        grant.claim = None;
        if !matches!(grant.lifecycle, GrantLifecycle::Suspended { .. }) {
            grant.lifecycle = GrantLifecycle::Active;
        }
        if let Some((reason, since)) = refreshed.hold {
            grant.lifecycle = GrantLifecycle::Suspended { reason, since };
        }
        grant.subject_binding = refreshed.subject_binding;
        grant.access = Some(refreshed.access);
        grant.refresh = refreshed.refresh.or(grant.refresh.take());
        Committed::Yes
    }

    pub(super) fn refuse(
        &mut self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        since: Timestamp,
    ) -> bool {
        let row = self.current(spend).filter(|row| {
            let held = row.grant.claim.as_ref();
            row.grant.lifecycle == GrantLifecycle::Active
                && held.is_some_and(|held| held.attempt == *attempt)
        });
        let refuse = |row: &mut GrantRow| {
            row.grant.lifecycle = GrantLifecycle::ReauthorizationRequired { reason, since };
            row.grant.claim = None;
        };
        row.map(refuse).is_some()
    }

    pub(super) fn confirm_sole_copy(&mut self, grant: &GrantId, at: Timestamp) -> bool {
        let row = self.grants.get_mut(grant);
        let second = |row: &&mut GrantRow| {
            let reason = SuspendReason::SecondCopy;
            matches!(row.grant.lifecycle, GrantLifecycle::Suspended { reason: why, .. } if why == reason)
        };
        let Some(row) = row.filter(second) else {
            return false;
        };
        row.grant.lifecycle = GrantLifecycle::Active;
        let event = serde_json::json!({"event": "sole_copy_confirmed", "grant": grant.as_str()});
        self.tell(at, event);
        true
    }

    pub(super) fn disconnect(&mut self, name: &ConnectionName, at: Timestamp) -> Option<Grant> {
        let id = self.connections.get(name)?.grant.clone()?;
        let event = serde_json::json!({"event": "disconnected", "connection": name.as_str()});
        self.tell(at, event);
        self.end_incidents(name, at);
        self.pending.remove(name);
        self.step_ups.remove(name);
        self.validations.remove(name);
        let mut others = self.connections.values();
        if others.any(|other| other.name != *name && other.grant.as_ref() == Some(&id)) {
            // Another connection lives on the same grant.
            self.connections.remove(name);
            return None;
        }
        let row = self.grants.get_mut(&id)?;
        if !matches!(row.grant.lifecycle, GrantLifecycle::Revoked { .. }) {
            row.grant.lifecycle = GrantLifecycle::Revoked { since: at };
        }
        Some(row.grant.clone())
    }

    pub(super) fn forget(&mut self, name: &ConnectionName) {
        let Some(connection) = self.connections.get(name) else {
            return;
        };
        let id = connection.grant.clone();
        let row = id.and_then(|id| self.grants.get_mut(&id));
        if let Some(row) = row {
            if !matches!(row.grant.lifecycle, GrantLifecycle::Revoked { .. }) {
                return;
            }
            row.grant.refresh = None;
            row.grant.standby = None;
            row.grant.grant_material = GrantMaterial::default();
            row.grant.access = None;
            row.first = None;
            self.failing.remove(&FailingOf::Grant(row.grant.id.clone()));
        }
        self.connections.remove(name);
    }

    pub(super) fn tell(&mut self, at: Timestamp, record: serde_json::Value) {
        self.audit.push((at, record));
    }

    pub(super) fn amend_incident(&mut self, id: &IncidentId, record: &Record) {
        let open = |kept: &&mut KeptIncident| kept.incident.id == *id && kept.ended.is_none();
        if let Some(kept) = self.incidents.iter_mut().find(open) {
            kept.incident.record = record.clone();
        }
    }

    pub(super) fn put_step_ups(
        &mut self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> bool {
        let known = self.step_ups.get(name).cloned().unwrap_or_default();
        if known != *seen {
            return false;
        }
        self.step_ups.insert(name.clone(), new.clone());
        true
    }

    pub(super) fn put_validation(
        &mut self,
        name: &ConnectionName,
        seen: Option<&Validation>,
        new: &Validation,
    ) -> bool {
        if self.validations.get(name) != seen {
            return false;
        }
        self.validations.insert(name.clone(), new.clone());
        true
    }

    pub(super) fn require_sign_in(
        &mut self,
        grant: &GrantId,
        lineage: Lineage,
        (reason, since): (ReauthorizeReason, Timestamp),
    ) -> bool {
        let Some(row) = self.grants.get_mut(grant) else {
            return false;
        };
        let grant = &mut row.grant;
        let may = grant.lineage == lineage
            && grant.claim.is_none()
            && grant.lifecycle == GrantLifecycle::Active;
        if may {
            grant.lifecycle = GrantLifecycle::ReauthorizationRequired { reason, since };
        }
        may
    }

    pub(super) fn put_failing(&mut self, change: FailingChange) -> bool {
        if self.failing.get(&change.of) != change.seen.as_ref() {
            return false;
        }
        match change.new {
            Some(new) => self.failing.insert(change.of, new),
            None => self.failing.remove(&change.of),
        };
        change
            .incident
            .into_iter()
            .for_each(|incident| drop(self.keep_incident(incident)));
        true
    }

    pub(super) fn keep_incident(&mut self, new: NewIncident) -> (Incident, bool) {
        let told = &new.record;
        let mut open = self.incidents.iter().filter(|kept| kept.ended.is_none());
        let same = open.find(|kept| {
            let record = &kept.incident.record;
            kept.lineage == new.lineage
                && record.connection == told.connection
                && record.event == told.event
                && record.reason == told.reason
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

    /// What is over for a grant is over for all that live on it.
    pub(super) fn end_incidents_of_all(&mut self, connection: &ConnectionName, at: Timestamp) {
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

    pub(super) fn history(&self, connection: &ConnectionName) -> History {
        let of = |record: &serde_json::Value| record["connection"] == connection.as_str();
        let incidents = self.incidents.iter();
        let incidents =
            incidents.filter(|kept| kept.incident.record.connection == connection.as_str());
        History {
            incidents: incidents
                .map(|kept| (kept.incident.clone(), kept.ended))
                .collect(),
            events: self
                .audit
                .iter()
                .filter(|(_, record)| of(record))
                .cloned()
                .collect(),
        }
    }

    pub(super) fn call_failed(&mut self, call: &CarriedCall, reason: &str, at: Timestamp) {
        let key = (
            call.task.clone(),
            call.connection.clone(),
            call.fingerprint.clone(),
        );
        let known = self.calls.entry(key).or_insert(Call {
            times: 0,
            first: at,
            reason: String::new(),
            recovered: false,
        });
        known.times += 1;
        reason.clone_into(&mut known.reason);
        known.recovered = false;
    }

    pub(super) fn call_recovered(&mut self, call: &CarriedCall) {
        let key = (
            call.task.clone(),
            call.connection.clone(),
            call.fingerprint.clone(),
        );
        if let Some(call) = self.calls.get_mut(&key) {
            call.recovered = true;
        }
    }

    pub(super) fn unrecovered(&self, task: &TaskId) -> Vec<FailedCall> {
        let mut failed: BTreeMap<(&ConnectionName, &str), FailedCall> = BTreeMap::new();
        let open = self.calls.iter();
        for ((_, connection, _), call) in
            open.filter(|((of, _, _), call)| of == task && !call.recovered)
        {
            let key = (connection, call.reason.as_str());
            let sum = failed.entry(key).or_insert_with(|| FailedCall {
                connection: connection.clone(),
                times: 0,
                first: call.first,
                reason: call.reason.clone(),
            });
            sum.times += call.times;
            sum.first = sum.first.min(call.first);
        }
        failed.into_values().collect()
    }
}
