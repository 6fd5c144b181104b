//! From what was seen to a verdict.

mod common;
mod grants;
mod references;
mod sessions;
mod troubles;

use serde_json::{Value, json};

use self::references::OAUTH;
pub(super) use self::{
    common::carried_on,
    grants::{one_refresh, remembered, rotation_followed, scope_kept},
    sessions::{long_answer, session_ended, session_kept, stream_reopened},
    troubles::{blip_survived, lost_answer_survived, no_endless_refresh, stopped},
};
use super::{
    Revision,
    check::{Check, SIGNED_IN, SpecReference, Status, in_capitals},
    evidence::{Evidence, What},
    plan::Errand,
};
use crate::clock::Stamp;

/// How a client's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// By itself, with this code; none if a signal ended it.
    Exited(Option<i32>),
    /// It had to be ended: it took too long.
    TimedOut,
}

/// What is judged.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) evidence: &'a Evidence,
    /// None where the client was started by hand.
    pub(super) ends: &'a [ClientEnd],
    pub(super) errand: Errand,
    pub(super) revision: Revision,
    /// The MCP server's URL.
    pub(super) resource: String,
    pub(super) now: Stamp,
}

/// What a check found: how it came out, in words, and as numbers.
#[derive(Debug)]
pub(super) struct Found {
    status: Status,
    seen: Option<String>,
    details: Value,
}

impl Found {
    /// `bad` if it does not hold.
    fn that(holds: bool, bad: Status, seen: impl Into<String>, details: Value) -> Self {
        Self {
            status: if holds { Status::Success } else { bad },
            seen: (!holds).then(|| seen.into()),
            details,
        }
    }

    fn must(holds: bool, seen: impl Into<String>, details: Value) -> Self {
        Self::that(holds, Status::Failure, seen, details)
    }

    fn should(holds: bool, seen: impl Into<String>, details: Value) -> Self {
        Self::that(holds, Status::Warning, seen, details)
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self {
            status: Status::Skipped,
            seen: Some(why.into()),
            details: Value::Null,
        }
    }
}

impl Case<'_> {
    fn check(
        &self,
        id: &'static str,
        description: &'static str,
        references: &[SpecReference],
        found: Found,
    ) -> Check {
        Check {
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
    fn clients(&self) -> usize {
        self.ends.len().max(1)
    }
}

/// The scenario's own checks, unless the client never signed in.
pub(super) fn judged(own: fn(&Case<'_>) -> Vec<Check>, case: &Case<'_>) -> Vec<Check> {
    let sign_ins = case
        .evidence
        .count(|what| matches!(what, What::SignedIn { .. }));
    let requests = case.evidence.mcp().count();
    let seen = match requests {
        0 => "no request reached the MCP server".to_owned(),
        _ => format!("{requests} requests, and no sign-in that came to its end"),
    };
    let signed_in = case.check(
        SIGNED_IN,
        "The client signs in.",
        &[OAUTH],
        Found::must(sign_ins > 0, seen, json!({"signIns": sign_ins})),
    );
    let mut checks = vec![signed_in];
    if sign_ins > 0 {
        checks.extend(own(case));
    }
    checks
}

/// A number of things: `1 call`, `2 calls`.
fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with('h') => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests;
