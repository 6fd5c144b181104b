//! The health of a connection in a sentence: the same in every command.

use std::fmt::Display;

use authkeeper::model::{Health, HealthState};

use crate::output::{minute, second};

/// What is wrong, since when, and until when calls work.
pub(super) fn what_of(health: &Health) -> String {
    let detail = health.detail.as_deref().unwrap_or(health.state.as_str());
    let since = health.since;
    let since = since.map(|since| format!(" (since {})", second(since)));
    let until = health.works_until;
    let until = until.map(|until| format!("; calls work until {}", second(until)));
    format!(
        "{detail}{}{}",
        since.unwrap_or_default(),
        until.unwrap_or_default()
    )
}

/// What it means for calls.
pub(super) fn effect_of(health: &Health) -> String {
    match (health.state, health.works_until) {
        (HealthState::Ok | HealthState::Notice, _) => "calls work".to_owned(),
        (HealthState::AtRisk, Some(until)) => {
            format!("calls work until {}, then they fail", minute(until))
        }
        (HealthState::AtRisk, None) => "calls work while the token lives".to_owned(),
        (HealthState::Down | HealthState::Off, _) => "every call fails".to_owned(),
    }
}

/// What to do about it.
pub(super) fn next_step(name: &dyn Display, health: &Health) -> String {
    match (&health.action, health.next_attempt) {
        (Some(action), _) => action.clone(),
        (None, Some(when)) => {
            format!("nothing: the provider is asked again at {}", second(when))
        }
        (None, None) => format!("authkeeper why {name} says more"),
    }
}
