//! The journal of one attempt, beside the store and independent of it: nothing that was received is ever lost.
//!
//! A file is made and filled to its full size *before* the claim, so that a full disk is noticed while nothing has been
//! spent. It says what would be spent and by whom, so that its claim can be put back into a store that forgot it; and then
//! how far the attempt came: made ([`JournalState::Intent`]), about to write ([`JournalState::Sending`]), answered
//! ([`JournalState::Reply`], the raw answer sealed), or over with nothing spent ([`JournalState::Settled`]). It is removed
//! once the store holds the next generation.
//!
//! | at  | what                                                  |
//! | --- | ----------------------------------------------------- |
//! | 0   | how far it came: one byte, or the word "settled."     |
//! | 8   | how long the sealed answer is, 8 bytes, little endian |
//! | 16  | whose it is: JSON, then zeros                         |
//! | 528 | the sealed answer                                     |

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::{
    http::{REPLY_LIMIT, Reach, Reply},
    model::{
        AttemptId, Claim, ClaimPhase, Generation, GrantId, Lineage, Moment, OwnerId, OwnerState,
    },
    oauth::classify::RATE_LIMIT_LEFT,
    platform::{
        files::{Files, Folder, Opened},
        process_lease::Liveness,
    },
    store::{Spend, StoreError, unusable},
    vault::{
        ResealCount,
        seal::{AssociatedData, Sealer},
    },
};
use crate::{
    refresh::decide::JournalState,
    vault::reseal_files::{self, StagingFolder},
};

const PHASE_AT: u64 = 0;
const LENGTH_AT: u64 = 8;
const WHOSE_AT: u64 = 16;
const WHOSE_LIMIT: usize = 512;
const REPLY_AT: u64 = WHOSE_AT + WHOSE_LIMIT as u64;
const REPLY_START: usize = 16 + WHOSE_LIMIT;
const LENGTH: std::ops::Range<usize> = 8..16;
const INTENT: u8 = 0;
const SENDING: u8 = 1;
/// A whole word: no damage to a mark may say that nothing was spent.
const SETTLED: [u8; 8] = *b"settled.";
/// A whole reply in base64, sealed.
const ROOM: u64 = REPLY_AT + REPLY_LIMIT as u64 * 3 / 2;

/// The longest header value that is kept; those that are read later are a few words.
const HEADER_LIMIT: usize = 1024;

/// One attempt's journal.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    attempt: AttemptId,
    files: Folder,
    file: Arc<dyn Opened>,
}

/// Whether there is room for an answer.
pub(crate) fn has_room(folder: &Folder, id: &str) -> Result<(), StoreError> {
    let path = folder.join(id);
    drop(make_room(folder.files(), &path, &[])?);
    let _ = folder.files().remove(&path);
    Ok(())
}

fn make_room(
    files: &dyn Files,
    path: &Path,
    on_behalf_of: &[u8],
) -> Result<Box<dyn Opened>, StoreError> {
    let made = files.make(path, ROOM, (on_behalf_of, WHOSE_AT));
    made.map_err(|error| {
        let _ = files.remove(path);
        unusable(path, &error)
    })
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptReply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    issued: String,
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
    pub(crate) fn prepare(
        folder: &Folder,
        (spend, claim): (&Spend, &Claim),
        reach: Reach,
    ) -> Result<Self, StoreError> {
        let path = folder.join(&name(&spend.grant, &claim.attempt));
        let on_behalf_of =
            serde_json::to_vec(&JournalHeader::of(spend, claim, reach)).unwrap_or_default();
        Ok(Self {
            file: make_room(folder.files(), &path, &on_behalf_of)?.into(),
            files: folder.clone(),
            path,
            attempt: claim.attempt.clone(),
        })
    }

    /// Opens the journal of an attempt that another process made.
    pub(crate) fn open(folder: &Folder, grant: &GrantId, attempt: &AttemptId) -> Option<Self> {
        let path = folder.join(&name(grant, attempt));
        Some(Self {
            file: folder.files().open(&path).ok()?.into(),
            files: folder.clone(),
            path,
            attempt: attempt.clone(),
        })
    }

    /// The journals of a grant: of every process, and whether or not the store knows of them.
    pub(crate) fn all_of(folder: &Folder, grant: &GrantId) -> Vec<Self> {
        let names = folder.names().into_iter();
        let attempts = names.filter_map(|name| attempt_in(&name, grant));
        attempts
            .filter_map(|attempt| Self::open(folder, grant, &attempt))
            .collect()
    }

    /// All journals there are.
    pub(crate) fn all(folder: &Folder) -> Vec<Self> {
        let names = folder.names().into_iter();
        let known = names.filter_map(|name| {
            let (grant, attempt) = name.rsplit_once('.')?;
            Self::open(folder, &GrantId::new(grant), &AttemptId::new(attempt))
        });
        known.collect()
    }

    /// What it would spend, and the claim under which; none if that is damaged.
    pub(crate) fn on_behalf_of(&self) -> Option<(Spend, Claim)> {
        self.read_header()?.read(&self.attempt)
    }

    /// Where its provider's endpoints may be.
    pub(crate) fn reach(&self) -> Reach {
        let internal = self
            .read_header()
            .is_some_and(|on_behalf_of| on_behalf_of.internal);
        Reach::of(internal)
    }

    fn read_header(&self) -> Option<JournalHeader> {
        let mut on_behalf_of = [0; WHOSE_LIMIT];
        self.file.read_at(&mut on_behalf_of, WHOSE_AT).ok()?;
        let end = on_behalf_of.iter().position(|byte| *byte == 0)?;
        serde_json::from_slice(&on_behalf_of[..end]).ok()
    }

    /// Says, durably, that from now on the request may have left.
    pub(crate) fn mark_sending(&self) -> Result<(), StoreError> {
        let mark = self
            .file
            .write_at(&[SENDING], PHASE_AT)
            .and_then(|()| self.file.sync());
        mark.map_err(|error| unusable(&self.path, &error))
    }

    /// Says that the attempt is over and that nothing was spent. Should the machine forget that, the attempt is merely as
    /// unknown as its mark before says.
    pub(crate) fn settle(&self) {
        if let Err(error) = self.file.write_at(&SETTLED, PHASE_AT) {
            tracing::warn!(%error, "a journal can't be settled");
        }
    }

    /// What came says nothing: the attempt is as if nothing had come.
    pub(crate) fn drop_reply(&self) {
        if let Err(error) = self.file.write_at(&[0; 8], LENGTH_AT) {
            tracing::warn!(%error, "an answer that says nothing stays in its journal");
        }
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
            .write_at(&sealed, REPLY_AT)
            .and_then(|()| self.file.write_at(&length, LENGTH_AT))
            .and_then(|()| self.file.sync());
        keep.map_err(|error| unusable(&self.path, &error))
    }

    /// Whether an answer was kept, readable or not.
    pub(crate) fn is_answered(&self) -> bool {
        self.length() != Some(0)
    }

    fn length(&self) -> Option<u64> {
        let mut length = [0; 8];
        self.file.read_at(&mut length, LENGTH_AT).ok()?;
        Some(u64::from_le_bytes(length))
    }

    /// The answer, if one was kept whole.
    pub(crate) fn reply(&self, sealer: &Sealer) -> Option<StoredReply> {
        let length = self.length().filter(|length| (1..=ROOM).contains(length))?;
        let mut sealed = vec![0; usize::try_from(length).ok()?];
        self.file.read_at(&mut sealed, REPLY_AT).ok()?;
        let plain = sealer.open(self.belongs(), &sealed).ok()?;
        serde_json::from_slice::<KeptReply>(&plain)
            .ok()?
            .into_stored()
    }

    /// How far the attempt came.
    pub(crate) fn state(&self, sealer: &Sealer) -> JournalState {
        let mut phase = [0; 8];
        match self.file.read_at(&mut phase, PHASE_AT) {
            Ok(()) if phase == SETTLED => JournalState::Settled,
            Ok(()) if self.reply(sealer).is_some() => JournalState::Reply,
            Ok(()) if phase[0] == INTENT => JournalState::Intent,
            // A mark that is damaged is a mark all the same: only an untouched file says that nothing was sent.
            Ok(()) => JournalState::Sending,
            Err(_) => JournalState::Missing,
        }
    }

    /// The attempt is over and the store knows its outcome.
    pub(crate) fn remove(self) {
        let _ = self.files.files().remove(&self.path);
    }

    fn belongs(&self) -> AssociatedData<'_> {
        AssociatedData {
            record: self.attempt.as_str(),
            field: "reply",
            generation: 0,
        }
    }
}

/// Reseals the replies that another key sealed. A journal whose sender lives is skipped: it is still written to, and gone in
/// a moment.
pub(crate) fn reseal(
    folder: &Folder,
    with: (&StagingFolder, &Sealer),
    liveness: &dyn Liveness,
) -> Result<ResealCount, StoreError> {
    let mut count = ResealCount::default();
    for (name, found) in reseal_files::files(folder.path()) {
        let parts = name.split_once('.');
        let journal = parts.and_then(|(grant, attempt)| {
            Journal::open(folder, &GrantId::new(grant), &AttemptId::new(attempt))
        });
        let sealed = sealed_in(&found.content);
        let (Some(journal), Some(sealed)) = (journal, sealed) else {
            continue;
        };
        if sealed.starts_with(&with.1.prefix()) {
            continue;
        }
        let owner = journal.on_behalf_of().map(|(_, claim)| claim.owner);
        if owner.is_some_and(|owner| liveness.state(&owner) == OwnerState::Alive) {
            count.in_use += 1;
            continue;
        }
        let whole = |sealed: &[u8]| {
            let mut whole = found.content[..REPLY_START].to_vec();
            whole[LENGTH].copy_from_slice(&(sealed.len() as u64).to_le_bytes());
            whole.extend_from_slice(sealed);
            whole
        };
        let what = (sealed, journal.belongs());
        reseal_files::reseal(with, &found, what, whole, &mut count)?;
    }
    Ok(count)
}

/// The sealed answer in a journal's content, if one is there.
fn sealed_in(content: &[u8]) -> Option<&[u8]> {
    let length = content.get(LENGTH)?.try_into().map(u64::from_le_bytes);
    let length = usize::try_from(length.ok()?).ok()?;
    let end = REPLY_START.checked_add(length)?;
    content
        .get(REPLY_START..end)
        .filter(|sealed| !sealed.is_empty())
}

/// Found by its grant without being opened.
fn name(grant: &GrantId, attempt: &AttemptId) -> String {
    format!("{grant}.{attempt}")
}

fn attempt_in(name: &str, grant: &GrantId) -> Option<AttemptId> {
    let attempt = name.strip_prefix(grant.as_str())?.strip_prefix('.')?;
    Some(AttemptId::new(attempt))
}

/// What is kept of a claim beside the store. No secrets.
#[derive(Serialize, Deserialize)]
struct JournalHeader {
    grant: String,
    lineage: u64,
    generation: u64,
    number: u32,
    owner: String,
    since: String,
    /// The connection may be gone when this is asked for.
    #[serde(default)]
    internal: bool,
}

impl JournalHeader {
    fn of(spend: &Spend, claim: &Claim, reach: Reach) -> Self {
        Self {
            grant: spend.grant.to_string(),
            lineage: spend.lineage.0,
            generation: spend.generation.0,
            number: claim.number,
            owner: claim.owner.to_string(),
            since: claim.since.to_string(),
            internal: reach == Reach::Anywhere,
        }
    }

    fn read(self, attempt: &AttemptId) -> Option<(Spend, Claim)> {
        let spend = Spend {
            grant: GrantId::new(self.grant),
            lineage: Lineage(self.lineage),
            generation: Generation(self.generation),
        };
        let claim = Claim {
            attempt: attempt.clone(),
            number: self.number,
            owner: OwnerId::new(self.owner),
            since: self.since.parse().ok()?,
            phase: ClaimPhase::Spending,
        };
        Some((spend, claim))
    }
}

impl KeptReply {
    pub(super) fn of(stored: &StoredReply) -> Self {
        let StoredReply {
            reply,
            issued,
            after_rejection,
        } = stored;
        let keep = [
            header::CONTENT_ENCODING,
            header::CONTENT_TYPE,
            header::WWW_AUTHENTICATE,
            header::DATE,
            header::RETRY_AFTER,
            header::HeaderName::from_static(RATE_LIMIT_LEFT),
        ];
        let text = |name: &header::HeaderName| {
            let value = reply.headers.get(name)?.to_str().ok()?;
            (value.len() <= HEADER_LIMIT).then(|| (name.to_string(), value.to_owned()))
        };
        Self {
            status: reply.status.as_u16(),
            headers: keep.iter().filter_map(text).collect(),
            body: STANDARD.encode(&reply.body),
            issued: issued.to_string(),
            after_rejection: *after_rejection,
        }
    }

    pub(super) fn into_stored(self) -> Option<StoredReply> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = header::HeaderName::try_from(name.as_str()).ok()?;
            headers.insert(name, HeaderValue::try_from(value.as_str()).ok()?);
        }
        let reply = Reply {
            status: StatusCode::from_u16(self.status).ok()?,
            headers,
            body: STANDARD.decode(&self.body).ok()?.into(),
        };
        Some(StoredReply {
            reply,
            issued: self.issued.parse().ok()?,
            after_rejection: self.after_rejection,
        })
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
