//! The job's own log: each call that began and its result, a JSON line each. A restarted job continues from it, and at
//! the end it is compared with the sandbox's counters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogLine {
    /// In milliseconds since 1970.
    pub(super) at: i64,
    /// Which piece of work.
    pub(super) piece: u32,
    #[serde(flatten)]
    pub(super) what: CallEvent,
}

/// What happened to a piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(super) enum CallEvent {
    /// The call goes out.
    Begun,
    /// It was answered.
    Done {
        /// The provider had done this piece before, and did not do it again.
        seen_before: bool,
    },
    /// The job was told that it may not go on in this person's name.
    Ended,
    /// It failed.
    Failed {
        /// The status, or what broke.
        why: String,
    },
}

/// One call, from its beginning to what came of it; nothing came of it where the job was killed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobCall {
    pub(super) piece: u32,
    pub(super) begun: i64,
    pub(super) end: Option<(i64, CallEvent)>,
}

impl JobCall {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.end, Some((_, CallEvent::Done { .. })))
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self.end, Some((_, CallEvent::Failed { .. })))
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.end, Some((_, CallEvent::Ended)))
    }
}

/// All calls of the job, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct JobLog {
    pub(super) calls: Vec<JobCall>,
    /// The call that is under way for a piece.
    open: BTreeMap<u32, usize>,
}

impl JobLog {
    pub(super) fn parse(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            log.read(line);
        }
        log
    }

    /// Adds a line. The last line of a killed job may be half of one: that call's end is not known.
    pub(super) fn read(&mut self, line: &str) {
        if let Ok(line) = serde_json::from_str(line) {
            self.add(line);
        }
    }

    fn add(&mut self, line: LogLine) {
        let LogLine { at, piece, what } = line;
        if what == CallEvent::Begun {
            self.open.insert(piece, self.calls.len());
            self.calls.push(JobCall {
                piece,
                begun: at,
                end: None,
            });
            return;
        }
        let open = self.open.remove(&piece);
        if let Some(call) = open.and_then(|index| self.calls.get_mut(index)) {
            call.end = Some((at, what));
        }
    }

    /// The pieces that were begun and of which it is not known that they are done: a restarted job does these first, under
    /// their old keys.
    pub(super) fn unfinished(&self) -> Vec<u32> {
        let mut done = BTreeMap::new();
        for call in &self.calls {
            *done.entry(call.piece).or_insert(false) |= call.is_done();
        }
        let left = done.into_iter().filter(|(_, done)| !done);
        left.map(|(piece, _)| piece).collect()
    }

    /// The number of the first piece that was never begun.
    pub(super) fn next_piece(&self) -> u32 {
        let last = self.calls.iter().map(|call| call.piece).max();
        last.map_or(1, |piece| piece + 1)
    }

    pub(super) fn count(&self, which: impl Fn(&JobCall) -> bool) -> u64 {
        self.calls.iter().filter(|call| which(call)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: &str = r#"{"at":1,"piece":1,"what":"begun"}
{"at":2,"piece":2,"what":"begun"}
{"at":3,"piece":1,"what":"done","seen_before":false}
{"at":4,"piece":3,"what":"begun"}
{"at":5,"piece":3,"what":"failed","why":"401"}
{"at":6,"piece":3,"what":"beg"#;

    #[test]
    fn a_killed_jobs_log_says_what_is_left() {
        let log = JobLog::parse(KILLED);
        assert_eq!(log.unfinished(), [2, 3]);
        assert_eq!(log.next_piece(), 4);
        assert_eq!(log.count(JobCall::is_done), 1);
        assert_eq!(log.count(JobCall::is_failed), 1);
        assert_eq!(log.count(|call| call.end.is_none()), 1);
    }

    #[test]
    fn a_piece_begun_again_is_another_call() {
        let mut log = JobLog::parse(KILLED);
        log.read(r#"{"at":9,"piece":2,"what":"begun"}"#);
        log.read(r#"{"at":10,"piece":2,"what":"done","seen_before":true}"#);
        assert_eq!(log.unfinished(), [3]);
        assert_eq!(log.count(|call| call.piece == 2), 2);
        assert_eq!(
            log.calls[3].end,
            Some((10, CallEvent::Done { seen_before: true }))
        );
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        for what in [
            CallEvent::Begun,
            CallEvent::Done { seen_before: true },
            CallEvent::Ended,
        ] {
            let line = LogLine {
                at: 7,
                piece: 8,
                what,
            };
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(
                serde_json::from_str::<LogLine>(&text).unwrap(),
                line,
                "{text}"
            );
        }
    }
}
