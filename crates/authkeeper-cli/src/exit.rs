//! Exit codes: sysexits, the same in every command.

use authkeeper::model::Health;
use authkeeper_gateway::error::CallErrorKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Wrong words on the command line.
    Usage = 64,
    /// Something that was read is not what it must be.
    Data = 65,
    /// No such connection.
    NotFound = 66,
    /// The provider can't be asked right now; retry later.
    Unavailable = 69,
    /// A bug of ours.
    Bug = 70,
    /// The store can't be read or written.
    Store = 74,
    /// Needs a person: sign in again, or decide.
    Person = 75,
    /// Needs another policy or scope.
    Permission = 77,
    /// A setting is wrong.
    Config = 78,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The code for a call that failed: the same in `token`, `check` and `run`.
    pub(crate) fn of(kind: CallErrorKind) -> Self {
        match kind {
            CallErrorKind::AuthorizationMissing => Self::Person,
            CallErrorKind::NoSuchConnection => Self::NotFound,
            CallErrorKind::TokenRejected
            | CallErrorKind::ScopeRefused
            | CallErrorKind::RequestRefused => Self::Permission,
            CallErrorKind::ProviderUnavailable
            | CallErrorKind::ServerUnreachable
            | CallErrorKind::ServerBusy
            | CallErrorKind::Interrupted => Self::Unavailable,
            CallErrorKind::UnusableAnswer | CallErrorKind::AnswerTooLarge => Self::Data,
            CallErrorKind::ClientRefused
            | CallErrorKind::TokenEndpointMoved
            | CallErrorKind::NetworkSetting
            | CallErrorKind::BadPath
            | CallErrorKind::NotStarted
            | CallErrorKind::Fault => Self::Config,
            CallErrorKind::Store => Self::Store,
        }
    }

    /// The code for the fixed word that a run or an incident noted.
    pub(crate) fn of_reason(reason: &str) -> Self {
        Self::of(CallErrorKind::of_reason(reason))
    }

    /// The code for a connection that needs attention: what `token` ends with, or will once the last token has ended.
    pub(crate) fn of_health(health: &Health) -> Option<Self> {
        let cause = health.cause.filter(|_| health.needs_attention())?;
        CallErrorKind::of_cause(cause).map(Self::of)
    }

    /// The rank among several errors, the greatest wins: a person's duty before a temporary failure, and an error of the
    /// whole installation before an error of one connection.
    pub(crate) fn gravity(self) -> u8 {
        match self {
            Self::Unavailable => 0,
            Self::Data => 1,
            Self::Permission | Self::NotFound => 2,
            Self::Person => 3,
            Self::Config => 4,
            Self::Usage | Self::Bug | Self::Store => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agents branch on these words and codes.
    #[test]
    fn the_documented_table_is_the_one_in_the_code() {
        let page = include_str!("../../../docs/errors.md");
        let rows = page.lines().filter(|line| line.contains("| -31"));
        let documented: Vec<String> = rows
            .map(|row| row.split(" | ").take(6).collect::<Vec<_>>().join(" | "))
            .collect();
        let in_code: Vec<String> = CallErrorKind::ALL
            .into_iter()
            .map(|kind| {
                format!(
                    "| `{}` | {} | {} | {} | {} | {}",
                    kind.word(),
                    kind.status().as_u16(),
                    kind.code(),
                    Exit::of(kind).code(),
                    kind.executed().word(),
                    kind.is_retryable()
                )
            })
            .collect();
        assert_eq!(documented, in_code);
    }

    #[test]
    fn a_noted_word_gives_the_code_of_its_kind() {
        for kind in CallErrorKind::ALL {
            assert_eq!(Exit::of_reason(kind.word()), Exit::of(kind));
        }
        for (reason, exit) in [
            ("unavailable", Exit::Unavailable),
            ("uncertain", Exit::Unavailable),
            ("provider_failing", Exit::Unavailable),
            ("identity_provider_refused", Exit::Permission),
            ("rejected", Exit::Permission),
            ("refresh_refused", Exit::Person),
        ] {
            assert_eq!(Exit::of_reason(reason), exit, "{reason}");
        }
    }
}
