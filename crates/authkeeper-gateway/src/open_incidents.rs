//! The open incidents in the store, with their sign-in links.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::{
        ConnectionName, Event, FailedCall, Health, HealthCause, Incident, IncidentId, Record,
        TaskId,
    },
    platform::clock::Seams,
    runtime::{ConnectionStatus, Runtime},
    store::StoreError,
};

use crate::{
    alerts::{AlertFact, IncidentFeed},
    signin_link::IncidentLinks,
    token_source::TokenSource,
};

/// The open incidents of some connections or of all, and the calls that failed in a run.
pub struct OpenIncidents {
    runtime: Runtime,
    /// None: all that there are.
    connections: Option<Vec<ConnectionName>>,
    task: Option<TaskId>,
    /// Knows the failed calls of this process that the store does not know of.
    tokens: Option<Arc<TokenSource>>,
    /// The call that this command is about.
    failed: Option<FailedCall>,
    /// A run that ended before its command was started.
    not_started: bool,
    links: IncidentLinks,
}

impl OpenIncidents {
    /// Those of `connections`, with the failed calls of `task`.
    pub fn new(
        runtime: Runtime,
        connections: Vec<ConnectionName>,
        task: Option<TaskId>,
        links: IncidentLinks,
    ) -> Self {
        Self {
            runtime,
            connections: Some(connections),
            task,
            tokens: None,
            failed: None,
            not_started: false,
            links,
        }
    }

    /// Those of all connections. Failed calls belong to no task then.
    pub fn of_all(runtime: Runtime, links: IncidentLinks) -> Self {
        Self {
            connections: None,
            ..Self::new(runtime, vec![], None, links)
        }
    }

    fn are_of(&self, connection: &ConnectionName) -> bool {
        let some = self.connections.as_ref();
        some.is_none_or(|some| some.contains(connection))
    }

    /// Failed calls of this process that the store does not know of count too.
    #[must_use]
    pub fn with_unnoted(self, tokens: Arc<TokenSource>) -> Self {
        let tokens = Some(tokens);
        Self { tokens, ..self }
    }
}

#[async_trait]
impl IncidentFeed for OpenIncidents {
    async fn open(&self) -> Result<Vec<Incident>, StoreError> {
        let all = self.runtime.incidents().await?;
        let mut open = Vec::new();
        for mut incident in all {
            let name = ConnectionName::parse(&incident.record.connection).ok();
            let Some(name) = name.filter(|name| self.are_of(name)) else {
                continue;
            };
            incident.record.task = self.task.as_ref().map(ToString::to_string);
            incident.record.link = self.links.link(&name, &incident.record).await;
            open.push(incident);
        }
        Ok(open)
    }

    async fn is_due(&self, incident: &Incident) -> Result<bool, StoreError> {
        match self.runtime.notify_in(incident).await? {
            None => Ok(false),
            Some(Duration::ZERO) => Ok(true),
            // A call that failed over it was not spared.
            Some(_) => {
                let failed = self.unrecovered().await?;
                let over = &incident.record.connection;
                Ok(failed.iter().any(|call| call.connection.as_str() == over))
            }
        }
    }

    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        let noted = match &self.task {
            Some(task) => self.runtime.unrecovered(task).await?,
            None => vec![],
        };
        let unnoted = self.tokens.iter();
        let unnoted = unnoted.flat_map(|tokens| tokens.unnoted_calls());
        let unnoted = unnoted.chain(self.failed.clone());
        Ok(counted_together(noted, unnoted))
    }

    fn version(&self) -> Option<u64> {
        self.runtime.changes().ok()
    }

    fn in_run(&self) -> bool {
        self.task.is_some() || self.not_started
    }

    async fn facts(&self, names: &[String]) -> Result<Vec<AlertFact>, StoreError> {
        let failed = self.unrecovered().await?;
        let over = failed.iter().map(|call| call.connection.to_string());
        let names: Vec<String> = names.iter().cloned().chain(over).collect();
        let mut facts = Vec::new();
        for status in self.runtime.statuses_of_affected(&names).await? {
            self.add_facts(&status, &failed, &mut facts).await?;
        }
        Ok(facts)
    }

    async fn alert_state(&self) -> Result<Option<String>, StoreError> {
        self.runtime.alert_state().await
    }

    async fn put_alert_state(
        &self,
        seen: Option<&str>,
        new: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.runtime.put_alert_state(seen, new).await
    }

    async fn mark_told(&self, id: &IncidentId) -> Result<(), StoreError> {
        self.runtime.claim_notification(id).await.map(drop)
    }

    async fn link(&self, record: &Record) -> Option<String> {
        let name = ConnectionName::parse(&record.connection).ok()?;
        self.links.of_alert(&name, record).await
    }
}

impl OpenIncidents {
    /// A call of this command failed over a connection, for this reason.
    #[must_use]
    pub fn with_failed(self, connection: &ConnectionName, reason: &str) -> Self {
        let failed = FailedCall {
            connection: connection.clone(),
            times: 1,
            first: self.runtime.now(),
            reason: reason.to_owned(),
        };
        let failed = Some(failed);
        Self { failed, ..self }
    }

    /// They are those of a run that ended before its command was started.
    #[must_use]
    pub fn of_run_that_did_not_start(self) -> Self {
        Self {
            not_started: true,
            ..self
        }
    }

    async fn add_facts(
        &self,
        status: &ConnectionStatus,
        failed: &[FailedCall],
        facts: &mut Vec<AlertFact>,
    ) -> Result<(), StoreError> {
        let connection = &status.connection;
        let mut over = failed
            .iter()
            .filter(|call| call.connection == connection.name);
        let failed = over.next().map(|call| call.first);
        let mut known = HashSet::new();
        for health in &status.causes {
            let Some(cause) = health.cause.filter(|cause| known.insert(*cause)) else {
                continue;
            };
            let told =
                |incident: &&Incident| HealthCause::of_record(&incident.record) == Some(cause);
            let incident = status.incidents.iter().find(told);
            let is_outage = cause == HealthCause::ProviderUnavailable;
            if incident.is_none() && !is_outage {
                continue;
            }
            // None: nothing is lost yet, or nothing any more.
            let heals_in = match incident {
                Some(incident) => {
                    let wait = self.runtime.notify_in(incident).await?;
                    wait.unwrap_or(Duration::MAX)
                }
                None => Duration::ZERO,
            };
            let concerns = if is_outage {
                let (issuer, client) = (&connection.issuer, &connection.client_id);
                self.runtime.connections_of_client(issuer, client).await?
            } else {
                vec![connection.name.clone()]
            };
            let record = incident.map(|incident| incident.record.clone());
            let record = record.unwrap_or_else(|| self.outage(status, health));
            facts.push(AlertFact {
                provider: connection.issuer.to_string(),
                client: connection.client_id.to_string(),
                health: health.clone(),
                record: self.of_this_run(record),
                recorded: incident.is_some(),
                untold: incident
                    .filter(|incident| !incident.notified)
                    .map(|incident| incident.id.clone()),
                heals_in,
                failed,
                concerns: concerns.iter().map(ToString::to_string).collect(),
            });
        }
        Ok(())
    }

    fn of_this_run(&self, record: Record) -> Record {
        let name = ConnectionName::parse(&record.connection).ok();
        let ours = name.is_some_and(|name| self.are_of(&name));
        let task = self.task.as_ref().filter(|_| ours);
        Record {
            task: task.map(ToString::to_string),
            ..record
        }
    }

    /// The record of an outage that no incident tells of yet.
    fn outage(&self, status: &ConnectionStatus, health: &Health) -> Record {
        let connection = &status.connection;
        let now = self.runtime.now();
        Record {
            event: Event::ProviderFailing,
            connection: connection.name.to_string(),
            principal: connection.principal.to_string(),
            task: None,
            reason: "token_requests_fail".to_owned(),
            detail: health.detail.clone().unwrap_or_default(),
            since: health.since.unwrap_or(now),
            expires_at: status.expires_at,
            scope: None,
            action: format!(
                "nothing at authkeeper: see whether {} reports an outage; authkeeper goes on by itself",
                connection.issuer
            ),
            link: None,
            trace_id: Seams::system().random_id(),
            ts: now,
        }
    }
}

/// Calls over one connection that failed for one reason are one entry.
fn counted_together(
    mut calls: Vec<FailedCall>,
    more: impl Iterator<Item = FailedCall>,
) -> Vec<FailedCall> {
    for call in more {
        match calls
            .iter_mut()
            .find(|known| (&known.connection, &known.reason) == (&call.connection, &call.reason))
        {
            Some(known) => known.times += call.times,
            None => calls.push(call),
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_over_one_connection_with_one_reason_are_counted_together() {
        let failed = |name: &str, times| FailedCall {
            connection: ConnectionName::parse(name).unwrap(),
            times,
            first: jiff::Timestamp::UNIX_EPOCH,
            reason: "store".to_owned(),
        };
        let refused = FailedCall {
            reason: "client_refused".to_owned(),
            ..failed("a", 1)
        };
        let held = [failed("a", 2), failed("b", 1), refused.clone()].into_iter();
        let all = counted_together(vec![failed("a", 1)], held);
        assert_eq!(all, [failed("a", 3), failed("b", 1), refused]);
    }
}
