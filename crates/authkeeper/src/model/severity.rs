//! Whom an incident wakes: its severity, and how long it may heal before anybody hears of it. Both follow from the cause and the
//! state of the connection ([`HealthCause`], [`HealthState`]).

use serde::{Deserialize, Serialize};

use super::{HealthCause, HealthState, SuspendReason, WhoseMove};

/// How urgent a notification is. The later, the more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be read when there is time: calls work.
    Info,
    /// Calls fail or are about to, and it may end without anybody.
    Warning,
    /// Calls fail or are about to until somebody acts.
    Critical,
}

impl Severity {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the fixed word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// How long an incident may heal before anybody hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotifyDelay {
    /// It does not heal: at once.
    AtOnce,
    /// Until resends have not healed it by the end of the token's life.
    Retries,
    /// Until the token has ended and the waits are over, or for the time that is set.
    Outage,
}

impl NotifyDelay {
    /// In the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "none",
            Self::Retries => "the resends",
            Self::Outage => "the token's life and the waits",
        }
    }
}

/// How urgent a cause is in this state; none if nobody is told of it.
pub fn severity(cause: HealthCause, state: HealthState) -> Option<Severity> {
    match (state, cause) {
        (HealthState::Ok | HealthState::Off, _) => None,
        // A call was refused, or will be when the old key ends.
        (HealthState::Notice, HealthCause::ScopeRequired | HealthCause::RotationFailed) => {
            Some(Severity::Warning)
        }
        // Somebody has suspended it on purpose, or calls work.
        (_, HealthCause::Suspended(SuspendReason::Manual)) | (HealthState::Notice, _) => {
            Some(Severity::Info)
        }
        (HealthState::AtRisk | HealthState::Down, cause) => Some(match cause.whose_move() {
            WhoseMove::Person | WhoseMove::Operator => Severity::Critical,
            WhoseMove::Provider | WhoseMove::Authkeeper => Severity::Warning,
            WhoseMove::Nobody => Severity::Info,
        }),
    }
}

/// How long a cause may heal before anybody hears of it.
pub const fn notify_delay(cause: HealthCause) -> NotifyDelay {
    match cause {
        HealthCause::Uncertain => NotifyDelay::Retries,
        HealthCause::ProviderUnavailable => NotifyDelay::Outage,
        _ => NotifyDelay::AtOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReauthorizeReason;

    #[test]
    fn what_ends_calls_until_somebody_acts_is_critical_and_what_may_end_by_itself_is_not() {
        use HealthState::{AtRisk, Down, Notice, Off, Ok};
        use Severity::{Critical, Info, Warning};
        let dead = HealthCause::GrantOver(ReauthorizeReason::RefreshRefused);
        for (cause, state, expected) in [
            (dead, AtRisk, Some(Critical)),
            (dead, Down, Some(Critical)),
            (HealthCause::ClientRefused, AtRisk, Some(Critical)),
            (HealthCause::TokenRejected, Down, Some(Critical)),
            (HealthCause::ProviderUnavailable, AtRisk, Some(Warning)),
            (HealthCause::ProviderUnavailable, Down, Some(Warning)),
            (HealthCause::Uncertain, Down, Some(Warning)),
            (HealthCause::ScopeRequired, Notice, Some(Warning)),
            (HealthCause::RotationFailed, Notice, Some(Warning)),
            (HealthCause::RotationDue, Notice, Some(Info)),
            (HealthCause::AuthorityNarrowed, Notice, Some(Info)),
            (
                HealthCause::Suspended(SuspendReason::Manual),
                Down,
                Some(Info),
            ),
            (
                HealthCause::Suspended(SuspendReason::OtherAccount),
                Down,
                Some(Critical),
            ),
            (HealthCause::Pending, Off, None),
            (HealthCause::Revoked, Off, None),
            (dead, Ok, None),
        ] {
            assert_eq!(severity(cause, state), expected, "{cause:?} {state:?}");
        }
    }

    #[test]
    fn the_words_read_back() {
        for one in Severity::ALL {
            assert_eq!(Severity::parse(one.as_str()), Some(one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.as_str());
        }
        assert_eq!(Severity::parse("urgent"), None);
        assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
    }
}
