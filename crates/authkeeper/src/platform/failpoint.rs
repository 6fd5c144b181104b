//! Named points at which a test may kill or hold the process. Without the feature `fault-points` they are nothing.

/// The points, in the order in which a refresh passes them, and then a change of the seal key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultPoint {
    /// The claim is durable; nothing was sent.
    Claimed,
    /// The whole answer is in memory and nowhere else.
    ReplyReceived,
    /// The answer is durable in the journal; the store does not know of it.
    ReplyDurable,
    /// The store holds the new generation; the journal is still there.
    Committed,
    /// The key file has its second name; there is no new key.
    KeyLinked,
    /// The key file holds the new key and the old one; nothing was resealed.
    KeyAdded,
    /// The rows of the store are resealed.
    RowsResealed,
    /// The files beside the store are resealed.
    FilesResealed,
    /// The key file holds the new key alone; its second name is still there.
    KeyRetired,
}

impl FaultPoint {
    /// The word used in the variable `AUTHKEEPER_FAULT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::ReplyReceived => "reply_received",
            Self::ReplyDurable => "reply_durable",
            Self::Committed => "committed",
            Self::KeyLinked => "key_linked",
            Self::KeyAdded => "key_added",
            Self::RowsResealed => "rows_resealed",
            Self::FilesResealed => "files_resealed",
            Self::KeyRetired => "key_retired",
        }
    }
}

/// Kills this process, as `kill -9` would, if `AUTHKEEPER_FAULT` names this point.
#[cfg(feature = "fault-points")]
pub(crate) fn pass(point: FaultPoint) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's switch, compiled out of every release"
    )]
    let wanted = std::env::var("AUTHKEEPER_FAULT").unwrap_or_default();
    if wanted == point.as_str() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(feature = "fault-points"))]
pub(crate) fn pass(_point: FaultPoint) {}
