//! The revisions of the MCP specification that the sandbox serves.

use std::{fmt, str::FromStr};

/// A revision of the MCP specification: one with sessions, one without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// 2025-11-25: a handshake, sessions, a standing stream.
    #[default]
    Handshake,
    /// 2026-07-28: every request stands for itself.
    Stateless,
}

impl Revision {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Handshake, Self::Stateless];

    /// Its date.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "2025-11-25",
            Self::Stateless => "2026-07-28",
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No revision has this date.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no revision that is served; there are 2025-11-25 and 2026-07-28")]
pub struct UnknownRevision(String);

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        let mut all = Self::ALL.into_iter();
        all.find(|revision| revision.as_str() == text)
            .ok_or_else(|| UnknownRevision(text.to_owned()))
    }
}
