//! A client of the stateless era before a handshake server.

use serde_json::{Value, json};

use super::{Between, BridgeCommand, only, said};

fn new_meta(extra: Value) -> Value {
    let mut meta = extra;
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    meta
}

fn new_request(id: u32, method: &str, params: Value) -> Value {
    let mut params = params;
    let extra = params.get_mut("_meta").map_or(json!({}), Value::take);
    params["_meta"] = new_meta(extra);
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn a_new_clients_request_loses_what_an_old_server_does_not_know() {
    let mut between = Between::new_client(&json!({"logging": {}}));
    let discover = only(
        between.client(&new_request(1, "server/discover", json!({}))),
        "client",
    );
    assert_eq!(
        discover["result"]["supportedVersions"],
        json!(["2026-07-28"])
    );
    let later = json!({"id": 2, "method": "tools/list", "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}}});
    let refused = only(between.client(&later), "client");
    assert_eq!(refused["error"]["code"], -32022);
    assert_eq!(refused["error"]["data"]["supported"], json!(["2026-07-28"]));

    let sent = only(
        between.client(&new_request(3, "tools/list", json!({"cursor": "c"}))),
        "server",
    );
    assert_eq!(
        sent,
        json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"cursor": "c"}})
    );
    let heard = only(
        between.server(&json!({"id": 3, "result": {"tools": []}})),
        "client",
    );
    assert_eq!(heard["result"]["resultType"], "complete");
    assert_eq!(heard["result"]["ttlMs"], 0);
    assert_eq!(
        heard["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "s"
    );

    between.client(&new_request(4, "resources/read", json!({"uri": "x:"})));
    let missing = json!({"id": 4, "error": {"code": -32002, "message": "not found"}});
    assert_eq!(
        only(between.server(&missing), "client")["error"]["code"],
        -32602
    );
    assert_eq!(
        only(
            between.server(&json!({"id": "p", "method": "ping"})),
            "server"
        )["result"],
        json!({})
    );
    assert!(
        !between
            .client(&json!({"id": 5, "method": "initialize"}))
            .is_empty()
    );
}

#[test]
fn log_messages_go_to_who_asked_for_them() {
    let mut between = Between::new_client(&json!({"logging": {}}));
    let log = |level: &str| json!({"method": "notifications/message", "params": {"level": level, "data": 1}});
    between.client(&new_request(1, "tools/list", json!({})));
    assert!(between.server(&log("error")).is_empty(), "nobody asked");
    let meta = json!({"io.modelcontextprotocol/logLevel": "warning", "progressToken": "p"});
    let level = only(
        between.client(&new_request(
            2,
            "tools/call",
            json!({"name": "t", "_meta": meta}),
        )),
        "server",
    );
    assert_eq!(
        (&level["method"], &level["params"]["level"]),
        (&json!("logging/setLevel"), &json!("warning"))
    );
    let call = only(
        between.server(&json!({"id": level["id"], "result": {}})),
        "server",
    );
    assert_eq!(
        call["params"]["_meta"],
        json!({"progressToken": "p"}),
        "held until the level is set"
    );
    assert!(between.server(&log("info")).is_empty());
    assert_eq!(between.server(&log("error")).len(), 1);
    assert!(
        between.about(&json!(1), &log("error")).is_empty(),
        "on the stream of another request"
    );

    let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let call = new_request(3, "tools/call", json!({"name": "t", "_meta": meta}));
    let level = only(between.client(&call), "server");
    between.client(&json!({"method": "notifications/cancelled", "params": {"requestId": 3}}));
    let late = between.server(&json!({"id": level["id"], "result": {}}));
    assert!(late.is_empty(), "cancelled before it was sent");
}

#[test]
fn what_an_old_server_asks_is_asked_with_the_call() {
    let mut between = Between::new_client(&json!({}));
    let call = new_request(
        1,
        "tools/call",
        json!({"name": "t", "_meta": {"progressToken": "one"}}),
    );
    between.client(&call);
    let ask = json!({"jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": {"message": "m", "elicitationId": "e"}});
    let asked = only(between.about(&json!(1), &ask), "client");
    assert_eq!(
        (&asked["id"], &asked["result"]["resultType"]),
        (&json!(1), &json!("input_required"))
    );
    let requests = &asked["result"]["inputRequests"];
    assert_eq!(
        requests,
        &json!({"0": {"method": "elicitation/create", "params": {"message": "m"}}})
    );
    let progress = |value: u32| json!({"method": "notifications/progress", "params": {"progressToken": "one", "progress": value}});
    assert!(
        between.server(&progress(1)).is_empty(),
        "nobody waits for it now"
    );
    let second = json!({"id": "b", "method": "elicitation/create", "params": {"message": "n"}});
    assert!(
        between.about(&json!(1), &second).is_empty(),
        "the client has the word"
    );

    let state = &asked["result"]["requestState"];
    let resumed = |id: u32, state: &Value, answers: Value| {
        new_request(
            id,
            "tools/call",
            json!({"name": "t", "requestState": state, "inputResponses": answers, "_meta": {"progressToken": "two"}}),
        )
    };
    let said = between.client(&resumed(2, state, json!({"0": {"action": "accept"}})));
    assert_eq!(
        said[0],
        (
            "server",
            json!({"jsonrpc": "2.0", "id": 0, "result": {"action": "accept"}})
        )
    );
    assert_eq!(
        (said[1].0, &said[1].1["id"]),
        ("client", &json!(2)),
        "the next question"
    );
    let state = said[1].1["result"]["requestState"].clone();

    // No answer: the same question again.
    let once_more = only(between.client(&resumed(3, &state, json!({}))), "client");
    assert!(once_more["result"]["inputRequests"]["b"].is_object());
    let state = once_more["result"]["requestState"].clone();
    let said = between.client(&resumed(4, &state, json!({"b": {"action": "decline"}})));
    assert_eq!(only(said, "server")["id"], "b");
    let heard = only(between.server(&progress(2)), "client");
    assert_eq!(heard["params"]["progressToken"], "two");
    let cancel = json!({"method": "notifications/cancelled", "params": {"requestId": 4}});
    let done = only(
        between.server(&json!({"id": 1, "result": {"content": []}})),
        "client",
    );
    assert_eq!(
        (&done["id"], &done["result"]["resultType"]),
        (&json!(4), &json!("complete"))
    );
    assert!(between.client(&cancel).is_empty());
    let gone = only(between.client(&resumed(5, &state, json!({}))), "client");
    assert_eq!(gone["error"]["code"], -32602);
}

#[test]
fn an_answer_that_comes_while_the_client_has_the_word_is_kept() {
    let mut between = Between::new_client(&json!({}));
    between.client(&new_request(1, "tools/call", json!({"name": "t"})));
    // Not on the call's own stream: the only call it can belong to.
    let asked = only(
        between.server(&json!({"id": "a", "method": "elicitation/create"})),
        "client",
    );
    assert!(
        between
            .server(&json!({"id": 1, "error": {"code": -1, "message": "too late"}}))
            .is_empty()
    );
    let state = &asked["result"]["requestState"];
    let steps = between.client(&new_request(
        2,
        "tools/call",
        json!({"requestState": state, "inputResponses": {"a": {}}}),
    ));
    assert_eq!(steps.len(), 2);
    assert_eq!(
        (&steps[1].1["id"], &steps[1].1["error"]["message"]),
        (&json!(2), &json!("too late"))
    );

    between.client(&new_request(3, "tools/call", json!({"name": "t"})));
    between.server(&json!({"id": "a", "method": "elicitation/create"}));
    assert_eq!(
        said_ids(said(between.0.leave())),
        [json!(3)],
        "the server hears that nobody comes back"
    );
}

fn said_ids(said: BridgeCommand) -> Vec<Value> {
    said.into_iter()
        .map(|(_, what)| what["params"]["requestId"].clone())
        .collect()
}

#[test]
fn what_nobody_can_be_asked_is_declined() {
    let mut between = Between::new_client(&json!({}));
    let roots = json!({"id": "r", "method": "roots/list"});
    let declined = only(between.server(&roots), "server");
    assert_eq!(declined["error"]["code"], -32601);
    assert!(
        declined["error"]["message"]
            .as_str()
            .unwrap()
            .contains("during a call")
    );
    between.client(&new_request(1, "tools/list", json!({})));
    assert!(only(between.about(&json!(1), &roots), "server")["error"].is_object());
    between.client(&new_request(2, "tools/call", json!({"name": "t"})));
    let declined = only(between.about(&json!(2), &roots), "server");
    assert!(
        declined["error"]["message"]
            .as_str()
            .unwrap()
            .contains("not support")
    );
    assert!(
        only(
            between.server(&json!({"id": "x", "method": "vendor/x"})),
            "server"
        )["error"]
            .is_object()
    );
}

#[test]
fn pages_to_be_opened_first_are_questions_too() {
    let mut between = Between::new_client(&json!({}));
    between.client(&new_request(1, "tools/call", json!({"name": "t"})));
    let error = json!({"code": -32042, "message": "open", "data": {"elicitations": [
        {"mode": "url", "elicitationId": "e", "url": "https://x.example", "message": "sign in"}
    ]}});
    let asked = only(between.server(&json!({"id": 1, "error": error})), "client");
    assert_eq!(
        asked["result"]["inputRequests"]["0"]["params"],
        json!({"mode": "url", "url": "https://x.example", "message": "sign in"})
    );
    let state = &asked["result"]["requestState"];
    let again = new_request(
        2,
        "tools/call",
        json!({"name": "t", "requestState": state, "inputResponses": {"0": {"action": "accept"}}}),
    );
    let sent = only(between.client(&again), "server");
    assert_eq!(
        (&sent["id"], &sent["params"]),
        (&json!(2), &json!({"name": "t"}))
    );
}

#[test]
fn a_new_client_subscribes_at_an_old_server() {
    let mut between = Between::new_client(
        &json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}}),
    );
    let filter = json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:/x", "b:"]});
    let said = between.client(&new_request(
        7,
        "subscriptions/listen",
        json!({"notifications": filter}),
    ));
    assert_eq!(said.len(), 2);
    assert!(
        between
            .server(&json!({"id": said[0].1["id"], "result": {}}))
            .is_empty()
    );
    let no = json!({"id": said[1].1["id"], "error": {"code": -32602, "message": "no"}});
    let acknowledged = only(between.server(&no), "client");
    assert_eq!(
        acknowledged["params"],
        json!({"_meta": {"io.modelcontextprotocol/subscriptionId": 7},
            "notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:/x"]}})
    );
    let other = json!({"resourceSubscriptions": ["a:/x"]});
    let said = between.client(&new_request(
        8,
        "subscriptions/listen",
        json!({"notifications": other}),
    ));
    assert_eq!(
        only(said, "client")["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        8
    );

    let changed = json!({"method": "notifications/tools/list_changed"});
    let heard = only(between.server(&changed), "client");
    assert_eq!(
        heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        7
    );
    assert!(
        between
            .server(&json!({"method": "notifications/prompts/list_changed"}))
            .is_empty()
    );
    let updated =
        |uri: &str| json!({"method": "notifications/resources/updated", "params": {"uri": uri}});
    assert_eq!(between.server(&updated("a:/x")).len(), 2);
    assert_eq!(between.server(&updated("a:/x/part")).len(), 2);
    assert!(between.server(&updated("a:/xy")).is_empty());

    let close = |id: u32| json!({"method": "notifications/cancelled", "params": {"requestId": id}});
    assert!(
        between.client(&close(7)).is_empty(),
        "somebody else still watches it"
    );
    let left = only(between.client(&close(8)), "server");
    assert_eq!(
        (&left["method"], &left["params"]["uri"]),
        (&json!("resources/unsubscribe"), &json!("a:/x"))
    );
    assert!(between.server(&changed).is_empty());
}
