//! How far a process is with its refresh, as its open journal says.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// A step of the refresh transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It has no journal open.
    Elsewhere,
    /// Room was made; nothing was sent.
    Intent,
    /// The request is on its way, or acted on.
    Sending,
    /// The answer is durable.
    Reply,
    /// At the provider or on the way to it, from any process.
    Network,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Elsewhere => "elsewhere",
            Self::Intent => "intent",
            Self::Sending => "sending",
            Self::Reply => "reply",
            Self::Network => "network",
        })
    }
}

/// The step of a process. A stopped one stays at it.
pub(super) fn step_of(pid: u32) -> Step {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    let journals = open.into_iter().flatten().flatten().filter_map(|file| {
        let path = fs::read_link(file.path()).ok()?;
        is_journal(&path).then(|| file.path())
    });
    journals.map(read).max().unwrap_or(Step::Elsewhere)
}

fn is_journal(path: &std::path::Path) -> bool {
    path.parent()
        .is_some_and(|folder| folder.ends_with("spill"))
}

/// Byte 0 says that the request is about to be written; the 8 bytes at 8 are the length of the answer.
fn read(path: PathBuf) -> Step {
    let mut head = [0; 16];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut head, 0));
    match (read.is_ok(), head[0], &head[8..]) {
        (false, ..) => Step::Elsewhere,
        (true, 0, _) => Step::Intent,
        (true, _, length) if length.iter().all(|&byte| byte == 0) => Step::Sending,
        (true, ..) => Step::Reply,
    }
}
