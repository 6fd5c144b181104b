//! What a server or its front wants of every request beside the token: the cookie by which a balancer finds a session's node,
//! and headers of the connection's own. haproxy and the nodes behind it are as they come.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;

use e2e::daemon::Daemon;
use e2e::home::{Home, Running};
use e2e::listener::{Asked, Listener, Reply};
use e2e::scenario::SOON;
use e2e::secrets::Secret;
use e2e::servers::Server;
use serde_json::{Value, json};

const KEY: &str = "a-key-of-both-nodes-3f1c";
const CALLS: u64 = 6;

/// Two nodes, each of which knows its own sessions alone, and a balancer before them.
fn balanced(home: &Home) -> (Vec<Server>, Server) {
    let node = |_number| Server::of_era(&home.outside(), "old", KEY);
    let nodes: Vec<Server> = (0..2).map(node).collect();
    let ports: Vec<String> = nodes.iter().map(|node| node.port().to_string()).collect();
    let balancer = Server::balancer(&home.outside(), &ports.join(","));
    let key = home.secret_file("key", KEY);
    let words = ["connect", "s", balancer.resource(), "--grant", "api_key"];
    let key = ["--key-file", key.to_str().unwrap(), "--no-check"];
    let words = [&words[..], &key].concat();
    let _ = home.run(&words).expect_code(0);
    (nodes, balancer)
}

/// An MCP client of `authkeeper mcp`.
struct Client<'a> {
    bridge: Running<'a>,
    lines: BufReader<ChildStdout>,
}

impl<'a> Client<'a> {
    fn of(home: &'a Home) -> Self {
        let (bridge, lines) = home.authkeeper(&["mcp", "s"]).converse();
        let mut client = Self { bridge, lines };
        let info = json!({"name": "test", "version": "1"});
        let hello =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info});
        let _ = client.ask(0, "initialize", &hello);
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn say(&mut self, message: &Value) {
        self.bridge.feed(format!("{message}\n").as_bytes());
    }

    fn ask(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "no answer to {id}"
            );
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["id"] == id && said["method"].is_null() {
                return said;
            }
        }
    }

    fn call(&mut self, id: u64) {
        let params = json!({"name": "echo", "arguments": {"message": "hi"}});
        let said = self.ask(id, "tools/call", &params);
        let text = &said["result"]["content"][0]["text"];
        assert_eq!(text, "Echo: hi", "{said}");
    }
}

fn counted(nodes: &[Server], method: &str) -> Vec<u64> {
    let counts = nodes.iter().map(|node| node.count("methods", method));
    counts.collect()
}

#[test]
fn the_calls_of_a_session_reach_one_node_of_a_balancer() {
    let home = Home::new();
    let (nodes, _balancer) = balanced(&home);
    let mut clients = [Client::of(&home), Client::of(&home)];
    for id in 1..=CALLS {
        for client in &mut clients {
            client.call(id);
        }
    }
    let opened = counted(&nodes, "initialize");
    assert_eq!(
        opened.iter().sum::<u64>(),
        2,
        "a session was lost: {opened:?}"
    );
    let calls: Vec<u64> = opened.iter().map(|opened| opened * CALLS).collect();
    assert_eq!(counted(&nodes, "tools/call"), calls, "{opened:?}");
    for client in clients {
        let mut bridge = client.bridge;
        bridge.close_stdin();
        drop(client.lines);
        let stderr = bridge.finish(SOON).expect_code(0).stderr;
        assert!(!stderr.contains("SERVERID"), "{stderr}");
    }
}

/// An authorization server without a sign-in of people.
fn authorization_server(port: u16, asked: &Asked) -> Reply {
    let base = format!("http://127.0.0.1:{port}");
    if asked.line == "POST /token" {
        let token = format!("token-of-the-listener-{port}");
        let tokens = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
        return (200, String::new(), tokens.to_string());
    }
    let metadata = json!({
        "issuer": base, "token_endpoint": format!("{base}/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    });
    (200, String::new(), metadata.to_string())
}

/// An MCP server that names this issuer, and says nothing to requests without a tenant.
fn mcp_server(issuer: &str, port: u16, asked: &Asked) -> Reply {
    let url = format!("http://127.0.0.1:{port}");
    let said = |status, body: Value| (status, String::new(), body.to_string());
    if asked.header("x-tenant").is_none() {
        return said(403, json!({"error": "no tenant"}));
    }
    if asked.line == "GET /metadata" {
        let servers = [issuer];
        return said(
            200,
            json!({"resource": format!("{url}/mcp"), "authorization_servers": servers}),
        );
    }
    if asked.header("authorization").is_none() {
        let head = format!("www-authenticate: Bearer resource_metadata=\"{url}/metadata\"\r\n");
        return (401, head, String::new());
    }
    let message: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let id = &message["id"];
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "listener", "version": "1"},
        }),
        Some("tools/list") => json!({"tools": []}),
        Some("tools/call") => json!({"content": [{"type": "text", "text": "Echo: hi"}]}),
        Some(_) if id.is_null() => return (202, String::new(), String::new()),
        Some(_) => {
            let error = json!({"code": -32601, "message": "Method not found"});
            return said(200, json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
        None => return said(405, json!({})),
    };
    said(200, json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

const SECRET: &str = "an-extra-key-that-stays-secret-81f2c0";

/// Connects `s` as a client of its own, with these flags more.
fn connect(home: &Home, server: &Listener, more: &[&str]) {
    let secret = home.secret_file("client", "client-secret-of-the-job");
    let url = server.url("/mcp");
    let words = ["connect", "s", &url, "--grant", "client_credentials"];
    let client = ["--client-id", "job", "--client-secret-file"];
    let words = [&words[..], &client, &[secret.to_str().unwrap()], more].concat();
    let _ = home.run(&words).expect_code(0);
}

/// All of them carry this tenant and the key, and there is one of each of these kinds.
fn assert_all(asked: &[Asked], tenant: &str, kinds: &[&str]) {
    for one in asked {
        let (line, shown) = (&one.line, one.header("x-tenant"));
        assert_eq!(shown, Some(tenant), "{line} {}", one.body);
        assert_eq!(one.header("x-extra-key"), Some(SECRET), "{line}");
    }
    for kind in kinds {
        let is_of = |one: &Asked| one.line.contains(kind) || one.body.contains(kind);
        assert!(asked.iter().any(is_of), "{kind}: {asked:?}");
    }
}

#[test]
fn an_extra_header_reaches_every_request_to_the_server_and_no_other_server() {
    let home = Home::new();
    let issuer = Listener::start(authorization_server);
    let name = issuer.url("");
    let server = Listener::start(move |port, asked| mcp_server(&name, port, asked));
    let key = home.secret_file("header", &format!("X-Extra-Key: {SECRET}"));
    let key = key.to_str().unwrap();
    let headers = ["--header", "X-Tenant: blue", "--header-file", key];
    connect(&home, &server, &headers);
    let discovery = ["\"ping\"", "GET /metadata"];
    assert_all(&server.asked(), "blue", &discovery);

    let _ = home.run(&["check", "s"]).expect_code(0);
    assert_all(&server.asked(), "blue", &["tools/list"]);

    let mut client = Client::of(&home);
    client.call(1);
    client.bridge.close_stdin();
    let _ = client.bridge.finish(SOON).expect_code(0);
    assert_all(
        &server.asked(),
        "blue",
        &["initialize", "tools/call", "notifications"],
    );

    // The owner's word, whatever the client says.
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let curl = "curl -sf -H 'X-Tenant: red' -H \"Authorization: Bearer $AUTHKEEPER_TASK\" \
                -d \"$0\" \"$AUTHKEEPER_URL/c/s\"";
    let run = ["run", "--with", "s", "--", "sh", "-c", curl, list];
    let _ = home.run(&run).expect_code(0);
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(daemon.greet("s", &daemon.handle).status, 200);
    assert_all(&server.asked(), "blue", &["tools/list", "initialize"]);
    drop(daemon);

    let status = home.run(&["status", "--json"]).expect_code(0).stdout;
    assert!(!status.contains(SECRET));
    let _ = home.run(&["doctor"]);
    assert_eq!(home.search(&[Secret::new("header", SECRET)]), []);

    // A header set again is replaced, and the others stay.
    let again = ["reauthorize", "s", "--header", "X-Tenant: green"];
    let _ = home.run(&again).expect_code(0);
    assert_all(&server.asked(), "green", &discovery);
    connect(&home, &server, &[]);
    let _ = home.run(&["check", "s"]).expect_code(0);
    assert_all(&server.asked(), "green", &["tools/list"]);
    let removed = ["reauthorize", "s", "--header", "X-Extra-Key:"];
    let _ = home.run(&removed).expect_code(0);
    assert!(
        server
            .asked()
            .iter()
            .all(|one| one.header("x-extra-key").is_none())
    );

    let asked = issuer.asked();
    assert!(
        asked.iter().any(|one| one.line == "POST /token"),
        "{asked:?}"
    );
    for one in asked {
        let extra = one.header("x-tenant").or(one.header("x-extra-key"));
        assert_eq!(extra, None, "{}", one.line);
    }
}
