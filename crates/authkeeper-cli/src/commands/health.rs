//! The health of a connection in a sentence: the same in every command.

use std::fmt::Display;

use authkeeper::model::Health;

/// What is wrong, since when, and until when calls work.
pub(super) fn what_of(health: &Health) -> String {
    let detail = health.detail.as_deref().unwrap_or(health.state.as_str());
    let since = health.since.map(|since| format!(" (since {since})"));
    let until = health
        .works_until
        .map(|until| format!("; calls work until {until}"));
    format!(
        "{detail}{}{}",
        since.unwrap_or_default(),
        until.unwrap_or_default()
    )
}

/// What to do about it.
pub(super) fn next_step(name: &dyn Display, health: &Health) -> String {
    match (&health.action, health.next_attempt) {
        (Some(action), _) => action.clone(),
        (None, Some(when)) => format!("nothing: the provider is asked again at {when}"),
        (None, None) => format!("authkeeper why {name} says more"),
    }
}
