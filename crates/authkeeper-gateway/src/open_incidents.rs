//! The open incidents in the store, with their sign-in links.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, FailedCall, Incident, IncidentId, TaskId},
    runtime::Runtime,
    store::StoreError,
};

use crate::{alerts::IncidentFeed, signin_link::IncidentLinks, token_source::TokenSource};

/// The open incidents of some connections or of all, and the calls that failed in a run.
pub struct OpenIncidents {
    runtime: Runtime,
    /// None: all that there are.
    connections: Option<Vec<ConnectionName>>,
    task: Option<TaskId>,
    /// Knows the failed calls of this process that the store does not know of.
    tokens: Option<Arc<TokenSource>>,
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

    async fn claim_notification(&self, id: &IncidentId) -> bool {
        self.runtime.claim_notification(id).await.unwrap_or(false)
    }

    async fn is_open(&self, id: &IncidentId) -> bool {
        let open = self.runtime.incidents().await;
        open.map_or(true, |open| open.iter().any(|incident| incident.id == *id))
    }

    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        let noted = match &self.task {
            Some(task) => self.runtime.unrecovered(task).await?,
            None => vec![],
        };
        let unnoted = self.tokens.iter();
        let unnoted = unnoted.flat_map(|tokens| tokens.unnoted_calls());
        Ok(counted_together(noted, unnoted))
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
