//! What is run: the frozen requirements of both revisions of the specification, and what else the suite has for clients.

use std::fs;

use crate::installed;

/// A revision of the MCP specification, as the suite names it.
pub(super) const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// One scenario on the wire of one revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The scenario.
    pub scenario: String,
    /// The revision.
    pub version: &'static str,
    /// Of which list it is.
    pub list: List,
    /// Whether the suite has to be told to run it on this wire: extensions belong to no revision.
    pub(super) forced: bool,
}

/// Why a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// The revision requires it of a client.
    Required,
    /// The suite has it and counts it nowhere.
    Beside,
    /// An agent of the other era is served: authkeeper speaks the server's.
    OtherEra,
}

/// Before there was protected-resource metadata.
const MARCH: &str = "2025-03-26";
const BACK_COMPATIBILITY: [&str; 2] = [
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
];

/// Those in which more happens than a sign-in and whose servers are of one era; others pretend to be of both.
const FOR_BOTH_ERAS: [&str; 6] = [
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sep-2322-client-request-state",
    "json-schema-2020-12-preservation",
    "auth/metadata-default",
    "auth/scope-step-up",
];

/// Every case: what either revision requires, what the suite runs beside it, the compatibility with 2025-03-26, and agents
/// of the other era.
pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = REVISIONS.into_iter().flat_map(of_revision).collect();
    let for_both = |case: &&Case| FOR_BOTH_ERAS.contains(&case.scenario.as_str());
    let again: Vec<Case> = cases.iter().filter(for_both).cloned().collect();
    cases.extend(BACK_COMPATIBILITY.map(|scenario| Case {
        scenario: scenario.to_owned(),
        version: MARCH,
        list: List::Beside,
        forced: false,
    }));
    cases.extend(again.into_iter().map(|case| Case {
        list: List::OtherEra,
        ..case
    }));
    cases
}

impl Case {
    /// The revision that the agent is of, where it is not the server's.
    pub(super) fn agent(&self) -> Option<&'static str> {
        let other = || REVISIONS.into_iter().find(|one| *one != self.version);
        (self.list == List::OtherEra).then(other).flatten()
    }
}

/// A client's part of the suite's own list for a revision.
fn of_revision(version: &'static str) -> Vec<Case> {
    let file = installed("npm/node_modules/@modelcontextprotocol/conformance/requirements")
        .join(format!("{version}.yaml"));
    let text = fs::read_to_string(file).expect("the suite has it");
    let scored = required(&text).into_iter().map(|scenario| Case {
        scenario,
        version,
        list: List::Required,
        forced: false,
    });
    let unscored = not_scored(&text)
        .into_iter()
        .map(|(scenario, reason)| Case {
            scenario,
            version,
            list: List::Beside,
            forced: reason == "extension",
        });
    scored.chain(unscored).collect()
}

/// The list under `client:`.
fn required(text: &str) -> Vec<String> {
    let section = text.split("\nclient:\n").nth(1).unwrap_or_default();
    let items = section.lines().map_while(|line| line.strip_prefix("  - "));
    items.map(str::to_owned).collect()
}

/// The entries under `not_scored:` that are a client's, each with its reason.
fn not_scored(text: &str) -> Vec<(String, String)> {
    let section = text.split("\nnot_scored:\n").nth(1).unwrap_or_default();
    let entries = section.split("  - scenario: ").skip(1);
    let of_clients = entries.filter(|entry| field(entry, "leg") == Some("client"));
    of_clients
        .filter_map(|entry| {
            let scenario = entry.lines().next()?;
            Some((scenario.to_owned(), field(entry, "reason")?.to_owned()))
        })
        .collect()
}

fn field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    let values = entry
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    values
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next()
}
