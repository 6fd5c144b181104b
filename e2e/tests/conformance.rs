//! Every client scenario of the official MCP conformance suite comes out as `docs/conformance.md` says.
//!
//! `UPDATE_DOCS=1` writes the page; `CONFORMANCE=auth/dpop` runs the scenarios with this in their names and prints all that was
//! said.
#![expect(clippy::print_stderr, reason = "a test tells a person what it saw")]

use std::{env, fs};

use e2e::conformance::{Outcome, all, page, run};
use e2e::repository;

/// As many as the machine that this was made on has cores.
const AT_ONCE: usize = 2;

#[test]
fn every_scenario_comes_out_as_the_page_says() {
    let wanted = env::var_os("CONFORMANCE").unwrap_or_default();
    let wanted = wanted.to_str().unwrap();
    let mut cases = all();
    cases.retain(|case| case.scenario.contains(wanted));
    let outcomes = run(&cases, AT_ONCE);
    if !wanted.is_empty() {
        return told(&outcomes);
    }
    let page = page(&outcomes);
    let file = repository().join("docs/conformance.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(file, page).unwrap();
    }
    let kept = fs::read_to_string(file).unwrap();
    if page != kept {
        told(&outcomes);
    }
    let new: Vec<_> = page.lines().filter(|line| !kept.contains(line)).collect();
    assert_eq!(
        kept,
        page,
        "docs/conformance.md does not say what came out:\n{}\nUPDATE_DOCS=1 cargo nextest run -p e2e --test conformance",
        new.join("\n")
    );
}

fn told(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let (scenario, version) = (&outcome.case.scenario, outcome.case.version);
        let list = outcome.case.list;
        let verdict = if outcome.green { "green" } else { "RED" };
        let said = outcome.said.trim_end().replace('\n', "\n    ");
        eprintln!("{verdict}: {scenario} {version} ({list:?})\n    {said}");
    }
}
