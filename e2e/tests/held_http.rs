//! Calls over HTTP that wait for a person: real clients hear that they do, and nobody in between gives up. Who looks meanwhile
//! finds the link.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::browser::visit;
use e2e::daemon::Daemon;
use e2e::home::{Home, Running};
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{assert_none_of, status};
use e2e::wait::{pause, wait_until};
use e2e::{node, python, script};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_mins(1);
/// A client that hears nothing for so long gives up.
const PATIENCE: Duration = Duration::from_secs(8);

fn sandbox(home: &Home) -> Sandbox {
    let sandbox = Sandbox::start(Profile::Strict, Duration::ZERO);
    let url = format!("{}/mcp", sandbox.url().trim_end_matches('/'));
    let _ = home.run(&["connect", "box", &url]).expect_code(0);
    sandbox
}

fn client<'a>(home: &'a Home, python_sdk: bool, daemon: &Daemon<'_>) -> Running<'a> {
    let url = daemon.url("box");
    let patience = PATIENCE.as_secs().to_string();
    let (program, client) = if python_sdk {
        (python(), script("hold_client.py"))
    } else {
        (node(), script("hold_client.mjs"))
    };
    let mut words = vec![
        client.to_str().unwrap(),
        "--url",
        &url,
        "--handle",
        &daemon.handle,
    ];
    if python_sdk {
        words.extend(["--patience", &patience, "--mode", "legacy"]);
    }
    home.program(program, &words).spawn()
}

fn until(client: &Running<'_>, member: &str, number: usize) -> Value {
    let lines = || -> Vec<Value> {
        let said = client.stdout();
        let lines = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line.get(member).is_some())
            .collect()
    };
    let there = wait_until(SOON, || lines().len() > number);
    assert!(
        there,
        "no {member}: {}\n{}",
        client.stdout(),
        client.stderr()
    );
    lines().remove(number)
}

fn link(home: &Home) -> Value {
    status(home, "box")["link"].clone()
}

#[test]
fn a_real_client_hears_that_its_call_waits_and_does_not_give_up() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    let daemon = Daemon::start(&home, &["--hold", "5m"]);
    for python_sdk in [true, false] {
        let mut client = client(&home, python_sdk, &daemon);
        until(&client, "connected", 0);
        client.feed(b"call\n");
        assert_eq!(until(&client, "call", 0)["call"], "ok");
        sandbox.control("grants/revoke", &json!({}));
        client.feed(b"call\n");
        let heard = until(&client, "progress", 0)["message"].to_string();
        let link = link(&home);
        assert!(heard.contains(link.as_str().unwrap()), "{heard}");
        // Longer than the client would wait in silence.
        if python_sdk {
            pause(PATIENCE + PATIENCE / 2);
        }
        visit(link.as_str().unwrap(), "approve");
        let outcome = until(&client, "call", 1);
        assert_eq!(outcome["call"], "ok", "{outcome}");
        let _ = client.finish(SOON).expect_code(0);
    }
    assert_eq!(sandbox.counters().sign_ins, 3);
    daemon.process.signal(rustix::process::Signal::TERM);
    let _ = daemon.process.finish(SOON);
    assert_none_of(&home, &sandbox.secrets());
}

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
"#;

/// `status` and `why` show the sign-in link while a process serves it and a sign-in would resolve an incident.
#[test]
fn status_and_why_show_the_link_while_somebody_attends_to_it() {
    let home = Home::new();
    let sandbox = sandbox(&home);
    assert_eq!(link(&home), Value::Null);
    sandbox.control("grants/revoke", &json!({}));
    let mut bridge = home.authkeeper(&["mcp", "box", "--hold", "5m"]).spawn();
    bridge.feed(CALL);
    let there = wait_until(SOON, || link(&home).is_string());
    assert!(there, "{}", status(&home, "box"));
    let shown = link(&home);
    let shown = shown.as_str().unwrap();
    let told = home.run(&["status"]).expect_code(0).stdout;
    assert!(told.contains(&format!("or open {shown}")), "{told}");
    let why = home.run(&["why", "box"]).expect_code(0).stdout;
    assert!(
        why.contains(&format!("open {shown}, or: authkeeper")),
        "{why}"
    );
    let why = home.run(&["why", "box", "--json"]).expect_code(0).stdout;
    let why: Value = serde_json::from_str(&why).unwrap();
    assert_eq!(why["link"], shown);
    visit(shown, "approve");
    assert!(wait_until(SOON, || status(&home, "box")["state"] == "active"));
    assert_eq!(link(&home), Value::Null, "there is nothing to do");
    let _ = bridge.finish(SOON).expect_code(0);
}
