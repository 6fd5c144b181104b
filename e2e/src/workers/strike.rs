//! What goes wrong, on purpose.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// SIGSTOP, and SIGCONT a while later.
    Pause,
    /// SIGKILL.
    Kill,
    /// SIGSTOP of the sender while its request waits at the provider.
    PauseSender,
    /// SIGKILL of the sender while its request waits at the provider, which acts on it all the same.
    KillSender,
    /// A worker that dies at this fault point.
    DieAt(&'static str),
    /// Acted on, and the answer lost.
    LoseAnswer,
    /// Acted on, and the answer late.
    DelayAnswer,
    /// The connection is cut before anything is acted on.
    Cut,
    /// 503 with `Retry-After`.
    Unavailable,
}

impl Strike {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Pause,
        Self::Kill,
        Self::PauseSender,
        Self::KillSender,
        Self::DieAt("claimed"),
        Self::DieAt("reply_received"),
        Self::DieAt("reply_durable"),
        Self::DieAt("committed"),
        Self::LoseAnswer,
        Self::DelayAnswer,
        Self::Cut,
        Self::Unavailable,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Kill => "kill",
            Self::PauseSender => "pause sender",
            Self::KillSender => "kill sender",
            Self::DieAt(point) => point,
            Self::LoseAnswer => "lost answer",
            Self::DelayAnswer => "late answer",
            Self::Cut => "cut",
            Self::Unavailable => "503",
        }
    }
}
