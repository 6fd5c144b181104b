//! Messages for the routes: a file for each message and route under `outbox/`, kept until it is delivered.
//!
//! | file | says |
//! | --- | --- |
//! | `ID.json` | the message; locked by the process that delivers it |
//! | `ID.tries` | the number of attempts, and when the next one is due |
//! | `ID.done` | when it was delivered, dropped or given up; outlives the others, so that a late process delivers nothing twice |
//!
//! `ID` is alert, number and route ([`entry`]). Alert and number are the message's id: a receiver that gets it again after a
//! crash knows it by that.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use authkeeper::platform::process_lease::private_folder;
use jiff::{SignedDuration, Timestamp};

/// The backoff in seconds after each attempt: two days altogether.
const AGAIN: [i64; 10] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
/// The mark of a message that was not delivered.
const DROPPED: &str = " dropped";
/// How long a delivery is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);
/// No message is longer.
const LARGEST: u64 = 64 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
}

/// The id of a message for a route.
pub(super) fn entry(message: &str, route: &str) -> String {
    format!("{message}.{route}")
}

/// Alert, number and route of an id; none if it is another's.
fn parts(id: &str) -> Option<(&str, u32, &str)> {
    let (alert, rest) = id.split_once('.')?;
    let (number, route) = rest.split_once('.')?;
    Some((alert, number.parse().ok()?, route))
}

/// What is delivered next of one alert by one route: the newest message. Those before it that were not delivered say nothing
/// that it does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) id: String,
    pub(super) alert: String,
    /// In the order of their numbers.
    pub(super) superseded: Vec<String>,
}

/// The newest message of each alert among those that wait.
fn newest(ids: impl Iterator<Item = String>, of: &str) -> Vec<Newest> {
    let mut by_alert: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
    for id in ids {
        if let Some((alert, number, route)) = parts(&id)
            && route == of
        {
            let alert = by_alert.entry(alert.to_owned()).or_default();
            alert.insert(number, id.clone());
        }
    }
    let newest = |(alert, mut messages): (String, BTreeMap<u32, String>)| {
        let (_, id) = messages.pop_last()?;
        let superseded = messages.into_values().collect();
        Some(Newest {
            id,
            alert,
            superseded,
        })
    };
    by_alert.into_iter().filter_map(newest).collect()
}

/// A message to deliver, locked against other processes.
pub(super) struct QueuedAlert<'a> {
    outbox: &'a Outbox,
    id: String,
    message: String,
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

    /// Keeps a message until it is delivered. The second caller for the same one keeps nothing.
    pub(super) fn queue(&self, id: &str, message: &str, now: Timestamp) -> io::Result<()> {
        private_folder(&self.folder)?;
        self.forget_old(now);
        if self.done(id).exists() || self.waiting(id).exists() {
            return Ok(());
        }
        let mut new = tempfile::NamedTempFile::new_in(&self.folder)?;
        new.write_all(message.as_bytes())?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(self.waiting(id)) {
            Ok(_) => self.sync(),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }

    /// What waits for a route.
    pub(super) fn waiting_for(&self, route: &str) -> Vec<Newest> {
        newest(self.names(".json").into_iter(), route)
    }

    /// Whether it is due now.
    pub(super) fn is_due(&self, id: &str, now: Timestamp) -> bool {
        self.tries(id).1 <= now
    }

    /// Whether a message of this alert was delivered by this route.
    pub(super) fn was_told(&self, alert: &str, route: &str) -> bool {
        let of_it = |id: &String| {
            let parts = parts(id);
            parts.is_some_and(|(other, _, by)| (other, by) == (alert, route))
        };
        let told = |id: &String| {
            let text = fs::read_to_string(self.done(id)).unwrap_or_default();
            !text.ends_with(DROPPED)
        };
        let done = self.names(".done");
        done.iter().any(|id| of_it(id) && told(id))
    }

    /// Ends messages that say nothing any more; false if another process delivers one of them just now.
    pub(super) fn drop_all(&self, ids: &[String], now: Timestamp) -> io::Result<bool> {
        for id in ids {
            match self.take(id) {
                Some(message) => message.dropped(now)?,
                None if self.waiting(id).exists() => return Ok(false),
                None => {}
            }
        }
        Ok(true)
    }

    /// Removes what versions before this one queued: an incident that is still open is told by this one.
    pub(super) fn drop_foreign(&self, now: Timestamp) -> io::Result<()> {
        let mut foreign = self.names(".json");
        foreign.retain(|id| parts(id).is_none());
        self.drop_all(&foreign, now).map(drop)
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
        let mut message = String::new();
        (&mut file)
            .take(LARGEST)
            .read_to_string(&mut message)
            .ok()?;
        Some(QueuedAlert {
            outbox: self,
            id: id.to_owned(),
            message,
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
            let at = at.trim_end_matches(DROPPED).parse::<i64>().ok();
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
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Marks it as delivered. The mark is durable before the message is removed.
    pub(super) fn told(self, now: Timestamp) -> io::Result<()> {
        self.end(now, "")
    }

    /// Marks it as one that is not delivered.
    pub(super) fn dropped(self, now: Timestamp) -> io::Result<()> {
        self.end(now, DROPPED)
    }

    fn end(self, now: Timestamp, how: &str) -> io::Result<()> {
        let outbox = self.outbox;
        fs::write(outbox.done(&self.id), format!("{}{how}", now.as_second()))?;
        outbox.sync()?;
        let _ = fs::remove_file(outbox.file(&self.id, "tries"));
        fs::remove_file(outbox.waiting(&self.id))
    }

    pub(super) fn failed(self, now: Timestamp) -> io::Result<AfterFailure> {
        let (tries, _) = self.outbox.tries(&self.id);
        let Some(wait) = AGAIN.get(tries) else {
            return self.dropped(now).map(|()| AfterFailure::GiveUp);
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

    const ONE: &str = "a1.1.mail";

    fn ids(outbox: &Outbox, now: Timestamp) -> Vec<String> {
        let mut all = outbox.names(".json");
        all.retain(|id| outbox.is_due(id, now));
        all
    }

    #[test]
    fn what_is_queued_by_many_is_told_once() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Outbox::beside(data.path()), Outbox::beside(data.path()));
        one.queue(ONE, "first", at(0)).unwrap();
        other.queue(ONE, "second", at(0)).unwrap();
        assert_eq!(ids(&other, at(0)), [ONE]);
        let taken = one.take(ONE).unwrap();
        assert_eq!(taken.message(), "first");
        assert!(other.take(ONE).is_none(), "somebody is at it");
        assert!(!other.drop_all(&[ONE.to_owned()], at(0)).unwrap());
        taken.told(at(1)).unwrap();
        other.queue(ONE, "late", at(2)).unwrap();
        assert!(ids(&other, at(2)).is_empty() && other.take(ONE).is_none());
    }

    /// As it is when one process told it between the other's look and its queueing.
    #[test]
    fn one_that_was_queued_too_late_is_not_told() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        outbox.queue(ONE, "x", at(0)).unwrap();
        outbox.take(ONE).unwrap().told(at(1)).unwrap();
        fs::write(outbox.waiting(ONE), "x").unwrap();
        assert!(outbox.take(ONE).is_none());
        assert!(ids(&outbox, at(2)).is_empty(), "and it is gone");
    }

    #[test]
    fn a_crash_loses_nothing() {
        let data = tempfile::tempdir().unwrap();
        let before = Outbox::beside(data.path());
        before.queue(ONE, "x", at(0)).unwrap();
        drop(before.take(ONE).unwrap());
        let after = Outbox::beside(data.path());
        assert_eq!(ids(&after, at(0)), [ONE]);
        assert_eq!(after.take(ONE).unwrap().message(), "x");
    }

    #[test]
    fn it_is_tried_less_and_less_often_and_not_for_ever() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        outbox.queue(ONE, "x", at(0)).unwrap();
        let mut now = 0;
        for wait in AGAIN {
            assert_eq!(ids(&outbox, at(now)), [ONE]);
            let taken = outbox.take(ONE).unwrap();
            assert_eq!(taken.failed(at(now)).unwrap(), AfterFailure::Retry);
            assert!(ids(&outbox, at(now + wait - 1)).is_empty());
            now += wait;
        }
        assert_eq!(now, AGAIN.iter().sum::<i64>());
        let taken = outbox.take(ONE).unwrap();
        assert_eq!(taken.failed(at(now)).unwrap(), AfterFailure::GiveUp);
        assert!(ids(&outbox, Timestamp::MAX).is_empty());
        assert!(!outbox.was_told("a1", "mail"), "it never was");
    }

    #[test]
    fn what_was_told_is_forgotten_one_day() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        for id in [ONE, "a2.1.mail"] {
            outbox.queue(id, "x", at(0)).unwrap();
        }
        outbox.take(ONE).unwrap().told(at(0)).unwrap();
        outbox.take("a2.1.mail").unwrap().dropped(at(0)).unwrap();
        outbox.queue("a3.1.mail", "x", at(91 * 86_400)).unwrap();
        assert!(!outbox.done(ONE).exists() && !outbox.done("a2.1.mail").exists());
    }

    #[test]
    fn the_newest_message_of_an_alert_supersedes_those_before_it() {
        let data = tempfile::tempdir().unwrap();
        let outbox = Outbox::beside(data.path());
        for id in [
            "a1.2.mail",
            "a1.10.mail",
            "a1.1.mail",
            "a1.11.phone",
            "b.1.mail",
            "old",
        ] {
            outbox.queue(id, "x", at(0)).unwrap();
        }
        let waiting = outbox.waiting_for("mail");
        let shown: Vec<(&str, usize)> = waiting
            .iter()
            .map(|newest| (newest.id.as_str(), newest.superseded.len()))
            .collect();
        assert_eq!(shown, [("a1.10.mail", 2), ("b.1.mail", 0)]);
        assert!(outbox.drop_all(&waiting[0].superseded, at(0)).unwrap());
        assert!(!outbox.was_told("a1", "mail"), "dropped");
        outbox.take("a1.10.mail").unwrap().told(at(0)).unwrap();
        assert!(outbox.was_told("a1", "mail") && !outbox.was_told("a1", "phone"));
        outbox.drop_foreign(at(0)).unwrap();
        assert!(outbox.take("old").is_none());
    }
}
