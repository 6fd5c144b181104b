//! Why the demo can't be played.

use std::io;

use crate::sandbox::StartError;

/// Why the demo can't be played to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The sandbox can't be started.
    #[error("the sandbox can't be started: {0}")]
    Sandbox(#[from] StartError),
    /// A file, a folder or a process of this machine can't be used.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The story took another turn than it should: a bug. The folder shows more.
    #[error("{0}")]
    Story(String),
    /// A command of the story failed: a bug.
    #[error("{0}")]
    Command(String),
    /// With the person's own browser: nobody signed in.
    #[error("nobody signed in")]
    NotSignedIn,
}

impl DemoError {
    pub(super) fn machine(what: impl Into<String>, source: io::Error) -> Self {
        Self::Machine {
            what: what.into(),
            source,
        }
    }
}
