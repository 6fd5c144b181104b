//! One scenario in a home of its own: the suite's server, our driver, and the suite's verdict.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::scenarios::Case;
use crate::home::{Home, Output, Running};
use crate::wait::wait_until;
use crate::{installed, node, repository};

/// How long the driver may take, as the suite has it.
const DRIVER_MILLISECONDS: &str = "30000";
/// The suite ends soon after its driver, or once its own calls have ended.
const WITHIN: Duration = Duration::from_secs(100);
/// Measured in milliseconds, so that nothing runs beside them.
const TIMED: [&str; 1] = ["sse-retry"];

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// How many of the suite's checks passed; one that was made again and again counts once.
    pub passed: usize,
    /// Those that did not, by their ids.
    pub failed: BTreeSet<String>,
    /// What the suite said of the driver, if it was not content with it.
    pub driver: Option<String>,
    /// The suite's own exit code was 0.
    pub green: bool,
    /// All that was said, for a person who looks into it.
    pub said: String,
}

/// Runs the cases, `at_once` of them together, and keeps their order.
pub fn run(cases: &[Case], at_once: usize) -> Vec<Outcome> {
    let (timed, others): (Vec<_>, Vec<_>) = cases
        .iter()
        .partition(|case| TIMED.contains(&case.scenario.as_str()));
    let mut outcomes: Vec<Outcome> = timed.into_iter().map(run_one).collect();
    outcomes.extend(side_by_side(&others, at_once));
    let place = |outcome: &Outcome| cases.iter().position(|case| *case == outcome.case);
    outcomes.sort_by_key(place);
    outcomes
}

fn side_by_side(cases: &[&Case], at_once: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run_one(case);
                    outcomes.lock().expect("nobody panicked").push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("nobody panicked")
}

/// The suite's mode for many scenarios hears neither a driver's exit code nor its timeout; this one does.
fn run_one(case: &Case) -> Outcome {
    let home = Home::new();
    let results = home.outside().join("results");
    let suite = installed("npm/node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let driver = repository().join("e2e/conformance/driver.mjs");
    let command = [text(&node()), text(&driver)].into_iter();
    let command: Vec<String> = command.chain(case.agent().map(str::to_owned)).collect();
    let mut arguments = vec![
        text(&suite),
        "client".to_owned(),
        "--command".to_owned(),
        command.join(" "),
        "--scenario".to_owned(),
        case.scenario.clone(),
        "--spec-version".to_owned(),
        case.version.to_owned(),
        "--timeout".to_owned(),
        DRIVER_MILLISECONDS.to_owned(),
        "--output-dir".to_owned(),
        text(&results),
    ];
    arguments.extend(case.forced.then(|| "--force".to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut suite = home.program(node(), &arguments).spawn();
    suite.close_stdin();
    if !wait_until(WITHIN, || !suite.is_running()) {
        return endless(case, &suite);
    }
    judged(case, &suite.finish(Duration::ZERO), checks(&results))
}

/// Red, and no reason to leave the others undone.
fn endless(case: &Case, suite: &Running<'_>) -> Outcome {
    Outcome {
        case: case.clone(),
        passed: 0,
        failed: BTreeSet::new(),
        driver: Some("the suite was not done in time".to_owned()),
        green: false,
        said: format!("{}\n{}", suite.stdout(), suite.stderr()),
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A scenario that was skipped has no checks, and its exit code is 0 all the same.
fn judged(case: &Case, output: &Output, checks: Option<Vec<Value>>) -> Outcome {
    let ran = checks.is_some();
    let checks = checks.unwrap_or_default();
    let with = |status: &'static str| checks.iter().filter(move |check| check["status"] == status);
    let passed: BTreeSet<_> = with("SUCCESS").map(id_and_name).collect();
    let failed = with("FAILURE").chain(with("WARNING")).map(|check| {
        let id = check["id"].as_str().unwrap_or_default();
        id.to_owned()
    });
    Outcome {
        case: case.clone(),
        passed: passed.len(),
        failed: failed.collect(),
        driver: if ran {
            driver(&output.stderr)
        } else {
            Some("it was not run".to_owned())
        },
        green: ran && output.code() == Some(0),
        said: format!("{}\n{}", output.stdout, output.stderr),
    }
}

fn id_and_name(check: &Value) -> (String, String) {
    (check["id"].to_string(), check["name"].to_string())
}

fn driver(stderr: &str) -> Option<String> {
    let mut told = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("⚠️  CLIENT "));
    let told = told.next_back()?;
    Some(if told.starts_with("TIMED OUT") {
        "the driver was not done in time".to_owned()
    } else {
        "the driver failed".to_owned()
    })
}

/// `checks.json` lies in a folder named after the scenario (which may hold a slash) and the moment.
fn checks(results: &Path) -> Option<Vec<Value>> {
    let file = find(results, "checks.json")?;
    let text = fs::read_to_string(file).expect("the suite has written it");
    Some(serde_json::from_str(&text).expect("a list"))
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    let found = paths.filter_map(|path| {
        if path.is_dir() {
            find(&path, name)
        } else {
            path.ends_with(name).then_some(path)
        }
    });
    found.into_iter().next()
}
