//! The interpreters alone: what goes in, what comes out.

use serde_json::{Value, json};

use super::super::message::{Id, Message};
use super::super::object::Object;
use super::shapes::Hello;
use super::{Interpreter, Step, ToHandshake, ToStateless};

fn message(value: &Value) -> Message {
    Message::parse(value.to_string().into()).unwrap()
}

fn object(value: &Value) -> Object {
    Object::parse(&value.to_string()).unwrap()
}

struct Between(Interpreter);

/// What was to be said, in order: `("client", …)`, `("server", …)` or `("later", …)`.
type Said = Vec<(&'static str, Value)>;

impl Between {
    /// A handshake client with all capabilities before a stateless server.
    fn old_client(capabilities: &Value) -> Self {
        let hello = Hello::of(&message(
            &json!({"id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "clientInfo": {"name": "old", "version": "1"},
                "capabilities": {"elicitation": {}, "sampling": {}, "roots": {"listChanged": true}}
            }}),
        ));
        let discovered = object(&json!({"capabilities": capabilities}));
        Self(Interpreter::ToStateless(ToStateless::new(
            hello,
            &discovered,
        )))
    }

    /// A stateless client before a handshake server.
    fn new_client(capabilities: &Value) -> Self {
        let welcome =
            json!({"capabilities": capabilities, "serverInfo": {"name": "s", "version": "1"}});
        Self(Interpreter::ToHandshake(ToHandshake::new(&object(
            &welcome,
        ))))
    }

    fn client(&mut self, value: &Value) -> Said {
        match self.0.hear_client(message(value)) {
            Ok(steps) => said(steps),
            Err(_) => vec![("itself", Value::Null)],
        }
    }

    fn server(&mut self, value: &Value) -> Said {
        said(self.0.hear_server(None, value.to_string().into()))
    }

    fn about(&mut self, id: &Value, value: &Value) -> Said {
        let id = Id::parse(&serde_json::value::to_raw_value(id).unwrap());
        said(self.0.hear_server(Some(id.key()), value.to_string().into()))
    }
}

fn said(steps: Vec<Step>) -> Said {
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let one = |step| match step {
        Step::ToClient(bytes) => ("client", value(&bytes)),
        Step::ToServer(message) => ("server", value(&message.body)),
        Step::Later(_, message) => ("later", value(&message.body)),
    };
    steps.into_iter().map(one).collect()
}

/// The one thing said.
fn only(said: Said, to: &str) -> Value {
    let mut said = said;
    assert_eq!(said.len(), 1, "{said:?}");
    let (to_whom, what) = said.remove(0);
    assert_eq!(to_whom, to, "{what}");
    what
}

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

fn said_ids(said: Said) -> Vec<Value> {
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
