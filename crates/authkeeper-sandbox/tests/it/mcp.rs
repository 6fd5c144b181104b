//! The MCP server in both eras.

use authkeeper_sandbox::Profile;
use serde_json::{Value, json};

use crate::bench::{Bench, Got};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const ABLE: &str = "io.modelcontextprotocol/clientCapabilities";

struct Client {
    bench: Bench,
    bearer: String,
}

impl Client {
    async fn start(scope: &str) -> Self {
        let bench = Bench::with(Profile::Strict).await;
        let resource = format!("{}/mcp", bench.sandbox.url());
        let more = [("resource", resource.as_str()), ("scope", scope)];
        let tokens = bench.sign_in(&more).await;
        let bearer = format!("Bearer {}", tokens.access);
        Self { bench, bearer }
    }

    async fn post(&self, headers: &[(&str, &str)], message: &Value) -> Got {
        let mut headers = headers.to_vec();
        headers.push(("Authorization", &self.bearer));
        headers.push(("Content-Type", "application/json"));
        headers.push(("Accept", "application/json, text/event-stream"));
        self.bench
            .send("POST", "/mcp", &headers, &message.to_string())
            .await
    }

    async fn modern(&self, method: &str, mut params: Value) -> Got {
        params["_meta"][VERSION] = json!("2026-07-28");
        params["_meta"][ABLE] = json!({});
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let mut headers = vec![
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", method),
        ];
        if !name.is_empty() {
            headers.push(("Mcp-Name", &name));
        }
        self.post(&headers, &request(method, &params)).await
    }
}

fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn text(got: &Got) -> String {
    let content = &got.json()["result"]["content"][0];
    content["text"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn without_a_token_every_profile_tells_where_to_sign_in() {
    for profile in Profile::ALL {
        let bench = Bench::with(profile).await;
        let got = bench.send("POST", "/mcp", &[], "{}").await;
        let challenge = got.header("www-authenticate").unwrap_or_default();
        assert_eq!(got.status, 401, "{profile}");
        assert!(
            challenge.contains("/.well-known/oauth-protected-resource/mcp\""),
            "{profile}"
        );
    }
}

#[tokio::test]
async fn the_old_era_has_sessions() {
    let client = Client::start("read").await;
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}});
    let opened = client.post(&[], &request("initialize", &hello)).await;
    assert_eq!(opened.json()["result"]["protocolVersion"], "2025-11-25");
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    let headers = [("Mcp-Session-Id", session.as_str())];
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(client.post(&headers, &ready).await.status, 202);
    assert_eq!(
        client
            .post(&headers, &request("ping", &json!({})))
            .await
            .json()["result"],
        json!({})
    );
    let listed = client
        .post(&headers, &request("tools/list", &json!({})))
        .await;
    assert_eq!(
        listed.json()["result"]["tools"].as_array().map(Vec::len),
        Some(6)
    );
    let call = json!({"name": "add", "arguments": {"a": 2, "b": 3}});
    assert_eq!(
        text(&client.post(&headers, &request("tools/call", &call)).await),
        "5"
    );
    assert_eq!(
        client.post(&[], &request("ping", &json!({}))).await.status,
        400
    );
    client.bench.say("drop-sessions");
    assert_eq!(
        client
            .post(&headers, &request("ping", &json!({})))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_old_era_ends_a_session_on_delete() {
    let client = Client::start("read").await;
    let opened = client.post(&[], &request("initialize", &json!({}))).await;
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    let headers = [
        ("Mcp-Session-Id", session.as_str()),
        ("Authorization", &client.bearer),
    ];
    assert_eq!(
        client
            .bench
            .send("DELETE", "/mcp", &headers, "")
            .await
            .status,
        200
    );
    assert_eq!(
        client
            .bench
            .send("DELETE", "/mcp", &headers, "")
            .await
            .status,
        404
    );
    assert_eq!(client.bench.get("/mcp", &headers).await.status, 405);
}

#[tokio::test]
async fn the_new_era_has_none() {
    let client = Client::start("read").await;
    let found = client.modern("server/discover", json!({})).await;
    assert_eq!(
        found.json()["result"]["supportedVersions"],
        json!(["2026-07-28"])
    );
    let listed = client.modern("tools/list", json!({})).await;
    assert_eq!(listed.json()["result"]["resultType"], "complete");
    assert_eq!(
        listed.json()["result"]["cacheScope"],
        "private",
        "the Python SDK insists"
    );
    let call = json!({"name": "whoami", "arguments": {}});
    let who = client.modern("tools/call", call).await;
    assert_eq!(text(&who), "alice, through client public");
    let echo = json!({"name": "echo", "arguments": {"text": "hi"}});
    assert_eq!(text(&client.modern("tools/call", echo).await), "hi");
    assert_eq!(client.bench.sandbox.counters().tool_calls, 2);
}

#[tokio::test]
async fn the_new_era_checks_headers_and_meta() {
    let client = Client::start("read").await;
    let meta = |version: &str| json!({"_meta": {VERSION: version, ABLE: {}}});
    let code = |got: &Got| (got.status, got.json()["error"]["code"].as_i64());
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/list"),
    ];
    let bare = client
        .post(&headers, &request("tools/list", &json!({})))
        .await;
    assert_eq!(code(&bare), (400, Some(-32_602)));
    let named = client
        .post(&headers[..1], &request("tools/list", &meta("2026-07-28")))
        .await;
    assert_eq!(code(&named), (400, Some(-32_020)));
    let unknown = client
        .post(&[], &request("tools/list", &meta("2099-01-01")))
        .await;
    assert_eq!(code(&unknown), (400, Some(-32_022)));
    let gone = client.modern("ping", json!({})).await;
    assert_eq!(code(&gone), (404, Some(-32_601)));
}

#[tokio::test]
async fn a_tool_can_need_another_scope() {
    let client = Client::start("read").await;
    let call = json!({"name": "admin_report", "arguments": {}});
    let refused = client.modern("tools/call", call.clone()).await;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert_eq!(refused.status, 403);
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"admin\"")
    );
    let admin = Client::start("read admin").await;
    assert_eq!(text(&admin.modern("tools/call", call).await), "1 grants");
}

#[tokio::test]
async fn a_slow_tool_tells_its_progress() {
    let client = Client::start("read").await;
    let quiet = json!({"name": "slow", "arguments": {"seconds": 0.02}});
    assert_eq!(
        text(&client.modern("tools/call", quiet.clone()).await),
        "waited 0.02 s"
    );
    let mut told = quiet;
    told["_meta"]["progressToken"] = json!("p");
    let got = client.modern("tools/call", told).await;
    assert_eq!(got.header("content-type"), Some("text/event-stream"));
    let events: Vec<Value> = got
        .body
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    assert_eq!(events.len(), 5);
    assert_eq!(events[0]["params"]["progressToken"], "p");
    assert_eq!(events[4]["result"]["content"][0]["text"], "waited 0.02 s");
}
