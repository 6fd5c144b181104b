//! The scenario judge: pure functions from evidence to checks.

mod case;
mod check;
mod common;
pub(crate) mod evidence;
mod grants;
mod incidents;
mod references;
mod sessions;

use serde_json::json;

use self::{case::CheckResult, check::SIGNED_IN, evidence::Observed, references::OAUTH};
pub use self::{
    case::ClientEnd,
    check::{CheckStatus, ScenarioCheck, ScenarioVerdict, SpecReference},
};
pub(crate) use self::{
    case::JudgedRun,
    common::carried_on,
    grants::{one_refresh, remembered, rotation_followed, scope_kept},
    incidents::{blip_survived, lost_answer_survived, no_endless_refresh, stopped},
    sessions::{long_answer, session_ended, session_kept, stream_reopened},
};

/// The scenario's own checks, unless the client never signed in.
pub(crate) fn judged(
    own: fn(&JudgedRun<'_>) -> Vec<ScenarioCheck>,
    case: &JudgedRun<'_>,
) -> Vec<ScenarioCheck> {
    let sign_ins = case
        .evidence
        .count(|what| matches!(what, Observed::SignedIn { .. }));
    let requests = case.evidence.mcp().count();
    let seen = match requests {
        0 => "no request reached the MCP server".to_owned(),
        _ => format!("{requests} requests, and no sign-in that came to its end"),
    };
    let signed_in = case.check(
        SIGNED_IN,
        "The client signs in.",
        &[OAUTH],
        CheckResult::must(sign_ins > 0, seen, json!({"signIns": sign_ins})),
    );
    let mut checks = vec![signed_in];
    if sign_ins > 0 {
        checks.extend(own(case));
    }
    checks
}

#[cfg(test)]
mod tests;
