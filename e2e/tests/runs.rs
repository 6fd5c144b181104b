//! What a run does before its command and after it: it waits for what is missing at the start, sums up what it did, and keeps
//! a token file for programs that want one. The scripts of the documentation are run as they stand.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::browser::visit;
use e2e::home::{Home, Invocation, Output};
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{
    SOON, assert_no_leaks, assert_none_of, call_script, connect_api, connect_mcp, notifications,
    records_of, until_expired,
};
use e2e::servers::Server;
use e2e::wait::{Stopwatch, pause, wait_until};
use e2e::{http, repository};
use rustix::process::Signal;
use serde_json::{Value, json};

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

/// Tokens end while a test looks on.
const TTL: Duration = Duration::from_secs(5);

/// Longer than an immediate end takes on a busy machine, shorter than any wait here.
const AT_ONCE: Duration = Duration::from_secs(10);

fn sandbox(home: &Home) -> Sandbox {
    home.write_config(HOOK);
    let sandbox = Sandbox::with_ttl(Profile::TwoGeneration, Duration::ZERO, TTL);
    connected(home, &sandbox, "api");
    sandbox
}

fn connected(home: &Home, sandbox: &Sandbox, name: &str) {
    let url = format!("{}/api", sandbox.url());
    let connect = ["connect", name, &url, "--issuer", sandbox.url()];
    let connect = [&connect[..], &["--client-id", "public"]].concat();
    let _ = home.run(&connect).expect_code(0);
}

/// A run of this script with these flags; it leaves a file as its first step.
fn run<'a>(home: &'a Home, flags: &[&str], script: &str) -> Invocation<'a> {
    let script = format!("touch started; {script}");
    let command = ["--", "sh", "-c", script.as_str()];
    home.authkeeper(&[&["run"], flags, &command].concat())
        .env("BROWSER", "false")
}

fn is_started(home: &Home) -> bool {
    home.path().join("started").exists()
}

/// What the hook was told of incidents, without the all-clears.
fn told(home: &Home) -> Vec<Value> {
    let mut all = notifications(home);
    all.retain(|message| message["status"] != "resolved");
    all
}

/// The sign-in link that the hook was told.
fn link(home: &Home) -> String {
    let found = || {
        let mut told = told(home).into_iter();
        told.find_map(|message| message["link"].as_str().map(str::to_owned))
    };
    assert!(wait_until(SOON, || found().is_some()), "{:?}", told(home));
    found().unwrap()
}

/// The line that says what the start waits for.
fn waiting_line(stderr: &str) -> String {
    let mut lines = stderr.lines();
    let lines = lines.by_ref().filter(|line| line.contains("waiting up to"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "said once: {stderr}");
    lines[0].to_owned()
}

/// The summary that `--json` asks for.
fn summary(output: &Output) -> Value {
    let mut records = output.records();
    records.retain(|record| record["event"] == "run_ended");
    assert_eq!(records.len(), 1, "{}", output.stderr);
    records.remove(0)
}

#[test]
fn the_start_waits_out_an_outage() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    sandbox.fault("status=503,at=token");
    until_expired(&home, "api");
    let waiting = run(
        &home,
        &["--with", "api", "--wait", "5m"],
        &call_script("api/me"),
    );
    let waiting = waiting.spawn();
    let said = || waiting.stderr();
    assert!(wait_until(SOON, || said().contains("waiting up to")));
    let line = waiting_line(&said());
    for part in [
        "api",
        "not started yet",
        "5 min",
        "UTC, for its provider",
        "answered a refresh with an error of its own",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    pause(Duration::from_secs(2));
    assert!(!is_started(&home), "{}", said());
    sandbox.say("clear");
    let output = waiting.finish(SOON).expect_code(0);
    assert_eq!(output.stdout, "200", "{}", output.stderr);
    waiting_line(&output.stderr);
    assert!(
        output.stderr.contains("before the start"),
        "{}",
        output.stderr
    );
    assert!(told(&home).is_empty(), "nobody is woken for seconds");
    assert_none_of(&home, &sandbox.secrets());
}

#[test]
fn a_start_that_waits_in_vain_says_how_long_and_starts_nothing() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    sandbox.fault("status=503,at=token");
    until_expired(&home, "api");
    let began = Stopwatch::start();
    let output = run(&home, &["--with", "api", "--wait", "3s"], "true").run();
    assert!(began.elapsed() >= Duration::from_secs(3));
    let words = ["after 3 s of waiting the command was not started"];
    output.expect_failure(69, &words);
    // Without the flag nothing is waited for.
    let began = Stopwatch::start();
    let output = run(&home, &["--with", "api"], "true").run();
    assert!(!output.stderr.contains("waiting"), "{}", output.stderr);
    output.expect_failure(69, &["the command was not started"]);
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!is_started(&home));
}

/// A provider that names a time beyond a call's usual patience: `--wait` has calls wait longer too.
#[test]
fn calls_of_the_run_wait_as_long_as_its_start() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    let go = "touch s.$$; until [ -e go ]; do sleep 0.05; done";
    let script = format!("{go}; {}", call_script("api/me"));
    let runs = ["5m", "0s"].map(|wait| {
        let flags = ["--json", "--with", "api", "--wait", wait];
        run(&home, &flags, &script).spawn()
    });
    let started = || {
        let names = fs::read_dir(home.path()).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("s.")).count()
    };
    assert!(wait_until(SOON, || started() == 2));
    sandbox.fault("status=503,retry_after=30s,at=token,times=1");
    until_expired(&home, "api");
    fs::write(home.path().join("go"), "").unwrap();
    let [patient, usual] = runs;
    let usual = usual.finish(SOON).expect_code(69);
    assert_eq!(usual.stdout, "503", "known to last");
    let failed = &summary(&usual)["connections"][0]["failed"];
    assert_eq!(*failed, json!({"provider_unavailable": 1}));
    let patient = patient.finish(SOON * 3).expect_code(0);
    assert_eq!(patient.stdout, "200", "{}", patient.stderr);
    let counted = &summary(&patient)["connections"][0];
    let counts = ["calls", "waits", "failed", "unrecovered"].map(|name| &counted[name]);
    assert_eq!(json!(counts), json!([1, 1, {}, {}]), "{counted}");
    assert!(counted["waited_seconds"].as_f64() > Some(5.0), "{counted}");
}

#[test]
fn the_start_waits_for_a_person_who_gets_the_link() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    sandbox.control("grants/revoke", &json!({}));
    until_expired(&home, "api");
    let flags = ["--with", "api", "--hold", "5m", "--json"];
    let waiting = run(&home, &flags, &call_script("api/me")).spawn();
    let link = link(&home);
    let said = || waiting.stderr();
    assert!(wait_until(SOON, || said().contains("waiting up to")));
    let line = waiting_line(&said());
    for part in [link.as_str(), "authkeeper reauthorize api", "5 min"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!is_started(&home));
    visit(&link, "approve");
    let output = waiting.finish(SOON).expect_code(0);
    assert_eq!(output.stdout, "200", "{}", output.stderr);
    let counted = &summary(&output)["connections"][0];
    let waited = counted["waited_before_start_seconds"].as_f64();
    assert!(waited > Some(0.0), "{counted}");
    assert_eq!(counted["calls"], 1, "{counted}");
    assert_eq!(told(&home).len(), 1);
    assert_eq!(records_of(&output, "reauthorization_required").len(), 1);
    assert_none_of(&home, &sandbox.secrets());
}

#[test]
fn nobody_comes_and_the_run_ends_in_75() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    sandbox.control("grants/revoke", &json!({}));
    until_expired(&home, "api");
    let flags = ["--with", "api", "--hold", "2s", "--wait", "5m", "--json"];
    let output = run(&home, &flags, "true").run().expect_code(75);
    let told_at_end = summary(&output);
    let codes = ["command_code", "exit_code"].map(|name| &told_at_end[name]);
    assert_eq!(json!(codes), json!([null, 75]));
    assert_eq!(records_of(&output, "reauthorization_required").len(), 1);
    let words = [
        "after 2 s of waiting the command was not started",
        "authkeeper reauthorize api",
    ];
    output.expect_failure(75, &words);
    assert!(!is_started(&home));
    assert_eq!(told(&home).len(), 1);
}

/// One connection lacks its provider and another one its person: both are said, and each is waited for.
#[test]
fn several_connections_are_waited_for_together() {
    let home = Home::new();
    let (away, lost) = (sandbox(&home), {
        let sandbox = Sandbox::with_ttl(Profile::TwoGeneration, Duration::ZERO, TTL);
        connected(&home, &sandbox, "lost");
        sandbox
    });
    lost.control("grants/revoke", &json!({}));
    away.fault("status=503,at=token");
    until_expired(&home, "api");
    until_expired(&home, "lost");
    let flags = ["--with", "api,lost", "--wait", "5m", "--hold", "5m"];
    let waiting = run(&home, &flags, &call_script("lost/me")).spawn();
    let lines = || waiting.stderr().matches("waiting up to").count();
    assert!(wait_until(SOON, || lines() == 2), "{}", waiting.stderr());
    away.say("clear");
    pause(Duration::from_secs(1));
    assert!(!is_started(&home));
    visit(&link(&home), "approve");
    let output = waiting.finish(SOON).expect_code(0);
    assert_eq!(output.stdout, "200", "{}", output.stderr);
}

#[test]
fn a_signal_ends_the_wait_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let home = Home::new();
        let sandbox = sandbox(&home);
        sandbox.fault("status=503,at=token");
        until_expired(&home, "api");
        let flags = ["--with", "api", "--wait", "5m", "--hold", "5m"];
        let waiting = run(&home, &flags, "true").spawn();
        let said = || waiting.stderr().contains("waiting up to");
        assert!(wait_until(SOON, said));
        let began = Stopwatch::start();
        waiting.signal(signal);
        let _ = waiting.finish(SOON).expect_code(code);
        assert!(began.elapsed() < AT_ONCE);
        assert!(!is_started(&home));
    }
}

#[test]
fn what_waiting_does_not_heal_ends_at_once() {
    let home = Home::new();
    let _sandbox = sandbox(&home);
    let patient = ["--wait", "5m", "--hold", "5m"];
    let began = Stopwatch::start();
    for (flags, code) in [
        (&["--with", "nobody"][..], 66),
        (&["--with", "no name"], 64),
        (&["--with", "api,nobody"], 66),
        (&["--with", "api", "--token-file", "x/y/z"], 74),
        (&["--with", "api", "--token-file", ""], 64),
    ] {
        let output = run(&home, &[flags, &patient].concat(), "true").run();
        output.expect_failure(code, &[]);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(!is_started(&home));
}

#[test]
fn a_client_that_is_refused_is_not_waited_for() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "4")]);
    let clients = server.ctl("clients");
    let secret = clients["svc"]["client_secret"].as_str().unwrap();
    let secret = home.secret_file("secret", secret);
    let url = server.url("/api");
    let way = ["--grant", "client_credentials", "--client-id", "svc"];
    let secret = ["--client-secret-file", secret.to_str().unwrap()];
    let words = [&["connect", "api", &url][..], &way, &secret].concat();
    let _ = home.run(&words).expect_code(0);
    server.ctl("rotate-secret?id=svc");
    until_expired(&home, "api");
    let flags = ["--with", "api", "--wait", "5m", "--hold", "5m"];
    let refused = run(&home, &flags, "true").within(AT_ONCE).run();
    refused.expect_failure(78, &["invalid_client", "the command was not started"]);
    assert!(!is_started(&home));
}

/// The counts are those of the server.
#[test]
fn the_summary_tells_what_really_happened() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    let before = sandbox.counters();
    let call = call_script("api/me");
    let twice = format!("{call}; sleep 5; {call}; {call}");
    let output = run(&home, &["--json", "--with", "api"], &twice).run();
    let output = output.expect_code(0);
    assert_eq!(output.stdout, "200200200", "{}", output.stderr);
    let (after, told) = (sandbox.counters(), summary(&output));
    let counted = &told["connections"][0];
    assert_eq!(counted["calls"], after.api_ok - before.api_ok);
    let refreshes = after.refreshes_accepted - before.refreshes_accepted;
    assert!(refreshes >= 1);
    assert_eq!(counted["refreshes"], refreshes, "{told}");
    assert_eq!(
        json!([told["command_code"], told["exit_code"]]),
        json!([0, 0])
    );
    assert_eq!(counted["failed"], json!({}));
    assert!(told["seconds"].as_f64() > Some(5.0), "{told}");

    // On a terminal it is a table; elsewhere nobody hears of a run that went well.
    let quiet = run(&home, &["--with", "api"], &call).run().expect_code(0);
    assert_eq!(quiet.stderr, "");
    let binary = e2e::home::authkeeper_binary();
    let line = format!("'{}' run --with api -- true", binary.display());
    let shown = home.program("script", &["-qec", &line, "/dev/null"]).run();
    let shown = shown.expect_code(0).stdout;
    for part in ["the command returned 0", "CONNECTION", "REFRESHES"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn failures_and_their_reasons_are_in_the_summary() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    let go = "until [ -e go ]; do sleep 0.05; done";
    let call = call_script("api/me");
    let script = format!("{call}; touch called; {go}; {call}; exit 3");
    let running = run(&home, &["--with", "api"], &script).spawn();
    let called = home.path().join("called");
    assert!(wait_until(SOON, || called.exists()), "{}", running.stderr());
    sandbox.control("grants/revoke", &json!({}));
    fs::write(home.path().join("go"), "").unwrap();
    let output = running.finish(SOON).expect_code(75);
    assert_eq!(output.stdout, "200403");
    for part in [
        "the command returned 3",
        "exit code 75",
        "CONNECTION",
        "1 refresh_refused (not recovered)",
    ] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    assert_none_of(&home, &sandbox.secrets());
}

/// The script calls what `--with` does not name: it learns of a 403 alone, and its owner of the connection.
#[test]
fn a_call_over_an_undeclared_connection_is_in_the_summary() {
    let home = Home::new();
    let _sandbox = sandbox(&home);
    let script = call_script("other/x");
    let output = run(&home, &["--with", "api"], &script).run().expect_code(0);
    assert_eq!(output.stdout, "403");
    assert!(
        output.stderr.contains("1 connection_not_declared"),
        "{}",
        output.stderr
    );
    let output = run(&home, &["--json", "--with", "api"], &script).run();
    let told = summary(&output.expect_code(0));
    let other = &told["connections"][1];
    assert_eq!(other["connection"], "other", "{told}");
    assert_eq!(other["calls"], 1, "{told}");
}

/// The first block of a page that begins with this.
fn block(page: &str, begin: &str) -> String {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let (_, rest) = text.split_once("```sh\n#!").unwrap_or_default();
    let (block, _) = rest.split_once("\n```").unwrap_or_default();
    let block = format!("#!{block}\n");
    assert!(block.starts_with(begin), "{page}: {block}");
    block
}

/// `nightly.sh` as the page has it, in the home's `bin`.
fn nightly(home: &Home, page: &str) -> String {
    let bin = home.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = bin.join("nightly.sh");
    fs::write(&script, block(page, "#!/bin/sh\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

/// An API and an MCP server, connected under the names that the documentation uses.
fn documented(home: &Home) -> (Server, Server) {
    let api = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    let notion = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    connect_api(home, &api, "api");
    connect_mcp(home, &notion, "notion");
    (api, notion)
}

#[test]
fn the_documented_script_works_as_it_stands() {
    let home = Home::new();
    let (api, notion) = documented(&home);
    let script = nightly(&home, "docs/run.md");
    let flags = ["run", "--with", "api", "--with", "notion", "--json", "--"];
    let output = home.authkeeper(&[&flags[..], &[&script]].concat()).run();
    let output = output.expect_code(0);
    assert!(output.stdout.contains("alice"), "{}", output.stdout);
    assert!(
        output.stdout.contains("echo"),
        "the tools: {}",
        output.stdout
    );
    let told = summary(&output);
    let of = |name: &str| {
        let all = told["connections"].as_array().unwrap();
        let found = all.iter().find(|one| one["connection"] == name);
        found.unwrap().clone()
    };
    assert_eq!(of("api")["calls"], 2, "{told}");
    assert!(of("notion")["calls"].as_u64() >= Some(2), "{told}");
    assert!(api.presented("valid") >= 2 && notion.presented("valid") >= 1);
    assert_no_leaks(&home, &[&api, &notion]);
}

#[test]
fn the_script_on_the_front_page_works_as_it_stands() {
    let home = Home::new();
    let (api, _notion) = documented(&home);
    let script = nightly(&home, "README.md");
    let flags = ["run", "--with", "api", "--"];
    let output = home.authkeeper(&[&flags[..], &[&script]].concat()).run();
    let output = output.expect_code(0);
    assert_eq!(output.stderr, "");
    assert!(api.presented("valid") >= 1);
    assert_no_leaks(&home, &[&api]);
}

/// A program that only reads a file has a token that lives, whatever happens to it; at the end the file is gone.
#[test]
fn a_token_file_follows_each_refresh_and_goes_with_the_run() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    connected(&home, &sandbox, "other");
    // Where nobody looks for secrets, because one is there.
    let file = home.outside().join("token");
    let go = home.path().join("go");
    let flag = format!("api={}", file.display());
    let flags = ["--with", "api,other", "--token-file", &flag, "--wait", "1m"];
    let script = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let running = run(&home, &flags, &script).spawn();
    assert!(
        wait_until(SOON, || is_started(&home)),
        "{}",
        running.stderr()
    );
    let read = || fs::read_to_string(&file).unwrap();
    let called = |token: &str| {
        let headers = [("authorization", format!("Bearer {token}"))];
        let headers = [(headers[0].0, headers[0].1.as_str())];
        let answer = http::request(sandbox.port(), "GET", "/api/me", &headers, "");
        answer.unwrap().status
    };
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    let first = read();
    let mut seen = vec![first];
    let rotated = wait_until(SOON, || {
        let token = read();
        assert_eq!((called(&token), mode()), (200, 0o600));
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        seen.len() == 3
    });
    assert!(rotated, "never replaced");
    fs::write(&go, "").unwrap();
    let _ = running.finish(SOON).expect_code(0);
    assert!(!file.exists());
    assert_none_of(&home, &sandbox.secrets());
}

/// Nobody may use it any more: it stays in no file, although the command goes on.
#[test]
fn a_token_file_goes_when_authority_ends() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    let file = home.outside().join("token");
    let flags = ["--with", "api", "--token-file", file.to_str().unwrap()];
    let running = run(&home, &flags, "until [ -e go ]; do sleep 0.05; done").spawn();
    assert!(wait_until(SOON, || file.exists()), "{}", running.stderr());
    sandbox.control("grants/revoke", &json!({}));
    assert!(wait_until(SOON, || !file.exists()), "{}", running.stderr());
    fs::write(home.path().join("go"), "").unwrap();
    let _ = running.finish(SOON).expect_code(75);
}
