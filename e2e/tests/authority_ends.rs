//! Acceptance E: authority ends in the middle of a run. The run says so, once; the owner is told,
//! once; nothing hides it; one sign-in restores it.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::time::Duration;

use e2e::home::{Home, Invocation, Output, Running};
use e2e::scenario::{
    SOON, assert_no_leaks, assert_none_of, assert_told, connect_api, connect_mcp, notifications,
    python_job, records_of, refreshes, status, until_expired,
};
use e2e::secrets;
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};
use e2e::{python, script};
use rustix::process::Signal;
use serde_json::Value;

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

/// Calls through the proxy, says so, waits for `$HOME/go`, calls again; if that fails, waits for
/// `$HOME/end` and ends with the code in its argument.
const TWO_CALLS: &str = r#"
import os, sys, time, urllib.error, urllib.request
def call():
    request = urllib.request.Request(
        os.environ["AUTHKEEPER_URL"] + "/c/api/whoami",
        headers={"Authorization": "Bearer " + os.environ["AUTHKEEPER_TASK"]},
    )
    return urllib.request.urlopen(request, timeout=60).read().decode()
def until(name):
    deadline = time.monotonic() + 20
    while not os.path.exists(name):
        if time.monotonic() > deadline:
            sys.exit(9)
        time.sleep(0.02)
home = os.environ["HOME"]
print(call(), flush=True)
open(home + "/called", "w").close()
until(home + "/go")
try:
    print(call(), flush=True)
except urllib.error.HTTPError as error:
    print(error.code, error.headers["x-authkeeper-error"], flush=True)
    until(home + "/end")
    sys.exit(int(sys.argv[1]))
"#;

fn two_calls<'a>(home: &'a Home, code: &str) -> Invocation<'a> {
    python_job(home, TWO_CALLS, &[code])
}

/// Starts a run, lets its first call through, ends the grant, and lets it call again.
fn revoked_between_two_calls(home: &Home, server: &Server, code: &str) -> Output {
    let run = two_calls(home, code).spawn();
    until_there(home, "called", &run);
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    fs::write(home.path().join("go"), "").unwrap();
    let told = wait_until(SOON, || run.stderr().contains("reauthorization_required"));
    assert!(told, "nobody is told while the command goes on");
    // Looked for about once a second: what is told once is not told again.
    pause(Duration::from_millis(1_500));
    fs::write(home.path().join("end"), "").unwrap();
    run.finish(SOON)
}

fn until_there(home: &Home, file: &str, run: &Running<'_>) {
    let there = wait_until(SOON, || home.path().join(file).exists());
    assert!(there, "{}", run.stderr());
}

fn api() -> (Home, Server) {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    connect_api(&home, &server, "api");
    (home, server)
}

/// Exactly one record, the same for the reader of the log and for the owner's hook.
fn said_once(home: &Home, output: &Output, connection: &str) -> Value {
    let records = output.records();
    assert_eq!(records.len(), 1, "{}", output.stderr);
    let said = records_of(output, "reauthorization_required");
    assert_eq!(said.len(), 1, "{}", output.stderr);
    assert_eq!(said[0]["connection"], connection);
    assert_eq!(said[0]["reason"], "refresh_refused");
    assert_eq!(
        said[0]["action"],
        format!("authkeeper reauthorize {connection}")
    );
    assert!(said[0]["task"].is_string(), "which run: {}", said[0]);
    assert_told(&notifications(home), &said);
    assert_eq!(notifications(home)[0]["severity"], "critical");
    said[0].clone()
}

#[test]
fn a_revoked_grant_ends_the_run_in_75_and_a_sign_in_resolves_it() {
    let (home, server) = api();
    let output = revoked_between_two_calls(&home, &server, "4").expect_code(75);
    assert!(
        output.stdout.contains("alice"),
        "the first call went through"
    );
    assert!(
        output.stdout.contains("403 "),
        "the second did not: {}",
        output.stdout
    );
    said_once(&home, &output, "api");
    assert_eq!(refreshes(&server), 1, "asked once, refused for good");

    let now = status(&home, "api");
    assert_eq!(now["state"], "reauthorization_required");
    assert_eq!(now["reason"], "refresh_refused");
    assert_eq!(now["principal"], "local");
    assert_eq!(now["action"], "authkeeper reauthorize api");
    let table = home.run(&["status"]).expect_code(0).stdout;
    let who_must_do_what = "to do: sign in again: authkeeper reauthorize api";
    assert!(table.contains(who_must_do_what), "{table}");

    a_second_run_is_not_started(&home);
    assert_eq!(refreshes(&server), 1);

    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    let restored = two_calls(&home, "4").run().expect_code(0);
    assert_eq!(restored.records(), Vec::<Value>::new());
    assert_eq!(status(&home, "api")["state"], "active");
    let over = notifications(&home);
    assert_eq!((over.len(), &over[1]["status"]), (2, &"resolved".into()));
    assert_no_leaks(&home, &[&server]);
}

fn a_second_run_is_not_started(home: &Home) {
    let command = ["run", "--with", "api", "--", "touch", "started"];
    let output = home
        .authkeeper(&command)
        .env("BROWSER", "false")
        .run()
        .expect_code(75);
    assert!(
        !home.path().join("started").exists(),
        "the command was started"
    );
    assert_eq!(
        records_of(&output, "reauthorization_required").len(),
        1,
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("authkeeper reauthorize api"),
        "{}",
        output.stderr
    );
    assert_eq!(notifications(home).len(), 1, "the owner knows already");
}

#[test]
fn a_command_that_swallows_the_failure_can_not_hide_it() {
    let (home, server) = api();
    let output = revoked_between_two_calls(&home, &server, "0").expect_code(75);
    said_once(&home, &output, "api");
    assert!(
        output
            .stderr
            .contains("the command returned 0, but 1 call over api failed"),
        "{}",
        output.stderr
    );
    assert_no_leaks(&home, &[&server]);
}

/// No token serves and none can be asked for: nobody has to sign in, and the run has failed all the same. Its call had waited
/// for a while, since most outages are short.
#[test]
fn a_provider_that_is_gone_is_not_hidden_by_the_command() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    connect_api(&home, &server, "api");
    let run = two_calls(&home, "0").spawn();
    until_there(&home, "called", &run);
    let secrets = secrets::issued_by(&[&server]);
    drop(server);
    until_expired(&home, "api");
    fs::write(home.path().join("go"), "").unwrap();
    fs::write(home.path().join("end"), "").unwrap();
    let output = run.finish(SOON * 2).expect_code(69);
    assert!(
        output.stdout.contains("503 provider_unavailable"),
        "{}",
        output.stdout
    );
    assert!(
        output
            .stderr
            .contains("the command returned 0, but 1 call over api failed"),
        "{}",
        output.stderr
    );
    let told = notifications(&home);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (&told[0]["severity"], &told[0]["runs"]),
        (&"warning".into(), &1.into())
    );
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.contains("A run ended 69 because of it."), "{text}");
    the_second_run_is_told_and_the_third_is_not(&home);
    assert_none_of(&home, &secrets);
}

fn the_second_run_is_told_and_the_third_is_not(home: &Home) {
    let run = || home.run(&["run", "--with", "api", "--", "true"]);
    for messages in [2, 2] {
        let _ = run().expect_code(69);
        let told = notifications(home);
        assert_eq!(told.len(), messages, "{told:#?}");
        assert_eq!(
            (&told[1]["status"], &told[1]["runs"]),
            (&"changed".into(), &2.into())
        );
    }
}

/// The SDK passes six variables to the bridge and none of ours: it finds its run by its ancestors.
#[test]
fn a_bridge_in_a_scrubbed_environment_tells_its_run() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    connect_mcp(&home, &server, "fm");
    let (python, calls) = (python(), script("mcp_calls.py"));
    let swallow = "\"$0\" \"$1\" --seconds 8 --every 0.5 -- authkeeper mcp fm; exit 0";
    let command = ["run", "--with", "fm", "--", "sh", "-c", swallow];
    let files = [python.to_str().unwrap(), calls.to_str().unwrap()];
    let run = home
        .authkeeper(&[command.as_slice(), &files].concat())
        .env("BROWSER", "false")
        .spawn();
    assert!(
        wait_until(SOON, || server.count("tool_calls", "echo") > 0),
        "{}",
        run.stderr()
    );
    server.ctl("revoke");
    let output = run.finish(SOON).expect_code(75);
    let summary = output.json();
    assert_ne!(summary["failed"], serde_json::json!([]), "{summary}");
    said_once(&home, &output, "fm");
    assert!(
        output
            .stderr
            .contains("over fm failed for lack of authority"),
        "{}",
        output.stderr
    );
    assert_eq!(refreshes(&server), 1);
    assert_no_leaks(&home, &[&server]);
}

/// The process that claims a notification makes it, also if its client goes away and signals while the hook runs.
#[test]
fn a_bridge_outside_a_run_tells_the_owner_before_it_ends() {
    let home = Home::new();
    home.write_config("on_incident = \"touch $HOME/begun; sleep 3; cat >> $HOME/hook.log\"\n");
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    connect_api(&home, &server, "api");
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    let mut bridge = home
        .authkeeper(&["mcp", "api"])
        .env("BROWSER", "false")
        .spawn();
    until_there(&home, "begun", &bridge);
    bridge.close_stdin();
    bridge.signal(Signal::TERM);
    let output = bridge.finish(SOON);
    let said = records_of(&output, "reauthorization_required");
    assert_eq!(said.len(), 1, "{}", output.stderr);
    assert_told(&notifications(&home), &said);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn otherwise_the_run_is_as_the_command_is() {
    let (home, server) = api();
    let with = ["run", "--with", "api", "--"];
    let run = |command: &[&str]| home.authkeeper(&[with.as_slice(), command].concat());
    let output = run(&["sh", "-c", "echo out; exit 3"]).run().expect_code(3);
    assert_eq!(output.stdout, "out\n");
    let _ = run(&["true"]).run().expect_code(0);

    let patient =
        "trap 'echo asked to end; exit 7' TERM; touch ready; while :; do sleep 0.05; done";
    let running = run(&["sh", "-c", patient]).spawn();
    until_there(&home, "ready", &running);
    running.signal(Signal::TERM);
    let output = running.finish(SOON).expect_code(7);
    assert_eq!(output.stdout, "asked to end\n");
    assert_eq!(output.stderr, "");
    assert_eq!(notifications(&home), Vec::<Value>::new());
    assert_no_leaks(&home, &[&server]);
}
