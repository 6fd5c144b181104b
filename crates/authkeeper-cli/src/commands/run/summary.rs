//! What a run did over each connection, as it is told at its end: pure functions over what was counted.

use std::{collections::BTreeMap, time::Duration};

use authkeeper::model::FailedCall;
use authkeeper_gateway::forward::CallCounts;
use serde_json::{Value, json};

use super::RunEnd;
use crate::output::{count, span};

/// What a run did.
#[derive(Debug)]
pub(crate) struct RunSummary {
    /// None if nothing was started.
    pub(crate) task: Option<String>,
    pub(crate) end: RunEnd,
    /// How long the command ran.
    pub(crate) ran: Duration,
    pub(crate) connections: Vec<ConnectionSummary>,
}

/// What it did over one connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectionSummary {
    pub(crate) name: String,
    /// The calls through the proxy of this run.
    pub(crate) calls: CallCounts,
    /// Refreshes during the run, by whatever process.
    pub(crate) refreshes: u64,
    /// Sign-ins during the run.
    pub(crate) sign_ins: u64,
    /// How long the start of the run waited for it.
    pub(crate) waited_before: Duration,
}

/// Refreshes and sign-ins between two looks at a connection's lineage and generation: a sign-in begins a lineage, and each
/// of both is a generation.
pub(crate) fn tallied(before: (u64, u64), after: (u64, u64)) -> (u64, u64) {
    let sign_ins = after.0.saturating_sub(before.0);
    let generations = after.1.saturating_sub(before.1);
    (generations.saturating_sub(sign_ins), sign_ins)
}

impl RunSummary {
    /// Of a run that started nothing.
    pub(crate) fn not_started(code: u8) -> Self {
        Self {
            task: None,
            end: RunEnd {
                command_code: None,
                code,
                unrecovered: vec![],
            },
            ran: Duration::ZERO,
            connections: vec![],
        }
    }
}

const HEADER: [&str; 5] = ["CONNECTION", "CALLS", "REFRESHES", "WAITS", "FAILED"];

impl RunSummary {
    /// Whether it is told where nobody watches: cron mails each line. A command's own failure is its own to tell.
    pub(crate) fn is_of_note(&self) -> bool {
        let changed = self
            .end
            .command_code
            .is_some_and(|own| own != self.end.code);
        let failed = |one: &ConnectionSummary| !one.calls.failed.is_empty();
        let waited = |one: &ConnectionSummary| !one.waited_before.is_zero();
        changed
            || !self.end.unrecovered.is_empty()
            || self
                .connections
                .iter()
                .any(|one| failed(one) || waited(one))
    }

    /// As a table for a person; where that has no room, each connection as a list.
    pub(crate) fn lines(&self, columns: Option<usize>) -> Vec<String> {
        let ran = span(self.ran.as_secs());
        let first = match self.end.command_code {
            Some(own) if own == self.end.code => {
                format!("authkeeper: the command returned {own} after {ran}")
            }
            Some(own) => format!(
                "authkeeper: the command returned {own} after {ran}; exit code {}",
                self.end.code
            ),
            None => return vec![],
        };
        let mut rows = vec![HEADER.map(str::to_owned)];
        rows.extend(self.connections.iter().map(|one| self.row(one)));
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:<width$}"))
                .collect();
            format!("  {}", cells.join("  ").trim_end())
        };
        let table: Vec<String> = rows.iter().map(line).collect();
        let widest = table.iter().map(|line| line.chars().count()).max();
        if columns.is_some_and(|columns| widest > Some(columns)) {
            return [first].into_iter().chain(stacked(&rows)).collect();
        }
        [first].into_iter().chain(table).collect()
    }

    fn row(&self, one: &ConnectionSummary) -> [String; 5] {
        let refreshes = match one.sign_ins {
            0 => one.refreshes.to_string(),
            more => format!("{}, {}", one.refreshes, count(as_size(more), "sign-in")),
        };
        [
            one.name.clone(),
            one.calls.calls.to_string(),
            refreshes,
            waits(one),
            self.failures(one),
        ]
    }

    /// Only calls that failed for lack of authority are looked for again: of the others it is not known.
    fn failures(&self, one: &ConnectionSummary) -> String {
        let unrecovered = self.unrecovered_of(&one.name);
        let failed = &one.calls.failed;
        match (failed.is_empty(), unrecovered.is_empty()) {
            (true, true) => "0".to_owned(),
            (false, true) => listed(failed),
            (true, false) => format!(
                "{} (not recovered, in another process)",
                listed(&unrecovered)
            ),
            (false, false) if *failed == unrecovered => {
                format!("{} (not recovered)", listed(&unrecovered))
            }
            (false, false) => {
                let (failed, unrecovered) = (listed(failed), listed(&unrecovered));
                format!("{failed} (not recovered: {unrecovered})")
            }
        }
    }

    fn unrecovered_of(&self, name: &str) -> BTreeMap<String, u64> {
        let of = |call: &&FailedCall| call.connection.as_str() == name;
        let mut reasons = BTreeMap::new();
        for call in self.end.unrecovered.iter().filter(of) {
            *reasons.entry(call.reason.clone()).or_default() += call.times;
        }
        reasons
    }

    /// As JSON for a program.
    pub(crate) fn json(&self) -> Value {
        let connections = self.connections.iter().map(|one| {
            json!({
                "connection": one.name,
                "calls": one.calls.calls,
                "refreshes": one.refreshes,
                "sign_ins": one.sign_ins,
                "waits": one.calls.waits,
                "waited_seconds": seconds(one.calls.waited),
                "waited_before_start_seconds": seconds(one.waited_before),
                "failed": one.calls.failed,
                "unrecovered": self.unrecovered_of(&one.name),
            })
        });
        json!({
            "event": "run_ended",
            "task": self.task,
            "command_code": self.end.command_code,
            "exit_code": self.end.code,
            "seconds": seconds(self.ran),
            "connections": connections.collect::<Vec<_>>(),
        })
    }
}

/// The cells of each connection below its name.
fn stacked(rows: &[[String; 5]]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows.iter().skip(1) {
        for (label, cell) in HEADER.iter().zip(row) {
            lines.push(match *label {
                "CONNECTION" => format!("  {cell}"),
                label => format!("    {:<9}  {cell}", label.to_lowercase()),
            });
        }
    }
    lines
}

fn waits(one: &ConnectionSummary) -> String {
    let mut parts = Vec::new();
    if !one.waited_before.is_zero() {
        parts.push(format!(
            "{} before the start",
            span(one.waited_before.as_secs())
        ));
    }
    if one.calls.waits > 0 {
        let calls = count(as_size(one.calls.waits), "call");
        parts.push(format!("{calls}, {}", span(one.calls.waited.as_secs())));
    }
    if parts.is_empty() {
        "0".to_owned()
    } else {
        parts.join("; ")
    }
}

fn listed(reasons: &BTreeMap<String, u64>) -> String {
    let parts = reasons.iter();
    let parts: Vec<String> = parts
        .map(|(reason, times)| format!("{times} {reason}"))
        .collect();
    parts.join(", ")
}

fn as_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// In seconds with three digits.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::notion;

    fn summary(failed: &[(&str, u64)], unrecovered: &[(&str, u64)]) -> RunSummary {
        let failed = failed
            .iter()
            .map(|(reason, times)| ((*reason).to_owned(), *times));
        let unrecovered = unrecovered.iter().map(|(reason, times)| FailedCall {
            connection: notion(),
            times: *times,
            first: jiff::Timestamp::UNIX_EPOCH,
            reason: (*reason).to_owned(),
        });
        RunSummary {
            task: Some("t1".to_owned()),
            end: RunEnd {
                command_code: Some(0),
                code: 0,
                unrecovered: unrecovered.collect(),
            },
            ran: Duration::from_mins(42),
            connections: vec![ConnectionSummary {
                name: "notion".to_owned(),
                calls: CallCounts {
                    calls: 120,
                    waits: 2,
                    waited: Duration::from_millis(14_200),
                    failed: failed.collect(),
                },
                refreshes: 3,
                ..ConnectionSummary::default()
            }],
        }
    }

    #[test]
    fn a_table_tells_what_was_counted() {
        let mut told = summary(&[("provider_unavailable", 3)], &[("refresh_refused", 1)]);
        told.end.code = 75;
        told.connections[0].waited_before = Duration::from_mins(3);
        told.connections[0].sign_ins = 1;
        let lines = [
            "authkeeper: the command returned 0 after 42 min; exit code 75",
            "  CONNECTION  CALLS  REFRESHES     WAITS                                  FAILED",
            "  notion      120    3, 1 sign-in  3 min before the start; 2 calls, 14 s  3 provider_unavailable (not \
             recovered: 1 refresh_refused)",
        ];
        assert_eq!(told.lines(None), lines);
        assert_eq!(told.lines(Some(200)), lines);
        assert_eq!(
            told.lines(Some(40))[1..5],
            [
                "  notion",
                "    calls      120",
                "    refreshes  3, 1 sign-in",
                "    waits      3 min before the start; 2 calls, 14 s",
            ]
        );
    }

    #[test]
    fn failures_say_what_became_of_them() {
        let said = |failed: &[(&str, u64)], unrecovered: &[(&str, u64)]| {
            let told = summary(failed, unrecovered);
            told.failures(&told.connections[0])
        };
        let (twice, once) = (&[("store", 2)], &[("store", 1)]);
        assert_eq!(said(&[], &[]), "0");
        assert_eq!(said(twice, &[]), "2 store");
        assert_eq!(said(twice, twice), "2 store (not recovered)");
        assert_eq!(said(twice, once), "2 store (not recovered: 1 store)");
        assert_eq!(
            said(&[], once),
            "1 store (not recovered, in another process)"
        );
    }

    #[test]
    fn a_sign_in_is_no_refresh() {
        assert_eq!(tallied((1, 4), (1, 7)), (3, 0));
        assert_eq!(tallied((1, 4), (2, 7)), (2, 1));
        assert_eq!(tallied((2, 7), (1, 1)), (0, 0), "another store");
    }

    #[test]
    fn cron_hears_nothing_of_a_run_that_went_well() {
        assert!(!summary(&[], &[]).is_of_note());
        assert!(summary(&[("store", 1)], &[]).is_of_note());
        assert!(summary(&[], &[("store", 1)]).is_of_note());
        let mut told = summary(&[], &[]);
        told.end = RunEnd {
            command_code: Some(3),
            code: 3,
            unrecovered: vec![],
        };
        assert!(!told.is_of_note(), "a command's own failure is its own");
        told.end.code = 75;
        assert!(told.is_of_note());
        let mut told = summary(&[], &[]);
        told.connections[0].waited_before = Duration::from_secs(1);
        assert!(told.is_of_note());
    }

    #[test]
    fn a_program_gets_the_same_as_json() {
        let told = summary(&[("store", 2)], &[("store", 1)]).json();
        assert_eq!(told["event"], "run_ended");
        assert_eq!(
            (&told["command_code"], &told["exit_code"]),
            (&json!(0), &json!(0))
        );
        let one = &told["connections"][0];
        assert_eq!(one["connection"], "notion");
        assert_eq!(one["waited_seconds"], 14.2);
        assert_eq!(one["failed"], json!({"store": 2}));
        assert_eq!(one["unrecovered"], json!({"store": 1}));
    }
}
