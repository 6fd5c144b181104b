//! Peeking at a JSON-RPC message without touching it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::json_object::raw;

/// `_meta` key that makes a message one of the stateless era (2026-07-28, basic/index, `_meta`).
pub(in crate::mcp) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// A JSON-RPC id: compared by value, answered in the client's own spelling.
#[derive(Debug, Clone)]
pub(in crate::mcp) struct Id {
    raw: Box<str>,
    key: IdKey,
}

/// What makes two ids the same: `"a"` and `"\u0061"` are, `1` and `"1"` are not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mcp) enum IdKey {
    Text(Box<str>),
    /// A number (or an id no spec allows), as spelled.
    Other(Box<str>),
}

impl IdKey {
    /// As JSON.
    pub(in crate::mcp) fn spelled(&self) -> String {
        match self {
            Self::Text(text) => raw(text).get().to_owned(),
            Self::Other(spelled) => spelled.to_string(),
        }
    }
}

impl Id {
    pub(in crate::mcp) fn parse(raw: &RawValue) -> Self {
        let raw = raw.get();
        let key = match serde_json::from_str::<String>(raw) {
            Ok(text) => IdKey::Text(text.into()),
            Err(_) => IdKey::Other(raw.into()),
        };
        Self {
            raw: raw.into(),
            key,
        }
    }

    pub(in crate::mcp) fn raw(&self) -> &str {
        &self.raw
    }

    pub(in crate::mcp) fn key(&self) -> &IdKey {
        &self.key
    }
}

/// One line from the client: the bytes to forward and what was seen in them.
#[derive(Debug, Clone)]
pub(in crate::mcp) struct Message {
    pub(in crate::mcp) body: Bytes,
    pub(in crate::mcp) kind: Kind,
}

#[derive(Debug, Clone)]
pub(in crate::mcp) enum Kind {
    Request {
        id: Id,
        call: MethodCall,
    },
    Notification(MethodCall),
    /// The client's answer to a request of the server.
    Response,
    /// 2025-03-26 knew arrays of messages; these are the ids in it that want an answer.
    Batch(Vec<Id>),
}

/// Method and the few params that decide about routing.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct MethodCall {
    pub(in crate::mcp) method: String,
    /// `params.name` or `params.uri`, whichever names what the method acts on.
    pub(in crate::mcp) target: Option<String>,
    /// The protocol version in `_meta`: present from 2026-07-28 on. An `initialize` may have it too: then it is no
    /// handshake, but a method that 2026-07-28 does not know.
    pub(in crate::mcp) version: Option<String>,
    /// `params.requestId` of a `notifications/cancelled`.
    pub(in crate::mcp) cancels: Option<Id>,
    pub(in crate::mcp) fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum Malformed {
    /// JSON-RPC −32700.
    NotJson,
    /// JSON-RPC −32600.
    NotAMessage,
}

impl Message {
    pub(in crate::mcp) fn parse(body: Bytes) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(&body).map_err(|_not_utf8| Malformed::NotJson)?;
        let kind = kind_of(text)?;
        Ok(Self { body, kind })
    }

    pub(in crate::mcp) fn call(&self) -> Option<&MethodCall> {
        match &self.kind {
            Kind::Request { call, .. } | Kind::Notification(call) => Some(call),
            Kind::Response | Kind::Batch(_) => None,
        }
    }

    pub(in crate::mcp) fn is_request(&self, method: &str) -> bool {
        matches!(&self.kind, Kind::Request { call, .. } if call.method == method)
    }

    /// The handshake's first word.
    pub(in crate::mcp) fn opens_session(&self) -> bool {
        self.is_request("initialize") && self.call().is_some_and(|call| call.version.is_none())
    }

    pub(in crate::mcp) fn is_notification(&self, method: &str) -> bool {
        matches!(&self.kind, Kind::Notification(call) if call.method == method)
    }

    /// The ids that must be answered, by the server or by us.
    pub(in crate::mcp) fn awaited(&self) -> Vec<Id> {
        match &self.kind {
            Kind::Request { id, .. } => vec![id.clone()],
            Kind::Batch(ids) => ids.clone(),
            Kind::Notification(_) | Kind::Response => Vec::new(),
        }
    }

    pub(in crate::mcp) fn awaited_keys(&self) -> Vec<IdKey> {
        self.awaited().iter().map(|id| id.key().clone()).collect()
    }

    pub(in crate::mcp) fn fingerprint(&self) -> String {
        self.call()
            .map_or_else(String::new, |call| call.fingerprint.clone())
    }

    /// Only methods the specifications define as reads, or as harmless when repeated.
    pub(in crate::mcp) fn is_idempotent(&self) -> bool {
        self.call()
            .is_some_and(|call| is_idempotent_method(&call.method))
    }
}

fn is_idempotent_method(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "server/discover"
            | "tools/list"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "completion/complete"
            | "logging/setLevel"
            | "tasks/get"
            | "tasks/list"
            | "notifications/initialized"
            | "notifications/cancelled"
    )
}

/// What the server sent, as far as the bridge needs to know it.
#[derive(Debug, Default)]
pub(in crate::mcp) struct FromServer {
    /// Ids answered by this message (several in a 2025-03-26 batch).
    pub(in crate::mcp) answers: Vec<IdKey>,
    /// `result.protocolVersion`, if this is the answer to an `initialize`.
    pub(in crate::mcp) negotiated: Option<String>,
    /// The whole `error` member.
    pub(in crate::mcp) error: Option<String>,
    /// The result says what kind of result it is, as those of the stateless era do.
    pub(in crate::mcp) typed: bool,
}

impl FromServer {
    /// `None`: not a JSON-RPC message.
    pub(in crate::mcp) fn parse(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        if is_array(text) {
            return Self::from_batch(text);
        }
        let envelope: MessageEnvelope<'_> = serde_json::from_str(text).ok()?;
        if !envelope.is_message() {
            return None;
        }
        let answers = envelope.answered().into_iter().collect();
        let result = envelope.result.map(ResultPeek::of).unwrap_or_default();
        let error = match envelope.error {
            Some(error) if envelope.method.is_none() && !is_error_object(error) => return None,
            error => error.map(|error| error.get().to_owned()),
        };
        Some(Self {
            answers,
            negotiated: result.protocol_version.and_then(text_of),
            error,
            typed: result.result_type.is_some(),
        })
    }

    /// The code of the error, if this is one.
    pub(in crate::mcp) fn code(&self) -> Option<i64> {
        let error = RawValue::from_string(self.error.clone()?).ok()?;
        serde_json::from_str(fields_of(&error).get("code")?.get()).ok()
    }

    fn from_batch(text: &str) -> Option<Self> {
        let envelopes: Vec<MessageEnvelope<'_>> = serde_json::from_str(text).ok()?;
        if envelopes.is_empty() || !envelopes.iter().all(MessageEnvelope::is_message) {
            return None;
        }
        let answers = envelopes
            .iter()
            .filter_map(MessageEnvelope::answered)
            .collect();
        Some(Self {
            answers,
            ..Self::default()
        })
    }
}

#[derive(Deserialize)]
struct MessageEnvelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Keeps a `null` apart from a member that is not there.
fn present<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl MessageEnvelope<'_> {
    fn is_message(&self) -> bool {
        self.method.is_some() || self.result.is_some() || self.error.is_some()
    }

    fn answered(&self) -> Option<IdKey> {
        if self.method.is_some() {
            return None;
        }
        self.id.map(|id| Id::parse(id).key)
    }
}

fn kind_of(text: &str) -> Result<Kind, Malformed> {
    if is_array(text) {
        return batch(text);
    }
    let envelope: MessageEnvelope<'_> =
        serde_json::from_str(text).map_err(|error| malformed(&error))?;
    match (envelope.method, envelope.id) {
        (Some(method), Some(id)) => {
            let call = MethodCall::peek(&method, envelope.params);
            Ok(Kind::Request {
                id: Id::parse(id),
                call,
            })
        }
        (Some(method), None) => Ok(Kind::Notification(MethodCall::peek(
            &method,
            envelope.params,
        ))),
        (None, _) if envelope.result.is_some() || envelope.error.is_some() => Ok(Kind::Response),
        (None, _) => Err(Malformed::NotAMessage),
    }
}

fn batch(text: &str) -> Result<Kind, Malformed> {
    let envelopes: Vec<MessageEnvelope<'_>> =
        serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if envelopes.is_empty() || !envelopes.iter().all(MessageEnvelope::is_message) {
        return Err(Malformed::NotAMessage);
    }
    let requests = envelopes.iter().filter(|one| one.method.is_some());
    Ok(Kind::Batch(
        requests.filter_map(|one| one.id.map(Id::parse)).collect(),
    ))
}

fn malformed(error: &serde_json::Error) -> Malformed {
    match error.classify() {
        Category::Data => Malformed::NotAMessage,
        Category::Io | Category::Syntax | Category::Eof => Malformed::NotJson,
    }
}

fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

impl MethodCall {
    fn peek(method: &str, params: Option<&RawValue>) -> Self {
        let mut fields = params.map(fields_of).unwrap_or_default();
        let version = fields.remove("_meta").and_then(|meta| {
            fields_of(meta)
                .get(META_VERSION)
                .and_then(|raw| text_of(raw))
        });
        // A handshake names its version in `params`: that counts, whatever `_meta` says beside it.
        let handshake = method == "initialize" && fields.contains_key("protocolVersion");
        let version = version.filter(|_| !handshake);
        let field = |name: &str| fields.get(name).and_then(|raw| text_of(raw));
        let target = match method {
            "tools/call" | "prompts/get" => field("name"),
            "resources/read" => field("uri"),
            _ => None,
        };
        let cancels = (method == "notifications/cancelled")
            .then(|| fields.get("requestId").map(|raw| Id::parse(raw)))
            .flatten();
        let fingerprint = fingerprint(method, &fields);
        Self {
            method: method.to_owned(),
            target,
            version,
            cancels,
            fingerprint,
        }
    }
}

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The members of an object; of anything else, none (what is wrong with it is for the server to say).
fn fields_of(raw: &RawValue) -> Fields<'_> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// JSON-RPC's `error` is an object with an integer `code`. OAuth's (RFC 6750, RFC 6749) is a word, and an API's own
/// may be anything: passed on as an answer, no client could read it, and its call would hang.
fn is_error_object(raw: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct ErrorObject {
        #[serde(rename = "code")]
        _code: i64,
    }
    serde_json::from_str::<ErrorObject>(raw.get()).is_ok()
}

/// What is looked for in a result.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultPeek<'a> {
    #[serde(borrow, default)]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result_type: Option<&'a RawValue>,
}

impl<'a> ResultPeek<'a> {
    /// Nothing is found in a result that is no object.
    fn of(result: &'a RawValue) -> Self {
        let object = Some(result.get()).filter(|text| text.starts_with('{'));
        let found = object.and_then(|text| serde_json::from_str(text).ok());
        found.unwrap_or_default()
    }
}

fn fingerprint(method: &str, params: &Fields<'_>) -> String {
    let mut print = method.to_owned();
    for (name, value) in params {
        print.push('\n');
        print.push_str(name);
        print.push('=');
        print.push_str(value.get());
    }
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message, Malformed> {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn call(text: &str) -> MethodCall {
        parse(text).unwrap().call().unwrap().clone()
    }

    #[test]
    fn tells_the_kinds_apart() {
        let kind = |text: &str| parse(text).unwrap().kind;
        assert!(matches!(
            kind(r#"{"id":1,"method":"x"}"#),
            Kind::Request { .. }
        ));
        assert!(matches!(kind(r#"{"method":"x"}"#), Kind::Notification(_)));
        assert!(matches!(kind(r#"{"id":1,"result":{}}"#), Kind::Response));
        assert!(matches!(kind(r#"{"id":1,"error":{}}"#), Kind::Response));
        let Kind::Batch(ids) =
            kind(r#" [{"id":1,"method":"x"},{"method":"y"},{"id":2,"result":1}]"#)
        else {
            panic!("not a batch");
        };
        assert_eq!(ids.iter().map(Id::raw).collect::<Vec<_>>(), ["1"]);
    }

    #[test]
    fn tells_broken_json_from_a_wrong_message() {
        let error = |text: &str| parse(text).unwrap_err();
        assert_eq!(error(r#"{"id":1"#), Malformed::NotJson);
        assert_eq!(error("hello"), Malformed::NotJson);
        assert_eq!(
            Message::parse(Bytes::from_static(b"\xff")).unwrap_err(),
            Malformed::NotJson
        );
        assert_eq!(error("{}"), Malformed::NotAMessage);
        assert_eq!(error("[]"), Malformed::NotAMessage);
        assert_eq!(error("7"), Malformed::NotAMessage);
        assert_eq!(error(r#"{"method":7}"#), Malformed::NotAMessage);
    }

    #[test]
    fn ids_compare_by_value_and_keep_their_spelling() {
        let id = |text: &str| parse(text).unwrap().awaited().remove(0);
        let (plain, escaped) = (
            id(r#"{"id":"a","method":"x"}"#),
            id(r#"{"id":"\u0061","method":"x"}"#),
        );
        assert_eq!(plain.key(), escaped.key());
        assert_eq!(escaped.raw(), r#""\u0061""#);
        assert_ne!(
            id(r#"{"id":1,"method":"x"}"#).key(),
            id(r#"{"id":"1","method":"x"}"#).key()
        );
    }

    #[test]
    fn the_target_is_what_the_method_acts_on() {
        let target = |text: &str| call(text).target;
        let named = |method: &str| {
            target(&format!(
                r#"{{"id":1,"method":"{method}","params":{{"name":"n","uri":"u"}}}}"#
            ))
        };
        assert_eq!(named("tools/call").as_deref(), Some("n"));
        assert_eq!(named("prompts/get").as_deref(), Some("n"));
        assert_eq!(named("resources/read").as_deref(), Some("u"));
        assert_eq!(named("resources/subscribe"), None);
        assert_eq!(
            target(r#"{"id":1,"method":"tools/call","params":{"name":7}}"#),
            None
        );
        assert_eq!(
            target(r#"{"id":1,"method":"tools/call","params":[1]}"#),
            None
        );
    }

    #[test]
    fn the_era_is_in_the_meta() {
        let modern = r#"{"id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(call(modern).version.as_deref(), Some("2026-07-28"));
        assert_eq!(
            call(r#"{"id":1,"method":"x","params":{"_meta":{"progressToken":1}}}"#).version,
            None
        );
        assert_eq!(
            call(r#"{"id":1,"method":"x","params":{"_meta":7}}"#).version,
            None
        );
    }

    #[test]
    fn fingerprints_ignore_meta_and_member_order_only() {
        let print = |params: &str| {
            call(&format!(
                r#"{{"id":1,"method":"tools/call","params":{params}}}"#
            ))
            .fingerprint
        };
        let first = print(r#"{"name":"n","arguments":{"a":1},"_meta":{"progressToken":1}}"#);
        assert_eq!(
            first,
            print(r#"{"arguments":{"a":1},"name":"n","_meta":{"progressToken":2}}"#)
        );
        assert_ne!(first, print(r#"{"name":"n","arguments":{"a":2}}"#));
        assert_ne!(first, print(r#"{"name":"m","arguments":{"a":1}}"#));
    }

    #[test]
    fn calling_a_tool_is_never_idempotent() {
        let safe = |method: &str| {
            parse(&format!(r#"{{"id":1,"method":"{method}"}}"#))
                .unwrap()
                .is_idempotent()
        };
        assert!(safe("tools/list"));
        assert!(!safe("tools/call"));
        assert!(!safe("vendor/unknown"));
        assert!(
            !parse(r#"[{"id":1,"method":"tools/list"}]"#)
                .unwrap()
                .is_idempotent()
        );
    }

    #[test]
    fn reads_what_a_server_message_answers() {
        let seen = |text: &str| FromServer::parse(text.as_bytes()).unwrap();
        assert_eq!(
            seen(r#"{"id":"a","result":{}}"#).answers,
            [IdKey::Text("a".into())]
        );
        assert!(
            seen(r#"{"id":"a","method":"sampling/createMessage"}"#)
                .answers
                .is_empty()
        );
        assert_eq!(
            seen(r#"[{"id":1,"result":{}},{"id":2,"error":{}}]"#)
                .answers
                .len(),
            2
        );
        let initialized = seen(r#"{"id":1,"result":{"protocolVersion":"2025-11-25"}}"#);
        assert_eq!(initialized.negotiated.as_deref(), Some("2025-11-25"));
        let typed = |result: &str| seen(&format!(r#"{{"id":1,"result":{result}}}"#)).typed;
        assert!(typed(r#"{"a":[],"resultType":null}"#));
        assert!(!typed("{}") && !typed(r#"["a","b"]"#) && !typed("null"));
        assert_eq!(
            seen(r#"{"id":null,"error":{"code":1}}"#).error.as_deref(),
            Some(r#"{"code":1}"#)
        );
        assert_eq!(seen(r#"{"id":1,"result":null}"#).answers.len(), 1);
        assert!(FromServer::parse(b"<html>").is_none());
        assert!(FromServer::parse(br#"{"detail":"Not Found"}"#).is_none());
    }
}
