//! Who is let in, and what a path leads to.

use std::sync::Arc;

use authkeeper::model::ConnectionName;
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    super::{
        ERROR_HEADER,
        access::AccessRules,
        error_response::Audience,
        mcp_endpoint::{self, EndpointService, route as route_endpoint},
        run_proxy::{self, RunService, route as route_run},
        session_cookies::SessionCookies,
    },
    rig::Stands,
};
use crate::{
    forward::{
        Forwarder, Target,
        tests::{FakeAuthority, notion},
    },
    lifecycle::Lifecycle,
};

fn access(audience: Audience) -> AccessRules {
    AccessRules {
        audience,
        port: 4711,
        handle: "the-handle".to_owned().into(),
    }
}

/// The answer to a call that is let in: nobody has authorized the connection.
const LET_IN: &str = "authorization_missing";

fn forwarder() -> Arc<Forwarder> {
    Arc::new(Forwarder::new(FakeAuthority::dead("http://127.0.0.1:9/")))
}

/// The fixed word in the answer of the run proxy.
async fn judged(uri: &str, headers: &[(&str, &str)]) -> String {
    let service = RunService {
        declared: vec![notion()],
        forwarder: forwarder(),
        kept_body: 1024,
    };
    let router = run_proxy::router(access(Audience::Run), service);
    answered(router, uri, headers).await.0
}

/// The fixed word in the answer of the daemon, and its body.
async fn judged_by_daemon(uri: &str, headers: &[(&str, &str)]) -> (String, Bytes) {
    let router = mcp_endpoint::router(EndpointService {
        access: Arc::new(access(Audience::Daemon)),
        forwarder: forwarder(),
        cookies: SessionCookies::default(),
        kept_body: 1024,
        health: Arc::new(Stands::default()),
        lifecycle: Lifecycle::default(),
    });
    answered(router, uri, headers).await
}

async fn answered(router: Router, uri: &str, headers: &[(&str, &str)]) -> (String, Bytes) {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let word = answer.headers().get(ERROR_HEADER);
    let word = word.map_or("", |word| word.to_str().unwrap()).to_owned();
    (word, answer.into_body().collect().await.unwrap().to_bytes())
}

const HOST: (&str, &str) = ("host", "127.0.0.1:4711");
const BEARER: (&str, &str) = ("authorization", "bearer the-handle");

#[tokio::test]
async fn the_handle_is_taken_in_both_places() {
    assert_eq!(judged("/c/notion", &[HOST, BEARER]).await, LET_IN);
    let task = ("x-authkeeper-task", "the-handle");
    let other = ("authorization", "Bearer other");
    assert_eq!(judged("/c/notion", &[HOST, task, other]).await, LET_IN);
    for wrong in [
        "Bearer the-handlf",
        "Bearer the-handl",
        "Basic the-handle",
        "Bearer ",
        "the-handle",
        "x",
    ] {
        let word = judged("/c/notion", &[HOST, ("authorization", wrong)]).await;
        assert_eq!(word, "task_handle_required", "{wrong}");
    }
    let word = judged("/c/notion", &[HOST]).await;
    assert_eq!(word, "task_handle_required");
}

#[tokio::test]
async fn only_this_machines_names_with_this_port_are_hosts() {
    for good in [
        "127.0.0.1:4711",
        "localhost:4711",
        "LOCALHOST:4711",
        "[::1]:4711",
    ] {
        let word = judged("/c/notion", &[("host", good), BEARER]).await;
        assert_eq!(word, LET_IN, "{good}");
    }
    for bad in [
        "127.0.0.1",
        "127.0.0.1:80",
        "evil.example:4711",
        "127.0.0.1.evil:4711",
        "::1:4711",
        "[::2]:4711",
    ] {
        let word = judged("/c/notion", &[("host", bad), BEARER]).await;
        assert_eq!(word, "wrong_host", "{bad}");
    }
    for headers in [&[BEARER][..], &[HOST, HOST, BEARER]] {
        assert_eq!(judged("/c/notion", headers).await, "wrong_host");
    }
    let absolute = judged("http://evil.example/c/notion", &[HOST, BEARER]).await;
    assert_eq!(absolute, "wrong_host");
    let absolute = judged("http://127.0.0.1:4711/c/notion", &[HOST, BEARER]).await;
    assert_eq!(absolute, LET_IN);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_even_with_the_handle() {
    for bad in [
        "https://evil.example",
        "null",
        "http://127.0.0.1:80",
        "https://127.0.0.1:4711",
    ] {
        let word = judged("/c/notion", &[HOST, BEARER, ("origin", bad)]).await;
        assert_eq!(word, "wrong_origin", "{bad}");
    }
    let own = ("origin", "http://localhost:4711");
    assert_eq!(judged("/c/notion", &[HOST, BEARER, own]).await, LET_IN);
}

#[tokio::test]
async fn routes() {
    let below = Target::below("/a%2Fb", Some("x=1")).unwrap();
    for (uri, target) in [
        ("/c/notion/a%2Fb?x=1", below),
        ("/c/notion", Target::exact()),
    ] {
        assert_eq!(judged(uri, &[HOST, BEARER]).await, LET_IN);
        let routed = route_run(&Uri::from_static(uri), &[notion()]);
        assert_eq!(routed.unwrap(), (notion(), target));
    }
    for path in ["/", "/c", "/C/notion", "/x/c/notion"] {
        let word = judged(path, &[HOST, BEARER]).await;
        assert_eq!(word, "no_such_route", "{path}");
        assert_eq!(judged(path, &[HOST]).await, word, "without a handle too");
    }
    for path in ["/c/", "/c/jira", "/c/notion2", "/c//notion"] {
        let word = judged(path, &[HOST, BEARER]).await;
        assert_eq!(word, "connection_not_declared", "{path}");
        let bare = judged(path, &[HOST]).await;
        assert_eq!(bare, "task_handle_required", "{path}");
    }
    for path in ["/c/notion/../x", "/c/notion/%2e%2e/x", "/c/notion/a\\b"] {
        let word = judged(path, &[HOST, BEARER]).await;
        assert_eq!(word, "bad_path", "{path}");
    }
}

#[tokio::test]
async fn a_daemon_serves_one_url_for_each_connection_and_its_health() {
    let word = async |uri: &str, headers: &[(&str, &str)]| judged_by_daemon(uri, headers).await.0;
    let jira = ConnectionName::parse("jira").unwrap();
    assert_eq!(word("/mcp/jira", &[HOST, BEARER]).await, LET_IN);
    let routed = route_endpoint(&Uri::from_static("/mcp/jira"));
    assert_eq!(routed.unwrap(), (jira, Target::exact()));
    for (headers, each) in [(&[HOST][..], false), (&[HOST, BEARER], true)] {
        let (word, body) = judged_by_daemon("/healthz", headers).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((word.as_str(), body.get("health").is_some()), ("", each));
    }
    let live = judged_by_daemon("/livez", &[HOST]).await;
    assert_eq!(live, (String::new(), Bytes::from_static(b"ok\n")));
    for open in ["/healthz", "/livez"] {
        assert_eq!(word(open, &[]).await, "wrong_host");
    }
    assert_eq!(word("/mcp/jira", &[HOST]).await, "handle_required");
    // Without a handle too: a client that looks for OAuth metadata must see that there is none.
    for nothing in [
        "/",
        "/mcp",
        "/c/jira",
        "/.well-known/oauth-protected-resource/mcp/jira",
        "/.well-known/oauth-authorization-server",
    ] {
        assert_eq!(word(nothing, &[HOST]).await, "no_such_route", "{nothing}");
    }
    for below in ["/mcp/jira/", "/mcp/jira/x", "/mcp/", "/mcp/no%20name"] {
        let word = word(below, &[HOST, BEARER]).await;
        assert_eq!(word, "no_such_route", "{below}");
    }
}

#[tokio::test]
async fn an_upgrade_is_refused_but_an_offer_of_h2c_ignored() {
    let websocket = [
        HOST,
        BEARER,
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
    ];
    let word = judged("/c/notion", &websocket).await;
    assert_eq!(word, "upgrade_not_supported");
    let offer = [HOST, BEARER, ("upgrade", "h2c")];
    assert_eq!(judged("/c/notion", &offer).await, LET_IN);
}
