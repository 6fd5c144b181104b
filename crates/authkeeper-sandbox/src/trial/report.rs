//! How a client did in a built-in scenario.

use serde_json::{Value, json};

use crate::{
    revision::Revision,
    scenarios::{BuiltIn, Check, Status, Verdict},
};

/// A scenario that was played, with its checks.
#[derive(Debug)]
pub struct ScenarioReport {
    scenario: BuiltIn,
    revision: Revision,
    checks: Vec<Check>,
}

impl ScenarioReport {
    pub(super) fn new(scenario: BuiltIn, revision: Revision, checks: Vec<Check>) -> Self {
        Self {
            scenario,
            revision,
            checks,
        }
    }

    /// The report of a scenario that makes no sense in this revision and was not played.
    pub fn not_played(scenario: BuiltIn, revision: Revision) -> Self {
        Self::new(scenario, revision, Vec::new())
    }

    /// The scenario's name.
    pub fn name(&self) -> &'static str {
        self.scenario.name()
    }

    /// The revision of MCP that was served.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The checks, in order.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        let checks = self.checks.iter();
        checks.filter(|check| check.status == Status::Failure)
    }

    /// The verdict of the checks.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.checks)
    }

    /// The reason for the verdict, in a few words; empty if the scenario was passed.
    pub fn reason(&self) -> String {
        match self.verdict() {
            Verdict::Passed => String::new(),
            Verdict::Failed => {
                let failed: Vec<&str> = self.failed().map(|check| check.id).collect();
                failed.join(", ")
            }
            Verdict::Skipped if self.checks.is_empty() => format!("not of {}", self.revision),
            Verdict::Skipped => {
                let mut skipped = self.checks.iter();
                let first = skipped.find(|check| check.status == Status::Skipped);
                first
                    .and_then(|check| check.seen.clone())
                    .unwrap_or_default()
            }
        }
    }

    /// The report for a program.
    pub fn json(&self) -> Value {
        json!({
            "scenario": self.name(),
            "revision": self.revision.as_str(),
            "verdict": self.verdict().word().to_lowercase(),
            "checks": self.checks,
        })
    }
}
