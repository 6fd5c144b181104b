//! Client and server of different eras, and of the same.

use http::StatusCode;
use serde_json::{Value, json};

use super::rig::{
    INITIALIZE, INITIALIZED, Reply, Request, Rig, handshake_or, json as reply, live, respond,
    status,
};

pub(super) fn request(id: u32, method: &str, params: Value) -> String {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "new", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

pub(super) fn answer(request: &Request, result: impl Into<Value>) -> Reply {
    let result: Value = result.into();
    let answer = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result});
    reply(&answer.to_string())
}

pub(super) fn error(request: &Request, http: u16, code: i64) -> Reply {
    let error = json!({"code": code, "message": "no"});
    let answer = json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error});
    respond(http, "application/json", answer.to_string())
}

/// A server that knows 2026-07-28 and nothing else.
pub(super) fn stateless(request: &Request, other: impl FnOnce(&Request) -> Reply) -> Reply {
    let version = &request.json()["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    if request.verb != "POST" {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    if version != "2026-07-28" || request.header("mcp-protocol-version") != Some("2026-07-28") {
        return error(request, 400, -32022);
    }
    match request.what().as_str() {
        "server/discover" => answer(
            request,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": true}}}),
        ),
        _ => other(request),
    }
}

/// A server that knows the handshake and nothing else.
pub(super) fn handshake(request: &Request, other: impl FnOnce(&Request) -> Reply) -> Reply {
    let later = request.header("mcp-protocol-version") == Some("2026-07-28");
    let opened = request.what() == "initialize" || request.header("mcp-session-id") == Some("s1");
    if request.verb == "POST" && (later || !opened) {
        return respond(400, "text/plain", "Bad Request: no valid session");
    }
    handshake_or(request, "s1", other)
}

fn listed(annotation: &str) -> Value {
    let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": annotation}}});
    json!({"resultType": "complete", "tools": [{"name": "t", "inputSchema": schema}]})
}

#[tokio::test(start_paused = true)]
async fn a_call_repeats_its_parameters_in_headers_also_if_nobody_listed_the_tools() {
    let mut rig = Rig::new(|request| {
        let reply = stateless(request, |request| match request.what().as_str() {
            "tools/list" => answer(request, listed("A")),
            _ => answer(request, json!({"resultType": "complete"})),
        });
        async { reply }
    });
    let call = |id| {
        request(
            id,
            "tools/call",
            json!({"name": "t", "arguments": {"a": "ü"}}),
        )
    };
    rig.ask(&call(1)).await;
    rig.ask(&call(2)).await;
    assert_eq!(rig.whats(), ["tools/list", "tools/call", "tools/call"]);
    for call in rig.only("tools/call") {
        assert_eq!(call.header("mcp-param-a"), Some("=?base64?w7w=?="));
    }
    let own = rig.only("tools/list").remove(0);
    assert_eq!(own.header("mcp-method"), Some("tools/list"));
    let meta = &own.json()["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "new");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_changed_is_called_again_once_with_the_headers_it_wants_now() {
    for (now, calls) in [("B", 2), ("A", 1)] {
        let lists = std::sync::atomic::AtomicUsize::new(0);
        let mut rig = Rig::new(move |request| {
            let reply = stateless(request, |request| match request.what().as_str() {
                "tools/list" => {
                    let first = lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
                    answer(request, listed(if first { "A" } else { now }))
                }
                _ if request.header("mcp-param-b").is_some() => {
                    answer(request, json!({"resultType": "complete"}))
                }
                _ => error(request, 400, -32020),
            });
            async { reply }
        });
        rig.ask(&request(1, "tools/list", json!({}))).await;
        let call = request(
            2,
            "tools/call",
            json!({"name": "t", "arguments": {"a": "x"}}),
        );
        let answer = rig.ask(&call).await;
        assert_eq!(answer["error"]["code"] == -32020, calls == 1, "{answer}");
        assert_eq!(rig.only("tools/call").len(), calls);
        assert_eq!(rig.only("tools/list").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_client_is_answered_by_a_stateless_server() {
    let (feed, live) = live();
    let live = super::rig::Once::new(live);
    let mut rig = Rig::new(move |request| {
        let reply = stateless(request, |request| match request.what().as_str() {
            "subscriptions/listen" => live.take().unwrap().events(),
            "tools/list" => answer(request, listed("A")),
            _ => answer(request, json!({"resultType": "complete", "content": []})),
        });
        async { reply }
    });
    let welcome = rig.ask(INITIALIZE).await;
    assert_eq!(welcome["id"], 0);
    assert_eq!(welcome["result"]["protocolVersion"], "2025-11-25");
    rig.write(INITIALIZED).await;
    rig.until(|seen| seen.iter().any(|one| one.what() == "subscriptions/listen"))
        .await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let tools = rig.ask(list).await;
    assert_eq!(tools["result"]["tools"][0]["name"], "t");
    assert_eq!(tools["result"].get("resultType"), None);
    let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","arguments":{"a":"x"}}}"#;
    assert_eq!(rig.ask(call).await["result"], json!({"content": []}));
    let sent = rig.only("tools/call").remove(0);
    assert_eq!(sent.header("mcp-param-a"), Some("x"));
    assert_eq!(sent.header("mcp-session-id"), None);
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"authkeeper-listen-1"}}}"#;
    feed.send(format!("data: {changed}\n\n").into())
        .await
        .unwrap();
    assert_eq!(
        rig.json().await,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}})
    );
    rig.close_input();
    rig.ended().await.unwrap();
    assert_eq!(rig.only("initialize").len(), 1, "tried once");
    assert!(rig.only("DELETE").is_empty() && rig.only("GET").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stateless_client_is_answered_by_a_handshake_server() {
    for first in ["server/discover", "tools/list"] {
        let mut rig = Rig::new(|request| {
            let reply = handshake(request, |request| match request.verb.as_str() {
                "POST" => answer(request, json!({"tools": [], "content": []})),
                _ => status(StatusCode::METHOD_NOT_ALLOWED),
            });
            async { reply }
        });
        let answer = rig.ask(&request(1, first, json!({}))).await;
        assert_eq!(answer["id"], 1);
        assert_eq!(
            answer["result"]["resultType"], "complete",
            "{first}: {answer}"
        );
        let called = rig
            .ask(&request(2, "tools/call", json!({"name": "t"})))
            .await;
        assert_eq!(called["result"]["resultType"], "complete");
        let sent = rig.only("tools/call").remove(0);
        assert_eq!(sent.json()["params"], json!({"name": "t"}));
        assert_eq!(sent.header("mcp-session-id"), Some("s1"));
        assert_eq!(sent.header("mcp-protocol-version"), Some("2025-06-18"));
        rig.close_input();
        rig.ended().await.unwrap();
        assert_eq!(rig.only("initialize").len(), 1);
        assert_eq!(rig.only("DELETE").len(), 1);
        let hello = rig.only("initialize").remove(0).json();
        assert_eq!(hello["params"]["clientInfo"]["name"], "new");
        assert_eq!(hello["params"]["capabilities"], json!({"elicitation": {}}));
    }
}

/// 2026-07-28 has no such method, and says so; what is no handshake must not be taken for one, again and again.
#[tokio::test(start_paused = true)]
async fn an_initialize_of_the_stateless_era_is_a_method_that_nobody_knows() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let mut rig = Rig::new(move |request| {
        let often = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(often < 20, "it is asked for ever");
        let reply = stateless(request, |request| match request.what().as_str() {
            "initialize" => error(request, 404, -32601),
            _ => answer(request, json!({"resultType": "complete"})),
        });
        async { reply }
    });
    let refused = rig.ask(&request(500, "initialize", json!({}))).await;
    assert_eq!(refused["error"]["code"], -32601);
    rig.ask(&request(1, "tools/list", json!({}))).await;
    assert_eq!(rig.whats(), ["initialize", "server/discover", "tools/list"]);
    let sent = rig.only("initialize").remove(0);
    assert_eq!(sent.header("mcp-method"), Some("initialize"));
    assert!(rig.only("DELETE").is_empty() && rig.only("GET").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_initialize_of_the_stateless_era_opens_nothing_at_a_handshake_server() {
    let mut rig = Rig::new(|request| {
        let reply = handshake(request, |request| match request.verb.as_str() {
            "POST" => answer(request, json!({"tools": []})),
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        });
        async { reply }
    });
    rig.ask(&request(1, "tools/list", json!({}))).await;
    let refused = rig.ask(&request(2, "initialize", json!({}))).await;
    assert_eq!(refused["error"]["code"], -32601);
    assert_eq!(rig.only("initialize").len(), 1, "the bridge's own");
}

/// Who knows both eras may say too much: what makes a handshake is its `protocolVersion`.
#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_version_in_its_meta_is_one() {
    let hello = |id| {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
        request(id, "initialize", params)
    };
    let mut rig = Rig::new(|request| {
        let reply = handshake_or(request, "s1", |_| status(StatusCode::METHOD_NOT_ALLOWED));
        async { reply }
    });
    assert_eq!(
        rig.ask(&hello(0)).await["result"]["protocolVersion"],
        "2025-06-18"
    );
    let mut rig = Rig::new(|request| {
        let reply = match request.header("mcp-protocol-version") {
            None => error(request, 400, -32020),
            Some(_) => stateless(request, |request| answer(request, json!({}))),
        };
        async { reply }
    });
    assert_eq!(
        rig.ask(&hello(0)).await["result"]["protocolVersion"],
        "2025-11-25"
    );
    assert_eq!(rig.whats(), ["initialize", "server/discover"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_answered_is_never_said_again() {
    // It looks at calls in the wrong era too: who knows what it did.
    let mut rig = Rig::new(|request| {
        let reply = match request.what().as_str() {
            "tools/call" if request.header("mcp-session-id").is_none() => {
                error(request, 200, -32603)
            }
            "tools/call" => answer(request, json!({"content": []})),
            _ => handshake(request, |request| answer(request, json!({}))),
        };
        async { reply }
    });
    let call = |id| request(id, "tools/call", json!({"name": "pay"}));
    assert_eq!(rig.ask(&call(1)).await["error"]["code"], -32603);
    assert_eq!(rig.only("tools/call").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_neither_era_is_heard_as_it_is() {
    let refusal = r#"{"jsonrpc":"2.0","id":0,"x":1.0,"error":{"code":-32000,"message":"closed"}}"#;
    let mut rig = Rig::new(move |_| async move { respond(400, "application/json", refusal) });
    rig.write(INITIALIZE).await;
    assert_eq!(rig.line().await, refusal);
    assert_eq!(rig.whats(), ["initialize", "server/discover"]);
    let mut rig = Rig::new(|_| async { status(StatusCode::FORBIDDEN) });
    rig.ask(INITIALIZE).await;
    rig.ask(&request(1, "server/discover", json!({}))).await;
    assert_eq!(rig.whats(), ["initialize", "server/discover"], "no probe");
}

#[tokio::test(start_paused = true)]
async fn a_server_of_both_eras_is_never_translated() {
    let mut rig = Rig::new(|request| {
        let modern = request.json()["params"]["_meta"].is_object();
        let reply = if modern {
            stateless(request, |request| error(request, 400, -32602))
        } else {
            handshake(request, |request| match request.verb.as_str() {
                "POST" => answer(request, json!({"content": []})),
                _ => status(StatusCode::METHOD_NOT_ALLOWED),
            })
        };
        async { reply }
    });
    let refused = rig
        .ask(&request(1, "prompts/get", json!({"name": "none"})))
        .await;
    assert_eq!(refused["error"]["code"], -32602);
    assert_eq!(rig.whats(), ["prompts/get", "server/discover"]);
    rig.ask(&request(2, "prompts/get", json!({"name": "none"})))
        .await;
    rig.ask(INITIALIZE).await;
    rig.write(INITIALIZED).await;
    let call = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t"}}"#;
    let line = json!({"jsonrpc": "2.0", "id": 3, "result": {"content": []}});
    assert_eq!(rig.ask(call).await, line);
    assert_eq!(rig.only("server/discover").len(), 1, "settled once");
}
