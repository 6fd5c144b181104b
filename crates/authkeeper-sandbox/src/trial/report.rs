//! How a client did in a built-in scenario.

use serde_json::{Value, json};

use crate::{
    revision::Revision,
    scenarios::{BuiltIn, CheckStatus, ScenarioCheck, ScenarioVerdict},
};

/// A scenario that was played, with its checks.
#[derive(Debug)]
pub struct ScenarioReport {
    scenario: BuiltIn,
    revision: Revision,
    checks: Vec<ScenarioCheck>,
}

impl ScenarioReport {
    pub(super) fn new(scenario: BuiltIn, revision: Revision, checks: Vec<ScenarioCheck>) -> Self {
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
    pub fn checks(&self) -> &[ScenarioCheck] {
        &self.checks
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &ScenarioCheck> {
        let checks = self.checks.iter();
        checks.filter(|check| check.status == CheckStatus::Failure)
    }

    /// The verdict of the checks.
    pub fn verdict(&self) -> ScenarioVerdict {
        ScenarioVerdict::of(&self.checks)
    }

    /// The reason for the verdict, in a few words; empty if the scenario was passed.
    pub fn reason(&self) -> String {
        match self.verdict() {
            ScenarioVerdict::Passed => String::new(),
            ScenarioVerdict::Failed => {
                let failed: Vec<&str> = self.failed().map(|check| check.id).collect();
                failed.join(", ")
            }
            ScenarioVerdict::Skipped if self.checks.is_empty() => {
                format!("not of {}", self.revision)
            }
            ScenarioVerdict::Skipped => {
                let mut skipped = self.checks.iter();
                let first = skipped.find(|check| check.status == CheckStatus::Skipped);
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
