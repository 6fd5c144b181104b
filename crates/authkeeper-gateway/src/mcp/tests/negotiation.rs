//! Messages that depend on which era the server speaks, while that is found out.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    rig::{INITIALIZE, INITIALIZED, Once, Reply, Request, Rig, live, status},
    versions::{answer, handshake, request, stateless},
};

fn only_handshake(request: &Request) -> Reply {
    handshake(request, |request| match request.verb.as_str() {
        "POST" => answer(request, json!({"tools": [], "content": []})),
        _ => status(StatusCode::METHOD_NOT_ALLOWED),
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_pipelined_behind_a_handshake_that_is_refused_is_translated_at_once() {
    let (_feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |request| {
        let reply = stateless(request, |request| match request.what().as_str() {
            "subscriptions/listen" => live.take().unwrap().events(),
            _ => answer(request, json!({"resultType": "complete", "tools": []})),
        });
        async { reply }
    });
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for line in [INITIALIZE, INITIALIZED, list] {
        rig.write(line).await;
    }
    assert_eq!(rig.json().await["id"], 0);
    assert_eq!(
        rig.json().await,
        json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": []}})
    );
    rig.until(|seen| seen.iter().any(|one| one.what() == "subscriptions/listen"))
        .await;
    let in_the_clients_words = |one: &Request| one.header("mcp-protocol-version").is_none();
    let seen = rig.seen();
    let refused: Vec<String> = seen
        .iter()
        .filter(|one| in_the_clients_words(one))
        .map(Request::what)
        .collect();
    assert_eq!(refused, ["initialize"]);
}

#[tokio::test(start_paused = true)]
async fn one_negotiation_serves_all_messages_that_were_refused() {
    let mut rig = Rig::new(|request| {
        let reply = only_handshake(request);
        async { reply }
    });
    for id in 1..=5 {
        rig.write(&request(id, "tools/list", json!({}))).await;
    }
    let mut answered = vec![];
    for _ in 1..=5 {
        let answer = rig.json().await;
        assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
        answered.push(answer["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 2, 3, 4, 5]);
    assert_eq!(rig.only("server/discover").len(), 1);
    assert_eq!(rig.only("initialize").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_cancelled_meanwhile_is_not_said_again() {
    let found = Arc::new(Notify::new());
    let asked = Arc::clone(&found);
    let mut rig = Rig::new(move |request| {
        let reply = only_handshake(request);
        let waits = request.what() == "server/discover";
        let asked = Arc::clone(&asked);
        async move {
            if waits {
                asked.notified().await;
            }
            reply
        }
    });
    rig.write(&request(1, "tools/list", json!({}))).await;
    rig.write(&request(2, "tools/call", json!({"name": "pay"})))
        .await;
    let there = |seen: &[Request], what| seen.iter().any(|one| one.what() == what);
    rig.until(|seen| there(seen, "server/discover") && there(seen, "tools/call"))
        .await;
    rig.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#)
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    found.notify_one();
    assert_eq!(rig.json().await["id"], 1);
    rig.silence().await;
    assert_eq!(rig.only("tools/call").len(), 1, "refused once, and dropped");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_a_session_of_its_own_ends_the_translation() {
    let mut rig = Rig::new(|request| {
        let reply = only_handshake(request);
        async { reply }
    });
    let translated = rig.ask(&request(1, "tools/list", json!({}))).await;
    assert_eq!(translated["result"]["resultType"], "complete");
    let welcome = rig.ask(INITIALIZE).await;
    assert_eq!(
        welcome,
        json!({"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18"}})
    );
    rig.write(INITIALIZED).await;
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    assert_eq!(
        rig.ask(list).await["result"],
        json!({"tools": [], "content": []})
    );
    assert_eq!(rig.only("initialize").len(), 2);
}
