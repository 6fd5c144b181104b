//! A call that needs a scope which was not granted, and a server that moved to another authorization server: against the
//! official conformance suite's servers, `FastMCP`, and the sandbox where faults are wanted.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Running};
use e2e::sandbox;
use e2e::scenario::{SOON, assert_no_leaks, call_script, records_of, status};
use e2e::servers::Server;
use e2e::wait::wait_until;
use e2e::{node, repository};
use serde_json::{Value, json};

// ---- The conformance suite's servers ----------------------------------------------------------

/// The servers of one scenario of `@modelcontextprotocol/conformance`. Its verdict is conformance.rs's to read; here it is looked
/// at what a person sees of it.
struct Suite {
    child: Child,
    /// Nobody reads it; a pipe that is closed would end the servers.
    _stdout: BufReader<ChildStdout>,
    url: String,
}

impl Suite {
    fn start(scenario: &str, version: &str) -> Self {
        let suite = "npm/node_modules/@modelcontextprotocol/conformance/dist/index.js";
        let mut child = Command::new(node())
            .arg(repository().join(".servers").join(suite))
            .args(["client", "--scenario", scenario, "--spec-version", version])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let url = loop {
            let mut line = String::new();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "{scenario} ended");
            if let Some(url) = line.trim().strip_prefix("Server URL: ") {
                break url.to_owned();
            }
        };
        Self {
            child,
            _stdout: stdout,
            url,
        }
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- A client of the bridge -------------------------------------------------------------------

/// A 2026-07-28 client: every message stands alone.
struct Client<'a> {
    bridge: Running<'a>,
    asked: u64,
}

impl<'a> Client<'a> {
    fn start(home: &'a Home, name: &str) -> Self {
        let bridge = home.authkeeper(&["mcp", name]).env("BROWSER", "false");
        Self {
            bridge: bridge.spawn(),
            asked: 0,
        }
    }

    fn ask(&mut self, method: &str, mut params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "step_up", "version": "1"},
        });
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.bridge.feed(format!("{request}\n").as_bytes());
        let mut answer = None;
        let answered = wait_until(SOON, || {
            let said = self.bridge.stdout();
            let lines = said
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            answer = lines.into_iter().find(|line: &Value| line["id"] == id);
            answer.is_some()
        });
        assert!(answered, "{method}: {}", self.bridge.stderr());
        answer.unwrap()
    }

    fn call(&mut self, tool: &str) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": {}}))
    }

    fn list(&mut self) -> Value {
        self.ask("tools/list", json!({}))
    }
}

/// What an error of ours says, or the whole answer if it is none.
fn error(answer: &Value, field: &str) -> Value {
    let data = &answer["error"]["data"];
    assert!(data.is_object(), "no error of ours: {answer}");
    data[field].clone()
}

/// The first call is the test's own.
fn connect(home: &Home, name: &str, url: &str, more: &[&str]) {
    let arguments = [&["connect", name, url, "--no-check"], more].concat();
    let _ = home.run(&arguments).expect_code(0);
}

#[test]
fn a_scope_that_a_call_needs_is_asked_for_with_those_before_it() {
    let suite = Suite::start("auth/scope-step-up", "2026-07-28");
    let home = Home::new();
    connect(&home, "x", &suite.url, &[]);
    let mut client = Client::start(&home, "x");
    assert!(client.list()["result"]["tools"].is_array());
    let refused = client.call("test-tool");
    assert_eq!(error(&refused, "kind"), "authority", "{refused}");
    assert_eq!(error(&refused, "reason"), "insufficient_scope");
    assert_eq!(error(&refused, "scope"), "mcp:write");
    assert_eq!(error(&refused, "executed"), "no");
    assert!(client.list()["result"].is_object(), "other calls go on");

    said_everywhere(&home);
    // A restart remembers it.
    drop(client);
    let mut client = Client::start(&home, "x");
    assert_eq!(status(&home, "x")["wanted_scope"], "mcp:write");
    let _ = home.run(&["reauthorize", "x"]).expect_code(0);
    assert_eq!(status(&home, "x")["wanted_scope"], Value::Null);
    let done = client.call("test-tool");
    assert!(done["result"].is_object(), "{done}");
}

fn said_everywhere(home: &Home) {
    let standing = status(home, "x");
    assert_eq!(standing["state"], "active");
    assert_eq!(standing["action"], "authkeeper reauthorize x");
    assert_eq!(standing["incidents"][0]["event"], "scope_required");
    let needs = "tools/call test-tool needs the scope mcp:write";
    for command in [&["status"][..], &["why", "x"], &["doctor"]] {
        let said = home.run(command);
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(said.contains(needs), "{command:?}: {said}");
        assert!(
            said.contains("authkeeper reauthorize x"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn a_scope_that_never_comes_is_asked_for_three_times() {
    let suite = Suite::start("auth/scope-retry-limit", "2026-07-28");
    let home = Home::new();
    connect(&home, "x", &suite.url, &[]);
    let mut sign_ins = 1;
    let refused = loop {
        // A process of its own each time: nothing is remembered but by the store.
        let mut client = Client::start(&home, "x");
        let refused = client.list();
        if error(&refused, "kind") != "authority" {
            break refused;
        }
        let again = ["reauthorize", "x", "--no-check"];
        let _ = home.run(&again).expect_code(0);
        sign_ins += 1;
        assert!(sign_ins <= 3, "{refused}");
    };
    assert_eq!(sign_ins, 3, "{refused}");
    assert_eq!(error(&refused, "kind"), "permission");
    assert_eq!(error(&refused, "reason"), "scope_refused");
    assert_eq!(error(&refused, "scope"), "mcp:admin");
    assert_eq!(status(&home, "x")["wanted_scope"], Value::Null);
}

#[test]
fn a_server_that_moved_is_signed_in_to_again_as_another_client() {
    let suite = Suite::start("auth/authorization-server-migration", "2026-07-28");
    let home = Home::new();
    connect(&home, "x", &suite.url, &[]);
    let before = status(&home, "x");
    let mut client = Client::start(&home, "x");
    assert!(client.list()["result"].is_object());
    let refused = client.call("test-tool");
    assert_eq!(error(&refused, "kind"), "authority", "{refused}");
    assert_eq!(error(&refused, "reason"), "authorization_server_changed");
    assert_eq!(status(&home, "x")["state"], "reauthorization_required");
    let output = home.run(&["reauthorize", "x"]).expect_code(0);
    assert!(
        output.stderr.contains("authorization server is now"),
        "{}",
        output.stderr
    );
    let after = status(&home, "x");
    assert_ne!(after["issuer"], before["issuer"]);
    assert_eq!(
        (&after["lineage"], &after["state"]),
        (&json!(2), &json!("active"))
    );
    let done = client.call("test-tool");
    assert!(done["result"].is_object(), "{done}");
}

#[test]
fn a_client_that_a_person_gave_is_never_shown_to_another_issuer() {
    let suite = Suite::start("auth/authorization-server-migration", "2026-07-28");
    let home = Home::new();
    let given = ["--client-id", "as1-client-id-LEAKED-IF-SEEN-AT-AS2"];
    connect(&home, "x", &suite.url, &given);
    let mut client = Client::start(&home, "x");
    assert!(client.list()["result"].is_object());
    let refused = client.call("test-tool");
    let action = error(&refused, "action");
    assert!(
        action.as_str().unwrap().contains("register a client at"),
        "{action}"
    );
    assert_eq!(status(&home, "x")["action"], action);
    for command in [&["status"][..], &["why", "x"], &["doctor"]] {
        let said = home.run(command);
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(
            said.contains(action.as_str().unwrap()),
            "{command:?}: {said}"
        );
        assert!(!said.contains("reauthorize"), "{command:?}: {said}");
    }
    let words = [
        "as its authorization server now",
        "register a client at",
        "--client-id",
    ];
    home.run(&["reauthorize", "x"]).expect_failure(78, &words);
    // As it says; and the call works.
    connect(
        &home,
        "x",
        &suite.url,
        &["--client-id", "of-the-new-server"],
    );
    let done = client.call("test-tool");
    assert!(done["result"].is_object(), "{done}");
}

// ---- FastMCP ----------------------------------------------------------------------------------

#[test]
fn fastmcp_names_what_it_needs_and_gets_it() {
    let home = Home::new();
    let server = Server::fastmcp(
        &home.outside(),
        &[("AT_TTL", "60"), ("REQUIRED", "read,write")],
    );
    connect(&home, "fm", &server.url("/mcp"), &["--scope", "read"]);
    let run = |script: &str| {
        let job = ["run", "--with", "fm", "--", "sh", "-c", script];
        home.authkeeper(&job).env("BROWSER", "false").run()
    };
    let call = call_script("fm");
    let output = run(&call).expect_code(75);
    assert_eq!(
        output.stdout, "403",
        "the proxy's own answer: {}",
        output.stderr
    );
    let records = records_of(&output, "scope_required");
    assert_eq!(records.len(), 1, "{}", output.stderr);
    assert_eq!(records[0]["scope"], "read write");
    let _ = home.run(&["reauthorize", "fm"]).expect_code(0);
    // Not a JSON-RPC message, but nobody lacks authority for it any more.
    let output = run(&call).expect_code(0);
    assert_ne!(output.stdout, "403", "{}", output.stderr);
    assert_eq!(status(&home, "fm")["scope"], "read write");
    assert_no_leaks(&home, &[&server]);
}

// ---- The sandbox ------------------------------------------------------------------------------

/// A client that acts for itself asks for more by itself: nobody hears of it.
#[test]
fn a_client_of_its_own_gets_what_a_call_needs_within_the_call() {
    let home = Home::new();
    let sandbox = sandbox::Running::start(Profile::Strict, Duration::ZERO);
    sandbox.control("clients", &json!({"client_id": "job", "secret": "s3cret"}));
    let secret = home.secret_file("job.secret", "s3cret");
    let url = format!("{}/mcp", sandbox.url());
    let grant = [
        "--grant",
        "client_credentials",
        "--client-id",
        "job",
        "--scope",
        "read",
    ];
    let secret = ["--client-secret-file", secret.to_str().unwrap()];
    connect(&home, "job", &url, &[&grant[..], &secret[..]].concat());
    let mut client = Client::start(&home, "job");
    let done = client.call("admin_report");
    assert!(done["result"].is_object(), "{done}");
    assert_eq!(sandbox.counters().forbidden, 1);
    let standing = status(&home, "job");
    assert_eq!(standing["scope"], "read admin");
    assert_eq!(standing["incidents"], json!([]));
    let done = client.call("admin_report");
    assert!(done["result"].is_object(), "{done}");
    assert_eq!(sandbox.counters().forbidden, 1, "it stays");
}

/// A plain API through the proxy of a run: the record once, 75, and the call works after one sign-in.
#[test]
fn a_run_whose_call_lacks_a_scope_says_so_and_the_next_one_works() {
    let home = Home::new();
    let sandbox = sandbox::Running::start(Profile::Strict, Duration::ZERO);
    let url = format!("{}/api", sandbox.url());
    connect(
        &home,
        "api",
        &url,
        &[
            "--issuer",
            sandbox.url(),
            "--client-id",
            "public",
            "--scope",
            "read",
        ],
    );
    let call = |path: &str| {
        let script = call_script(path);
        let job = ["run", "--with", "api", "--", "sh", "-c", &script];
        home.authkeeper(&job).env("BROWSER", "false").run()
    };
    let output = call("api/admin").expect_code(75);
    assert_eq!(output.stdout, "403", "{}", output.stderr);
    let records = records_of(&output, "scope_required");
    assert_eq!(records.len(), 1, "{}", output.stderr);
    assert_eq!(records[0]["reason"], "insufficient_scope");
    assert!(
        records[0]["detail"]
            .as_str()
            .unwrap()
            .starts_with("GET /api/admin needs"),
        "{records:?}"
    );
    // A run that does not make that call is as its command is, though the incident is open.
    let output = call("api/me").expect_code(0);
    assert_eq!(output.stdout, "200", "{}", output.stderr);
    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    let output = call("api/admin").expect_code(0);
    assert_eq!(output.stdout, "200", "{}", output.stderr);
    assert_eq!(status(&home, "api")["incidents"], json!([]));
}
