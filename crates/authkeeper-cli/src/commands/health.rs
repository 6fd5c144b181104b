//! The health of a connection in a sentence: the same in every command.

use std::fmt::Display;

use authkeeper::model::{Health, HealthState, WhoseMove};

use crate::output::{minute, second};

/// What is wrong, since when, and until when calls work.
pub(super) fn what_of(health: &Health) -> String {
    let detail = health.detail.as_deref().unwrap_or(health.state.as_str());
    // Some causes say themselves since when.
    let since = health.since.filter(|_| !detail.contains(" since "));
    let since = since.map(|since| format!(" (since {})", second(since)));
    let until = health
        .works_until
        .map(|until| format!("; calls work until {}", second(until)));
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
        (None, Some(when)) => format!(
            "nobody needs to do anything yet: authkeeper asks the provider again at {}",
            second(when)
        ),
        (None, None)
            if matches!(
                health.whose_move,
                WhoseMove::Provider | WhoseMove::Authkeeper
            ) =>
        {
            format!(
                "nobody needs to do anything yet: the next call asks the provider again; authkeeper why {name} says more"
            )
        }
        (None, None) => format!("authkeeper why {name} says more"),
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::model::HealthState;

    use super::*;

    #[test]
    fn times_are_told_to_the_second() {
        let at = |text: &str| text.parse().ok();
        let outage = Health {
            state: HealthState::AtRisk,
            detail: Some("it is down".to_owned()),
            since: at("2026-12-01T12:22:42.02Z"),
            works_until: at("2026-12-01T12:24:40.654754974Z"),
            next_attempt: at("2026-12-01T12:28:01.940882736Z"),
            ..Health::OK
        };
        assert_eq!(
            what_of(&outage),
            "it is down (since 2026-12-01 12:22:42 UTC); calls work until 2026-12-01 12:24:40 UTC"
        );
        let failing = Health {
            detail: Some("it has failed since noon".to_owned()),
            ..outage.clone()
        };
        assert!(what_of(&failing).starts_with("it has failed since noon; calls"));
        assert!(next_step(&"notion", &outage).ends_with("again at 2026-12-01 12:28:01 UTC"));
    }
}
