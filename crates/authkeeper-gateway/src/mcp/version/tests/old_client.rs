//! A client of the handshake era before a stateless server.

use serde_json::{Value, json};

use super::{Between, only};

#[test]
fn an_old_clients_request_says_who_it_is_and_its_answer_is_plain() {
    let mut between = Between::old_client(&json!({"logging": {}}));
    let level = json!({"id": 1, "method": "logging/setLevel", "params": {"level": "warning"}});
    assert_eq!(only(between.client(&level), "client")["result"], json!({}));
    let odd = json!({"id": 2, "method": "logging/setLevel", "params": {"level": "loud"}});
    assert_eq!(
        only(between.client(&odd), "client")["error"]["code"],
        -32602
    );
    assert_eq!(
        only(
            between.client(&json!({"id": 3, "method": "ping"})),
            "client"
        )["result"],
        json!({})
    );

    let call = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": {"name": "t", "task": {}, "_meta": {"progressToken": 1}}});
    let sent = only(between.client(&call), "server");
    assert_eq!(sent["params"].get("task"), None);
    let meta = &sent["params"]["_meta"];
    assert_eq!(meta["progressToken"], 1);
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "warning");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "old");
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {}, "sampling": {}, "roots": {}})
    );
    let progress = json!({"method": "notifications/progress", "params": {"progressToken": 1}});
    assert_eq!(only(between.server(&progress), "client"), progress);
    let answer = json!({"id": "c", "result": {"resultType": "complete", "content": []}});
    let heard = only(between.server(&answer), "client");
    assert_eq!(heard, json!({"id": "c", "result": {"content": []}}));
    let failure = json!({"id": 9, "error": {"code": -31004, "message": "broke"}});
    between.client(&json!({"id": 9, "method": "tools/list"}));
    assert_eq!(only(between.server(&failure), "client"), failure);
}

#[test]
fn what_a_new_server_asks_becomes_requests_to_an_old_client() {
    let mut between = Between::old_client(&json!({}));
    between.client(&json!({"id": 1, "method": "tools/call", "params": {"name": "t"}}));
    let asked = json!({"id": 1, "result": {"resultType": "input_required", "requestState": "s\u{fc}", "inputRequests": {
        "who": {"method": "elicitation/create", "params": {"mode": "url", "message": "m", "url": "https://x.example"}},
        "where": {"method": "roots/list"}
    }}});
    let questions = between.server(&asked);
    let (place, who) = (&questions[0].1, &questions[1].1);
    assert_eq!(
        (questions[1].0, &who["method"]),
        ("client", &json!("elicitation/create"))
    );
    assert!(
        who["params"]["elicitationId"].is_string(),
        "2025-11-25 wants one"
    );
    assert_eq!(
        (&place["method"], place.get("params")),
        (&json!("roots/list"), None)
    );

    let here = json!({"id": place["id"], "result": {"roots": []}});
    assert!(between.client(&here).is_empty(), "one answer is missing");
    let yes = json!({"id": who["id"], "result": {"action": "accept"}});
    let again = only(between.client(&yes), "server");
    assert_ne!(again["id"], 1, "a request of its own");
    assert_eq!(again["params"]["name"], "t");
    assert_eq!(again["params"]["requestState"], "s\u{fc}");
    assert_eq!(
        again["params"]["inputResponses"],
        json!({"where": {"roots": []}, "who": {"action": "accept"}})
    );

    // Without a state there must be none, and without questions the call is made again at once.
    let state =
        json!({"id": again["id"], "result": {"resultType": "input_required", "requestState": "t"}});
    let third = only(between.server(&state), "server");
    assert_eq!(third["params"]["requestState"], "t");
    assert_eq!(third["params"].get("inputResponses"), None);
    let more = json!({"id": third["id"], "result": {"resultType": "input_required", "inputRequests": {"n": {"method": "roots/list"}}}});
    let question = only(between.server(&more), "client");
    let fourth = only(
        between.client(&json!({"id": question["id"], "result": {"roots": []}})),
        "server",
    );
    assert_eq!(fourth["params"].get("requestState"), None);
    let done = json!({"id": fourth["id"], "result": {"resultType": "complete", "content": []}});
    assert_eq!(
        only(between.server(&done), "client"),
        json!({"id": 1, "result": {"content": []}})
    );
}

#[test]
fn a_question_that_is_refused_ends_the_call_in_plain_words() {
    let mut between = Between::old_client(&json!({}));
    between.client(&json!({"id": 1, "method": "tools/call", "params": {"name": "t"}}));
    let asked = json!({"id": 1, "result": {"resultType": "input_required", "inputRequests": {
        "a": {"method": "sampling/createMessage", "params": {}}, "b": {"method": "roots/list"}
    }}});
    let questions = between.server(&asked);
    let no = json!({"id": questions[0].1["id"], "error": {"code": -1, "message": "not now"}});
    let said = between.client(&no);
    assert_eq!(said[0].1["method"], "notifications/cancelled");
    assert_eq!(said[0].1["params"]["requestId"], questions[1].1["id"]);
    assert_eq!(
        (&said[1].1["id"], &said[1].1["error"]["code"]),
        (&json!(1), &json!(-1))
    );
    let text = said[1].1["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("not now") && text.contains("unknown"),
        "{text}"
    );
}

#[test]
fn a_server_that_asks_nothing_for_ever_is_not_heard_for_ever() {
    let mut between = Between::old_client(&json!({}));
    between.client(&json!({"id": 1, "method": "tools/call", "params": {"name": "t"}}));
    let mut id = json!(1);
    for round in 0.. {
        let again =
            json!({"id": id, "result": {"resultType": "input_required", "requestState": "x"}});
        let said = between.server(&again);
        if said[0].0 == "client" {
            assert_eq!((said[0].1["id"].clone(), round), (json!(1), 8));
            return;
        }
        id = said[0].1["id"].clone();
    }
}

#[test]
fn an_old_clients_cancellation_follows_the_call_through_its_rounds() {
    let mut between = Between::old_client(&json!({}));
    let cancel = json!({"method": "notifications/cancelled", "params": {"requestId": 1}});
    let call = json!({"id": 1, "method": "tools/call", "params": {"name": "t"}});
    let asked = |id: &Value| json!({"id": id, "result": {"resultType": "input_required", "inputRequests": {"n": {"method": "roots/list"}}}});
    between.client(&call);
    assert_eq!(
        only(between.client(&cancel), "server")["params"]["requestId"],
        1
    );
    assert!(between.client(&cancel).is_empty(), "it is over");

    between.client(&call);
    let question = only(between.server(&asked(&json!(1))), "client");
    let withdrawn = only(between.client(&cancel), "client");
    assert_eq!(withdrawn["params"]["requestId"], question["id"]);

    between.client(&call);
    let question = only(between.server(&asked(&json!(1))), "client");
    let again = only(
        between.client(&json!({"id": question["id"], "result": {}})),
        "server",
    );
    assert_eq!(
        only(between.client(&cancel), "server")["params"]["requestId"],
        again["id"]
    );
}

#[test]
fn an_old_client_listens_through_a_subscription() {
    let mut between = Between::old_client(
        &json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}}),
    );
    let listen = only(
        between.client(&json!({"method": "notifications/initialized"})),
        "server",
    );
    assert_eq!(
        listen["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
    let acknowledged = |id: &Value, resources: Value| {
        let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
        json!({"method": "notifications/subscriptions/acknowledged",
            "params": {"_meta": meta, "notifications": {"resourceSubscriptions": resources}}})
    };
    assert!(
        between
            .server(&acknowledged(&listen["id"], json!([])))
            .is_empty()
    );

    let subscribe = |id: u32, uri: &str| json!({"id": id, "method": "resources/subscribe", "params": {"uri": uri}});
    let wider = only(between.client(&subscribe(1, "a:1")), "server");
    assert_eq!(
        wider["params"]["notifications"]["resourceSubscriptions"],
        json!(["a:1"])
    );
    let steps = between.server(&acknowledged(&wider["id"], json!(["a:1"])));
    assert_eq!(
        steps[0],
        ("client", json!({"jsonrpc": "2.0", "id": 1, "result": {}}))
    );
    assert_eq!(
        steps[1].1["params"]["requestId"], listen["id"],
        "the old one is closed"
    );

    // Not honoured.
    let wider = between.client(&subscribe(2, "b:2"));
    let steps = between.server(&acknowledged(&wider[0].1["id"], json!(["a:1"])));
    assert_eq!(steps[0].1["error"]["code"], -32602);

    let updated = json!({"method": "notifications/resources/updated",
        "params": {"uri": "a:1", "_meta": {"io.modelcontextprotocol/subscriptionId": "x", "kept": 1}}});
    let heard = only(between.server(&updated), "client");
    assert_eq!(heard["params"], json!({"uri": "a:1", "_meta": {"kept": 1}}));

    // It breaks: another one after a while.
    let broken = json!({"id": wider[0].1["id"], "error": {"code": -31004, "message": "broke"}});
    let next = only(between.server(&broken), "later");
    assert_eq!(
        next["params"]["notifications"]["resourceSubscriptions"],
        json!(["a:1"])
    );
    let steps = between
        .client(&json!({"id": 3, "method": "resources/unsubscribe", "params": {"uri": "a:1"}}));
    assert_eq!(steps[0].1["result"], json!({}));
    assert_eq!(
        steps[1].1["params"]["notifications"],
        json!({"toolsListChanged": true})
    );

    // The server knows none after all.
    let none = json!({"id": steps[1].1["id"], "error": {"code": -32601, "message": "no"}});
    assert!(between.server(&none).is_empty());
    assert_eq!(
        only(between.client(&subscribe(4, "a:1")), "client")["error"]["code"],
        -32602
    );
}

#[test]
fn an_array_of_messages_is_carried_one_by_one() {
    let mut between = Between::old_client(&json!({}));
    let said = between.client(&json!([
        {"id": 1, "method": "ping"}, {"id": 2, "method": "tools/list"}, {"method": "notifications/roots/list_changed"}
    ]));
    assert_eq!((said.len(), said[0].0, said[1].0), (2, "client", "server"));
}
