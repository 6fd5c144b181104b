//! Asking a server for its tools, as `check` does.

use http::StatusCode;
use serde_json::json;

use super::rig::*;
use crate::{error::CallErrorKind, mcp::list_tools::list_tools_of};

/// Two pages of tools.
fn page(request: &Request) -> Reply {
    let asked = request.json();
    let result = match asked["params"]["cursor"].as_str() {
        None => json!({"tools": [{"name": "a"}, {"name": "b"}], "nextCursor": "2"}),
        Some(_) => json!({"tools": [{"name": "c"}]}),
    };
    json(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string())
}

#[tokio::test(start_paused = true)]
async fn a_server_of_the_handshake_era_is_greeted_first() {
    let (server, seen) = server(|request| {
        let reply = handshake_or(request, "s1", page);
        async { reply }
    });
    let asked = list_tools_of(server).await.unwrap();
    assert_eq!(
        (asked.tools, asked.version.as_str()),
        (3, "2025-06-18"),
        "as the server chose"
    );
    let what: Vec<_> = seen.lock().unwrap().iter().map(Request::what).collect();
    assert_eq!(what.iter().filter(|&what| what == "tools/list").count(), 2);
    assert_eq!(what.last().unwrap(), "DELETE", "the session is ended");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_knows_no_handshake_is_asked_without_one() {
    let (server, _) = server(|request| {
        let asked = request.json();
        let reply = match request.what().as_str() {
            "initialize" => {
                let error = json!({"code": -32601, "message": "method not found"});
                json(&json!({"jsonrpc": "2.0", "id": asked["id"], "error": error}).to_string())
            }
            "tools/list" => page(request),
            _ => no_stream(request),
        };
        async { reply }
    });
    let asked = list_tools_of(server).await.unwrap();
    assert_eq!((asked.tools, asked.version.as_str()), (3, "2026-07-28"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_mcp_server_says_with_which_status() {
    let answers = [(404, "text/html"), (403, "text/plain"), (200, "text/html")];
    for (code, kind) in answers {
        let (server, seen) = server(move |_| async move { respond(code, kind, "<p>") });
        let refused = list_tools_of(server).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.status()),
            (Some(CallErrorKind::UnusableAnswer), Some(code))
        );
        // In the way of both eras; a 404 may also be about the transport, and is followed by a GET.
        let tries = match code {
            403 => 1,
            404 => 3,
            _ => 2,
        };
        assert_eq!(seen.lock().unwrap().len(), tries, "{code}");
    }
    let (server, _) = server(|_| async { status(StatusCode::UNAUTHORIZED) });
    assert_eq!(list_tools_of(server).await.unwrap_err().status(), Some(401));
}
