//! The MCP server over Streamable HTTP, in two revisions: 2025-11-25 with sessions, 2026-07-28 without.

use http::Method;
use serde_json::{Value, json};

use super::{
    access::{AuthorizedCaller, ProtectedResource, admit, refuse},
    streams,
    tools::{self, ToolOutcome},
};
use crate::{
    answers::AccessDenial,
    events::Mood,
    fault::Arrival,
    random,
    revision::Revision,
    state::SandboxState,
    wire::{HttpReply, HttpRequest},
};

const DOOR: ProtectedResource = ProtectedResource {
    path: "/mcp",
    has_metadata: true,
};

const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_ABLE: &str = "io.modelcontextprotocol/clientCapabilities";

pub(crate) fn serve(
    state: &mut SandboxState,
    request: &HttpRequest,
    arrival: &Arrival,
) -> HttpReply {
    let caller = match admit(state, request, arrival, DOOR) {
        Ok(caller) => caller,
        Err(reply) => return reply,
    };
    let only = state.overrides.as_ref().map(|overrides| overrides.revision);
    match request.method {
        Method::POST => {}
        Method::DELETE if only != Some(Revision::Stateless) => return end_session(state, request),
        Method::GET if only == Some(Revision::Handshake) => return stand(state, request),
        _ => return HttpReply::empty(405).with("allow", "POST, DELETE"),
    }
    let Some(message) = request.json().filter(Value::is_object) else {
        return problem(400, &Value::Null, -32_700, "Parse error");
    };
    match (is_modern(request, &message), only) {
        (true, Some(Revision::Handshake)) => {
            let what = "Bad Request: Unsupported protocol version";
            problem(400, &Value::Null, -32_000, what)
        }
        (false, Some(Revision::Stateless)) => {
            let asked = message["params"]["protocolVersion"].as_str();
            unsupported(&message["id"], asked.unwrap_or_default())
        }
        (true, _) => modern(state, request, &caller, &message),
        (false, _) => legacy(state, request, &caller, &message),
    }
}

/// The standing stream of a session (2025-11-25), where a scenario offers one.
fn stand(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let session = request.header("mcp-session-id").unwrap_or_default();
    if !state.store.sessions.contains(session) {
        return problem(404, &Value::Null, -32_600, "Session not found");
    }
    let none = || HttpReply::empty(405).with("allow", "POST, DELETE");
    streams::standing(state, request).unwrap_or_else(none)
}

fn unsupported(id: &Value, asked: &str) -> HttpReply {
    let data = json!({"supported": [MODERN], "requested": asked});
    let error = json!({"code": -32_022, "message": "Unsupported protocol version", "data": data});
    HttpReply::json(400, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

fn problem(status: u16, id: &Value, code: i64, message: &str) -> HttpReply {
    let error = json!({"code": code, "message": message});
    HttpReply::json(status, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

fn answer(id: &Value, result: &Value) -> HttpReply {
    HttpReply::json(200, &json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// Whether the version in the header or the message is newer than the revisions with sessions, known or not.
fn is_modern(request: &HttpRequest, message: &Value) -> bool {
    let header = request.header("mcp-protocol-version");
    let newer = |version: &str| !LEGACY.contains(&version);
    let meta = message["params"]["_meta"][META_VERSION].as_str();
    header.is_some_and(newer) || meta.is_some_and(newer) || message["method"] == "server/discover"
}

fn modern(
    state: &mut SandboxState,
    request: &HttpRequest,
    caller: &AuthorizedCaller,
    message: &Value,
) -> HttpReply {
    let (id, params) = (&message["id"], &message["params"]);
    let method = message["method"].as_str().unwrap_or_default();
    let meta = &params["_meta"];
    let Some(version) = meta[META_VERSION]
        .as_str()
        .filter(|_| meta[META_ABLE].is_object())
    else {
        let what = format!("params._meta must carry '{META_VERSION}' and '{META_ABLE}'");
        return problem(400, id, -32_602, &what);
    };
    if version != MODERN {
        return unsupported(id, version);
    }
    if let Some(header) = mismatch(request, method, params) {
        let what = format!("{header} header does not match the request body");
        return problem(400, id, -32_020, &what);
    }
    state.counters.mcp_calls += 1;
    if id.is_null() {
        return HttpReply::empty(202);
    }
    match method {
        "server/discover" => answer(id, &discovered(state)),
        "subscriptions/listen" => match streams::listening(state, request, id) {
            Some(reply) => reply,
            None => problem(404, id, -32_601, "Method not found"),
        },
        "tools/list" => {
            let result = json!({"tools": tools::list(state), "resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
            answer(id, &result)
        }
        "tools/call" => call(state, request, caller, message),
        _ => problem(404, id, -32_601, "Method not found"),
    }
}

/// The first header that does not repeat the value of the body (SEP-2243).
fn mismatch(request: &HttpRequest, method: &str, params: &Value) -> Option<&'static str> {
    if request.header("mcp-protocol-version") != Some(MODERN) {
        return Some("mcp-protocol-version");
    }
    if request.header("mcp-method") != Some(method) {
        return Some("mcp-method");
    }
    let named = method == "tools/call";
    (named && request.header("mcp-name") != params["name"].as_str()).then_some("mcp-name")
}

fn discovered(state: &SandboxState) -> Value {
    json!({
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {"listChanged": streams::offered(state)}},
        "_meta": {"io.modelcontextprotocol/serverInfo": info()},
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    })
}

fn info() -> Value {
    json!({"name": "authkeeper-sandbox", "version": env!("CARGO_PKG_VERSION")})
}

fn legacy(
    state: &mut SandboxState,
    request: &HttpRequest,
    caller: &AuthorizedCaller,
    message: &Value,
) -> HttpReply {
    let (id, params) = (&message["id"], &message["params"]);
    let method = message["method"].as_str().unwrap_or_default();
    if method == "initialize" {
        return initialize(state, id, params);
    }
    match request.header("mcp-session-id") {
        None => {
            return problem(
                400,
                &Value::Null,
                -32_600,
                "Bad Request: Missing session ID",
            );
        }
        Some(session) if !state.store.sessions.contains(session) => {
            return problem(404, &Value::Null, -32_600, "Session not found");
        }
        Some(_) => {}
    }
    state.counters.mcp_calls += 1;
    if id.is_null() {
        return HttpReply::empty(202);
    }
    match method {
        "ping" => answer(id, &json!({})),
        "tools/list" => answer(id, &json!({"tools": tools::list(state)})),
        "tools/call" => call(state, request, caller, message),
        _ => problem(200, id, -32_601, "Method not found"),
    }
}

fn initialize(state: &mut SandboxState, id: &Value, params: &Value) -> HttpReply {
    let wanted = params["protocolVersion"].as_str().unwrap_or_default();
    let version = LEGACY.into_iter().find(|version| *version == wanted);
    let session = random::secret();
    state.store.sessions.insert(session.clone());
    state.counters.mcp_calls += 1;
    state.say(Mood::Good, "MCP session opened");
    let result = json!({
        "protocolVersion": version.unwrap_or(LEGACY[0]),
        "capabilities": {"tools": {"listChanged": streams::offered(state)}},
        "serverInfo": info(),
    });
    answer(id, &result).with("mcp-session-id", session)
}

fn end_session(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let session = request.header("mcp-session-id").unwrap_or_default();
    if state.store.sessions.remove(session) {
        state.say(Mood::Plain, "MCP session ended");
        HttpReply::empty(200)
    } else {
        HttpReply::empty(404)
    }
}

fn call(
    state: &mut SandboxState,
    request: &HttpRequest,
    caller: &AuthorizedCaller,
    message: &Value,
) -> HttpReply {
    let modern = is_modern(request, message);
    let (id, params) = (&message["id"], &message["params"]);
    let done = tools::call(state, caller, params);
    let name = params["name"].as_str().unwrap_or("without a name");
    let result = |text: &str, wrong| answer(id, &tools::result(text, wrong, modern));
    let reply = match done {
        ToolOutcome::NeedsAdmin => {
            state.say(
                Mood::Warn,
                format!("tool {name} refused: the scope admin is missing"),
            );
            return refuse(state, AccessDenial::Scope("admin"), DOOR);
        }
        ToolOutcome::Unknown => return problem(200, id, -32_602, "Unknown tool"),
        ToolOutcome::Wrong(what) => result(&what, true),
        ToolOutcome::Text(text) => result(&text, false),
        ToolOutcome::Staged => {
            let result = tools::result("done", false, modern);
            let whole = json!({"jsonrpc": "2.0", "id": id, "result": result});
            streams::staged(state, request, &whole)
        }
        ToolOutcome::Slow(time) => {
            let text = format!("waited {} s", time.as_secs_f64());
            let result = tools::result(&text, false, modern);
            let whole = json!({"jsonrpc": "2.0", "id": id, "result": result});
            tools::slowly(&whole, time, params["_meta"].get("progressToken"))
        }
    };
    state.counters.tool_calls += 1;
    state.say(Mood::Good, format!("tool {name} called, {}", caller.label));
    reply
}
