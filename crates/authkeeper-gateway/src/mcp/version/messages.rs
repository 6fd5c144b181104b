//! Messages and parts of messages in the shape of either era.

use std::fmt::Display;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::protocol::{HANDSHAKES, NEWEST_HANDSHAKE, STATELESS};
use crate::mcp::codec::{
    json_object::Object,
    message::{META_VERSION, Message},
};

pub(super) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub(super) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(super) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(super) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub(super) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A request with an id of ours.
pub(in crate::mcp) fn request(id: &str, method: &str, params: &Object) -> Option<Message> {
    let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    parsed(request.to_string())
}

pub(super) fn notification(method: &str, params: &Object) -> Bytes {
    let notification = json!({"jsonrpc": "2.0", "method": method, "params": params});
    notification.to_string().into()
}

pub(super) fn cancelled(id: &str) -> Option<Message> {
    parsed(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    ))
}

/// `id` is JSON already.
pub(super) fn result(id: &str, result: &(impl Display + ?Sized)) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

pub(super) fn error(id: &str, code: i64, message: &str, data: &Value) -> String {
    let error = json!({"code": code, "message": message, "data": data});
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// What we wrote ourselves.
pub(super) fn parsed(text: String) -> Option<Message> {
    match Message::parse(text.into()) {
        Ok(message) => Some(message),
        Err(problem) => {
            tracing::error!(?problem, "a message of ours is none");
            None
        }
    }
}

pub(super) fn envelope(message: &[u8]) -> Option<Object> {
    std::str::from_utf8(message).ok().and_then(Object::parse)
}

/// The result in an answer.
pub(in crate::mcp) fn result_of(answer: &[u8]) -> Option<Object> {
    envelope(answer)?.object("result")
}

pub(super) fn params_of(message: &Message) -> Object {
    let envelope = envelope(&message.body).unwrap_or_default();
    envelope.object("params").unwrap_or_default()
}

/// What a stateless client says of itself, for a request of ours on its behalf.
pub(in crate::mcp) fn own_meta(message: &Message) -> Object {
    let meta = params_of(message).object("_meta").unwrap_or_default();
    let mut own = Object::default();
    for name in [META_VERSION, CLIENT_INFO, CAPABILITIES] {
        if let Some(value) = meta.get(name) {
            own.set(name, &value);
        }
    }
    own
}

/// What a handshake client said of itself.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct Hello {
    /// The version it wants to speak.
    version: String,
    client: Object,
    capabilities: Object,
}

impl Hello {
    pub(in crate::mcp) fn of(initialize: &Message) -> Self {
        let params = params_of(initialize);
        let mut capabilities = params.object("capabilities").unwrap_or_default();
        // 2025-11-25's tasks are not those of the extension that came after.
        let _ = capabilities.remove("tasks");
        if capabilities.get("roots").is_some() {
            capabilities.set("roots", &json!({}));
        }
        Self {
            version: params.text("protocolVersion").unwrap_or_default(),
            client: params.object("clientInfo").unwrap_or_default(),
            capabilities,
        }
    }

    /// The `_meta` of this client's requests (2026-07-28, basic/index, "Per-request protocol fields").
    pub(in crate::mcp) fn describe(&self, meta: &mut Object, level: Option<&str>) {
        meta.set(META_VERSION, &STATELESS);
        if !self.client.is_empty() {
            meta.set(CLIENT_INFO, &self.client);
        }
        meta.set(CAPABILITIES, &self.capabilities);
        if let Some(level) = level {
            meta.set(LOG_LEVEL, &level);
        }
    }

    /// The answer to this client's `initialize`, from the answer to `server/discover`.
    pub(super) fn welcome(&self, discovered: &Object) -> Object {
        let known = HANDSHAKES.contains(&self.version.as_str());
        let version = if known {
            self.version.as_str()
        } else {
            NEWEST_HANDSHAKE
        };
        let meta = discovered.object("_meta").unwrap_or_default();
        // The first servers of this era named themselves beside `_meta`.
        let server = meta
            .object("io.modelcontextprotocol/serverInfo")
            .or_else(|| discovered.object("serverInfo"))
            .unwrap_or_default();
        let mut server = server;
        server.set_default("name", &"unknown");
        server.set_default("version", &"unknown");
        let capabilities = discovered.object("capabilities").unwrap_or_default();
        let mut welcome = Object::default()
            .with("protocolVersion", &version)
            .with("capabilities", &capabilities)
            .with("serverInfo", &server);
        if let Some(instructions) = discovered.get("instructions") {
            welcome.set("instructions", &instructions);
        }
        welcome
    }
}

/// The answer to `server/discover`, if the server speaks a version that we can translate.
pub(in crate::mcp) fn discovered(answer: &[u8]) -> Option<Object> {
    let result = result_of(answer)?;
    let versions = result.get("supportedVersions")?;
    let versions: Vec<String> = serde_json::from_str(versions.get()).ok()?;
    versions
        .iter()
        .any(|version| version == STATELESS)
        .then_some(result)
}

/// An `initialize` on behalf of a stateless client, from one of its requests.
pub(in crate::mcp) fn initialize(id: &str, like: &Message) -> Option<Message> {
    let meta = params_of(like).object("_meta").unwrap_or_default();
    let mut client = meta.object(CLIENT_INFO).unwrap_or_default();
    client.set_default("name", &"unknown");
    client.set_default("version", &"unknown");
    let params = Object::default()
        .with("protocolVersion", &NEWEST_HANDSHAKE)
        .with(
            "capabilities",
            &meta.object(CAPABILITIES).unwrap_or_default(),
        )
        .with("clientInfo", &client);
    request(id, "initialize", &params)
}

/// What the answer to `server/discover` says, from the answer to `initialize`.
pub(super) fn discovery(initialized: &Object) -> Object {
    let mut capabilities = initialized.object("capabilities").unwrap_or_default();
    let _ = capabilities.remove("tasks");
    let mut result = Object::default()
        .with("supportedVersions", &[STATELESS])
        .with("capabilities", &capabilities);
    if let Some(instructions) = initialized.get("instructions") {
        result.set("instructions", &instructions);
    }
    complete(result, "server/discover", initialized.get("serverInfo"))
}

/// A handshake server's result as the stateless era wants it.
pub(super) fn complete(mut result: Object, method: &str, server: Option<&RawValue>) -> Object {
    result.set_default("resultType", &"complete");
    if let Some(server) = server {
        let mut meta = result.object("_meta").unwrap_or_default();
        meta.set_default(SERVER_INFO, &server);
        result.set("_meta", &meta);
    }
    // 2026-07-28, server/utilities/caching: nothing is known, so nothing is fresh.
    let cacheable = matches!(
        method,
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    );
    if cacheable {
        result.set_default("ttlMs", &0);
        result.set_default("cacheScope", &"private");
    }
    result
}

/// A stateless server's result as a handshake client reads it.
pub(super) fn plain(mut result: Object, method: &str) -> Object {
    for name in ["resultType", "ttlMs", "cacheScope"] {
        let _ = result.remove(name);
    }
    match method {
        "tools/list" => only_objects_come_out(&mut result),
        "tools/call" => only_an_object_came_out(&mut result),
        _ => {}
    }
    result
}

/// Up to 2025-11-25 (server/tools) structured content is an object, and so is what describes it.
fn only_objects_come_out(result: &mut Object) {
    let Some(tools) = result.get("tools") else {
        return;
    };
    let Ok(mut tools) = serde_json::from_str::<Vec<Object>>(tools.get()) else {
        return;
    };
    let mut changed = false;
    for tool in &mut tools {
        let other = tool
            .object("outputSchema")
            .is_some_and(|schema| schema.text("type").as_deref() != Some("object"));
        if other {
            let _ = tool.remove("outputSchema");
            changed = true;
        }
    }
    if changed {
        result.set("tools", &tools);
    }
}

fn only_an_object_came_out(result: &mut Object) {
    let Some(structured) = result.get("structuredContent") else {
        return;
    };
    if structured.get().trim_start().starts_with('{') {
        return;
    }
    let text = structured.get().to_owned();
    let _ = result.remove("structuredContent");
    let content: Option<Vec<Value>> = result
        .get("content")
        .and_then(|content| serde_json::from_str(content.get()).ok());
    if content.unwrap_or_default().is_empty() {
        result.set("content", &json!([{"type": "text", "text": text}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Object {
        Object::parse(&value.to_string()).unwrap()
    }

    fn value(object: &Object) -> Value {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn message(value: &Value) -> Message {
        Message::parse(value.to_string().into()).unwrap()
    }

    #[test]
    fn a_handshake_becomes_what_every_request_says() {
        let hello = Hello::of(&message(
            &json!({"id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "clientInfo": {"name": "c", "version": "1"},
                "capabilities": {"roots": {"listChanged": true}, "tasks": {"list": {}}, "elicitation": {"url": {}}}
            }}),
        ));
        let mut meta = object(&json!({"progressToken": 7}));
        hello.describe(&mut meta, Some("info"));
        assert_eq!(
            value(&meta),
            json!({
                "progressToken": 7,
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {"roots": {}, "elicitation": {"url": {}}},
                "io.modelcontextprotocol/logLevel": "info",
            })
        );
        let welcome = hello.welcome(&object(&json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 5,
            "capabilities": {"tools": {"listChanged": true}}, "instructions": "be kind",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}}
        })));
        assert_eq!(
            value(&welcome),
            json!({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "s", "version": "2"}, "instructions": "be kind",
            })
        );
    }

    #[test]
    fn an_unknown_version_is_answered_with_the_newest() {
        let hello = |version: &str| {
            let params = json!({"protocolVersion": version});
            let hello = Hello::of(&message(
                &json!({"id": 0, "method": "initialize", "params": params}),
            ));
            hello
                .welcome(&Object::default())
                .text("protocolVersion")
                .unwrap()
        };
        assert_eq!(hello("2024-11-05"), "2024-11-05");
        assert_eq!(hello("2026-07-28"), "2025-11-25");
        assert_eq!(hello("1999-01-01"), "2025-11-25");
    }

    #[test]
    fn a_handshake_server_is_discovered() {
        let discovery = discovery(&object(&json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "tasks": {}},
            "serverInfo": {"name": "s", "version": "2"}, "instructions": "be kind"
        })));
        assert_eq!(
            value(&discovery),
            json!({
                "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                "instructions": "be kind", "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}},
            })
        );
        let answer = json!({"id": 1, "result": value(&discovery)}).to_string();
        assert!(discovered(answer.as_bytes()).is_some());
        let later = answer.replace("2026-07-28", "2027-07-28");
        assert!(
            discovered(later.as_bytes()).is_none(),
            "a version we do not know"
        );
        assert!(discovered(br#"{"id":1,"result":{"tools":[]}}"#).is_none());
    }

    #[test]
    fn results_change_their_marks_and_nothing_else() {
        let listed = json!({"resultType": "complete", "ttlMs": 1, "cacheScope": "public", "tools": [
            {"name": "a", "outputSchema": {"type": "array"}}, {"name": "b", "outputSchema": {"type": "object"}}
        ]});
        assert_eq!(
            value(&plain(object(&listed), "tools/list")),
            json!({"tools": [{"name": "a"}, {"name": "b", "outputSchema": {"type": "object"}}]})
        );
        let called = json!({"resultType": "complete", "content": [], "structuredContent": [1, 2]});
        assert_eq!(
            value(&plain(object(&called), "tools/call")),
            json!({"content": [{"type": "text", "text": "[1,2]"}]})
        );
        let read = complete(object(&json!({"contents": []})), "resources/read", None);
        assert_eq!(
            value(&read),
            json!({"contents": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})
        );
    }
}
