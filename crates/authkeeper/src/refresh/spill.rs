//! The journal of one attempt, beside the store and independent of it: nothing that was received is ever lost.
//!
//! A file is made and filled to its full size *before* the claim, so that a full disk is noticed while nothing has been
//! spent. It then says how far the attempt came: made ([`JournalState::Intent`]), about to write
//! ([`JournalState::Sending`]), answered ([`JournalState::Reply`], the raw answer sealed). It is removed once the store
//! holds the next generation.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::decide::JournalState;
use crate::{
    http::{REPLY_LIMIT, Reply},
    model::{AttemptId, Moment},
    store::{
        StoreError,
        seal::{Belongs, Sealer, sync_folder_of, unusable},
    },
};

const PHASE_AT: u64 = 0;
const LENGTH_AT: u64 = 8;
const REPLY_AT: u64 = 16;
const INTENT: u8 = 0;
const SENDING: u8 = 1;
/// A whole reply in base64, sealed.
const ROOM: u64 = REPLY_AT + REPLY_LIMIT as u64 * 3 / 2;

/// The longest header value that is kept; those that are read later are a few words.
const HEADER_LIMIT: usize = 1024;

/// One attempt's journal.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    attempt: AttemptId,
    file: Arc<File>,
}

fn fill(file: &File) -> io::Result<()> {
    let zeros = vec![0; 64 * 1024];
    let steps = (0..ROOM).step_by(zeros.len());
    steps
        .into_iter()
        .try_for_each(|at| file.write_all_at(&zeros, at))
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptReply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    issued: (String, String, String),
    after_rejection: bool,
}

/// An answer read back.
#[derive(Clone, Debug)]
pub(crate) struct StoredReply {
    /// What the provider answered.
    pub(crate) reply: Reply,
    /// When the request left.
    pub(crate) issued: Moment,
    /// Whether the refresh was forced by a 401.
    pub(crate) after_rejection: bool,
}

impl Journal {
    /// Makes room for one attempt, durably.
    pub(crate) fn prepare(folder: &Path, attempt: &AttemptId) -> Result<Self, StoreError> {
        let path = folder.join(attempt.as_str());
        let make = || {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            let whole = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, whole, 0, ROOM) {
                // A file system that can't set room aside is filled by hand.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => fill(&file)?,
                done => done?,
            }
            file.sync_all()?;
            sync_folder_of(&path)?;
            Ok(file)
        };
        let made: io::Result<File> = make();
        let file = made.map_err(|error| {
            let _ = std::fs::remove_file(&path);
            unusable(&path, &error)
        })?;
        Ok(Self {
            path,
            attempt: attempt.clone(),
            file: Arc::new(file),
        })
    }

    /// Opens the journal of an attempt that another process made.
    pub(crate) fn open(folder: &Path, attempt: &AttemptId) -> Option<Self> {
        let path = folder.join(attempt.as_str());
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        Some(Self {
            path,
            attempt: attempt.clone(),
            file: Arc::new(file),
        })
    }

    /// Says, durably, that from now on the request may have left.
    pub(crate) fn mark_sending(&self) -> Result<(), StoreError> {
        let mark = self
            .file
            .write_all_at(&[SENDING], PHASE_AT)
            .and_then(|()| self.file.sync_data());
        mark.map_err(|error| unusable(&self.path, &error))
    }

    /// Keeps an answer, sealed and durable, before anybody looks at what it says.
    pub(crate) fn keep_reply(
        &self,
        sealer: &Sealer,
        stored: &StoredReply,
    ) -> Result<(), StoreError> {
        let kept = KeptReply::of(stored);
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        let sealed = sealer.seal(self.belongs(), &plain);
        let length = (sealed.len() as u64).to_le_bytes();
        let keep = self
            .file
            .write_all_at(&sealed, REPLY_AT)
            .and_then(|()| self.file.write_all_at(&length, LENGTH_AT))
            .and_then(|()| self.file.sync_data());
        keep.map_err(|error| unusable(&self.path, &error))
    }

    /// The answer, if one was kept whole.
    pub(crate) fn reply(&self, sealer: &Sealer) -> Option<StoredReply> {
        let mut length = [0; 8];
        self.file.read_exact_at(&mut length, LENGTH_AT).ok()?;
        let length = usize::try_from(u64::from_le_bytes(length))
            .ok()
            .filter(|length| *length > 0)?;
        if length as u64 > ROOM {
            return None;
        }
        let mut sealed = vec![0; length];
        self.file.read_exact_at(&mut sealed, REPLY_AT).ok()?;
        let plain = sealer.open(self.belongs(), &sealed).ok()?;
        serde_json::from_slice::<KeptReply>(&plain)
            .ok()?
            .into_stored()
    }

    /// How far the attempt came.
    pub(crate) fn state(&self, sealer: &Sealer) -> JournalState {
        if self.reply(sealer).is_some() {
            return JournalState::Reply;
        }
        let mut phase = [0];
        match self.file.read_exact_at(&mut phase, PHASE_AT) {
            Ok(()) if phase == [INTENT] => JournalState::Intent,
            // A mark that is damaged is a mark all the same: only an untouched file says that nothing was sent.
            Ok(()) => JournalState::Sending,
            Err(_) => JournalState::Missing,
        }
    }

    /// The attempt is over and the store knows its outcome.
    pub(crate) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    fn belongs(&self) -> Belongs<'_> {
        Belongs {
            record: self.attempt.as_str(),
            field: "reply",
            generation: 0,
        }
    }
}

impl KeptReply {
    pub(super) fn of(stored: &StoredReply) -> Self {
        let StoredReply {
            reply,
            issued,
            after_rejection,
        } = stored;
        let keep = [header::CONTENT_TYPE, header::DATE, header::RETRY_AFTER];
        let text = |name: &header::HeaderName| {
            let value = reply.headers.get(name)?.to_str().ok()?;
            (value.len() <= HEADER_LIMIT).then(|| (name.to_string(), value.to_owned()))
        };
        Self {
            status: reply.status.as_u16(),
            headers: keep.iter().filter_map(text).collect(),
            body: STANDARD.encode(&reply.body),
            issued: (
                issued.wall.to_string(),
                format!("{:x}", issued.boot.id.0),
                issued.boot.since.as_nanos().to_string(),
            ),
            after_rejection: *after_rejection,
        }
    }

    pub(super) fn into_stored(self) -> Option<StoredReply> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = header::HeaderName::try_from(name.as_str()).ok()?;
            headers.insert(name, HeaderValue::try_from(value.as_str()).ok()?);
        }
        let (wall, boot, since) = &self.issued;
        let boot = crate::model::BootStamp {
            id: crate::model::BootId(u128::from_str_radix(boot, 16).ok()?),
            since: std::time::Duration::from_nanos(since.parse().ok()?),
        };
        let reply = Reply {
            status: StatusCode::from_u16(self.status).ok()?,
            headers,
            body: STANDARD.decode(&self.body).ok()?.into(),
        };
        let issued = Moment {
            wall: wall.parse().ok()?,
            boot,
        };
        Some(StoredReply {
            reply,
            issued,
            after_rejection: self.after_rejection,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock as _, ManualClock, Seams},
        secret::Secret,
    };

    #[test]
    fn a_journal_tells_how_far_an_attempt_came() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
        let attempt = AttemptId::new("a1");
        assert!(Journal::open(folder.path(), &attempt).is_none());
        let journal = Journal::prepare(folder.path(), &attempt).unwrap();
        let other = Journal::open(folder.path(), &attempt).unwrap();
        assert_eq!(other.state(&sealer), JournalState::Intent);
        journal.mark_sending().unwrap();
        assert_eq!(other.state(&sealer), JournalState::Sending);
        let reply = Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: r#"{"access_token":"very-secret-token"}"#.into(),
        };
        let issued = ManualClock::new().now();
        let kept = StoredReply {
            reply: reply.clone(),
            issued,
            after_rejection: true,
        };
        journal.keep_reply(&sealer, &kept).unwrap();
        assert_eq!(other.state(&sealer), JournalState::Reply);
        let stored = other.reply(&sealer).unwrap();
        assert_eq!((stored.reply.body, stored.issued), (reply.body, issued));
        assert!(stored.after_rejection);
        let raw = std::fs::read(folder.path().join("a1")).unwrap();
        assert!(
            !raw.windows(10).any(|window| window == b"very-secre"),
            "it is sealed"
        );
        // Torn in the middle: what is not whole is no answer.
        raw_damage(folder.path(), &attempt);
        assert_eq!(other.state(&sealer), JournalState::Sending);
    }

    #[test]
    fn a_mark_that_is_damaged_does_not_say_that_nothing_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
        let journal = Journal::prepare(folder.path(), &AttemptId::new("a1")).unwrap();
        journal.file.write_all_at(&[3], PHASE_AT).unwrap();
        assert_eq!(journal.state(&sealer), JournalState::Sending);
    }

    fn raw_damage(folder: &Path, attempt: &AttemptId) {
        let file = OpenOptions::new()
            .write(true)
            .open(folder.join(attempt.as_str()))
            .unwrap();
        file.write_all_at(&[0; 32], REPLY_AT + 40).unwrap();
    }
}
