//! Authority is lost in the middle of calls that are held: one person signs in once by the one link that was told, and every
//! call goes on. Without a hold the caller gets a typed error that says plainly what did not happen.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::browser::visit;
use e2e::daemon::Daemon;
use e2e::home::{Home, Running};
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{
    assert_no_leaks, assert_none_of, connect_mcp, notifications, refreshes, status,
};
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};
use e2e::{http, node, python, script};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The SDKs take many seconds to start where others are at work too.
const SOON: Duration = Duration::from_mins(1);

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

/// What the hook was told of incidents; their all-clears are counted apart.
fn told(home: &Home) -> Vec<Value> {
    let mut all = notifications(home);
    all.retain(|message| message["status"] != "resolved");
    all
}

/// Waits for so many all-clears. There is never another one.
fn until_over(home: &Home, number: usize) {
    let over = || {
        let mut all = notifications(home);
        all.retain(|message| message["status"] == "resolved");
        all.len()
    };
    assert!(wait_until(SOON, || over() >= number), "{number} all-clears");
    assert_eq!(over(), number);
}

/// Waits for the notification, and gives the link in it.
fn link(home: &Home) -> String {
    assert!(
        wait_until(SOON, || !told(home).is_empty()),
        "nobody is told"
    );
    let record = told(home).remove(0);
    let link = record["link"].as_str();
    assert!(link.is_some(), "no link: {record}");
    link.unwrap().to_owned()
}

/// A client of a real SDK over a bridge, told line by line what to do.
struct Caller<'a> {
    client: Running<'a>,
}

#[derive(Clone, Copy)]
enum Sdk {
    /// Newest first, or the handshake era.
    Python(&'static str),
    TypeScript,
}

impl<'a> Caller<'a> {
    fn start(home: &'a Home, sdk: Sdk, bridge: &[&str]) -> Self {
        let binary = e2e::home::authkeeper_binary();
        let command = [&["--", binary.to_str().unwrap(), "mcp"], bridge].concat();
        let (program, before) = match sdk {
            Sdk::Python(mode) => (python(), vec!["hold_client.py", "--mode", mode]),
            Sdk::TypeScript => (node(), vec!["hold_client.mjs"]),
        };
        let client = script(before[0]);
        let tool: &[&str] = match bridge[0] {
            "box" => &["--tool", "whoami", "--arguments", "{}"],
            _ => &["--tool", "echo"],
        };
        let client = [client.to_str().unwrap()];
        let arguments = [&client, &before[1..], tool, &command].concat();
        let client = home.program(program, &arguments).spawn();
        let caller = Self { client };
        caller.until("connected");
        caller
    }

    fn lines(&self) -> Vec<Value> {
        let said = self.client.stdout();
        let whole = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        whole.collect()
    }

    fn with(&self, member: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line.get(member).is_some());
        lines
    }

    fn until(&self, member: &str) -> Value {
        let there = wait_until(SOON, || !self.with(member).is_empty());
        assert!(there, "no {member}: {}", self.client.stderr());
        self.with(member).remove(0)
    }

    fn say(&mut self, word: &str) {
        self.client.feed(format!("{word}\n").as_bytes());
    }

    /// The outcome of the call with this number.
    fn outcome(&self, number: usize) -> Value {
        let there = wait_until(SOON, || self.with("call").len() > number);
        assert!(
            there,
            "no answer: {}\n{}",
            self.client.stdout(),
            self.client.stderr()
        );
        self.with("call").remove(number)
    }

    fn end(self) {
        let _ = self.client.finish(SOON).expect_code(0);
    }
}

/// A sandbox that asks nobody, a connection to its MCP server, and a hook.
fn sandbox(home: &Home, config: &str) -> Sandbox {
    home.write_config(config);
    let sandbox = Sandbox::start(Profile::Strict, Duration::ZERO);
    let url = format!("{}/mcp", sandbox.url().trim_end_matches('/'));
    let _ = home.run(&["connect", "box", &url]).expect_code(0);
    sandbox
}

const INITIALIZE: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
"#;

const HELD: [&str; 3] = ["box", "--hold", "5m"];

#[test]
fn a_call_goes_on_after_one_click_and_its_caller_never_notices() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    for (number, sdk) in [Sdk::Python("legacy"), Sdk::TypeScript]
        .into_iter()
        .enumerate()
    {
        let mut caller = Caller::start(&home, sdk, &HELD);
        caller.say("call");
        assert_eq!(caller.outcome(0)["call"], "ok");
        sandbox.control("grants/revoke", &json!({}));
        caller.say("call");
        let heard = caller.until("progress")["message"].to_string();
        assert!(wait_until(SOON, || told(&home).len() > number));
        let record = told(&home).remove(number);
        let link = record["link"].as_str().unwrap();
        for part in [link, "authkeeper reauthorize box", "at most 5 min"] {
            assert!(heard.contains(part), "{heard}");
        }
        visit(link, "approve");
        let outcome = caller.outcome(1);
        assert_eq!(outcome["call"], "ok", "{outcome}");
        assert_eq!(
            sandbox.counters().sign_ins,
            u64::try_from(number).unwrap() + 2
        );
        caller.end();
    }
    assert_eq!(told(&home).len(), 2, "one for each incident");
    until_over(&home, 2);
    assert_eq!(status(&home, "box")["state"], "active");
    assert_none_of(&home, &sandbox.secrets());
}

/// Five bridges of one connection: one refresh that is refused, one notification, one link, one click, one exchange, and
/// nobody's call fails.
#[test]
fn a_storm_of_bridges_asks_one_person_once() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    connect_mcp(&home, &server, "fm");
    let sdks = [
        Sdk::Python("legacy"),
        Sdk::TypeScript,
        Sdk::Python("legacy"),
        Sdk::TypeScript,
        Sdk::Python("legacy"),
    ];
    let mut callers = sdks.map(|sdk| Caller::start(&home, sdk, &["fm", "--hold", "5m"]));
    let before = server.count("received", "authorization_code");
    server.ctl("revoke");
    for caller in &mut callers {
        caller.say("call");
    }
    for caller in &callers {
        caller.until("progress");
    }
    let link = link(&home);
    // A second notification would be sent now.
    pause(Duration::from_secs(2));
    assert_eq!(told(&home).len(), 1);
    for caller in &callers {
        let heard = caller.until("progress")["message"].to_string();
        assert!(heard.contains(&link), "another link: {heard}");
    }
    visit(&link, "approve");
    for caller in &callers {
        let outcome = caller.outcome(0);
        assert_eq!(outcome["call"], "ok", "{outcome}");
    }
    assert_eq!(server.count("received", "authorization_code") - before, 1);
    assert_eq!(refreshes(&server), 1, "asked once, refused for good");
    assert_eq!(server.count("tool_calls", "echo"), 5, "each once");
    for caller in callers {
        caller.end();
    }
    assert_eq!(told(&home).len(), 1);
    until_over(&home, 1);
    assert_no_leaks(&home, &[&server]);
}

/// The same with a browser for each that wants one: one tab is opened, and it signs in.
#[test]
fn a_storm_of_bridges_opens_one_tab() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    let browser = home.path().join("browser.sh");
    let real = script("browser.py");
    // The SDKs pass on nothing of ours: what opens URLs is found in the path.
    let text = format!(
        "#!/bin/sh\necho \"$1\" >> \"$HOME/tabs\"\nexec {} {} \"$1\"\n",
        python().display(),
        real.display()
    );
    fs::write(&browser, text).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&browser, executable).unwrap();
    let mut bridges: Vec<Running<'_>> = (0..5)
        .map(|_| {
            let bridge = ["mcp", "box", "--hold", "5m", "--open-browser"];
            let bridge = home.authkeeper(&bridge).env("BROWSER", &browser);
            bridge.spawn()
        })
        .collect();
    sandbox.control("grants/revoke", &json!({}));
    for bridge in &mut bridges {
        bridge.feed(INITIALIZE);
    }
    for bridge in &bridges {
        let answered = wait_until(SOON, || bridge.stdout().contains("protocolVersion"));
        assert!(answered, "{}\n{}", bridge.stdout(), bridge.stderr());
    }
    let tabs = fs::read_to_string(home.path().join("tabs")).unwrap();
    assert_eq!(tabs.lines().count(), 1, "{tabs}");
    assert_eq!(sandbox.counters().sign_ins, 2);
    // What is over before anybody looked is told nobody.
    assert!(told(&home).len() <= 1);
    for bridge in bridges {
        let _ = bridge.finish(SOON).expect_code(0);
    }
}

/// The process that attends to the person is killed: another one takes its place, at the same address.
#[test]
fn the_link_outlives_the_process_behind_it() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    let mut caller = Caller::start(&home, Sdk::Python("legacy"), &HELD);
    let mut first = home
        .authkeeper(&[&["mcp"], HELD.as_slice()].concat())
        .spawn();
    sandbox.control("grants/revoke", &json!({}));
    first.feed(INITIALIZE);
    let link = link(&home);
    caller.say("call");
    caller.until("progress");
    let _ = first.kill_9();
    kill_who_attends(&home);
    let port = link.rsplit(':').next().unwrap().split('/').next().unwrap();
    let port = port.parse().unwrap();
    assert!(
        wait_until(SOON, || http::get(port, "/").is_ok()),
        "nobody took over"
    );
    visit(&link, "approve");
    assert_eq!(caller.outcome(0)["call"], "ok");
    assert_eq!(sandbox.counters().sign_ins, 2);
    assert_eq!(told(&home).len(), 1);
    caller.end();
}

/// Clients end a server that is slow to say hello, and kill it. The person may be typing a password by then.
#[test]
fn who_has_begun_to_sign_in_can_finish_though_the_bridge_is_killed() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    sandbox.control("grants/revoke", &json!({}));
    let mut bridge = home
        .authkeeper(&[&["mcp"], HELD.as_slice()].concat())
        .spawn();
    bridge.feed(INITIALIZE);
    let link = link(&home);
    let (_, place) = link.rsplit_once(':').unwrap();
    let (port, path) = place.split_once('/').unwrap();
    let click = http::get(port.parse().unwrap(), &format!("/{path}")).unwrap();
    let sign_in = click.header("location").expect("it is sent on").to_owned();
    let _ = bridge.kill_9();
    visit(&sign_in, "approve");
    let active = || status(&home, "box")["state"] == "active";
    assert!(wait_until(SOON, active), "nobody took the sign-in");
    assert_eq!(sandbox.counters().sign_ins, 2);
    let gone = wait_until(SOON, || http::get(port.parse().unwrap(), "/").is_err());
    assert!(gone, "what attended stays for ever");
}

/// The client's user sees why there is no bridge; the exit code says it to scripts.
#[test]
fn a_bridge_that_cannot_start_says_so_to_its_client() {
    let home = Home::new();
    let mut bridge = home.authkeeper(&["mcp", "nosuch"]).spawn();
    bridge.feed(INITIALIZE);
    assert!(wait_until(SOON, || bridge.stdout().ends_with('\n')));
    let answer: Value = serde_json::from_str(&bridge.stdout()).unwrap();
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(1), &json!(-31006))
    );
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("no connection named nosuch"), "{message}");
    bridge.close_stdin();
    let ended = bridge.finish(SOON).expect_code(66);
    assert!(ended.stderr.contains("nosuch"), "{}", ended.stderr);
}

/// What a bridge started to attend to the person.
fn kill_who_attends(home: &Home) {
    let ours = format!("HOME={}\0", home.path().display());
    let attends = |process: &std::path::Path| {
        let read = |name| fs::read_to_string(process.join(name)).unwrap_or_default();
        read("cmdline").contains("\0attend\0box\0") && read("environ").contains(&ours)
    };
    let mut processes = fs::read_dir("/proc").unwrap();
    let found = processes.find_map(|entry| {
        let process = entry.unwrap().path();
        let pid = process.file_name()?.to_str()?.parse::<i32>().ok()?;
        attends(&process).then_some(pid)
    });
    let pid = Pid::from_raw(found.expect("nobody attends")).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Somebody signs in at a terminal instead, or says no first, or clicks twice.
#[test]
fn whatever_the_person_does_the_call_waits_for_the_right_end() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    let mut caller = Caller::start(&home, Sdk::Python("legacy"), &HELD);
    sandbox.control("grants/revoke", &json!({}));
    caller.say("call");
    let link = link(&home);
    sandbox.control("set", &json!({"auto_approve": "false"}));
    visit(&link, "deny");
    visit(&link, "ignore");
    pause(Duration::from_secs(1));
    assert!(caller.with("call").is_empty(), "it waits on");
    let _ = home.run(&["reauthorize", "box"]).expect_code(0);
    assert_eq!(caller.outcome(0)["call"], "ok");
    caller.end();
}

/// A call that nobody waits for is not made, however late the person comes.
#[test]
fn a_call_given_up_while_it_is_held_is_never_made() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    let mut python = Caller::start(&home, Sdk::Python("legacy"), &HELD);
    let mut typescript = Caller::start(&home, Sdk::TypeScript, &HELD);
    let before = sandbox.counters().tool_calls;
    sandbox.control("grants/revoke", &json!({}));
    for caller in [&mut python, &mut typescript] {
        caller.say("call");
        caller.until("progress");
        caller.say("cancel");
        assert_eq!(caller.outcome(0)["call"], "cancelled");
    }
    visit(&link(&home), "approve");
    assert!(wait_until(SOON, || status(&home, "box")["state"] == "active"));
    pause(Duration::from_secs(1));
    assert_eq!(sandbox.counters().tool_calls, before);
    for mut caller in [python, typescript] {
        caller.say("call");
        assert_eq!(caller.outcome(1)["call"], "ok", "the session goes on");
        caller.end();
    }
}

/// Two clients of the daemon, over HTTP: both get the server's own answer.
#[test]
fn the_daemon_holds_its_calls_too() {
    let home = Home::new();
    let sandbox = sandbox(&home, HOOK);
    let daemon = Daemon::start(&home, &["--hold", "5m"]);
    let handle = format!("Bearer {}", daemon.handle);
    sandbox.control("grants/revoke", &json!({}));
    let call = || {
        let headers = [
            ("authorization", handle.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let body = std::str::from_utf8(INITIALIZE).unwrap();
        http::request(daemon.port, "POST", "/mcp/box", &headers, body).unwrap()
    };
    std::thread::scope(|scope| {
        let calls = [scope.spawn(call), scope.spawn(call)];
        visit(&link(&home), "approve");
        for call in calls {
            let answer = call.join().unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(answer.body.contains("protocolVersion"), "{}", answer.body);
        }
    });
    assert_eq!(sandbox.counters().sign_ins, 2);
    assert_eq!(told(&home).len(), 1);
    daemon.process.signal(Signal::TERM);
    let _ = daemon.process.finish(SOON);
}

/// Who signed in on a phone gets a link that a phone can open.
#[test]
fn a_connection_of_another_device_is_authorized_on_one() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    let url = server.url("/api");
    let connect = ["connect", "api", &url, "--client-id", "device", "--device"];
    let signing_in = home.authkeeper(&connect).spawn();
    let said = || signing_in.stderr();
    assert!(
        wait_until(SOON, || said().contains("user_code=")),
        "{}",
        said()
    );
    let page = said();
    let page = page
        .split_whitespace()
        .find(|word| word.contains("user_code="));
    visit(page.unwrap(), "approve");
    let _ = signing_in.finish(SOON).expect_code(0);

    let call = e2e::scenario::call_script("api/whoami");
    let command = [
        "run", "--with", "api", "--hold", "5m", "--", "sh", "-c", &call,
    ];
    server.ctl("revoke-grants");
    let run = home.authkeeper(&command).env("BROWSER", "false").spawn();
    let link = link(&home);
    assert!(link.starts_with(server.issuer()), "{link}");
    visit(&link, "approve");
    let output = run.finish(SOON).expect_code(0);
    assert_eq!(output.stdout, "200");
    assert_no_leaks(&home, &[&server]);
}

/// What reaches a program through the real SDKs, without a hold and at the end of one.
#[test]
fn without_authority_the_caller_is_told_plainly_what_did_not_happen() {
    for (hold, waited) in [
        (vec!["box"], ""),
        (vec!["box", "--hold", "2s"], "waited 2 s"),
    ] {
        for sdk in [Sdk::Python("legacy"), Sdk::TypeScript] {
            let home = Home::new();
            let sandbox = sandbox(&home, HOOK);
            let mut caller = Caller::start(&home, sdk, &hold);
            sandbox.control("grants/revoke", &json!({}));
            caller.say("call");
            let outcome = caller.outcome(0);
            assert_eq!(outcome["call"], "error", "{outcome}");
            assert_eq!(outcome["code"], -31001);
            let message = outcome["message"].as_str().unwrap();
            let data = &outcome["data"];
            for part in [
                "Authorization is missing",
                "Nothing was done",
                "Do not report success",
                "authkeeper reauthorize box",
                waited,
            ] {
                assert!(message.contains(part), "{part:?} is not in {message}");
            }
            let facts = json!([data["kind"], data["executed"], data["retryable"]]);
            assert_eq!(facts, json!(["authority", "no", false]), "{data}");
            assert_eq!(data["connection"], "box");
            assert_eq!(data["link"].is_string(), !waited.is_empty(), "{data}");
            caller.end();
        }
    }
}

#[test]
fn a_run_holds_its_calls_too() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    e2e::scenario::connect_api(&home, &server, "api");
    let call = e2e::scenario::call_script("api/whoami");
    let twice = format!("{call}; touch called; until [ -e go ]; do sleep 0.05; done; {call}");
    let command = [
        "run", "--with", "api", "--hold", "5m", "--", "sh", "-c", &twice,
    ];
    let run = home.authkeeper(&command).env("BROWSER", "false").spawn();
    let called = home.path().join("called");
    assert!(wait_until(SOON, || called.exists()), "{}", run.stderr());
    server.ctl("revoke-grants");
    fs::write(home.path().join("go"), "").unwrap();
    visit(&link(&home), "approve");
    let output = run.finish(SOON).expect_code(0);
    assert_eq!(output.stdout, "200200");
    assert_eq!(told(&home).len(), 1);
    assert_no_leaks(&home, &[&server]);
}

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The configuration of an owner who is told by a webhook, and its receiver.
fn receiver(home: &Home) -> (Server, String) {
    let receiver = Server::webhook(&home.outside(), SECRET);
    let secret = home.secret_file("webhook", SECRET);
    let url = receiver.url("/told?by=us");
    let config = format!(
        "[notify.webhook]\nurl = \"{url}\"\nsecret_file = \"{}\"\n",
        secret.display()
    );
    (receiver, config)
}

fn messages(receiver: &Server) -> Vec<Value> {
    receiver.ctl("messages").as_array().unwrap().clone()
}

fn spawn_held(home: &Home) -> Running<'_> {
    let bridge = [&["mcp"], HELD.as_slice()].concat();
    home.authkeeper(&bridge).env("BROWSER", "false").spawn()
}

/// The receiver is down at first; five processes know of the incident. It gets one message, again until it has taken it.
#[test]
fn the_webhook_is_told_once_and_signed() {
    let home = Home::new();
    let (receiver, config) = receiver(&home);
    let sandbox = sandbox(&home, &config);
    receiver.ctl("answer?status=503&times=1");
    let mut bridges: Vec<Running<'_>> = (0..5).map(|_| spawn_held(&home)).collect();
    sandbox.control("grants/revoke", &json!({}));
    for bridge in &mut bridges {
        bridge.feed(INITIALIZE);
    }
    assert!(wait_until(SOON, || messages(&receiver).len() == 2));
    pause(Duration::from_secs(2));
    let got = messages(&receiver);
    assert_eq!(got.len(), 2, "{got:#?}");
    assert_eq!(
        (&got[0]["status"], &got[1]["status"]),
        (&json!(503), &json!(204))
    );
    assert_eq!(got[0]["id"], got[1]["id"]);
    for message in &got {
        assert_eq!(message["verified"], true);
        assert_eq!(message["path"], "/told?by=us");
        assert_eq!(message["type"], "application/json");
        assert_eq!(message["record"]["event"], "reauthorization_required");
    }
    visit(got[1]["record"]["link"].as_str().unwrap(), "approve");
    for bridge in bridges {
        let answered = wait_until(SOON, || bridge.stdout().contains("protocolVersion"));
        assert!(answered, "{}", bridge.stderr());
        let output = bridge.finish(SOON).expect_code(0);
        assert!(!output.stderr.contains("told?by"), "{}", output.stderr);
    }
    let got = messages(&receiver);
    assert_eq!(got.len(), 3, "and one all-clear: {got:#?}");
    assert_eq!(
        (&got[2]["verified"], &got[2]["record"]["status"]),
        (&json!(true), &json!("resolved"))
    );
    assert_eq!(got[2]["record"]["id"], got[1]["record"]["id"]);
    assert_ne!(got[2]["id"], got[1]["id"]);
    let secret = e2e::secrets::Secret::new("webhook_secret", SECRET);
    assert_none_of(&home, &[sandbox.secrets(), vec![secret]].concat());
}

/// Killed after it had begun to tell: the next process tells, under the same id.
#[test]
fn a_crash_does_not_lose_the_webhook() {
    let home = Home::new();
    let (receiver, config) = receiver(&home);
    let sandbox = sandbox(&home, &config);
    receiver.ctl("answer?status=204&times=1&seconds=60");
    let mut bridge = spawn_held(&home);
    sandbox.control("grants/revoke", &json!({}));
    bridge.feed(INITIALIZE);
    assert!(wait_until(SOON, || messages(&receiver).len() == 1));
    let _ = bridge.kill_9();
    let next = spawn_held(&home);
    assert!(wait_until(SOON, || messages(&receiver).len() == 2));
    let got = messages(&receiver);
    assert_eq!(got[0]["id"], got[1]["id"]);
    assert_eq!(got[0]["record"], got[1]["record"]);
    let _ = next.finish(SOON).expect_code(0);
    let third = home.authkeeper(&["token", "box"]).env("BROWSER", "false");
    let _ = third.run().expect_code(75);
    assert_eq!(messages(&receiver).len(), 2);
}

#[test]
fn telling_can_be_tried() {
    let home = Home::new();
    let nobody = home.run(&["notify", "test"]);
    nobody.expect_failure(78, &["on_incident", "notify.webhook"]);
    let (receiver, config) = receiver(&home);
    home.write_config(&format!("{HOOK}{config}"));
    let told = home.run(&["notify", "test"]).expect_code(0).stdout;
    let routes = "on_incident (command; info, warning, critical): told\n\
        notify.webhook (webhook; info, warning, critical): told\n";
    assert_eq!(told, routes);
    let got = messages(&receiver);
    assert_eq!(
        (&got[0]["verified"], &got[0]["record"]["event"]),
        (&json!(true), &json!("test"))
    );
    assert_eq!(self::told(&home)[0], got[0]["record"]);
    receiver.ctl("answer?status=401");
    let failed = home.run(&["notify", "test", "--json"]).expect_code(69);
    assert_eq!(failed.json()[1]["told"], false);
    let found = home.run(&["doctor", "--json"]).stdout;
    assert!(found.contains("notify.webhook is set"), "{found}");
}
