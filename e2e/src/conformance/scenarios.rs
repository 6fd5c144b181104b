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
    /// Whether the suite counts it when it says that a client conforms to this revision.
    pub scored: bool,
    /// Whether the suite has to be told to run it on this wire: extensions belong to no revision.
    pub(super) forced: bool,
}

/// Before there was protected-resource metadata.
const MARCH: &str = "2025-03-26";
const BACK_COMPATIBILITY: [&str; 2] = [
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
];

/// Every case: what either revision requires, what the suite runs beside it, and the compatibility with 2025-03-26.
pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = REVISIONS.into_iter().flat_map(of_revision).collect();
    cases.extend(BACK_COMPATIBILITY.map(|scenario| Case {
        scenario: scenario.to_owned(),
        version: MARCH,
        scored: false,
        forced: false,
    }));
    cases
}

/// A client's part of the suite's own list for a revision.
fn of_revision(version: &'static str) -> Vec<Case> {
    let file = installed("npm/node_modules/@modelcontextprotocol/conformance/requirements")
        .join(format!("{version}.yaml"));
    let text = fs::read_to_string(file).expect("the suite has it");
    let scored = required(&text).into_iter().map(|scenario| Case {
        scenario,
        version,
        scored: true,
        forced: false,
    });
    let unscored = not_scored(&text)
        .into_iter()
        .map(|(scenario, reason)| Case {
            scenario,
            version,
            scored: false,
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

/// What is missing where a scenario is not green.
pub(super) fn missing(scenario: &str) -> &'static str {
    match scenario {
        "auth/scope-step-up" => "a 403 `insufficient_scope` is not answered with a wider sign-in",
        "auth/authorization-server-migration" => {
            "a sign-in stays with the authorization server the connection had"
        }
        "http-custom-headers" => "the bridge mirrors no parameters into `Mcp-Param-*`",
        "http-invalid-tool-headers" => "the bridge drops no tools with bad annotations",
        "auth/enterprise-managed-authorization" => "there is no `--grant id_jag`",
        "auth/wif-jwt-bearer" => "there is no `--grant jwt_bearer`",
        "auth/dpop" | "auth/dpop-nonce" => "there is no DPoP",
        _ => "unknown",
    }
}
