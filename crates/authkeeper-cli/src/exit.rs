//! Exit codes: sysexits, the same in every command.

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

    /// The code for a fixed word that says why there was no token: the same in `token`, `check` and `run`.
    pub(crate) fn of_reason(reason: &str) -> Self {
        match reason {
            "client_refused" | "token_endpoint_moved" | "network_setting" => Self::Config,
            "request_refused" | "identity_provider_refused" | "scope_refused" => Self::Permission,
            "unavailable" | "uncertain" | "provider_failing" => Self::Unavailable,
            "store" => Self::Store,
            _ => Self::Person,
        }
    }

    /// The rank among several errors, the greatest wins: a person's duty before a temporary failure, and an error of the
    /// whole installation before an error of one connection.
    pub(crate) fn gravity(self) -> u8 {
        match self {
            Self::Unavailable => 0,
            Self::Data => 1,
            Self::Permission => 2,
            Self::Person => 3,
            Self::Config => 4,
            Self::Usage | Self::NotFound | Self::Bug | Self::Store => 5,
        }
    }
}
