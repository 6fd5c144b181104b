//! The tools of the MCP server.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{access::AuthorizedCaller, api};
use crate::{overrides::TEST_TOOL, state::SandboxState, wire::HttpReply};

/// The tools of `tools/list`.
pub(crate) fn list(state: &SandboxState) -> Value {
    let mut tools = always();
    if let (Some(tools), true) = (tools.as_array_mut(), state.overrides.is_some()) {
        tools.push(json!({
            "name": TEST_TOOL,
            "description": "The tool of the built-in scenarios.",
            "inputSchema": {"type": "object", "properties": {}},
        }));
    }
    tools
}

fn always() -> Value {
    let tool = |name: &str, description: &str, fields: Value, required: Value| {
        json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": fields, "required": required},
        })
    };
    let text = || json!({"type": "string"});
    let number = || json!({"type": "number"});
    json!([
        tool(
            "echo",
            "Answers with what it was given.",
            json!({"text": text()}),
            json!(["text"])
        ),
        tool(
            "whoami",
            "Says on whose authority it was called.",
            json!({}),
            json!([])
        ),
        tool(
            "add",
            "The sum of two numbers.",
            json!({"a": number(), "b": number()}),
            json!(["a", "b"])
        ),
        tool(
            "slow",
            "Answers after that many seconds; tells its progress to those who asked for it.",
            json!({"seconds": number()}),
            json!(["seconds"])
        ),
        tool(
            "work",
            "Does one piece of work, once a key.",
            json!({"key": text()}),
            json!([])
        ),
        tool(
            "admin_report",
            "Needs the scope admin.",
            json!({}),
            json!([])
        ),
    ])
}

/// The outcome of a tool call.
pub(crate) enum ToolOutcome {
    Text(String),
    Wrong(String),
    /// A success after a delay.
    Slow(Duration),
    /// The test tool: the built-in scenario decides.
    Staged,
    /// The scope `admin` is missing.
    NeedsAdmin,
    Unknown,
}

pub(crate) fn call(
    state: &mut SandboxState,
    caller: &AuthorizedCaller,
    params: &Value,
) -> ToolOutcome {
    let given = &params["arguments"];
    match params["name"].as_str() {
        Some("echo") => match given["text"].as_str().or_else(|| given["x"].as_str()) {
            Some(text) => ToolOutcome::Text(text.to_owned()),
            None => ToolOutcome::Wrong("text is missing".to_owned()),
        },
        Some("whoami") => ToolOutcome::Text(match &caller.user {
            Some(user) => format!(
                "{user}, through client {}",
                state.client_name(&caller.client)
            ),
            None => format!("client {} itself", state.client_name(&caller.client)),
        }),
        Some("add") => match (given["a"].as_f64(), given["b"].as_f64()) {
            (Some(a), Some(b)) => ToolOutcome::Text((a + b).to_string()),
            _ => ToolOutcome::Wrong("a and b must be numbers".to_owned()),
        },
        Some("slow") => {
            let seconds = given["seconds"].as_f64().unwrap_or(1.0).clamp(0.0, 600.0);
            ToolOutcome::Slow(Duration::from_secs_f64(seconds))
        }
        Some(TEST_TOOL) if state.overrides.is_some() => ToolOutcome::Staged,
        Some("work") => ToolOutcome::Text(api::work(state, given["key"].as_str()).to_string()),
        Some("admin_report") if !caller.may("admin") => ToolOutcome::NeedsAdmin,
        Some("admin_report") => ToolOutcome::Text(format!("{} grants", state.store.grants.len())),
        _ => ToolOutcome::Unknown,
    }
}

/// A `tools/call` result with one text.
pub(crate) fn result(text: &str, wrong: bool, modern: bool) -> Value {
    let mut result = json!({"content": [{"type": "text", "text": text}], "isError": wrong});
    if modern {
        result["resultType"] = "complete".into();
    }
    result
}

/// The number of progress notifications of a slow call.
const STEPS: u32 = 4;

/// An event stream with the progress of a slow call and its result.
pub(crate) fn slowly(answer: &Value, time: Duration, token: Option<&Value>) -> HttpReply {
    let Some(token) = token else {
        let mut reply = HttpReply::json(200, answer);
        reply.delay = time;
        return reply;
    };
    let step = time / STEPS;
    let mut reply = HttpReply::empty(200)
        .with("content-type", "text/event-stream")
        .with("cache-control", "no-cache");
    for number in 1..=STEPS {
        let progress = json!({
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": token, "progress": number, "total": STEPS},
        });
        reply.later.push((step, event(&progress)));
    }
    reply.later.push((Duration::ZERO, event(answer)));
    reply
}

pub(crate) fn event(message: &Value) -> Bytes {
    format!("event: message\ndata: {message}\n\n").into()
}
