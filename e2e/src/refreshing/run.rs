//! One scenario with one client, in a home of its own.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use authkeeper_sandbox::{BuiltIn, Revision};
use serde_json::Value;

use crate::home::{Home, Output};
use crate::{node, python, repository, script};

/// A client is given a minute by the sandbox, and started three times at most.
const WITHIN: Duration = Duration::from_mins(4);

/// Who is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `authkeeper connect` and `authkeeper mcp`, with the driver of the conformance tests.
    Authkeeper,
    /// The SDK 1.x with its own OAuth.
    TypeScript1,
    /// The SDK 2.x with its own OAuth.
    TypeScript2,
    /// The SDK with its own OAuth.
    Python,
    /// One that does everything wrong.
    Bad,
}

impl Client {
    /// What the page calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authkeeper => "authkeeper",
            Self::TypeScript1 => "TypeScript SDK 1.32.2",
            Self::TypeScript2 => "TypeScript SDK 2.4.0",
            Self::Python => "Python SDK 2.3.0",
            Self::Bad => "bad client",
        }
    }

    fn command(self) -> Vec<String> {
        let driver = repository().join("e2e/conformance/driver.mjs");
        let words = |program: PathBuf, file: &Path, more: &[&str]| {
            let mut words = vec![text(&program), text(file)];
            words.extend(more.iter().map(|&word| word.to_owned()));
            words
        };
        match self {
            Self::Authkeeper => words(node(), &driver, &[]),
            Self::TypeScript1 => words(node(), &script("refresh_client.mjs"), &["1"]),
            Self::TypeScript2 => words(node(), &script("refresh_client.mjs"), &["2"]),
            Self::Python => words(python(), &script("refresh_client.py"), &[]),
            Self::Bad => words(python(), &script("bad_client.py"), &[]),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A scenario with a client, on the wire of a revision.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The scenario.
    pub scenario: BuiltIn,
    /// The revision.
    pub revision: Revision,
    /// The client.
    pub client: Client,
}

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// `passed`, `failed`, or `skipped`.
    pub verdict: &'static str,
    /// The checks that failed, and those that warn, by their ids.
    pub against: Vec<String>,
    /// All that was said, for a person who looks into it.
    pub said: String,
}

/// Whom the page shows.
const SHOWN: [(Client, Revision); 6] = [
    (Client::Authkeeper, Revision::Handshake),
    (Client::Authkeeper, Revision::Stateless),
    (Client::TypeScript1, Revision::Handshake),
    (Client::TypeScript2, Revision::Stateless),
    (Client::Python, Revision::Handshake),
    (Client::Python, Revision::Stateless),
];

/// Every scenario with everybody whom the page shows.
pub fn all() -> Vec<Case> {
    cases(&SHOWN)
}

/// Who fails where, and who does not: enough to see that a verdict can go either way.
const SAMPLE: [(Client, Revision, &str); 6] = [
    (Client::TypeScript1, Revision::Handshake, "early-401"),
    (
        Client::TypeScript1,
        Revision::Handshake,
        "parallel-calls-one-refresh",
    ),
    (
        Client::TypeScript2,
        Revision::Stateless,
        "two-processes-one-refresh",
    ),
    (Client::Python, Revision::Handshake, "early-401"),
    (
        Client::Python,
        Revision::Handshake,
        "parallel-calls-one-refresh",
    ),
    (Client::Python, Revision::Stateless, "refresh-after-restart"),
];

/// All of authkeeper's, and a sample of the others'.
pub fn ours_and_a_sample() -> Vec<Case> {
    let mut cases = all();
    cases.retain(|case| {
        let in_sample = |(client, revision, name): &(Client, Revision, &str)| {
            case.client == *client && case.revision == *revision && case.scenario.name() == *name
        };
        case.client == Client::Authkeeper || SAMPLE.iter().any(in_sample)
    });
    cases
}

/// The column of the page that a client has.
pub(super) fn columns() -> Vec<(Client, Revision)> {
    SHOWN.to_vec()
}

/// Every scenario with the client that does everything wrong.
pub fn bad() -> Vec<Case> {
    cases(&[
        (Client::Bad, Revision::Handshake),
        (Client::Bad, Revision::Stateless),
    ])
}

fn cases(clients: &[(Client, Revision)]) -> Vec<Case> {
    let with = |(client, revision): &(Client, Revision)| {
        let (client, revision) = (*client, *revision);
        let scenarios = BuiltIn::all().iter();
        let scenarios = scenarios.filter(move |scenario| scenario.is_of(revision));
        scenarios.map(move |scenario| Case {
            scenario: *scenario,
            revision,
            client,
        })
    };
    clients.iter().flat_map(with).collect()
}

/// Runs the cases, `at_once` of them together, and keeps their order.
pub fn run(cases: &[Case], at_once: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let outcome = run_one(*case);
                    let mut outcomes = outcomes.lock().expect("nobody panicked");
                    outcomes.push((index, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("nobody panicked");
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run_one(case: Case) -> Outcome {
    let home = Home::new();
    let command = case.client.command();
    let mut words = vec![
        "sandbox",
        "--json",
        "--scenario",
        case.scenario.name(),
        "--spec-version",
        case.revision.as_str(),
        "--",
    ];
    words.extend(command.iter().map(String::as_str));
    let output = home.authkeeper(&words).within(WITHIN).run();
    judged(case, &output)
}

fn judged(case: Case, output: &Output) -> Outcome {
    let checks: Vec<Value> = serde_json::from_str(&output.stdout).unwrap_or_default();
    let has = |status: &str| checks.iter().any(|check| check["status"] == status);
    let own = |check: &&Value| check["id"] != "signed-in" && check["status"] == "SUCCESS";
    let verdict = match output.code() {
        Some(65) if has("FAILURE") => "failed",
        Some(0) if checks.iter().any(|check| own(&check)) => "passed",
        Some(0) => "skipped",
        _ => "not run",
    };
    let against = checks.iter().filter(|check| {
        let status = check["status"].as_str();
        matches!(status, Some("FAILURE" | "WARNING"))
    });
    Outcome {
        case,
        verdict,
        against: against.map(named).collect(),
        said: format!("{}\n{}", output.stdout, output.stderr),
    }
}

fn named(check: &Value) -> String {
    let text = |field: &str| check[field].as_str().unwrap_or_default();
    format!("{} ({})", text("id"), text("errorMessage"))
}
