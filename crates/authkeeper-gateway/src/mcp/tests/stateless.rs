//! From 2026-07-28: no session, headers from the message, a closed stream cancels.

use bytes::Bytes;

use super::rig::*;

fn request(id: u32, method: &str, params: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{meta}}}}}"#)
}

#[tokio::test(start_paused = true)]
async fn every_request_describes_itself() {
    let mut rig = Rig::new(|request| {
        let mut reply = no_stream(request).unwrap();
        reply
            .headers_mut()
            .insert("mcp-session-id", "ignored".parse().unwrap());
        async { Ok(reply) }
    });
    rig.ask(&request(1, "server/discover", "")).await;
    rig.ask(&request(2, "prompts/get", r#""name":"add","#))
        .await;
    rig.ask(&request(3, "resources/read", r#""uri":"file:///ü","#))
        .await;
    let seen = rig.seen();
    for one in &seen {
        assert_eq!(one.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(one.header("mcp-session-id"), None);
        assert_eq!(one.header("mcp-method").unwrap(), one.what());
    }
    let names: Vec<_> = seen.iter().map(|one| one.header("mcp-name")).collect();
    assert_eq!(
        names,
        [None, Some("add"), Some("=?base64?ZmlsZTovLy/DvA==?=")]
    );
    assert!(rig.only("GET").is_empty());
}

#[tokio::test(start_paused = true)]
async fn cancelling_closes_the_stream_and_nothing_else() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |_| {
        let live = live.take().unwrap();
        async { live.events() }
    });
    rig.write(&request(1, "prompts/get", r#""name":"slow","#))
        .await;
    feed.send(Bytes::from(
        "data: {\"method\":\"notifications/progress\"}\n\n",
    ))
    .await
    .unwrap();
    rig.line().await;
    let cancelled = tokio::time::Instant::now();
    rig.write(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    closed(&feed).await;
    assert!(cancelled.elapsed().as_millis() < 100, "at once");
    rig.silence().await;
    assert_eq!(rig.whats(), ["prompts/get"]);
}

#[tokio::test(start_paused = true)]
async fn cancelling_what_is_not_under_way_is_ignored() {
    let mut rig = Rig::new(|request| {
        let reply = no_stream(request);
        async { reply }
    });
    rig.write(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    rig.write(r#"{"method":"notifications/cancelled"}"#).await;
    rig.ask(&request(1, "tools/list", "")).await;
    assert_eq!(rig.whats(), ["tools/list"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_fails_the_call_and_repeats_nothing() {
    let mut rig = Rig::new(|_| async { sse("id: e1\ndata: {\"method\":\"n\"}\n\n") });
    assert_eq!(rig.ask(&request(1, "tools/call", "")).await["method"], "n");
    let answer = rig.json().await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&1.into(), &(-31004).into())
    );
    assert_eq!(answer["error"]["data"]["executed"], "unknown");
    assert_eq!(rig.whats(), ["tools/call"]);
}

#[tokio::test(start_paused = true)]
async fn errors_with_a_status_pass_through() {
    let error = r#"{"jsonrpc":"2.0","x-later":1.0,"id":1,"error":{"code":-32022,"message":"no","data":{"supported":["x"]}}}"#;
    let mut rig = Rig::new(move |_| async move { respond(400, "application/json", error) });
    rig.write(&request(1, "server/discover", "")).await;
    assert_eq!(rig.line().await, error);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_does_not_hold_up_the_end() {
    let (feed, live) = live();
    let live = Once::new(live);
    let mut rig = Rig::new(move |_| {
        let live = live.take().unwrap();
        async { live.events() }
    });
    rig.write(&request(1, "subscriptions/listen", "")).await;
    rig.until(|seen| !seen.is_empty()).await;
    let started = tokio::time::Instant::now();
    rig.close_input();
    rig.ended().await.unwrap();
    assert!(started.elapsed() < std::time::Duration::from_secs(1));
    assert!(feed.is_closed());
}
