//! How exchanges end.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::mcp::{codec::message::Message, session::order::Gate};

/// The server's answer to a request of the bridge's own.
pub(in crate::mcp) struct OwnAnswer {
    pub(in crate::mcp) message: Bytes,
    pub(in crate::mcp) status: StatusCode,
    /// If it opened a session.
    pub(in crate::mcp) opened: Option<OpenedSession>,
}

/// How a message of the client's ended.
pub(in crate::mcp) enum Finished {
    /// The server took it, and all it said is passed on.
    Taken,
    Failed,
    /// Refused as a server of the other era would refuse it.
    Mismatch(Box<SuspectedMismatch>),
}

/// A message that may have been said in the wrong era.
pub(in crate::mcp) struct SuspectedMismatch {
    pub(in crate::mcp) message: Message,
    /// What the client is told if the era was right.
    pub(in crate::mcp) answer: Option<Bytes>,
    /// It was refused with.
    pub(in crate::mcp) status: StatusCode,
    /// Others still wait for this message.
    pub(super) _gate: Option<Gate>,
}

/// What an `initialize` brought.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct OpenedSession {
    pub(in crate::mcp) id: Option<HeaderValue>,
    pub(in crate::mcp) version: Option<HeaderValue>,
}
