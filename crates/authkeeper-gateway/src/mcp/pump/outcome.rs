//! How exchanges and sessions end.

use std::io;

use bytes::Bytes;
use http::StatusCode;
use thiserror::Error;
use tokio::task::JoinError;

use crate::mcp::{
    codec::message::Message,
    session::{order::Gate, sessions::OpenedSession},
};

/// The server's answer to a request of the bridge's own.
pub(in crate::mcp) struct OwnAnswer {
    pub(in crate::mcp) message: Bytes,
    pub(in crate::mcp) status: StatusCode,
    /// If it opened a session.
    pub(in crate::mcp) opened: Option<OpenedSession>,
}

/// A message that may be of the wrong era: it is told when that is found out.
pub(in crate::mcp) struct Undecided {
    pub(in crate::mcp) message: Message,
    /// How the server refused it. None: it was not sent, since an earlier process found a server of the other era.
    pub(in crate::mcp) refusal: Option<EraRefusal>,
    /// Others wait for this message.
    pub(in crate::mcp) gate: Option<Gate>,
}

/// How a server refused a message.
pub(in crate::mcp) struct EraRefusal {
    pub(in crate::mcp) status: StatusCode,
    /// What the client is told if the era was right.
    pub(in crate::mcp) answer: Option<Bytes>,
}

/// Why a session ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// Standard input is broken.
    #[error("the client's messages cannot be read")]
    Input(#[source] io::Error),
    /// Standard output is broken.
    #[error("the client no longer takes messages")]
    Output(#[source] io::Error),
}

impl BridgeError {
    /// Whatever became of the writer: it does not end while there is something to write.
    pub(super) fn of_writer(written: Option<Result<io::Result<()>, JoinError>>) -> Self {
        Self::Output(match written {
            Some(Ok(Err(error))) => error,
            Some(Err(panicked)) => io::Error::other(panicked),
            Some(Ok(Ok(()))) | None => io::ErrorKind::BrokenPipe.into(),
        })
    }
}
