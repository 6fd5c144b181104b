//! The decision log: every decision about a refresh with its inputs and its outcome, one JSON line each, a file a day,
//! kept 30 days. It holds no secret and costs no fsync: it tells afterwards, nothing rests on it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use crate::model::{Connection, ConnectionName, Moment};

/// For how many days decisions are kept.
pub const KEPT_DAYS: i64 = 30;

/// One decision.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// When.
    pub ts: Timestamp,
    /// For which connection.
    pub connection: String,
    /// On whose authority.
    pub principal: String,
    /// At which lineage.
    pub lineage: u64,
    /// At which generation.
    pub generation: u64,
    /// How many seconds the access token had left.
    pub seconds_left: f64,
    /// What was decided: `serve`, `serve_and_refresh`, `refresh_first`, `refuse`; or what was done: `refresh`, or `hold_back`
    /// where nothing was sent because the provider refused our client a moment ago.
    pub decision: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What became of a refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// How long the exchange took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// How far the provider's clock is ahead of ours, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_s: Option<i64>,
    /// Ties the lines of one attempt together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A decision as it is read back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PastDecision {
    /// When.
    pub ts: Timestamp,
    /// For which connection.
    pub connection: String,
    /// At which lineage.
    pub lineage: u64,
    /// At which generation: of a refresh, the one that was spent.
    pub generation: u64,
    /// What was decided or done.
    pub decision: String,
    /// Why.
    pub why: Option<String>,
    /// What became of a refresh.
    pub outcome: Option<String>,
    /// How long the exchange took, in milliseconds.
    pub latency_ms: Option<u64>,
    /// How far the provider's clock was ahead of ours, in seconds.
    pub skew_s: Option<i64>,
    /// Ties the lines of one attempt together.
    pub trace_id: Option<String>,
}

impl PastDecision {
    /// Whether it is about this connection, and not about one that had its name before it.
    pub fn is_of(&self, connection: &Connection) -> bool {
        self.connection == connection.name.as_str() && self.ts >= connection.created
    }

    /// The newest lineage and generation of which this line is proof: a refresh that brought something made the next.
    pub fn proves(&self) -> (u64, u64) {
        let fresh = self.decision == "refresh" && self.outcome.as_deref() == Some("fresh");
        (self.lineage, self.generation + u64::from(fresh))
    }
}

/// Appends decisions. Many processes append to the same file; one line is one write.
#[derive(Clone, Debug)]
pub struct DecisionLog {
    folder: PathBuf,
}

impl DecisionLog {
    /// A log in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Appends one decision. A log that can't be written stops nobody.
    pub fn append(&self, now: Moment, decision: &Decision) {
        if let Err(error) = self.try_append(now, decision) {
            tracing::debug!(%error, "the decision log can't be written");
        }
    }

    /// All that is kept, oldest first. What can't be read is passed over: a crash may have cut a line.
    pub fn read(&self) -> Vec<PastDecision> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut days: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        days.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        days.sort();
        let lines_of = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let decisions = text.lines().map(serde_json::from_str::<PastDecision>);
            decisions.flatten().collect::<Vec<_>>()
        };
        days.iter().flat_map(lines_of).collect()
    }

    /// How far the clock of a connection's provider was ahead of ours the last time that it was measured, in seconds.
    pub(crate) fn last_skew(&self, connection: &ConnectionName) -> Option<i64> {
        let of_it = |past: &PastDecision| past.connection == connection.as_str();
        let mut newest = self.read().into_iter().rev().filter(of_it);
        newest.find_map(|past| past.skew_s)
    }

    fn try_append(&self, now: Moment, decision: &Decision) -> std::io::Result<()> {
        let path = self
            .folder
            .join(format!("{}.jsonl", now.wall.strftime("%Y-%m-%d")));
        let is_new = !path.exists();
        let mut line = serde_json::to_vec(decision)?;
        line.push(b'\n');
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(&line)?;
        if is_new {
            forget_old(&self.folder, now)?;
        }
        Ok(())
    }
}

/// The first decision of a day sweeps out what is older than [`KEPT_DAYS`].
fn forget_old(folder: &Path, now: Moment) -> std::io::Result<()> {
    let oldest = now.wall - jiff::SignedDuration::from_hours(24 * KEPT_DAYS);
    let oldest = format!("{}.jsonl", oldest.strftime("%Y-%m-%d"));
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_log = path.extension().is_some_and(|ending| ending == "jsonl");
        if is_log && *entry.file_name() < *oldest {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock::{Clock as _, ManualClock};

    fn decision(now: Moment) -> Decision {
        Decision {
            ts: now.wall,
            connection: "c".to_owned(),
            principal: "local".to_owned(),
            lineage: 1,
            generation: 2,
            seconds_left: 3.5,
            decision: "serve",
            why: None,
            outcome: None,
            latency_ms: None,
            skew_s: None,
            trace_id: None,
        }
    }

    #[test]
    fn decisions_are_kept_thirty_days() {
        let folder = tempfile::tempdir().unwrap();
        let log = DecisionLog::new(folder.path().to_owned());
        let clock = ManualClock::new();
        for _ in 0..40 {
            log.append(clock.now(), &decision(clock.now()));
            log.append(clock.now(), &decision(clock.now()));
            clock.advance(std::time::Duration::from_hours(24));
        }
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(files.len(), 31, "today and the thirty days before it");
        let text = fs::read_to_string(files[0].path()).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with(r#"{"ts":"2026-"#), "{text}");
    }

    #[test]
    fn what_was_written_is_read_back_and_a_cut_line_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let log = DecisionLog::new(folder.path().to_owned());
        let clock = ManualClock::new();
        let mut refresh = decision(clock.now());
        refresh.decision = "refresh";
        refresh.outcome = Some("fresh".to_owned());
        log.append(clock.now(), &refresh);
        let path = fs::read_dir(folder.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(path.path())
            .unwrap();
        file.write_all(b"{\"ts\":\"2026-\n").unwrap();
        log.append(clock.now(), &decision(clock.now()));
        let proofs: Vec<_> = log.read().iter().map(PastDecision::proves).collect();
        assert_eq!(proofs, [(1, 3), (1, 2)], "the refresh made a generation");
    }

    #[test]
    fn only_a_refresh_that_brought_something_made_a_generation() {
        let folder = tempfile::tempdir().unwrap();
        let log = DecisionLog::new(folder.path().to_owned());
        let now = ManualClock::new().now();
        for (done, outcome) in [("refresh", "later"), ("serve", "fresh")] {
            let mut decision = decision(now);
            decision.decision = done;
            decision.outcome = Some(outcome.to_owned());
            log.append(now, &decision);
        }
        let proofs: Vec<_> = log.read().iter().map(PastDecision::proves).collect();
        assert_eq!(proofs, [(1, 2), (1, 2)]);
    }

    #[test]
    fn what_is_no_log_is_neither_read_nor_swept_out() {
        let folder = tempfile::tempdir().unwrap();
        let now = ManualClock::new().now();
        let note = folder.path().join("2000-01-01.note");
        let line = serde_json::to_vec(&decision(now)).unwrap();
        fs::write(&note, line).unwrap();
        let log = DecisionLog::new(folder.path().to_owned());
        log.append(now, &decision(now));
        assert!(note.exists());
        assert_eq!(log.read().len(), 1);
    }

    #[test]
    fn one_decision_a_day_is_enough_to_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let log = DecisionLog::new(folder.path().to_owned());
        let clock = ManualClock::new();
        for _ in 0..40 {
            log.append(clock.now(), &decision(clock.now()));
            clock.advance(std::time::Duration::from_hours(24));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 31);
    }
}
