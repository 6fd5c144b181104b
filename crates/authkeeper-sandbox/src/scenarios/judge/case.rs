//! A run of a scenario as the judge sees it, and the result of one check.

use serde_json::Value;

use super::{
    check::{CheckStatus, ScenarioCheck, SpecReference, in_capitals},
    evidence::Evidence,
};
use crate::{clock::SandboxTime, revision::Revision};

/// How a client's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// By itself, with this exit code; `None` if a signal ended it.
    Exited(Option<i32>),
    /// It took too long and was killed.
    TimedOut,
}

/// A run that is judged.
#[derive(Debug)]
pub(crate) struct JudgedRun<'a> {
    pub(crate) evidence: &'a Evidence,
    /// How the client's processes ended; empty if the client was started by hand.
    pub(crate) ends: &'a [ClientEnd],
    /// How many calls of the test tool each client is asked for.
    pub(crate) calls: usize,
    pub(crate) revision: Revision,
    /// The MCP server's URL.
    pub(crate) resource: String,
    pub(crate) now: SandboxTime,
}

/// The result of a check, in words and as numbers.
#[derive(Debug)]
pub(super) struct CheckResult {
    status: CheckStatus,
    seen: Option<String>,
    details: Value,
}

impl CheckResult {
    /// A success, or `bad` if the check does not hold.
    fn that(holds: bool, bad: CheckStatus, seen: impl Into<String>, details: Value) -> Self {
        Self {
            status: if holds { CheckStatus::Success } else { bad },
            seen: (!holds).then(|| seen.into()),
            details,
        }
    }

    pub(super) fn must(holds: bool, seen: impl Into<String>, details: Value) -> Self {
        Self::that(holds, CheckStatus::Failure, seen, details)
    }

    pub(super) fn should(holds: bool, seen: impl Into<String>, details: Value) -> Self {
        Self::that(holds, CheckStatus::Warning, seen, details)
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Skipped,
            seen: Some(why.into()),
            details: Value::Null,
        }
    }
}

impl JudgedRun<'_> {
    pub(super) fn check(
        &self,
        id: &'static str,
        description: &'static str,
        references: &[SpecReference],
        found: CheckResult,
    ) -> ScenarioCheck {
        ScenarioCheck {
            id,
            name: in_capitals(id),
            description,
            status: found.status,
            timestamp: self.now.rfc3339(),
            spec_references: references.to_vec(),
            details: found.details,
            seen: found.seen,
        }
    }

    /// How many clients were started; one, if by hand.
    pub(super) fn clients(&self) -> usize {
        self.ends.len().max(1)
    }
}

/// A number of things: `1 call`, `2 calls`.
pub(super) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with('h') => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}
