//! What goes wrong, and at which step of a refresh.

use std::fmt;

/// How far a process has come, by what it was seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checkpoint {
    /// A caller asks.
    Arguments,
    /// The connection to the provider stands.
    Connected,
    /// The journal has its room.
    Prepared,
    /// The claim is durable.
    Claimed,
    /// The journal says "sending".
    Marked,
    /// The request is written, and the provider has not acted.
    Sent,
    /// The provider has acted, and nobody has read its answer.
    Acted,
    /// The answer is in memory.
    ReceivedReply,
    /// The answer is in the journal.
    Durable,
    /// The store holds the new generation.
    Committed,
    /// The answer is kept for a store that goes back in time.
    Kept,
    /// The journal is gone.
    Removed,
    /// A caller has its token.
    Released,
    /// An answer is noted as lost.
    Lost,
    /// A lost attempt is taken over by the next.
    TakenOver,
}

impl Checkpoint {
    pub const ALL: [Self; 15] = [
        Self::Arguments,
        Self::Connected,
        Self::Prepared,
        Self::Claimed,
        Self::Marked,
        Self::Sent,
        Self::Acted,
        Self::ReceivedReply,
        Self::Durable,
        Self::Committed,
        Self::Kept,
        Self::Removed,
        Self::Released,
        Self::Lost,
        Self::TakenOver,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Arguments => "asked",
            Self::Connected => "connected",
            Self::Prepared => "prepared",
            Self::Claimed => "claimed",
            Self::Marked => "marked",
            Self::Sent => "sent",
            Self::Acted => "acted",
            Self::ReceivedReply => "received",
            Self::Durable => "durable",
            Self::Committed => "committed",
            Self::Kept => "kept",
            Self::Removed => "removed",
            Self::Released => "released",
            Self::Lost => "lost",
            Self::TakenOver => "taken over",
        }
    }
}

/// What may go wrong, or cross a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    // A process.
    /// `kill -9`.
    Kill,
    /// `SIGSTOP`, and after a while `SIGCONT`.
    Stop,
    /// The machine loses power: all processes, and what was not synced.
    PowerCut,
    /// Everybody who waits in this process goes away.
    DropCallers,
    // The store, at the process's next write.
    StoreBusy,
    StoreFull,
    StoreReadOnly,
    /// It was written, and that was not told.
    StoreUnanswered,
    /// It takes longer than the time there is to send.
    StoreSlow,
    // The files beside it, at the process's next write.
    FileFails,
    // The network, at the process's next request or the one that is on its way.
    Unreachable,
    RequestLostAndReset,
    RequestLost,
    ReplyLostAndReset,
    ReplyLost,
    RequestLate,
    ReplyLate,
    // The provider, at the same.
    Error500,
    Error502,
    Error503,
    Error504,
    TryLater,
    Page,
    /// Tokens that can be read, beside or within something odd.
    OddTokens,
    /// Tokens that nobody can read.
    UnreadTokens,
    /// A refresh token and no access token.
    RefreshAlone,
    Garbage,
    AccountDisabled,
    /// The resource refuses an access token before its end.
    EarlyRejection,
    // People.
    SignIn,
    Disconnect,
    Suspend,
    /// The store is put back to an older copy, what lies beside it stays.
    PutBack,
    /// The whole folder is put back.
    PutAllBack,
    // Clocks.
    WallForward,
    WallBack,
    /// The machine is suspended.
    Sleep,
}

impl Fault {
    pub const ALL: [Self; 37] = [
        Self::Kill,
        Self::Stop,
        Self::PowerCut,
        Self::DropCallers,
        Self::StoreBusy,
        Self::StoreFull,
        Self::StoreReadOnly,
        Self::StoreUnanswered,
        Self::StoreSlow,
        Self::FileFails,
        Self::Unreachable,
        Self::RequestLostAndReset,
        Self::RequestLost,
        Self::ReplyLostAndReset,
        Self::ReplyLost,
        Self::RequestLate,
        Self::ReplyLate,
        Self::Error500,
        Self::Error502,
        Self::Error503,
        Self::Error504,
        Self::TryLater,
        Self::Page,
        Self::OddTokens,
        Self::UnreadTokens,
        Self::RefreshAlone,
        Self::Garbage,
        Self::AccountDisabled,
        Self::EarlyRejection,
        Self::SignIn,
        Self::Disconnect,
        Self::Suspend,
        Self::PutBack,
        Self::PutAllBack,
        Self::WallForward,
        Self::WallBack,
        Self::Sleep,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::PowerCut => "power-cut",
            Self::DropCallers => "drop-callers",
            Self::StoreBusy => "store-busy",
            Self::StoreFull => "store-full",
            Self::StoreReadOnly => "store-read-only",
            Self::StoreUnanswered => "store-unanswered",
            Self::StoreSlow => "store-slow",
            Self::FileFails => "file-fails",
            Self::Unreachable => "unreachable",
            Self::RequestLostAndReset => "request-lost-reset",
            Self::RequestLost => "request-lost",
            Self::ReplyLostAndReset => "reply-lost-reset",
            Self::ReplyLost => "reply-lost",
            Self::RequestLate => "request-late",
            Self::ReplyLate => "reply-late",
            Self::Error500 => "500",
            Self::Error502 => "502",
            Self::Error503 => "503",
            Self::Error504 => "504",
            Self::TryLater => "try-later",
            Self::Page => "page",
            Self::OddTokens => "odd-tokens",
            Self::UnreadTokens => "unread-tokens",
            Self::RefreshAlone => "refresh-alone",
            Self::Garbage => "garbage",
            Self::AccountDisabled => "account-disabled",
            Self::EarlyRejection => "early-401",
            Self::SignIn => "sign-in",
            Self::Disconnect => "disconnect",
            Self::Suspend => "suspend",
            Self::PutBack => "put-back",
            Self::PutAllBack => "put-all-back",
            Self::WallForward => "wall-forward",
            Self::WallBack => "wall-back",
            Self::Sleep => "sleep",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.word() == word)
    }

    /// It strikes a request that is written or about to be; where else would it?
    pub fn is_of_a_request(self) -> bool {
        self >= Self::RequestLostAndReset && self <= Self::Garbage
    }

    /// The steps at which it can strike.
    pub fn steps(self) -> &'static [Checkpoint] {
        match self {
            Self::Unreachable => &[
                Checkpoint::Arguments,
                Checkpoint::TakenOver,
                Checkpoint::Lost,
            ],
            _ if self.is_of_a_request() => &[Checkpoint::Marked],
            // Nothing is written to the store or a file after these until the next attempt.
            _ => &Checkpoint::ALL,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A fault that waits for its step.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    pub fault: Fault,
    pub at: Checkpoint,
    /// How often the step passes before.
    pub after: u8,
}
