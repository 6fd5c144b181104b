//! For the fuzz targets in `verify/fuzz/`: the private readers of files whose bytes may be anything.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    http::{Reach, Reply},
    model::{
        AttemptId, BootId, BootStamp, Claim, ClaimPhase, Generation, GrantId, Lineage, Moment,
        OwnerId,
    },
    platform::files::Folder,
    refresh::{
        decide::JournalState,
        journal::{Journal, StoredReply},
        reply_archive::ReplyArchive,
    },
    store::{Spend, StoreError},
    vault::seal::Sealer,
};

/// An answer as it is kept in a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kept {
    /// What the provider answered.
    pub reply: Reply,
    /// When the request left.
    pub issued: Moment,
}

impl Kept {
    /// This answer to a request that left then.
    pub fn new(reply: Reply, issued: Moment) -> Self {
        Self { reply, issued }
    }

    fn stored(&self) -> StoredReply {
        StoredReply {
            reply: self.reply.clone(),
            issued: self.issued,
            after_rejection: false,
        }
    }

    fn of(stored: StoredReply) -> Self {
        Self::new(stored.reply, stored.issued)
    }
}

const UNKNOWN_BOOT: Moment = Moment {
    wall: Timestamp::UNIX_EPOCH,
    boot: BootStamp {
        id: BootId(0),
        since: Duration::ZERO,
    },
};

/// The journal of one attempt in a folder.
#[derive(Clone, Debug)]
pub struct JournalFile<'a> {
    folder: &'a Path,
    attempt: AttemptId,
    sealer: &'a Sealer,
}

impl<'a> JournalFile<'a> {
    /// The journal of this attempt.
    pub fn new(folder: &'a Path, attempt: &str, sealer: &'a Sealer) -> Self {
        Self {
            folder,
            attempt: AttemptId::new(attempt),
            sealer,
        }
    }

    fn on_disk(&self) -> Folder {
        Folder::on_disk(self.folder.to_owned())
    }

    fn on_behalf_of(&self) -> (Spend, Claim) {
        let spend = Spend {
            grant: GrantId::new("grant"),
            lineage: Lineage(1),
            generation: Generation(1),
        };
        let claim = Claim {
            attempt: self.attempt.clone(),
            number: 1,
            owner: OwnerId::new("owner"),
            since: UNKNOWN_BOOT,
            phase: ClaimPhase::Spending,
        };
        (spend, claim)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        let (spend, claim) = self.on_behalf_of();
        self.folder
            .join(format!("{}.{}", spend.grant, claim.attempt))
    }

    /// Makes it and fills it in as an attempt does that was answered.
    pub fn write(&self, kept: &Kept) -> Result<(), StoreError> {
        let (spend, claim) = self.on_behalf_of();
        let journal = Journal::prepare(&self.on_disk(), (&spend, &claim), Reach::PublicOnly)?;
        journal.mark_sending()?;
        journal.keep_reply(self.sealer, &kept.stored())
    }

    /// How far the attempt came by what is in the file, and the answer if there is one.
    pub fn read(&self) -> (JournalState, Option<Kept>) {
        let grant = self.on_behalf_of().0.grant;
        let Some(journal) = Journal::open(&self.on_disk(), &grant, &self.attempt) else {
            return (JournalState::Missing, None);
        };
        let _ = journal.on_behalf_of();
        let reply = journal.reply(self.sealer).map(Kept::of);
        (journal.state(self.sealer), reply)
    }
}

/// The archive in a folder.
#[derive(Clone, Debug)]
pub struct ReplyArchiveFolder {
    folder: PathBuf,
    reply_archive: ReplyArchive,
}

impl ReplyArchiveFolder {
    /// The archive in this folder.
    pub fn new(folder: &Path, sealer: &Sealer) -> Self {
        Self {
            folder: folder.to_owned(),
            reply_archive: ReplyArchive::new(Folder::on_disk(folder.to_owned()), sealer.clone()),
        }
    }

    /// Keeps an answer as the last one of a grant; its file.
    pub fn write(
        &self,
        grant: &str,
        at: (Lineage, Generation),
        kept: &Kept,
    ) -> io::Result<Vec<u8>> {
        self.reply_archive
            .keep(&GrantId::new(grant), at, &kept.stored());
        std::fs::read(self.path(grant))
    }

    /// Where the last answer of a grant is.
    pub fn path(&self, grant: &str) -> PathBuf {
        self.folder.join(format!("kept.{grant}"))
    }

    /// The last answer of a grant by what is in the file.
    pub fn read(&self, grant: &str) -> Option<((Lineage, Generation), Kept)> {
        let last = self.reply_archive.last(&GrantId::new(grant))?;
        Some(((last.lineage, last.generation), Kept::of(last.stored)))
    }
}
