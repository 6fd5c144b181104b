//! A claim is the durable record that one attempt may spend one generation of a grant.

use super::{AttemptId, Moment, OwnerId};

/// Who is spending a grant's current generation, and how far it is known to have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The how-manieth attempt at this same generation, from 1.
    pub number: u32,
    /// Which process.
    pub owner: OwnerId,
    /// Since when.
    pub since: Moment,
    /// How far.
    pub phase: ClaimPhase,
}

impl Claim {
    /// Whether an answer was lost, this attempt's or that of one before it, and no attempt has had one since.
    pub fn is_uncertain(&self) -> bool {
        self.number > 1 || matches!(self.phase, ClaimPhase::Unknown { .. })
    }
}

/// A claim never turns back into permission to spend by the passing of time; it only becomes investigable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimPhase {
    /// The owner is at it, or died at it.
    Spending,
    /// The request was written and no answer can come any more: the provider may or may not have acted.
    Unknown {
        /// How the answer was lost.
        kind: UnknownKind,
        /// When that was noticed.
        since: Moment,
    },
}

/// Liveness of the process that holds a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It holds its lock.
    Alive,
    /// Its lock could be taken: the process is gone. Its request may still be in flight.
    Dead,
}

/// How an answer was lost. What is likely to have happened at the provider differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownKind {
    /// The connection broke after the request was written.
    Reset,
    /// 500, 502 or a bare 503.
    ServerError,
    /// 504: a proxy gave up waiting, the server behind it may still be at work.
    GatewayTimeout,
    /// Nothing came for as long as we listened.
    Silence,
    /// An answer came that cannot be read as one, or says that part of it was done.
    Unreadable,
    /// A 2xx came that carries tokens and cannot be read: the refresh token is spent.
    UnreadTokens,
    /// The sender died with the request written.
    Crash,
}

impl UnknownKind {
    const ALL: [Self; 7] = [
        Self::Reset,
        Self::ServerError,
        Self::GatewayTimeout,
        Self::Silence,
        Self::Unreadable,
        Self::UnreadTokens,
        Self::Crash,
    ];

    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "connection_lost",
            Self::ServerError => "server_error",
            Self::GatewayTimeout => "gateway_timeout",
            Self::Silence => "no_answer",
            Self::Unreadable => "unreadable_answer",
            Self::UnreadTokens => "unread_tokens",
            Self::Crash => "sender_died",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootId, BootStamp};

    #[test]
    fn an_answer_is_lost_until_a_resend_has_had_one() {
        let since = Moment {
            wall: jiff::Timestamp::UNIX_EPOCH,
            boot: BootStamp {
                id: BootId(1),
                since: std::time::Duration::ZERO,
            },
        };
        let unknown = ClaimPhase::Unknown {
            kind: UnknownKind::Reset,
            since,
        };
        for (number, phase, lost) in [
            (1, ClaimPhase::Spending, false),
            (1, unknown, true),
            (2, ClaimPhase::Spending, true),
        ] {
            let claim = Claim {
                attempt: AttemptId::new("a"),
                number,
                owner: OwnerId::new("o"),
                since,
                phase,
            };
            assert_eq!(claim.is_uncertain(), lost, "{number} {phase:?}");
        }
    }

    #[test]
    fn the_words_are_fixed() {
        let words = [
            "connection_lost",
            "server_error",
            "gateway_timeout",
            "no_answer",
            "unreadable_answer",
            "unread_tokens",
            "sender_died",
        ];
        assert_eq!(UnknownKind::ALL.map(UnknownKind::as_str), words);
        assert_eq!(words.map(UnknownKind::parse), UnknownKind::ALL.map(Some));
        assert_eq!(UnknownKind::parse("lost"), None);
    }
}
