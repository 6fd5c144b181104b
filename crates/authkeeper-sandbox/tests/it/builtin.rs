//! The built-in scenarios on the wire: what is held back, what is refused, what streams say, and a verdict.

use std::time::Duration;

use authkeeper_sandbox::{BuiltIn, CheckStatus, Revision, ScenarioCheck, ScenarioVerdict};
use serde_json::{Value, json};

use crate::bench::{Bench, Got, Tokens};

const TTL: Duration = Duration::from_secs(1);

/// A client of a scenario, which does by hand what a test tells it.
struct Client {
    bench: Bench,
    revision: Revision,
    tokens: Tokens,
    session: Option<String>,
}

impl Client {
    async fn start(name: &str, revision: Revision) -> Self {
        let one = BuiltIn::named(name).expect("it is built in");
        let bench = Bench::start_built_in(one.settings(0, Some(TTL)), one, revision).await;
        let resource = format!("{}/mcp", bench.sandbox.url());
        let tokens = bench.sign_in(&[("resource", &resource)]).await;
        Self {
            bench,
            revision,
            tokens,
            session: None,
        }
    }

    async fn send(&self, http: &str, more: &[(&str, &str)], body: &str) -> Got {
        let bearer = format!("Bearer {}", self.tokens.access);
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.push(("MCP-Protocol-Version", self.revision.as_str()));
        headers.push(("Accept", "application/json, text/event-stream"));
        if let Some(session) = &self.session {
            headers.push(("Mcp-Session-Id", session));
        }
        headers.extend(more);
        self.bench.send(http, "/mcp", &headers, body).await
    }

    async fn ask(&self, method: &str, mut params: Value) -> Got {
        let mut headers = vec![("Content-Type", "application/json")];
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        if self.revision == Revision::Stateless {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.revision.as_str(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            headers.push(("Mcp-Method", method));
            headers.push(("Mcp-Name", &name));
        }
        let message = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params});
        self.send("POST", &headers, &message.to_string()).await
    }

    async fn open_session(&mut self) {
        let opened = self.ask("initialize", json!({"protocolVersion": "2025-11-25"}));
        let opened = opened.await;
        self.session = opened.header("mcp-session-id").map(str::to_owned);
    }

    async fn call(&self) -> Got {
        self.ask("tools/call", json!({"name": "test-tool"})).await
    }

    async fn refresh(&mut self) {
        let resource = format!("{}/mcp", self.bench.sandbox.url());
        let sent = [("resource", resource.as_str())];
        let got = self.bench.refresh(&self.tokens.refresh, &sent).await;
        self.tokens = Tokens::of(&got);
    }

    fn checks(&self) -> Vec<ScenarioCheck> {
        self.bench.sandbox.checks(&[])
    }
}

fn failed(checks: &[ScenarioCheck]) -> Vec<&'static str> {
    let failed = checks
        .iter()
        .filter(|check| check.status == CheckStatus::Failure);
    failed.map(|check| check.id).collect()
}

#[tokio::test]
async fn an_answer_is_held_until_its_token_has_ended_and_a_good_client_passes() {
    for revision in Revision::ALL {
        let mut client = Client::start("expiry-mid-session", revision).await;
        if revision == Revision::Handshake {
            client.open_session().await;
        }
        let listed = client.ask("tools/list", json!({})).await;
        let tools = listed.json()["result"]["tools"].clone();
        let tools = tools.as_array().expect("a list");
        assert!(tools.iter().any(|tool| tool["name"] == "test-tool"));
        assert_eq!(client.call().await.status, 401, "{revision}: it has ended");
        client.refresh().await;
        assert_eq!(client.call().await.status, 200);
        let checks = client.checks();
        assert_eq!(
            ScenarioVerdict::of(&checks),
            ScenarioVerdict::Passed,
            "{checks:#?}"
        );
    }
}

#[tokio::test]
async fn a_sign_in_in_the_place_of_a_refresh_fails() {
    let mut client = Client::start("early-401", Revision::Stateless).await;
    let _ = client.ask("tools/list", json!({})).await;
    assert_eq!(client.call().await.status, 401);
    let resource = format!("{}/mcp", client.bench.sandbox.url());
    client.tokens = client.bench.sign_in(&[("resource", &resource)]).await;
    assert_eq!(client.call().await.status, 200);
    assert_eq!(failed(&client.checks()), ["no-second-sign-in", "refreshed"]);
    let so_far = client.bench.get("/control/verdict", &[]).await.json();
    assert_eq!(so_far[0]["id"], "signed-in");
}

#[tokio::test]
async fn a_server_of_one_revision_refuses_the_other() {
    let mut client = Client::start("early-401", Revision::Handshake).await;
    client.revision = Revision::Stateless;
    let refused = client.ask("server/discover", json!({})).await;
    assert_eq!(refused.status, 400);
    assert_ne!(refused.json()["error"]["code"], -32_022, "unknown then");
    let mut client = Client::start("early-401", Revision::Stateless).await;
    client.revision = Revision::Handshake;
    let refused = client.ask("initialize", json!({})).await;
    assert_eq!(refused.json()["error"]["code"], -32_022);
    assert_eq!(client.send("DELETE", &[], "").await.status, 405);
    assert_eq!(client.send("GET", &[], "").await.status, 405);
}

#[tokio::test]
async fn the_standing_stream_ends_with_its_token_and_speaks_when_it_is_there_again() {
    let mut client = Client::start("expiry-mid-stream", Revision::Handshake).await;
    client.open_session().await;
    let first = client.send("GET", &[], "").await;
    assert_eq!(first.header("content-type"), Some("text/event-stream"));
    assert!(first.body.contains("id: 1-0") && !first.body.contains("list_changed"));
    assert_eq!(
        client.send("GET", &[], "").await.status,
        401,
        "it has ended"
    );
    client.refresh().await;
    let again = client.send("GET", &[("Last-Event-ID", "1-0")], "").await;
    assert!(again.body.contains("notifications/tools/list_changed"));
    client.refresh().await;
    let called = client.call().await;
    assert!(called.body.contains("\"result\""), "{called:?}");
    assert_eq!(
        ScenarioVerdict::of(&client.checks()),
        ScenarioVerdict::Passed
    );
}

#[tokio::test]
async fn a_subscription_is_acknowledged_and_ends_with_its_token() {
    let mut client = Client::start("expiry-mid-stream", Revision::Stateless).await;
    let listen = json!({"notifications": {"toolsListChanged": true}});
    let first = client.ask("subscriptions/listen", listen.clone()).await;
    assert!(first.body.contains("subscriptions/acknowledged"));
    client.refresh().await;
    let again = client.ask("subscriptions/listen", listen).await;
    let id = "\"io.modelcontextprotocol/subscriptionId\":\"subscriptions/listen\"";
    assert_eq!(again.body.matches(id).count(), 2, "{}", again.body);
    client.refresh().await;
    let _ = client.call().await;
    assert_eq!(
        ScenarioVerdict::of(&client.checks()),
        ScenarioVerdict::Passed
    );
}

#[tokio::test]
async fn after_a_revocation_the_person_says_no() {
    let client = Client::start("revoked", Revision::Stateless).await;
    let _ = client.ask("tools/list", json!({})).await;
    assert_eq!(client.call().await.status, 401);
    let refused = client.bench.refresh(&client.tokens.refresh, &[]).await;
    assert_eq!(refused.text("error"), "invalid_grant");
    let asked = client.bench.authorize(&[]).await;
    let location = asked.header("location").unwrap_or_default();
    assert!(location.contains("error=access_denied"), "{location}");
    assert!(failed(&client.checks()).is_empty());
    let again = client.bench.refresh(&client.tokens.refresh, &[]).await;
    assert_eq!(again.status, 400);
    assert_eq!(failed(&client.checks()), ["refused-refresh-not-repeated"]);
}

#[tokio::test]
async fn outside_the_scenarios_nothing_of_it_is_there() {
    let bench = Bench::with(authkeeper_sandbox::Profile::Strict).await;
    assert!(bench.sandbox.checks(&[]).is_empty());
    assert_eq!(bench.sandbox.quiet_for(), None);
    let state = bench.sandbox.control().state();
    assert!(state["builtin"].is_null());
}
