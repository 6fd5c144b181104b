//! Every built-in scenario of the sandbox, with authkeeper, with other people's clients, and with one that does everything
//! wrong: `docs/refresh-scenarios.md` says what comes out.
//!
//! By itself it tries authkeeper, and of the others a sample; `ALL_CLIENTS=1` tries everybody. `UPDATE_DOCS=1` does so too and
//! writes the page's table. `SCENARIO=revoked` runs those with this in their names and prints all that was said.
#![expect(clippy::print_stderr, reason = "a test tells a person what it saw")]

use std::time::Duration;
use std::{env, fs};

use authkeeper_sandbox::{BuiltIn, Revision};
use e2e::home::Home;
use e2e::refreshing::{Client, Outcome, all, bad, ours_and_a_sample, page, run};
use e2e::wait::wait_until;
use e2e::{python, repository, script};
use serde_json::Value;

/// They wait for most of their time.
const AT_ONCE: usize = 6;

#[test]
fn every_client_comes_out_as_the_page_says() {
    let wanted = env::var_os("SCENARIO").unwrap_or_default();
    let wanted = wanted.to_str().unwrap();
    let is_set = |name: &str| env::var_os(name).is_some();
    let everybody = is_set("UPDATE_DOCS") || is_set("ALL_CLIENTS") || !wanted.is_empty();
    let mut cases = if everybody {
        all()
    } else {
        ours_and_a_sample()
    };
    cases.retain(|case| case.scenario.name().contains(wanted));
    let outcomes = run(&cases, AT_ONCE);
    if !wanted.is_empty() {
        return told(&outcomes);
    }
    let file = repository().join("docs/refresh-scenarios.md");
    let kept = fs::read_to_string(&file).unwrap();
    let page = page(&kept, &outcomes);
    if is_set("UPDATE_DOCS") {
        fs::write(file, &page).unwrap();
    } else if page != kept {
        told(&outcomes);
        let new: Vec<_> = page.lines().filter(|line| !kept.contains(line)).collect();
        assert_eq!(kept, page, "what came out: {}", new.join("\n"));
    }
    assert_ours_is_whole(&outcomes);
}

/// All passed, and nothing was found even to warn of.
fn assert_ours_is_whole(outcomes: &[Outcome]) {
    let ours = |outcome: &&Outcome| outcome.case.client == Client::Authkeeper;
    for outcome in outcomes.iter().filter(ours) {
        let name = outcome.case.scenario.name();
        let found = (outcome.verdict, outcome.against.as_slice());
        assert_eq!(found, ("passed", [].as_slice()), "{name}: {}", outcome.said);
    }
    let fails = |client: Client| {
        let mut of_it = outcomes.iter().filter(|one| one.case.client == client);
        of_it.any(|outcome| outcome.verdict == "failed")
    };
    assert!(fails(Client::TypeScript1) && fails(Client::Python));
}

#[test]
fn a_client_that_does_everything_wrong_is_failed_by_every_scenario() {
    for outcome in run(&bad(), AT_ONCE) {
        let (name, revision) = (outcome.case.scenario.name(), outcome.case.revision);
        assert_eq!(
            outcome.verdict, "failed",
            "{name} {revision}: {}",
            outcome.said
        );
    }
}

fn told(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let case = &outcome.case;
        let (client, name) = (case.client.name(), case.scenario.name());
        let said = outcome.said.trim_end().replace('\n', "\n    ");
        eprintln!(
            "{client} {}: {name} {}\n    {said}",
            case.revision, outcome.verdict
        );
    }
}

/// As many as a program that reads `checks.json` looks for.
const FIELDS: [&str; 6] = [
    "id",
    "name",
    "description",
    "status",
    "timestamp",
    "specReferences",
];

#[test]
fn a_client_that_was_started_by_hand_is_judged_when_it_is_done() {
    let home = Home::new();
    let words = ["sandbox", "--json", "--scenario", "early-401"];
    let sandbox = home.authkeeper(&words).spawn();
    let announced = || sandbox.stdout().contains('\n');
    assert!(wait_until(Duration::from_secs(20), announced));
    let begin: Value = serde_json::from_str(&sandbox.stdout()).unwrap();
    let one = BuiltIn::named("early-401").unwrap();
    let client = script("bad_client.py");
    let client = [client.to_str().unwrap(), begin["mcp"].as_str().unwrap()];
    let client = home
        .program(python(), &client)
        .env(
            "MCP_CONFORMANCE_PROTOCOL_VERSION",
            Revision::Handshake.as_str(),
        )
        .env("MCP_CONFORMANCE_CONTEXT", one.context().to_string());
    let _ = client.run().expect_code(0);
    let ended = sandbox.finish(Duration::from_secs(30)).expect_code(65);
    let checks: Vec<Value> = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    let ids = |status: &str| -> Vec<&str> {
        let such = checks.iter().filter(|check| check["status"] == status);
        such.map(|check| check["id"].as_str().unwrap()).collect()
    };
    assert!(ids("FAILURE").contains(&"no-second-sign-in"), "{checks:#?}");
    assert!(ids("SUCCESS").contains(&"signed-in"));
    for check in &checks {
        assert!(
            FIELDS.iter().all(|field| !check[field].is_null()),
            "{check}"
        );
    }
}

#[test]
fn what_is_no_scenario_is_said_with_the_nearest_name() {
    let home = Home::new();
    let slip = home.run(&["sandbox", "--scenario", "parallel-call-one-refresh"]);
    let said = slip.expect_code(64).stderr;
    assert!(
        said.contains("did you mean parallel-calls-one-refresh?"),
        "{said}"
    );
    let several = home.run(&["sandbox", "--scenario", "refresh-after-restart"]);
    assert!(several.expect_code(64).stderr.contains("several times"));
    let nobody = home.run(&["sandbox", "--scenario", "revoked", "--", "/nowhere/client"]);
    assert!(
        nobody
            .expect_code(64)
            .stderr
            .contains("can't start the client")
    );
    let other = [
        "sandbox",
        "--scenario",
        "401-on-delete",
        "--spec-version",
        "2026-07-28",
    ];
    let left_out = home.run(&[&other[..], &["--", "true"]].concat());
    assert!(left_out.expect_code(0).stdout.contains("skipped"));
    let list = home
        .run(&["sandbox", "--list-scenarios", "--json"])
        .expect_code(0);
    assert_eq!(list.json().as_array().unwrap().len(), BuiltIn::all().len());
}

/// A client that hangs is ended with all it started; one that does nothing has not signed in.
#[test]
fn a_client_that_hangs_or_does_nothing_has_not_passed() {
    let home = Home::new();
    let hangs = [
        "sandbox",
        "--scenario",
        "early-401",
        "--timeout",
        "1s",
        "--",
        "sh",
        "-c",
        "sleep 50 & wait",
    ];
    let said = home.run(&hangs).expect_code(65).stdout;
    assert!(said.contains("FAILED   signed-in"), "{said}");
    let all = home
        .run(&["sandbox", "--scenario", "all", "--", "true"])
        .expect_code(65);
    let rows = all
        .stdout
        .lines()
        .filter(|line| line.ends_with("FAILED  signed-in"));
    assert_eq!(rows.count(), BuiltIn::all().len(), "{}", all.stdout);
}

#[test]
fn a_scenario_of_a_file_is_judged_when_its_client_ends() {
    let home = Home::new();
    let file = home.secret_file(
        "one.toml",
        "[set]\nauto_approve = true\n[expect]\nsign_ins = 1\n",
    );
    let file = file.to_str().unwrap();
    let driver = script("bad_client.py");
    let client = ["--", python().to_str().unwrap(), driver.to_str().unwrap()].map(str::to_owned);
    let words = [
        &["sandbox", "--scenario", file][..],
        &client.each_ref().map(String::as_str),
    ]
    .concat();
    let met = home.run(&words).expect_code(0);
    assert!(
        met.stderr.contains("met: sign_ins expected 1, counted 1"),
        "{}",
        met.stderr
    );
}
