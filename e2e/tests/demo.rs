//! The demo is the first thing that anyone runs: it holds what it claims, leaves nothing behind and no secret anywhere, and
//! says so when a job is not kept going.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::home::{Home, Invocation, Running};
use e2e::scenario::SOON;
use e2e::secrets::Secret;
use e2e::wait::{Stopwatch, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// The whole story, on a machine that does other things as well.
const WHOLE: Duration = Duration::from_secs(110);
/// What the README promises.
const PROMISED: Duration = Duration::from_secs(80);

/// The demo in a temporary folder of its own, which is searched like the home.
fn demo<'a>(home: &'a Home, arguments: &[&str]) -> Invocation<'a> {
    let temporary = temporary(home);
    fs::create_dir_all(&temporary).unwrap();
    home.authkeeper(&[&["demo", "--json"], arguments].concat())
        .env("TMPDIR", temporary)
}

fn temporary(home: &Home) -> PathBuf {
    home.path().join("temporary")
}

fn left(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(temporary(home)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_story_is_true_and_leaks_nothing() {
    let home = Home::new();
    let clock = Stopwatch::start();
    let mut run = demo(&home, &["--keep"]).spawn();
    let folder = until_it_works(&home, &mut run, 1);
    let first = token(&home, &folder);
    run.snapshot();
    let handles = vec![handle(&home)];
    let folder = until_it_works(&home, &mut run, 150);
    let second = token(&home, &folder);
    assert_ne!(first.value, second.value, "the job outlives its keys");
    let output = run.finish(WHOLE).expect_code(0);
    assert!(clock.elapsed() < PROMISED, "{:?}", clock.elapsed());

    assert_true(&output.json());
    assert!(!output.stderr.contains('\x1b'), "{}", output.stderr);
    for part in ["1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5"] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
    let tokens = [first, second];
    let findings = home.search(&tokens);
    assert!(findings.is_empty(), "leaked: {findings:#?}");
    home.assert_only_in_environments(&handles);
    planted(&home, &folder, &tokens[0]);
}

/// Waits until the demo's job has been answered this often, and gives the demo's folder.
fn until_it_works(home: &Home, run: &mut Running<'_>, answers: usize) -> PathBuf {
    let worked = |folder: &PathBuf| {
        let log = fs::read_to_string(folder.join("job.log")).unwrap_or_default();
        log.matches("\"done\"").count() >= answers
    };
    let mut found = None;
    let works = wait_until(SOON.max(Duration::from_secs(40)), || {
        found = left(home).into_iter().find(worked);
        found.is_some() || !run.is_running()
    });
    assert!(works && found.is_some(), "{}", run.stderr());
    found.unwrap()
}

/// The access token in use, as the user of the demo's world would ask for it.
fn token(home: &Home, folder: &Path) -> Secret {
    let its_home = folder.join("home");
    let output = home
        .authkeeper(&["token", "demo"])
        .env("HOME", &its_home)
        .env("XDG_CONFIG_HOME", its_home.join(".config"))
        .env("XDG_DATA_HOME", its_home.join(".local/share"))
        .run()
        .expect_code(0);
    Secret::new("access_token", output.stdout.trim())
}

/// The handle of the run, from its job's environment.
fn handle(home: &Home) -> Secret {
    let snapshots = fs::read_dir(home.path().join("snapshots")).unwrap();
    let environments = snapshots.map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let found = environments.into_iter().find_map(|environment| {
        let text = String::from_utf8_lossy(&environment).into_owned();
        let variable = text
            .split('\0')
            .find_map(|pair| pair.strip_prefix("AUTHKEEPER_TASK="));
        variable.map(str::to_owned)
    });
    Secret::new("task_handle", &found.unwrap())
}

/// The search can turn red.
fn planted(home: &Home, folder: &Path, secret: &Secret) {
    fs::write(folder.join("planted"), &secret.value).unwrap();
    assert!(!home.search(std::slice::from_ref(secret)).is_empty());
}

/// The claims, judged again by their facts.
fn assert_true(told: &Value) {
    assert_eq!(told["ok"], true, "{told:#}");
    assert_eq!(told["claims"].as_array().unwrap().len(), 9);
    assert!(
        told["claims"]
            .as_array()
            .unwrap()
            .iter()
            .all(|claim| claim["ok"] == true)
    );
    let number = |side: &str, name: &str| told["facts"][side][name].as_u64().unwrap();
    let (ours, provider) = (|name| number("ours", name), |name| number("provider", name));
    assert!(ours("calls_answered") > 200);
    assert_eq!(ours("calls_failed"), 0);
    let unseen = provider("served") - ours("calls_answered");
    assert_eq!(unseen, provider("work_sent_again"));
    assert!(unseen <= ours("calls_cut_off"));
    assert_eq!(ours("pieces"), provider("work_done"));
    assert!(provider("keys_outlived") >= 3);
    assert_eq!(ours("renewals"), provider("renewals"));
    assert_eq!(provider("most_sends_of_one"), 1);
    assert!(provider("refused_in_outage") > 0 && ours("calls_in_outage") > 0);
    assert_eq!(provider("sign_ins"), 1);
    assert_eq!(
        provider("served_after_end") + provider("asked_after_run"),
        0
    );
    assert_eq!(
        (ours("records"), ours("notices"), ours("exit_code")),
        (1, 1, 75)
    );
}

#[test]
fn a_job_that_holds_its_key_fails_and_that_is_said() {
    let home = Home::new();
    let output = demo(&home, &["--without-refresh"])
        .within(WHOLE)
        .run()
        .expect_code(75);
    let told = output.json();
    assert_eq!(told["ok"], true, "{told:#}");
    let facts = &told["facts"];
    assert!(facts["calls_answered"].as_u64().unwrap() > 0);
    assert!(facts["calls_failed"].as_u64().unwrap() > 0);
    assert_eq!(facts["calls_failed"], facts["dead_keys_shown"]);
    assert_eq!(facts["renewals"], 0);
    assert_eq!(left(&home), Vec::<PathBuf>::new());
}

#[test]
fn stopped_in_the_middle_it_leaves_nothing() {
    let home = Home::new();
    let mut run = demo(&home, &[]).spawn();
    let folder = until_it_works(&home, &mut run, 3);
    assert!(!processes_of(&folder).is_empty());
    run.signal(Signal::INT);
    let output = run.finish(SOON).expect_code(130);
    assert!(
        output.stderr.contains("Nothing is left running"),
        "{}",
        output.stderr
    );
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert_eq!(left(&home), Vec::<PathBuf>::new());
}

/// The processes that live in the demo's world.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let lives_there = |process: &PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&folder)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let living = entries.map(|entry| entry.path()).filter(lives_there);
    living
        .map(|process| process.display().to_string())
        .collect()
}
