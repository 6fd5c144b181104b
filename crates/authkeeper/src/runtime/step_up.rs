//! Step-up (MCP 2026-07-28 "Step-Up Authorization Flow"): a call was refused for lack of a scope. What it needs is kept until
//! a sign-in asks for it; a client that acts for itself asks at once. Other calls go on meanwhile.

use crate::{
    error::TokenError,
    model::{
        Connection, ConnectionName, Event, Grant, Incident, Record, ScopeRefusal, StepUpDecision,
        StepUps,
    },
    refresh::{OnBehalfOf, incident},
    runtime::Runtime,
    store::StoreError,
    text::sanitize::one_line,
};

impl Runtime {
    /// A call was refused for lack of a scope. Done means that there is a token of a newer sign-in by now, and that the call
    /// is worth one more try; else the error says whether a sign-in may bring the scope or nobody can.
    pub async fn step_up(
        &self,
        name: &ConnectionName,
        refusal: &ScopeRefusal,
    ) -> Result<(), TokenError> {
        let refusal = &ScopeRefusal {
            operation: one_line(&refusal.operation),
            ..refusal.clone()
        };
        let lock = self.step_up_locks.of(name);
        let _guard = lock.lock().await;
        let (connection, grant) = self.find(name).await?;
        if grant.lineage > refusal.lineage {
            return Ok(());
        }
        let asked = connection.requested_scope(&grant);
        let noted = self.change_step_ups(name, |all| {
            let (all, step) = all.refused(refusal, asked.as_ref());
            (all, Some(step))
        });
        let (all, step) = noted.await?;
        if step == Some(StepUpDecision::SignIn) && grant.grant_type.acts_for_itself() {
            return self
                .ask_for_itself((&connection, &grant), refusal, &all)
                .await;
        }
        let mut records = self.tell_of_scopes((&connection, &grant), &all).await?;
        let reason = match step {
            Some(StepUpDecision::SignIn) => incident::SCOPE_WANTED,
            _ => incident::SCOPE_REFUSED,
        };
        records.retain(|record| record.reason == reason);
        Err(error_of(records.pop(), name))
    }

    /// A call of this operation got through: what it was refused for is over.
    pub async fn scope_sufficed(
        &self,
        name: &ConnectionName,
        operation: &str,
    ) -> Result<(), TokenError> {
        let operation = one_line(operation);
        if !self.step_ups(name).await?.knows(&operation) {
            return Ok(());
        }
        let changed = self.change_step_ups(name, |all| (all.worked(&operation), None));
        let (all, _) = changed.await?;
        let (connection, grant) = self.find(name).await?;
        self.tell_of_scopes((&connection, &grant), &all).await?;
        Ok(())
    }

    /// What calls of a connection were refused for lack of, and have not got since.
    pub async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps, StoreError> {
        self.context.store.step_ups(name).await
    }

    /// What is kept is changed by compare-and-set: another process may be at it too.
    pub(crate) async fn change_step_ups<F>(
        &self,
        name: &ConnectionName,
        change: F,
    ) -> Result<(StepUps, Option<StepUpDecision>), StoreError>
    where
        F: Fn(StepUps) -> (StepUps, Option<StepUpDecision>) + Send + Sync,
    {
        let store = &self.context.store;
        loop {
            let seen = store.step_ups(name).await?;
            let (new, step) = change(seen.clone());
            if new == seen || store.put_step_ups(name, &seen, &new).await? {
                return Ok((new, step));
            }
        }
    }

    /// Makes the open incidents say what is wanted and what was given up, each once; returns what they say.
    pub(crate) async fn tell_of_scopes(
        &self,
        (connection, grant): (&Connection, &Grant),
        all: &StepUps,
    ) -> Result<Vec<Record>, StoreError> {
        let (now, trace_id) = (self.now(), self.context.seams.random_id());
        let on_behalf_of = OnBehalfOf::of(connection);
        let told = [
            incident::scope_wanted_record(&on_behalf_of, grant, all, (now, &trace_id)),
            incident::scope_refused_record(&on_behalf_of, grant, all, (now, &trace_id)),
        ];
        let store = &self.context.store;
        let open = store.incidents().await?;
        let open = open.into_iter().filter(|incident| {
            incident.record.event == Event::ScopeRequired
                && incident.record.connection == connection.name.as_str()
        });
        let open: Vec<Incident> = open.collect();
        let mut records = vec![];
        for record in told.iter().flatten() {
            let same = |incident: &&Incident| incident.record.reason == record.reason;
            match open.iter().find(same) {
                None => incident::keep(&self.context, grant, record.clone()).await?,
                Some(known) if says_the_same(&known.record, record) => {}
                Some(known) => {
                    let amended = Record {
                        since: known.record.since,
                        ..record.clone()
                    };
                    store.amend_incident(&known.id, &amended).await?;
                }
            }
            records.push(record.clone());
        }
        let over = |incident: &&Incident| {
            let mut told = told.iter().flatten();
            !told.any(|record| record.reason == incident.record.reason)
        };
        for incident in open.iter().filter(over) {
            store.end_incident(&incident.id, now).await?;
        }
        Ok(records)
    }
}

fn says_the_same(one: &Record, other: &Record) -> bool {
    (&one.detail, &one.scope, &one.action) == (&other.detail, &other.scope, &other.action)
}

/// Told by the record, unless the operation got through at the same moment.
pub(crate) fn error_of(record: Option<Record>, name: &ConnectionName) -> TokenError {
    match record.map(Box::new) {
        Some(record) if record.reason == incident::SCOPE_WANTED => {
            TokenError::ScopeMissing { record }
        }
        Some(record) => TokenError::ScopeRefused { record },
        None => TokenError::Unavailable {
            why: format!("{name} kept changing"),
            retry_after: None,
        },
    }
}
