//! Messages for the webhook: a file for each incident under `outbox/`, kept until it is delivered.
//!
//! | file | says |
//! | --- | --- |
//! | `ID.json` | the record; locked by the process that delivers it |
//! | `ID.tries` | the number of attempts, and when the next one is due |
//! | `ID.done` | when it was delivered or given up; outlives the others, so that a late process delivers nothing twice |
//!
//! The incident's id is the message's: a receiver that gets it again after a crash knows it by that.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use authkeeper::platform::process_lease::private_folder;
use jiff::{SignedDuration, Timestamp};

/// The backoff in seconds after each attempt: two days altogether.
const AGAIN: [i64; 10] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
/// How long a delivery is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);
/// No record is longer.
const LARGEST: u64 = 64 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
}

/// A message to deliver, locked against other processes.
pub(super) struct QueuedAlert<'a> {
    outbox: &'a Outbox,
    id: String,
    record: String,
    _locked: File,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    Retry,
    GiveUp,
}

impl Outbox {
    pub(super) fn beside(data: &Path) -> Self {
        let folder = data.join("outbox");
        Self { folder }
    }

    /// Keeps a record until it is delivered. The second caller for an incident keeps nothing.
    pub(super) fn queue(&self, id: &str, record: &str, now: Timestamp) -> io::Result<()> {
        private_folder(&self.folder)?;
        self.forget_old(now);
        if self.done(id).exists() || self.waiting(id).exists() {
            return Ok(());
        }
        let mut new = tempfile::NamedTempFile::new_in(&self.folder)?;
        new.write_all(record.as_bytes())?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(self.waiting(id)) {
            Ok(_) => self.sync(),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }

    /// The ids of what is due now.
    pub(super) fn due(&self, now: Timestamp) -> Vec<String> {
        let ids = self.names(".json").into_iter();
        ids.filter(|id| self.tries(id).1 <= now).collect()
    }

    /// The message with this id, unless another process delivers it, or it was delivered.
    pub(super) fn take(&self, id: &str) -> Option<QueuedAlert<'_>> {
        let path = self.waiting(id);
        let mut file = File::options().read(true).write(true).open(&path).ok()?;
        file.try_lock().ok()?;
        // Delivered between the two lines above, or queued again by a process that came late.
        if self.done(id).exists() {
            let _ = fs::remove_file(path);
            return None;
        }
        let mut record = String::new();
        (&mut file).take(LARGEST).read_to_string(&mut record).ok()?;
        Some(QueuedAlert {
            outbox: self,
            id: id.to_owned(),
            record,
            _locked: file,
        })
    }

    /// How often it was tried, and when it is due. What can't be read is due.
    fn tries(&self, id: &str) -> (usize, Timestamp) {
        let text = fs::read_to_string(self.file(id, "tries")).unwrap_or_default();
        let read = text.split_once(' ').and_then(|(tries, due)| {
            let due = Timestamp::from_second(due.parse().ok()?).ok()?;
            Some((tries.parse().ok()?, due))
        });
        read.unwrap_or((0, Timestamp::MIN))
    }

    fn forget_old(&self, now: Timestamp) {
        for id in self.names(".done") {
            let at = fs::read_to_string(self.done(&id)).unwrap_or_default();
            let at = at.parse::<i64>().ok();
            let at = at.and_then(|at| Timestamp::from_second(at).ok());
            if at.is_some_and(|at| now.duration_since(at) > REMEMBERED) {
                let _ = fs::remove_file(self.done(&id));
            }
        }
    }

    fn names(&self, end: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter_map(|name| name.strip_suffix(end).map(str::to_owned))
            .collect()
    }

    fn file(&self, id: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{id}.{end}"))
    }

    fn waiting(&self, id: &str) -> PathBuf {
        self.file(id, "json")
    }

    fn done(&self, id: &str) -> PathBuf {
        self.file(id, "done")
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl QueuedAlert<'_> {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn record(&self) -> &str {
        &self.record
    }

    /// Marks it as delivered. The mark is durable before the record is removed.
    pub(super) fn told(self, now: Timestamp) -> io::Result<()> {
        let outbox = self.outbox;
        fs::write(outbox.done(&self.id), now.as_second().to_string())?;
        outbox.sync()?;
        let _ = fs::remove_file(outbox.file(&self.id, "tries"));
        fs::remove_file(outbox.waiting(&self.id))
    }

    pub(super) fn failed(self, now: Timestamp) -> io::Result<AfterFailure> {
        let (tries, _) = self.outbox.tries(&self.id);
        let Some(wait) = AGAIN.get(tries) else {
            return self.told(now).map(|()| AfterFailure::GiveUp);
        };
        let due = now.as_second().saturating_add(*wait);
        let path = self.outbox.file(&self.id, "tries");
        fs::write(path, format!("{} {due}", tries + 1))?;
        Ok(AfterFailure::Retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_queued_by_many_is_told_once() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Outbox::beside(data.path()), Outbox::beside(data.path()));
        one.queue("t1", "first", at(0)).unwrap();
        other.queue("t1", "second", at(0)).unwrap();
        assert_eq!(other.due(at(0)), ["t1"]);
        let taken = one.take("t1").unwrap();
        assert_eq!((taken.id(), taken.record()), ("t1", "first"));
        assert!(other.take("t1").is_none(), "somebody is at it");
        taken.told(at(1)).unwrap();
        other.queue("t1", "late", at(2)).unwrap();
        assert!(other.due(at(2)).is_empty() && other.take("t1").is_none());
    }

    /// As it is when one process told it between the other's look and its queueing.
    #[test]
    fn one_that_was_queued_too_late_is_not_told() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        outbox.queue("t1", "x", at(0)).unwrap();
        outbox.take("t1").unwrap().told(at(1)).unwrap();
        fs::write(outbox.waiting("t1"), "x").unwrap();
        assert!(outbox.take("t1").is_none());
        assert!(outbox.due(at(2)).is_empty(), "and it is gone");
    }

    #[test]
    fn a_crash_loses_nothing() {
        let data = tempfile::tempdir().unwrap();
        let before = Outbox::beside(data.path());
        before.queue("t1", "x", at(0)).unwrap();
        drop(before.take("t1").unwrap());
        let after = Outbox::beside(data.path());
        assert_eq!(after.due(at(0)), ["t1"]);
        assert_eq!(after.take("t1").unwrap().record(), "x");
    }

    #[test]
    fn it_is_tried_less_and_less_often_and_not_for_ever() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        outbox.queue("t1", "x", at(0)).unwrap();
        let mut now = 0;
        for wait in AGAIN {
            assert_eq!(outbox.due(at(now)), ["t1"]);
            let taken = outbox.take("t1").unwrap();
            assert_eq!(taken.failed(at(now)).unwrap(), AfterFailure::Retry);
            assert!(outbox.due(at(now + wait - 1)).is_empty());
            now += wait;
        }
        assert_eq!(now, AGAIN.iter().sum::<i64>());
        let taken = outbox.take("t1").unwrap();
        assert_eq!(taken.failed(at(now)).unwrap(), AfterFailure::GiveUp);
        assert!(outbox.due(Timestamp::MAX).is_empty());
    }

    #[test]
    fn what_was_told_is_forgotten_one_day() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        outbox.queue("t1", "x", at(0)).unwrap();
        outbox.take("t1").unwrap().told(at(0)).unwrap();
        outbox.queue("t2", "x", at(91 * 86_400)).unwrap();
        assert!(!outbox.done("t1").exists());
    }
}
