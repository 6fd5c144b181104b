//! Which messages are due: a pure function of what was told, what holds now, and the time.
//!
//! Incidents with one cause at one client of one provider are one alert. An alert is told once its delay is over, again when
//! it changes, and a last time when it is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use authkeeper::model::{
    Health, HealthCause, HealthState, IncidentId, NotifyDelay, Record, Severity, notify_delay,
    severity,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::notification::{MOST_NAMED, Notification, NotificationStatus};

/// A new alert is told once nothing was added to it for so long,
const QUIET: SignedDuration = SignedDuration::from_secs(1);
/// or after so long: what breaks together is counted together.
const MOST_QUIET: SignedDuration = SignedDuration::from_secs(3);
/// How long a run's calls have failed when its provider counts as down, while the run goes on.
const CALLS_FAILED: SignedDuration = SignedDuration::from_secs(60);
/// How soon more connections are told of; doubled with each message.
const GROWTH: SignedDuration = SignedDuration::from_mins(10);
const MOST_GROWTH: SignedDuration = SignedDuration::from_hours(24);

/// What was told, and the messages that are on their way to the outbox. It is kept in the store, one for all processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlertState {
    #[serde(default)]
    pub(super) alerts: Vec<ToldAlert>,
    #[serde(default)]
    pub(super) queued: Vec<Notification>,
}

/// An alert that was told and is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ToldAlert {
    id: String,
    provider: String,
    client: String,
    cause: String,
    summary: String,
    whose_move: String,
    severity: Severity,
    /// How many messages were sent, and when the last one was.
    number: u32,
    at: Timestamp,
    /// Every connection that was counted in one of them.
    names: BTreeSet<String>,
    /// How many runs ended because of it, and how many had when it was last told.
    runs: u32,
    told_runs: u32,
    record: Record,
}

/// One cause that holds for one connection.
#[derive(Clone, Debug)]
pub struct AlertFact {
    /// The issuer.
    pub provider: String,
    /// Our client there.
    pub client: String,
    /// The connection, judged by this cause alone.
    pub health: Health,
    /// What is told of it.
    pub record: Record,
    /// Whether an incident tells of it: what is bounded was outlasted.
    pub recorded: bool,
    /// That incident, if it is not marked as told.
    pub untold: Option<IncidentId>,
    /// How long the next resend may still heal it.
    pub heals_in: Duration,
    /// Since when calls over it fail in this run, or in this command.
    pub failed: Option<Timestamp>,
    /// The connections that it concerns: its own, or all of the client's.
    pub concerns: Vec<String>,
}

/// Whether a run asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunPhase {
    /// No run.
    #[default]
    None,
    /// One that goes on.
    Going,
    /// One that has ended.
    Ended,
}

/// When and for whom it is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct AlertContext {
    pub(super) now: Timestamp,
    /// How long a provider may be down while tokens live; none: as long as they do.
    pub(super) outage_after: Option<Duration>,
    /// Nobody looks again: nothing is waited for.
    pub(super) last: bool,
    pub(super) run: RunPhase,
}

/// What was decided.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) state: AlertState,
    /// Whether something waits to be counted together with what follows.
    pub(super) unsettled: bool,
}

type Key<'a> = (&'a str, &'a str, &'static str);

impl AlertState {
    /// What can't be read is told again.
    pub(super) fn read(text: Option<&str>) -> Self {
        let read = text.and_then(|text| serde_json::from_str(text).ok());
        read.unwrap_or_default()
    }

    /// As it is kept; none if there is nothing to keep.
    pub(super) fn text(&self) -> Option<String> {
        let empty = self.alerts.is_empty() && self.queued.is_empty();
        (!empty).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// The incidents whose alerts are not over.
    pub(super) fn open_records(&self) -> impl Iterator<Item = &Record> {
        self.alerts.iter().map(|alert| &alert.record)
    }

    /// The incidents that are told by now and not marked so.
    pub(super) fn newly_told(&self, facts: &[AlertFact]) -> Vec<IncidentId> {
        let is_told = |fact: &&AlertFact| {
            let cause = fact.health.cause.map(HealthCause::as_str);
            let key = cause.map(|cause| (fact.provider.as_str(), fact.client.as_str(), cause));
            let mut alerts = self.alerts.iter();
            alerts.any(|alert| {
                Some(key_of(alert)) == key && alert.names.contains(&fact.record.connection)
            })
        };
        let told = facts.iter().filter(is_told);
        told.filter_map(|fact| fact.untold.clone()).collect()
    }

    /// The connections that were told of.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.alerts.iter().flat_map(|alert| &alert.names);
        names.cloned().collect()
    }
}

/// What is to be told now, and what has been told then.
pub(super) fn decide(
    seen: &AlertState,
    facts: &[AlertFact],
    context: &AlertContext,
    new_id: &mut dyn FnMut() -> String,
) -> Decided {
    let mut groups = grouped(facts);
    let mut state = AlertState {
        alerts: Vec::new(),
        queued: seen.queued.clone(),
    };
    for alert in &seen.alerts {
        match groups.remove(&key_of(alert)) {
            Some(group) => {
                let (alert, told) = alert.clone().goes_on(&Group::of(&group, context), context);
                state.alerts.push(alert);
                state.queued.extend(told);
            }
            None => state.queued.extend(alert.ends(facts, context.now)),
        }
    }
    let mut unsettled = false;
    for (key, facts) in groups {
        let group = Group::of(&facts, context);
        if !group.is_due() {
            continue;
        }
        if !context.last && !is_settled(&facts, context.now) {
            unsettled = true;
            continue;
        }
        if let Some((alert, told)) = ToldAlert::opens(key, &group, context, new_id) {
            state.alerts.push(alert);
            state.queued.push(told);
        }
    }
    Decided { state, unsettled }
}

fn key_of(alert: &ToldAlert) -> (&str, &str, &str) {
    (&alert.provider, &alert.client, &alert.cause)
}

/// What anybody is to be told of, by provider, client and cause.
fn grouped(facts: &[AlertFact]) -> BTreeMap<(&str, &str, &str), Vec<&AlertFact>> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&AlertFact>> = BTreeMap::new();
    let outages = facts.iter().filter(|fact| fact.is_outage());
    let away: BTreeSet<&String> = outages.flat_map(|fact| &fact.concerns).collect();
    for fact in facts {
        let Some(cause) = fact.health.cause.filter(|_| fact.severity().is_some()) else {
            continue;
        };
        // Its resend waits for the provider: that is what is told.
        if cause == HealthCause::Uncertain && away.contains(&fact.record.connection) {
            continue;
        }
        let key: Key<'_> = (&fact.provider, &fact.client, cause.as_str());
        groups.entry(key).or_default().push(fact);
    }
    groups
}

/// What of one group is due.
struct Group<'a> {
    due: Vec<&'a AlertFact>,
    /// How many runs of this process ended because of it.
    ended_runs: u32,
}

impl<'a> Group<'a> {
    fn of(facts: &[&'a AlertFact], context: &AlertContext) -> Self {
        let mut due: Vec<&AlertFact> = facts.to_vec();
        due.retain(|fact| fact.is_due(context));
        due.sort_by(|one, other| one.record.connection.cmp(&other.record.connection));
        let ended = context.run == RunPhase::Ended
            && facts
                .iter()
                .any(|fact| fact.is_outage() && fact.failed.is_some());
        Self {
            due,
            ended_runs: u32::from(ended),
        }
    }

    fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    fn severity(&self) -> Option<Severity> {
        self.due.iter().filter_map(|fact| fact.severity()).max()
    }

    fn names(&self) -> BTreeSet<String> {
        let names = self.due.iter().flat_map(|fact| &fact.concerns);
        names.cloned().collect()
    }

    fn since(&self) -> Option<Timestamp> {
        self.due.iter().map(|fact| fact.record.since).min()
    }
}

impl AlertFact {
    fn severity(&self) -> Option<Severity> {
        severity(self.health.cause?, self.health.state)
    }

    fn is_outage(&self) -> bool {
        let delay = self.health.cause.map(notify_delay);
        delay == Some(NotifyDelay::Outage)
    }

    fn is_due(&self, context: &AlertContext) -> bool {
        match self.health.cause.map(notify_delay) {
            None => false,
            Some(NotifyDelay::AtOnce) => true,
            // A call that failed over it was not spared.
            Some(NotifyDelay::Retries) => self.heals_in.is_zero() || self.failed.is_some(),
            Some(NotifyDelay::Outage) => {
                let lasts = context.now.duration_since(self.record.since);
                let set = context.outage_after.and_then(|set| set.try_into().ok());
                let too_long = set.is_some_and(|set: SignedDuration| lasts >= set);
                let no_token = self.health.state == HealthState::Down;
                too_long || (no_token && self.waits_are_over(context))
            }
        }
    }

    /// A run waits for its provider: while it does, nothing has failed yet.
    fn waits_are_over(&self, context: &AlertContext) -> bool {
        let since = self.failed.map(|first| context.now.duration_since(first));
        match context.run {
            RunPhase::None => self.recorded,
            RunPhase::Going => since.is_some_and(|since| since >= CALLS_FAILED),
            RunPhase::Ended => self.recorded || since.is_some(),
        }
    }
}

/// Whether what breaks together has broken. A clock that went back holds nothing up.
fn is_settled(facts: &[&AlertFact], now: Timestamp) -> bool {
    let age = |fact: &&AlertFact| now.duration_since(fact.record.ts);
    let newest = facts.iter().map(age).min().unwrap_or_default();
    let oldest = facts.iter().map(age).max().unwrap_or_default();
    newest.is_negative() || newest >= QUIET || oldest >= MOST_QUIET
}

impl ToldAlert {
    fn opens(
        (provider, client, cause): (&str, &str, &str),
        group: &Group<'_>,
        context: &AlertContext,
        new_id: &mut dyn FnMut() -> String,
    ) -> Option<(Self, Notification)> {
        let lead = group.due.first()?;
        let sentence = lead.health.cause?.sentence();
        let alert = Self {
            id: new_id(),
            provider: provider.to_owned(),
            client: client.to_owned(),
            cause: cause.to_owned(),
            summary: sentence.to_owned(),
            whose_move: lead.health.whose_move.as_str().to_owned(),
            severity: group.severity()?,
            number: 1,
            at: context.now,
            names: group.names(),
            runs: group.ended_runs,
            told_runs: group.ended_runs,
            record: Record {
                since: group.since()?,
                ..lead.record.clone()
            },
        };
        let told = alert.message(NotificationStatus::Firing);
        Some((alert, told))
    }

    /// One that holds on: it is told again only if it has changed.
    fn goes_on(
        mut self,
        group: &Group<'_>,
        context: &AlertContext,
    ) -> (Self, Option<Notification>) {
        self.runs = self.runs.saturating_add(group.ended_runs);
        let severity = group.severity().unwrap_or(self.severity);
        let names = group.names();
        let worse = severity > self.severity;
        let grown = !names.is_subset(&self.names) && context.now >= self.grows_from();
        // The first run was told, or is what the first message was about.
        let more_runs = self.runs > self.told_runs.max(1) && self.runs.is_power_of_two();
        if !(worse || grown || more_runs) {
            return (self, None);
        }
        self.severity = self.severity.max(severity);
        self.names.extend(names);
        self.told_runs = self.runs;
        self.number = self.number.saturating_add(1);
        self.at = context.now;
        if let Some(lead) = group.due.first() {
            let since = self.record.since;
            self.record = Record {
                since,
                ts: context.now,
                ..lead.record.clone()
            };
        }
        let told = self.message(NotificationStatus::Changed);
        (self, Some(told))
    }

    fn grows_from(&self) -> Timestamp {
        let factor = 2_i32.saturating_pow(self.number.saturating_sub(1).min(16));
        let wait = GROWTH.saturating_mul(factor).min(MOST_GROWTH);
        self.at.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// One that holds no more: the all-clear, unless something else is wrong with a connection it was about. That is told, and
    /// its end is.
    fn ends(&self, facts: &[AlertFact], now: Timestamp) -> Option<Notification> {
        let mut rest = facts.iter().filter(|fact| {
            let worse = fact.severity().is_some_and(|other| other >= self.severity);
            worse && self.names.contains(&fact.record.connection)
        });
        if rest.next().is_some() {
            return None;
        }
        let over = Self {
            number: self.number.saturating_add(1),
            record: Record {
                ts: now,
                action: "nothing".to_owned(),
                link: None,
                ..self.record.clone()
            },
            ..self.clone()
        };
        Some(over.message(NotificationStatus::Resolved))
    }

    fn message(&self, status: NotificationStatus) -> Notification {
        let resolved = status == NotificationStatus::Resolved;
        Notification {
            id: self.id.clone(),
            number: self.number,
            status,
            resolved,
            severity: self.severity,
            title: String::new(),
            text: String::new(),
            cause: self.cause.clone(),
            summary: self.summary.clone(),
            provider: self.provider.clone(),
            count: self.names.len(),
            connections: self.named(),
            whose_move: if resolved {
                "nobody".to_owned()
            } else {
                self.whose_move.clone()
            },
            runs: self.runs,
            link_host: None,
            record: self.record.clone(),
        }
    }

    /// The one with the record first.
    fn named(&self) -> Vec<String> {
        let lead = std::iter::once(&self.record.connection);
        let others = self
            .names
            .iter()
            .filter(|&name| *name != self.record.connection);
        let named = lead.filter(|name| self.names.contains(*name)).chain(others);
        named.take(MOST_NAMED).cloned().collect()
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
