//! Step-up (MCP 2026-07-28 "Step-Up Authorization Flow"): a call was refused for lack of a scope. What it needs is kept until
//! a sign-in asks for it; a client that acts for itself asks at once. Other calls go on meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    error::TokenError,
    incident,
    model::{
        Connection, ConnectionName, Event, Grant, GrantType, Incident, Moment, Record, Scope,
        ScopeRefusal, Step, StepUps,
    },
    oauth::authorize::RedirectError,
    refresh::OnBehalfOf,
    runtime::Runtime,
    secret::SecretString,
    signin::{Again, ConnectError, Prompter, SignInPrompt},
    store::StoreError,
    text::sanitize::one_line,
};

/// What one process remembers between calls of the same connection.
#[derive(Default)]
pub(crate) struct Turns {
    /// Those who are refused together take turns: one of them asks.
    turns: Mutex<HashMap<ConnectionName, Arc<tokio::sync::Mutex<()>>>>,
    /// When the resource was last asked for its authorization servers.
    pub(crate) looked: Mutex<HashMap<ConnectionName, Moment>>,
}

impl Turns {
    fn of(&self, name: &ConnectionName) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(name.clone()).or_default())
    }
}

/// How long an authorization server may take over a client's own sign-in.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client signs in for itself.
struct Nobody;

#[async_trait]
impl Prompter for Nobody {
    fn invite(&self, _: &SignInPrompt) {}

    async fn paste(&self) -> Option<SecretString> {
        None
    }

    fn paste_again(&self, _: &RedirectError) {}
}

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
        let turn = self.turns.of(name);
        let _turn = turn.lock().await;
        let (connection, grant) = self.find(name).await?;
        if grant.lineage > refusal.lineage {
            return Ok(());
        }
        let asked = asked_before(&connection, &grant);
        let noted = self.change_step_ups(name, |all| {
            let (all, step) = all.refused(refusal, asked.as_ref());
            (all, Some(step))
        });
        let (all, step) = noted.await?;
        if step == Some(Step::Freshness) && asks_for_itself(grant.grant_type) {
            return self
                .ask_for_itself((&connection, &grant), refusal, &all)
                .await;
        }
        let mut records = self.tell_of_scopes((&connection, &grant), &all).await?;
        let reason = match step {
            Some(Step::Freshness) => incident::SCOPE_WANTED,
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

    /// The same sign-in again, asking for more, for a client that needs nobody for it.
    async fn ask_for_itself(
        &self,
        (connection, grant): (&Connection, &Grant),
        refusal: &ScopeRefusal,
        all: &StepUps,
    ) -> Result<(), TokenError> {
        let name = &connection.name;
        let asked = asked_before(connection, grant);
        let scope_request = all.scope_request().unwrap_or_default();
        let covered = |more: &Scope| asked.as_ref().is_some_and(|asked| asked.covers(more));
        let more = scope_request.scope.is_some_and(|more| !covered(&more));
        let worth_it = more || (scope_request.unnamed && all.in_vain(&refusal.operation) == 0);
        // The same question has the same answer.
        let asked_again = if worth_it {
            Some(Box::pin(self.reauthorize(name, Again::new(PATIENCE), &Nobody)).await)
        } else {
            None
        };
        match asked_again {
            Some(Ok(_)) => return Ok(()),
            Some(Err(ConnectError::Store(error))) => return Err(error.into()),
            Some(Err(error)) if !error.is_about_scope() => {
                return Err(TokenError::Unavailable {
                    why: error.to_string(),
                    retry_after: None,
                });
            }
            Some(Err(_)) | None => {}
        }
        let given_up = self.change_step_ups(name, |all| (all.give_up(&refusal.operation), None));
        let (all, _) = given_up.await?;
        let mut records = self.tell_of_scopes((connection, grant), &all).await?;
        records.retain(|record| record.reason == incident::SCOPE_REFUSED);
        Err(error_of(records.pop(), name))
    }

    /// What is kept is changed by compare-and-set: another process may be at it too.
    pub(crate) async fn change_step_ups<F>(
        &self,
        name: &ConnectionName,
        change: F,
    ) -> Result<(StepUps, Option<Step>), StoreError>
    where
        F: Fn(StepUps) -> (StepUps, Option<Step>) + Send + Sync,
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
    async fn tell_of_scopes(
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
fn error_of(record: Option<Record>, name: &ConnectionName) -> TokenError {
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

/// What the last sign-in asked for; where it left that to the server, what it was given.
pub(crate) fn asked_before(connection: &Connection, grant: &Grant) -> Option<Scope> {
    let granted = || grant.access.as_ref()?.scope.clone();
    connection.scope.clone().or_else(granted)
}

/// Whether its sign-in needs nobody.
fn asks_for_itself(grant_type: GrantType) -> bool {
    match grant_type {
        GrantType::ClientCredentials => true,
        // What others vouch for is theirs to widen.
        GrantType::AuthorizationCode
        | GrantType::DeviceCode
        | GrantType::ApiKey
        | GrantType::JwtBearer
        | GrantType::IdJag => false,
    }
}
