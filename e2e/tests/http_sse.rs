//! The HTTP+SSE transport of 2024-11-05: the Python SDK's own server of it, behind its OAuth, through the bridge.

use std::time::Duration;

use e2e::{home::Home, python, script, servers::Server};
use serde_json::{Value, json};

/// Lives for a few calls only.
const SETTINGS: [(&str, &str); 2] = [("TRANSPORT", "sse"), ("AT_TTL", "6")];
const SECONDS: &str = "15";
const PATIENCE: Duration = Duration::from_mins(3);

/// The Python SDK's client, which calls `echo` every half second, in this mode.
fn calls(home: &Home, mode: &str) -> Value {
    let client = script("mcp_calls.py");
    let client = client.to_string_lossy();
    let told = ["--seconds", SECONDS, "--every", "0.5", "--mode", mode];
    let bridge = ["--", "authkeeper", "mcp", "old"];
    let client = home.program(python(), &[&[client.as_ref()], &told[..], &bridge].concat());
    let client = client.env("BROWSER", "false").within(PATIENCE);
    client.run().expect_code(0).json()
}

#[test]
fn a_server_of_2024_works_through_the_bridge_for_longer_than_its_tokens() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &SETTINGS);
    let connect = home.run(&["connect", "old", server.resource()]);
    let _ = connect.expect_code(0);

    let checked = home.run(&["check", "old", "--json"]).expect_code(0).json();
    assert_eq!(checked["tools"], 3, "{checked}");

    for mode in ["legacy", "auto"] {
        let made = server.count("tool_calls", "echo");
        let said = calls(&home, mode);
        assert_eq!(said["failed"], json!([]), "{mode}: {said}");
        let (sent, answered) = (said["calls"].as_u64(), said["ok"].as_u64());
        assert!(answered > Some(10) && sent == answered, "{mode}: {said}");
        let made = server.count("tool_calls", "echo") - made;
        assert_eq!(Some(made), answered, "{mode}: no call is made twice");
    }
    assert!(server.count("received", "refresh_token") >= 4);
    // One stream for each bridge (the proof of `connect` and `check` are two of them), and none that is opened again.
    assert_eq!(server.count("requests", "GET /sse"), 4);
}
