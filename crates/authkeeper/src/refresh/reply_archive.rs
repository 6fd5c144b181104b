//! Answers that are kept beyond their attempt, sealed, beside the store and independent of it.
//!
//! `kept.GRANT` is the answer that was committed last: a store that went back in time has forgotten it, and is brought
//! forward by it. `late.GRANT.ATTEMPT` are answers that lost a race: their refresh token may be the one that is good, and
//! each is tried once before a person is asked. `unread.GRANT.ATTEMPT` are answers that nobody could read: a later version
//! or another setting may. All of them go with the next sign-in, and with a disconnect.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    model::{AttemptId, Generation, GrantId, Lineage, RefreshToken},
    oauth::classify::{Outcome, classify},
    platform::files::Folder,
    secret::SecretString,
    store::StoreError,
    vault::ResealCount,
    vault::seal::{AssociatedData, Sealer},
};
use crate::{
    refresh::journal::{KeptReply, StoredReply},
    vault::reseal_files::{self, StagingFolder},
};

/// No more answers of one grant are looked at: each costs a request.
const MOST_LATE: usize = 8;

/// The first words of the names of answers that lost a race, and of those that nobody could read.
const LATE: &str = "late";
const UNREAD: &str = "unread";

/// The shelf of one store.
#[derive(Clone, Debug)]
pub(crate) struct ReplyArchive {
    folder: Folder,
    sealer: Sealer,
}

/// An answer on the shelf.
#[derive(Clone, Debug)]
pub(crate) struct ArchivedReply {
    pub(crate) lineage: Lineage,
    /// The generation that it made, or would have made.
    pub(crate) generation: Generation,
    pub(crate) stored: StoredReply,
    /// Where it lies; none for an answer that is in its journal still.
    place: Option<(Folder, PathBuf)>,
}

#[derive(Serialize, Deserialize)]
struct File {
    lineage: u64,
    generation: u64,
    reply: KeptReply,
}

impl ReplyArchive {
    pub(crate) fn new(folder: Folder, sealer: Sealer) -> Self {
        Self { folder, sealer }
    }

    /// Keeps the answer that was committed last, in the place of the one before it. A process that was stopped after its
    /// commit comes too late for that.
    pub(crate) fn keep(&self, grant: &GrantId, at: (Lineage, Generation), stored: &StoredReply) {
        let newer = self
            .last(grant)
            .is_none_or(|last| (last.lineage, last.generation) < at);
        if newer {
            // A second copy of what the store holds: one that fails costs nothing but that.
            let _ = self.write(grant, &self.kept(grant), at, stored);
        }
    }

    /// Keeps an answer that another one outran.
    pub(crate) fn set_aside(
        &self,
        grant: &GrantId,
        at: (Lineage, Generation),
        (attempt, stored): (&AttemptId, &StoredReply),
    ) -> std::io::Result<()> {
        let path = self.folder.join(&format!("{LATE}.{grant}.{attempt}"));
        self.write(grant, &path, at, stored)
    }

    /// Keeps an answer that could not be read. Of those that carry no tokens the last one is enough; of the others the
    /// newest few are kept.
    pub(crate) fn keep_unread(
        &self,
        grant: &GrantId,
        at: (Lineage, Generation),
        (attempt, stored): (&AttemptId, &StoredReply),
        carries_tokens: bool,
    ) -> std::io::Result<()> {
        let attempt = if carries_tokens {
            attempt.as_str()
        } else {
            "other"
        };
        let path = self.folder.join(&format!("{UNREAD}.{grant}.{attempt}"));
        self.write(grant, &path, at, stored)?;
        let unread = self.all_in(UNREAD, grant);
        let too_many = unread.iter().skip(MOST_LATE);
        too_many.for_each(ArchivedReply::remove);
        Ok(())
    }

    /// The answers of a lineage that could not be read, the newest generation first.
    pub(crate) fn unread(&self, grant: &GrantId, lineage: Lineage) -> Vec<ArchivedReply> {
        let mut unread = self.all_in(UNREAD, grant);
        unread.retain(|archived| archived.lineage == lineage);
        unread
    }

    /// The answer that was committed last.
    pub(crate) fn last(&self, grant: &GrantId) -> Option<ArchivedReply> {
        self.read(grant, self.kept(grant))
    }

    /// The answers of a lineage that lost a race, the newest generation first.
    pub(crate) fn late(&self, grant: &GrantId, lineage: Lineage) -> Vec<ArchivedReply> {
        let mut late = self.all_in(LATE, grant);
        late.retain(|archived| archived.lineage == lineage);
        late.truncate(MOST_LATE);
        late
    }

    /// All of one kind, the newest first.
    fn all_in(&self, kind: &str, grant: &GrantId) -> Vec<ArchivedReply> {
        let paths = self.paths(kind, grant).into_iter();
        let mut all: Vec<ArchivedReply> = paths.filter_map(|path| self.read(grant, path)).collect();
        all.sort_by_key(|archived| {
            let at = (archived.lineage, archived.generation);
            std::cmp::Reverse((at, archived.stored.issued.wall))
        });
        all
    }

    /// All that lies here.
    #[cfg(feature = "test-util")]
    pub(crate) fn all(&self) -> Vec<StoredReply> {
        let names = self.folder.names().into_iter();
        let read = |name: String| {
            let (_, on_behalf_of) = name.split_once('.')?;
            let grant = GrantId::new(on_behalf_of.split('.').next()?);
            Some(self.read(&grant, self.folder.join(&name))?.stored)
        };
        names.filter_map(read).collect()
    }

    /// Forgets everything of a grant.
    pub(crate) fn clear(&self, grant: &GrantId) {
        let aside = [LATE, UNREAD].map(|kind| self.paths(kind, grant));
        for path in aside.into_iter().flatten().chain([self.kept(grant)]) {
            let _ = self.folder.files().remove(&path);
        }
    }

    /// Reseals the replies that another key sealed.
    pub(crate) fn reseal(&self, bench: &StagingFolder) -> Result<ResealCount, StoreError> {
        let mut count = ResealCount::default();
        for (name, found) in reseal_files::files(self.folder.path()) {
            let Some(grant) = grant_in(&name) else {
                continue;
            };
            let what = (found.content.as_slice(), belongs(&grant));
            let all = |sealed: &[u8]| sealed.to_vec();
            reseal_files::reseal((bench, &self.sealer), &found, what, all, &mut count)?;
        }
        Ok(count)
    }

    fn kept(&self, grant: &GrantId) -> PathBuf {
        self.folder.join(&format!("kept.{grant}"))
    }

    fn paths(&self, kind: &str, grant: &GrantId) -> Vec<PathBuf> {
        let start = format!("{kind}.{grant}.");
        let names = self.folder.names().into_iter();
        let of_grant = names.filter(|name| name.starts_with(&start));
        of_grant.map(|name| self.folder.join(&name)).collect()
    }

    /// A second copy of what the store holds: a write that fails or tears costs nothing but that.
    fn write(
        &self,
        grant: &GrantId,
        path: &Path,
        (lineage, generation): (Lineage, Generation),
        stored: &StoredReply,
    ) -> std::io::Result<()> {
        let file = File {
            lineage: lineage.0,
            generation: generation.0,
            reply: KeptReply::of(stored),
        };
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(&file).unwrap_or_default());
        let sealed = self.sealer.seal(belongs(grant), &plain);
        let written = self.folder.files().replace(path, &sealed);
        if let Err(error) = &written {
            tracing::warn!(%error, "an answer can't be kept for later");
        }
        written
    }

    fn read(&self, grant: &GrantId, path: PathBuf) -> Option<ArchivedReply> {
        let sealed = self.folder.files().read(&path).ok()?;
        let plain = self.sealer.open(belongs(grant), &sealed).ok()?;
        let file: File = serde_json::from_slice(&plain).ok()?;
        Some(ArchivedReply {
            lineage: Lineage(file.lineage),
            generation: Generation(file.generation),
            stored: file.reply.into_stored()?,
            place: Some((self.folder.clone(), path)),
        })
    }
}

impl ArchivedReply {
    /// An answer that is in its journal still.
    pub(super) fn in_journal(at: (Lineage, Generation), stored: StoredReply) -> Self {
        Self {
            lineage: at.0,
            generation: at.1,
            stored,
            place: None,
        }
    }

    /// Whether it holds a refresh token, and another one than this.
    pub(crate) fn brings_another_than(&self, refused: Option<&SecretString>) -> bool {
        #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
        let is_another =
            |token: RefreshToken| refused.is_none_or(|old| old.expose() != token.secret.expose());
        self.refresh_token().is_some_and(is_another)
    }

    /// Whether it holds this refresh token.
    pub(crate) fn brings(&self, secret: &SecretString) -> bool {
        self.refresh_token().is_some() && !self.brings_another_than(Some(secret))
    }

    fn refresh_token(&self) -> Option<RefreshToken> {
        let wall = self.stored.issued.wall;
        let Outcome::Accepted(answer) = classify(&self.stored.reply, wall) else {
            return None;
        };
        let tokens = answer.into_token_set(self.stored.issued, None);
        tokens.refresh_token
    }

    /// It has been tried.
    pub(crate) fn remove(&self) {
        if let Some((folder, path)) = &self.place {
            let _ = folder.files().remove(path);
        }
    }
}

/// Whose answer a file of this name is; what is being written is nobody's yet.
fn grant_in(name: &str) -> Option<GrantId> {
    let (kind, rest) = name.split_once('.')?;
    let grant = match kind {
        "kept" => rest,
        LATE | UNREAD => rest.split_once('.')?.0,
        _ => return None,
    };
    let whole = !Path::new(name).extension()?.eq_ignore_ascii_case("new");
    whole.then(|| GrantId::new(grant))
}

fn belongs(grant: &GrantId) -> AssociatedData<'_> {
    AssociatedData {
        record: grant.as_str(),
        field: "shelved_reply",
        generation: 0,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::{
        http::Reply,
        platform::clock::{Clock as _, ManualClock, Seams},
        secret::Secret,
    };

    fn answer(body: &str) -> StoredReply {
        StoredReply {
            reply: Reply {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: body.to_owned().into(),
            },
            issued: ManualClock::new().now(),
            after_rejection: false,
        }
    }

    #[test]
    fn what_is_kept_is_found_by_its_grant_and_lineage_alone() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
        let reply_archive = ReplyArchive::new(Folder::on_disk(folder.path().to_owned()), sealer);
        let (one, two) = (GrantId::new("one"), GrantId::new("two"));
        let at = |lineage, generation| (Lineage(lineage), Generation(generation));
        reply_archive.keep(&one, at(1, 4), &answer("secret-of-four"));
        reply_archive.keep(&one, at(1, 5), &answer("secret-of-five"));
        reply_archive.keep(&one, at(1, 3), &answer("secret-of-a-latecomer"));
        for (attempt, lineage, generation) in [("a", 1, 3), ("b", 1, 4), ("c", 2, 9)] {
            let late = (&AttemptId::new(attempt), &answer(attempt));
            reply_archive
                .set_aside(&one, at(lineage, generation), late)
                .unwrap();
        }
        let last = reply_archive.last(&one).unwrap();
        assert_eq!((last.lineage, last.generation), at(1, 5));
        assert_eq!(&last.stored.reply.body[..], b"secret-of-five");
        let late = |reply_archive: &ReplyArchive| -> Vec<u64> {
            let late = reply_archive.late(&one, Lineage(1)).into_iter();
            late.map(|archived| archived.generation.0).collect()
        };
        assert_eq!(late(&reply_archive), [4, 3]);
        reply_archive.late(&one, Lineage(1))[0].remove();
        assert_eq!(late(&reply_archive), [3]);
        assert!(
            reply_archive.last(&two).is_none() && reply_archive.late(&two, Lineage(1)).is_empty()
        );
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let raw = std::fs::read(entry.unwrap().path()).unwrap();
            // In base64, as the body is kept.
            for shown in [b"secret-of", b"c2VjcmV0L"] {
                assert!(!raw.windows(9).any(|window| window == shown), "sealed");
            }
        }
        reply_archive.clear(&one);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_torn_or_moved_to_another_grant_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
        let reply_archive = ReplyArchive::new(Folder::on_disk(folder.path().to_owned()), sealer);
        let (one, two) = (GrantId::new("one"), GrantId::new("two"));
        reply_archive.keep(&one, (Lineage(1), Generation(1)), &answer("x"));
        let kept = folder.path().join("kept.one");
        std::fs::copy(&kept, folder.path().join("kept.two")).unwrap();
        assert!(reply_archive.last(&two).is_none());
        let bytes = std::fs::read(&kept).unwrap();
        std::fs::write(&kept, &bytes[..bytes.len() / 2]).unwrap();
        assert!(reply_archive.last(&one).is_none());
    }
}
