//! Requests that wait for a person: what their client hears, and what ends the wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::rig::{
    INITIALIZE, INITIALIZED, Reply, Rig, Seen, authorization_missing, handshake_or, no_stream,
    server,
};
use crate::{
    mcp::{
        options::BridgeOptions,
        upstream::{Upstream, UpstreamRequest},
    },
    wait::{WaitReason, Waiting},
};

/// Every message of this method waits until a person has come; what it waits for ends with it.
struct HoldingUpstream {
    server: Arc<dyn Upstream>,
    method: &'static str,
    came: Arc<Notify>,
    /// Counts those that wait.
    waiting: Arc<Notify>,
}

#[async_trait]
impl Upstream for HoldingUpstream {
    async fn send(&self, request: UpstreamRequest, waiting: &Waiting) -> Reply {
        if String::from_utf8_lossy(&request.body).contains(self.method) {
            let held = waiting.begin();
            held.says(WaitReason {
                what: "Open http://127.0.0.1:1/a.".into(),
                limit: Duration::from_mins(30),
                for_a_person: true,
            });
            self.waiting.notify_one();
            self.came.notified().await;
        }
        self.server.send(request, waiting).await
    }
}

struct Scene {
    rig: Rig,
    came: Arc<Notify>,
    waiting: Arc<Notify>,
}

fn scene() -> Scene {
    scene_holding("tools/call")
}

fn scene_holding(method: &'static str) -> Scene {
    let (server, seen): (Arc<dyn Upstream>, Seen) = server(|request| {
        let reply = handshake_or(request, "s1", no_stream);
        async move { reply }
    });
    let (came, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let keeper = HoldingUpstream {
        server,
        method,
        came: Arc::clone(&came),
        waiting: Arc::clone(&waiting),
    };
    let rig = Rig::over((Arc::new(keeper), seen), BridgeOptions::default());
    Scene { rig, came, waiting }
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"p"}}}"#;
const MODERN: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":"p"}}}"#;
const SILENT: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}"#;

fn told(progress: &Value) -> (f64, String) {
    assert_eq!(progress["method"], "notifications/progress");
    let params = &progress["params"];
    assert_eq!(params["progressToken"], "p");
    let message = params["message"].as_str().unwrap().to_owned();
    (params["progress"].as_f64().unwrap(), message)
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_every_ten_seconds_and_then_the_answer_comes() {
    for call in [CALL, MODERN] {
        let mut scene = scene();
        if call == CALL {
            scene.rig.handshake().await;
        }
        scene.rig.write(call).await;
        let (first, said) = told(&scene.rig.json().await);
        assert_eq!(
            said,
            "Open http://127.0.0.1:1/a. Waited 0 s so far, at most 30 min."
        );
        let before = tokio::time::Instant::now();
        let (second, said) = told(&scene.rig.json().await);
        assert_eq!(before.elapsed().as_secs(), 10);
        assert!(said.contains("Waited 10 s"), "{said}");
        assert!(second > first);
        assert_eq!(scene.rig.only("tools/call").len(), 0, "nothing was sent");
        scene.came.notify_one();
        assert_eq!(scene.rig.json().await["id"], 7);
        assert_eq!(scene.rig.only("tools/call").len(), 1);
        scene.rig.silence().await;
    }
}

/// Authority is lost while the handshake is under way: what comes after it waits for the person as well, and can be given up.
#[tokio::test(start_paused = true)]
async fn a_call_behind_one_that_waits_tells_so_too() {
    let mut scene = scene_holding("notifications/initialized");
    scene.rig.ask(INITIALIZE).await;
    scene.rig.write(INITIALIZED).await;
    scene.waiting.notified().await;
    scene.rig.write(CALL).await;
    let (first, said) = told(&scene.rig.json().await);
    assert!(said.contains("http://127.0.0.1:1/a"), "{said}");
    let (second, _) = told(&scene.rig.json().await);
    assert!(second > first);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    scene.rig.write(&cancel.to_string()).await;
    scene.rig.write(&CALL.replace(":7", ":8")).await;
    told(&scene.rig.json().await);
    scene.came.notify_one();
    assert_eq!(scene.rig.json().await["id"], 8);
    assert_eq!(scene.rig.only("tools/call").len(), 1);
    assert!(scene.rig.only("notifications/cancelled").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_did_not_ask_hears_nothing() {
    let mut scene = scene();
    scene.rig.handshake().await;
    scene.rig.write(SILENT).await;
    scene.waiting.notified().await;
    scene.rig.silence().await;
    scene.came.notify_one();
    assert_eq!(scene.rig.json().await["id"], 7);
}

/// The server has not heard of the call: it is not told either, and a person who comes later brings nothing back.
#[tokio::test(start_paused = true)]
async fn a_cancelled_call_waits_no_more() {
    let mut scene = scene();
    scene.rig.handshake().await;
    scene.rig.write(SILENT).await;
    scene.waiting.notified().await;
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    scene.rig.write(&cancel.to_string()).await;
    let ping = r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#;
    assert_eq!(scene.rig.ask(ping).await["id"], 8);
    scene.came.notify_one();
    scene.rig.silence().await;
    assert!(scene.rig.only("tools/call").is_empty());
    assert!(scene.rig.only("notifications/cancelled").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_ends_the_wait_at_once() {
    let mut scene = scene();
    scene.rig.handshake().await;
    scene.rig.write(SILENT).await;
    scene.waiting.notified().await;
    let before = tokio::time::Instant::now();
    scene.rig.close_input();
    let refused = scene.rig.json().await;
    assert_eq!(refused["id"], 7);
    assert_eq!(refused["error"]["data"]["executed"], "no", "{refused}");
    scene.rig.ended().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1));
    scene.came.notify_one();
    assert!(scene.rig.only("tools/call").is_empty());
}

/// At the end of the hold the call fails as it would have at once.
#[tokio::test(start_paused = true)]
async fn a_hold_that_is_over_is_a_typed_error() {
    let (server, seen) = server(|_request| async { Err(authorization_missing()) });
    let mut rig = Rig::over((server, seen), BridgeOptions::default());
    let answer = rig.ask(MODERN).await;
    assert_eq!(answer["error"]["code"], -31001);
    assert_eq!(answer["error"]["data"]["executed"], "no");
}
