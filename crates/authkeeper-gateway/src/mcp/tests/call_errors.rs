//! What the client is told when there is no answer to pass on.

use std::future::pending;
use std::{sync::Mutex, time::Duration};

use serde_json::json;

use super::rig::{Reply, Rig, authorization_missing, respond, sse};
use crate::{
    error::{CallError, CallErrorKind},
    mcp::{options::BridgeOptions, pump::outcome::BridgeError},
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call","params":{"name":"pay"}}"#;

async fn answer_to(reply: impl Fn() -> Reply) -> serde_json::Value {
    let reply = Mutex::new(Some(reply()));
    let mut rig = Rig::new(move |_| {
        let reply = reply.lock().unwrap().take().unwrap();
        async { reply }
    });
    let answer = rig.ask(CALL).await;
    assert_eq!(answer["id"], "c1");
    assert_eq!(rig.seen().len(), 1, "a call is never repeated by itself");
    answer["error"].clone()
}

#[tokio::test(start_paused = true)]
async fn missing_authority_is_told_to_the_model() {
    let link = Some("https://k.example/r/1".to_owned());
    let missing = || Err(authorization_missing().with_link(link.clone()));
    let error = answer_to(missing).await;
    assert_eq!(error["code"], -31001);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("Nothing was done") && message.contains("https://k.example/r/1"));
    assert_eq!(error["data"]["connection"], "notion");
    assert_eq!(error["data"]["executed"], "no");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_has_its_code() {
    for kind in CallErrorKind::ALL {
        let error = answer_to(|| Err(CallError::new(kind, ""))).await;
        assert_eq!(error["code"], kind.code());
        assert_eq!(error["data"]["error"], kind.word());
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_instead_of_a_message_is_named_not_shown() {
    let error = answer_to(|| respond(502, "text/html; charset=utf-8", "<b>secret</b>")).await;
    assert_eq!(error["code"], -31005);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("HTTP 502 with text/html")
    );
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn json_that_is_no_answer_is_an_error_too() {
    let not_ours = answer_to(|| respond(200, "application/json", r#"{"id":2,"result":{}}"#)).await;
    assert_eq!(not_ours["code"], -31005);
    let not_rpc = answer_to(|| respond(500, "application/json", r#"{"detail":"secret"}"#)).await;
    assert_eq!(not_rpc["data"]["status"], 500);
    let accepted = answer_to(|| respond(202, "application/json", "")).await;
    assert_eq!(accepted["data"]["status"], 202);
}

#[tokio::test(start_paused = true)]
async fn an_http_error_that_names_no_request_goes_to_the_one_that_caused_it() {
    let body =
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"No session"}}"#;
    let mut rig = Rig::new(move |_| async move { respond(400, "application/json", body) });
    rig.write(CALL).await;
    let expected = r#"{"jsonrpc":"2.0","id":"c1","error":{"code":-32600,"message":"No session"}}"#;
    assert_eq!(rig.line().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_failed_notification_gets_no_answer() {
    let mut rig = Rig::new(|_| async { respond(500, "text/html", "") });
    rig.write(r#"{"method":"notifications/progress"}"#).await;
    rig.silence().await;
    assert_eq!(rig.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_and_lines_have_a_bound() {
    let options = BridgeOptions {
        max_message: 100,
        ..BridgeOptions::default()
    };
    let mut rig = Rig::with(options, |request| {
        let long = "x".repeat(100);
        let reply = match request.json()["id"].as_u64() {
            Some(1) => respond(
                200,
                "application/json",
                format!(r#"{{"id":1,"result":"{long}"}}"#),
            ),
            _ => sse(&format!("data: {{\"id\":2,\"result\":\"{long}\"}}\n\n")),
        };
        async { reply }
    });
    for id in 1..=2 {
        let answer = rig.ask(&format!(r#"{{"id":{id},"method":"x"}}"#)).await;
        assert_eq!(
            answer["error"]["data"]["kind"], "answer_too_large",
            "{answer}"
        );
    }
    let refused = rig
        .ask(&format!(r#"{{"id":3,"method":"{}"}}"#, "x".repeat(100)))
        .await;
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(null), &json!(-32600))
    );
    assert_eq!(rig.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_no_messages_are_refused_with_a_null_id() {
    let mut rig = Rig::new(|_| async { respond(200, "application/json", "") });
    for (line, code) in [
        ("{\"id\":1", -32700),
        ("nonsense", -32700),
        ("{\"id\":1}", -32600),
    ] {
        let refused = rig.ask(line).await;
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&json!(null), &json!(code))
        );
    }
    assert!(rig.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_requests_are_under_way_at_once() {
    let options = BridgeOptions {
        in_flight: 2,
        ..BridgeOptions::default()
    };
    let mut rig = Rig::with(options, |_| async { pending().await });
    for id in 1..=5 {
        rig.write(&format!(r#"{{"id":{id},"method":"tools/call"}}"#))
            .await;
    }
    rig.write(r#"{"id":"s","result":{}}"#).await;
    rig.until(|seen| seen.len() == 3).await;
    rig.silence().await;
    assert_eq!(
        rig.only("tools/call").len(),
        2,
        "a response needs no free place"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_waits_for_calls_but_not_for_ever() {
    let mut rig = Rig::new(|request| {
        let answered = request.json()["id"] == 1;
        async move {
            if !answered {
                pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
            respond(200, "application/json", r#"{"id":1,"result":{}}"#)
        }
    });
    rig.write(r#"{"id":1,"method":"tools/call"}"#).await;
    rig.write(r#"{"id":2,"method":"tools/call"}"#).await;
    let started = tokio::time::Instant::now();
    rig.close_input();
    assert_eq!(rig.json().await["id"], 1);
    rig.ended().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_ends_the_bridge() {
    let reply = || respond(200, "application/json", r#"{"id":1,"result":{}}"#);
    let mut rig = Rig::new(move |_| async move { reply() });
    rig.stop_reading();
    rig.write(r#"{"id":1,"method":"x"}"#).await;
    assert!(matches!(rig.ended().await, Err(BridgeError::Output(_))));
}

#[tokio::test(start_paused = true)]
async fn what_a_body_leaves_unanswered_gets_an_error() {
    let body = r#"[{"id":1,"result":{}}]"#;
    let mut rig = Rig::new(move |_| async move { respond(200, "application/json", body) });
    let first = rig
        .ask(r#"[{"id":1,"method":"a"},{"id":2,"method":"b"}]"#)
        .await;
    assert_eq!(first[0]["id"], 1);
    let second = rig.json().await;
    assert_eq!(
        (&second["id"], &second["error"]["code"]),
        (&json!(2), &json!(-31005))
    );
}
