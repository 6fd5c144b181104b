//! What an earlier process found out about the server's era, and what becomes of it when it is wrong.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authkeeper::platform::clock::SystemClock;
use serde_json::json;
use tempfile::TempDir;

use super::{
    rig::{INITIALIZE, Reply, Request, Rig, Seen, authorization_missing, status},
    versions::{answer, error, handshake, request, stateless},
};
use crate::{
    mcp::{
        options::BridgeOptions,
        upstream::{Upstream, UpstreamRequest},
        version::VersionCache,
    },
    wait::{WaitReason, Waiting},
};

/// A server of one era.
type Server = fn(&Request) -> Reply;

fn only_stateless(request: &Request) -> Reply {
    stateless(request, |request| {
        answer(request, json!({"resultType": "complete", "tools": []}))
    })
}

fn only_handshake(request: &Request) -> Reply {
    handshake(request, |request| match request.verb.as_str() {
        "POST" => answer(request, json!({"tools": []})),
        _ => status(http::StatusCode::METHOD_NOT_ALLOWED),
    })
}

fn options(data: &TempDir) -> BridgeOptions {
    let clock = Arc::new(SystemClock::new());
    let memory = VersionCache::beside(data.path(), "https://s.example/mcp", clock);
    BridgeOptions {
        memory: Some(memory),
        ..BridgeOptions::default()
    }
}

fn start(data: &TempDir, server: Server) -> Rig {
    Rig::with(options(data), move |request| {
        let reply = server(request);
        async { reply }
    })
}

/// The first thing a client says, and what then reached the server before it was answered.
async fn begun(data: &TempDir, server: Server, first: &str) -> Vec<String> {
    let mut rig = start(data, server);
    let answer = rig.ask(first).await;
    assert!(answer.get("result").is_some(), "{answer}");
    let mut whats = rig.whats();
    whats.retain(|what| what != "GET" && what != "notifications/initialized");
    rig.close_input();
    rig.ended().await.unwrap();
    whats
}

fn list() -> String {
    request(1, "tools/list", json!({}))
}

#[tokio::test(start_paused = true)]
async fn the_next_process_begins_in_the_servers_era() {
    let data = tempfile::tempdir().unwrap();
    let first = begun(&data, only_stateless, INITIALIZE).await;
    assert_eq!(first, ["initialize", "server/discover"]);
    let next = begun(&data, only_stateless, INITIALIZE).await;
    assert_eq!(next, ["server/discover"]);
    let native = begun(&data, only_stateless, &list()).await;
    assert_eq!(native, ["tools/list"], "this client is of the server's era");
    let data = tempfile::tempdir().unwrap();
    let first = begun(&data, only_handshake, &list()).await;
    let asked = ["tools/list", "server/discover", "initialize", "tools/list"];
    assert_eq!(first, asked);
    let next = begun(&data, only_handshake, &list()).await;
    assert_eq!(next, ["initialize", "tools/list"]);
}

/// The same, but what it does not know is refused as a gateway refuses while nobody is behind it.
fn handshake_behind_a_gateway(request: &Request) -> Reply {
    let knows = request.header("mcp-protocol-version") != Some("2026-07-28");
    if knows {
        return only_handshake(request);
    }
    status(http::StatusCode::NOT_FOUND)
}

#[tokio::test(start_paused = true)]
async fn a_bad_minute_is_not_remembered() {
    for first in [list(), request(1, "server/discover", json!({}))] {
        let data = tempfile::tempdir().unwrap();
        let now = begun(&data, handshake_behind_a_gateway, &first).await;
        assert!(now.contains(&"initialize".to_owned()), "{now:?}");
        let next = begun(&data, only_stateless, &list()).await;
        assert_eq!(next, ["tools/list"], "it is asked in its client's era");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_wrongly_is_forgotten_at_once() {
    let data = tempfile::tempdir().unwrap();
    begun(&data, only_stateless, INITIALIZE).await;
    let moved = begun(&data, only_handshake, INITIALIZE).await;
    assert_eq!(moved, ["server/discover", "initialize"]);
    let next = begun(&data, only_handshake, INITIALIZE).await;
    assert_eq!(next, ["initialize"]);
    begun(&data, only_handshake, &list()).await;
    let moved = begun(&data, only_stateless, &list()).await;
    assert_eq!(moved, ["initialize", "tools/list"]);
    let next = begun(&data, only_stateless, &list()).await;
    assert_eq!(next, ["tools/list"]);
}

/// A server that nobody is authorized to ask, until the client has gone.
struct WaitGuard;

#[async_trait]
impl Upstream for WaitGuard {
    async fn send(&self, _request: UpstreamRequest, waiting: &Waiting) -> Reply {
        let held = waiting.begin();
        held.says(WaitReason {
            what: "Open the link.".into(),
            limit: Duration::from_mins(30),
            for_a_person: true,
        });
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_first_waits_for_a_person_as_the_message_would() {
    let data = tempfile::tempdir().unwrap();
    begun(&data, only_stateless, INITIALIZE).await;
    let mut rig = Rig::over((Arc::new(WaitGuard), Seen::default()), options(&data));
    rig.write(INITIALIZE).await;
    rig.silence().await;
    let before = tokio::time::Instant::now();
    rig.close_input();
    rig.ended().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "it ends at once");
}

/// Nobody is told that all is well because it once was; nor does it tell anything about the server's era.
#[tokio::test(start_paused = true)]
async fn without_authority_nothing_is_answered_from_memory() {
    let data = tempfile::tempdir().unwrap();
    begun(&data, only_stateless, INITIALIZE).await;
    let mut rig = start(&data, |_request| Err(authorization_missing()));
    assert_eq!(rig.ask(INITIALIZE).await["error"]["code"], -31001);
    let discover = request(2, "server/discover", json!({}));
    assert_eq!(rig.ask(&discover).await["error"]["code"], -31001);
    let next = begun(&data, only_stateless, INITIALIZE).await;
    assert_eq!(next, ["server/discover"], "it still remembers");
    let mut busy = start(&data, |request| error(request, 503, -32603));
    busy.ask(INITIALIZE).await;
    let next = begun(&data, only_stateless, INITIALIZE).await;
    assert_eq!(next, ["server/discover"], "a bad day is no contradiction");
}
