//! What a stateless server's tools want mirrored into headers (2026-07-28,
//! basic/transports/streamable-http, "Custom Headers from Tool Parameters").
//!
//! The lists of tools are read as they pass. A tool whose annotations break the rules is taken out,
//! as the specification wants; a list without such a tool passes byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::headers::encoded;
use crate::mcp::codec::message::Message;

const ANNOTATION: &str = "x-mcp-header";
/// A schema is looked into this deep; nobody writes deeper ones.
const DEEPEST: usize = 64;

/// A parameter and the header that repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirrored {
    /// The chain of property names that leads to it.
    path: Vec<String>,
    header: HeaderName,
}

#[derive(Debug, Default)]
struct KnownTools {
    tools: BTreeMap<String, Arc<[Mirrored]>>,
    /// A list was read to its end: a tool that is not here is none of the server's.
    complete: bool,
}

/// The tools as the server listed them last.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Tools {
    known: Mutex<KnownTools>,
    /// Held while a message asks for the list; the others wait and find it.
    pub(in crate::mcp) fetching: tokio::sync::Mutex<()>,
}

impl Tools {
    /// True: nobody knows what this call has to repeat in headers.
    pub(in crate::mcp) fn lacks(&self, call: &Message) -> bool {
        let Some(name) = called_tool(call) else {
            return false;
        };
        let known = self.lock();
        !known.complete && !known.tools.contains_key(name)
    }

    /// The headers that repeat parameters of this call.
    pub(in crate::mcp) fn headers(&self, call: &Message) -> HeaderMap {
        let mirrored = called_tool(call).and_then(|name| self.lock().tools.get(name).cloned());
        match mirrored {
            Some(mirrored) if !mirrored.is_empty() => repeated(&mirrored, &call.body),
            _ => HeaderMap::new(),
        }
    }

    /// Reads the server's answer to a `tools/list`; returns what the client may see of it.
    pub(in crate::mcp) fn learn(&self, answer: Bytes) -> Bytes {
        let Some(page) = std::str::from_utf8(&answer).ok().and_then(ToolsPage::parse) else {
            return answer;
        };
        let mut known = self.lock();
        known.complete |= page.last;
        for (name, mirrored) in page.valid {
            known.tools.insert(name, mirrored.into());
        }
        drop(known);
        for (name, reason) in page.invalid {
            tracing::warn!(tool = name, reason, "left a tool out of the list");
        }
        page.kept.map_or(answer, Bytes::from)
    }

    fn lock(&self) -> MutexGuard<'_, KnownTools> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tool that a message of the stateless era calls.
fn called_tool(message: &Message) -> Option<&str> {
    let call = message.call()?;
    let stateless = message.is_request("tools/call") && call.version.is_some();
    call.target.as_deref().filter(|_| stateless)
}

/// One answer to `tools/list`.
struct ToolsPage {
    valid: Vec<(String, Vec<Mirrored>)>,
    /// The tools left out, and why.
    invalid: Vec<(String, &'static str)>,
    /// The answer without them, if there are any.
    kept: Option<String>,
    /// The list ends here.
    last: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    #[serde(borrow)]
    tools: &'a RawValue,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    #[serde(default)]
    input_schema: Value,
}

impl ToolsPage {
    fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct ListAnswer<'a> {
            #[serde(borrow)]
            result: Listed<'a>,
        }
        let ListAnswer { result } = serde_json::from_str(text).ok()?;
        let tools: Vec<&RawValue> = serde_json::from_str(result.tools.get()).ok()?;
        let (mut valid, mut invalid, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for raw in tools {
            match serde_json::from_str::<Tool>(raw.get()) {
                Ok(tool) => match mirrored(&tool.input_schema) {
                    Ok(mirrored) => valid.push((tool.name, mirrored)),
                    Err(reason) => {
                        invalid.push((tool.name, reason));
                        continue;
                    }
                },
                // What is wrong with it is the client's to say.
                Err(error) => tracing::debug!(%error, "a tool that cannot be read"),
            }
            kept.push(raw.get());
        }
        let list = format!("[{}]", kept.join(","));
        let kept = if invalid.is_empty() {
            None
        } else {
            Some(with_part(text, result.tools.get(), &list)?)
        };
        Some(Self {
            valid,
            invalid,
            kept,
            last: result.next_cursor.is_none(),
        })
    }
}

/// `text` with something else in the place of `part`, which is a part of it.
fn with_part(text: &str, part: &str, new: &str) -> Option<String> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let before = text.get(..start)?;
    let after = text.get(start + part.len()..)?;
    Some(format!("{before}{new}{after}"))
}

/// The annotated parameters of a tool, or the rule that an annotation breaks.
fn mirrored(schema: &Value) -> Result<Vec<Mirrored>, &'static str> {
    let mut found = Vec::new();
    visit(schema, SchemaPlace::Root, &mut found, DEEPEST)?;
    let names: BTreeSet<&str> = found.iter().map(|one| one.header.as_str()).collect();
    if names.len() < found.len() {
        return Err("two parameters want the same header");
    }
    Ok(found)
}

/// Where in a schema we are.
#[derive(Clone, Copy)]
enum SchemaPlace<'a> {
    Root,
    /// Reached through `properties` alone.
    Parameter(&'a [String]),
    /// Under `items`, `oneOf`, `$defs` and the like: no annotation may stand here.
    Elsewhere,
}

fn visit(
    schema: &Value,
    place: SchemaPlace<'_>,
    found: &mut Vec<Mirrored>,
    deeper: usize,
) -> Result<(), &'static str> {
    let deeper = deeper.checked_sub(1).ok_or("its schema is too deep")?;
    let Some(members) = schema.as_object() else {
        let nested = schema.as_array().into_iter().flatten();
        return nested
            .into_iter()
            .try_for_each(|one| visit(one, place, found, deeper));
    };
    if let Some(name) = members.get(ANNOTATION) {
        let SchemaPlace::Parameter(path) = place else {
            return Err("an annotation stands where no parameter is");
        };
        found.push(annotated(path, name, schema)?);
    }
    for (keyword, value) in members {
        match keyword.as_str() {
            "properties" => visit_named(value, Some(place), found, deeper)?,
            "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
                visit_named(value, None, found, deeper)?;
            }
            // Data, not schemas.
            ANNOTATION | "default" | "const" | "enum" | "examples" => {}
            _ => visit(value, SchemaPlace::Elsewhere, found, deeper)?,
        }
    }
    Ok(())
}

/// The schemas of an object from names to schemas; `parent` if the names are parameters'.
fn visit_named(
    schemas: &Value,
    parent: Option<SchemaPlace<'_>>,
    found: &mut Vec<Mirrored>,
    deeper: usize,
) -> Result<(), &'static str> {
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        let path = match parent {
            Some(SchemaPlace::Root) => Some(vec![name.clone()]),
            Some(SchemaPlace::Parameter(path)) => Some([path, std::slice::from_ref(name)].concat()),
            Some(SchemaPlace::Elsewhere) | None => None,
        };
        let place = path
            .as_deref()
            .map_or(SchemaPlace::Elsewhere, SchemaPlace::Parameter);
        visit(schema, place, found, deeper)?;
    }
    Ok(())
}

fn annotated(path: &[String], name: &Value, schema: &Value) -> Result<Mirrored, &'static str> {
    if !is_primitive(&schema["type"]) {
        return Err("an annotated parameter is no string, integer or boolean");
    }
    let name = name.as_str().filter(|name| !name.is_empty());
    let name = name.ok_or("an annotation is empty")?;
    let header = HeaderName::try_from(format!("mcp-param-{name}"));
    Ok(Mirrored {
        path: path.to_vec(),
        header: header.map_err(|_invalid| "an annotation cannot be a header's name")?,
    })
}

/// A parameter that may also be null is one that is left out then.
fn is_primitive(kind: &Value) -> bool {
    let one = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "boolean"));
    match kind.as_array() {
        None => one(kind),
        Some(kinds) => {
            kinds.iter().any(one) && kinds.iter().all(|kind| one(kind) || kind == "null")
        }
    }
}

fn repeated(mirrored: &[Mirrored], body: &[u8]) -> HeaderMap {
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    let arguments = &message["params"]["arguments"];
    let mut headers = HeaderMap::new();
    for one in mirrored {
        let value = one.path.iter().fold(arguments, |value, name| &value[name]);
        if let Some(value) = header_value(value) {
            headers.insert(one.header.clone(), value);
        }
    }
    headers
}

fn header_value(value: &Value) -> Option<HeaderValue> {
    match value {
        Value::String(text) => Some(encoded(text)),
        Value::Bool(yes) => Some(encoded(if *yes { "true" } else { "false" })),
        Value::Number(number) => Some(encoded(&decimal(number))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `42` for a whole number, however it is spelt.
fn decimal(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers_of(schema: &Value) -> Result<Vec<String>, &'static str> {
        let found = mirrored(schema)?;
        let name = |one: &Mirrored| format!("{}={}", one.path.join("."), one.header);
        Ok(found.iter().map(name).collect())
    }

    fn with(parameter: &Value) -> Result<Vec<String>, &'static str> {
        headers_of(&json!({"type": "object", "properties": {"a": parameter}}))
    }

    fn call(arguments: &Value) -> Message {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        let params = json!({"name": "t", "arguments": arguments, "_meta": meta});
        let text = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        Message::parse(text.to_string().into()).unwrap()
    }

    fn listed(tools: &Value) -> Bytes {
        json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}})
            .to_string()
            .into()
    }

    #[test]
    fn annotations_are_found_along_properties() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {
                "n": {"type": ["integer", "null"], "x-mcp-header": "N"}
            }},
            "x-mcp-header": {"type": "string"},
            "free": {"type": "object", "default": {"x-mcp-header": "data"}}
        }});
        let mut found = headers_of(&schema).unwrap();
        found.sort();
        assert_eq!(found, ["deep.n=mcp-param-n", "region=mcp-param-region"]);
    }

    #[test]
    fn annotations_that_break_a_rule_are_refused() {
        for (parameter, why) in [
            (json!({"type": "string", "x-mcp-header": ""}), "empty"),
            (json!({"type": "string", "x-mcp-header": 7}), "not text"),
            (json!({"type": "string", "x-mcp-header": "a b"}), "a space"),
            (json!({"type": "string", "x-mcp-header": "a:b"}), "a colon"),
            (json!({"type": "string", "x-mcp-header": "ä"}), "not ASCII"),
            (json!({"type": "string", "x-mcp-header": "a\r\nb"}), "CRLF"),
            (json!({"type": "number", "x-mcp-header": "A"}), "a number"),
            (json!({"type": "object", "x-mcp-header": "A"}), "an object"),
            (json!({"type": "null", "x-mcp-header": "A"}), "null"),
            (json!({"x-mcp-header": "A"}), "no type"),
            (
                json!({"items": {"type": "string", "x-mcp-header": "A"}}),
                "items",
            ),
            (
                json!({"oneOf": [{"type": "string", "x-mcp-header": "A"}]}),
                "oneOf",
            ),
            (
                json!({"additionalProperties": {"properties": {"b": {"type": "string", "x-mcp-header": "A"}}}}),
                "below what is no parameter",
            ),
        ] {
            assert!(with(&parameter).is_err(), "{why}");
        }
        let twice = json!({"properties": {
            "a": {"type": "string", "x-mcp-header": "My"}, "b": {"type": "string", "x-mcp-header": "my"}
        }});
        assert!(headers_of(&twice).is_err(), "the same header twice");
        let defined = json!({"$defs": {"x": {"type": "string", "x-mcp-header": "A"}}});
        assert!(headers_of(&defined).is_err(), "a definition");
        let root = json!({"type": "string", "x-mcp-header": "A"});
        assert!(headers_of(&root).is_err(), "the root is no parameter");
    }

    #[test]
    fn a_list_without_invalid_tools_passes_byte_for_byte() {
        let text = r#"{ "id":1, "result" : {"tools":[{"name":"a", "x":1.0}] ,"nextCursor":"p2"} }"#;
        let tools = Tools::default();
        assert_eq!(tools.learn(Bytes::from_static(text.as_bytes())), text);
        assert!(tools.lacks(&call(&json!({}))), "more may come");
        let _ = tools.learn(listed(&json!([])));
        assert!(!tools.lacks(&call(&json!({}))), "that was all");
    }

    #[test]
    fn an_invalid_tool_is_taken_out_and_the_rest_stays_as_it_is() {
        let text = r#"{"id":1,"result":{"tools":[ {"name":"good", "n":1.0},{"name":"bad","inputSchema":{"x-mcp-header":"A"}}, {"name":"fine"} ],"ttlMs":0}}"#;
        let seen = Tools::default().learn(Bytes::from_static(text.as_bytes()));
        assert_eq!(
            seen,
            r#"{"id":1,"result":{"tools":[{"name":"good", "n":1.0},{"name":"fine"}],"ttlMs":0}}"#
        );
    }

    #[test]
    fn parameters_are_repeated_by_their_kind() {
        let parameter = |kind: &str, header: &str| json!({"type": kind, "x-mcp-header": header});
        let schema = json!({"properties": {
            "text": parameter("string", "Text"), "whole": parameter("integer", "Whole"),
            "yes": parameter("boolean", "Yes"), "none": parameter("string", "None"),
            "empty": parameter("string", "Empty"), "odd": parameter("string", "Odd"),
            "in": {"properties": {"side": parameter("string", "Side")}}
        }});
        let tools = Tools::default();
        let _ = tools.learn(listed(&json!([{"name": "t", "inputSchema": schema}])));
        let headers = tools.headers(&call(&json!({
            "text": "Hello, 世界", "whole": 42.0, "yes": false, "none": null, "empty": "",
            "odd": {"an": "object"}, "in": {"side": "s"}, "other": "x"
        })));
        let mut seen: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                "mcp-param-empty: ",
                "mcp-param-side: s",
                "mcp-param-text: =?base64?SGVsbG8sIOS4lueVjA==?=",
                "mcp-param-whole: 42",
                "mcp-param-yes: false",
            ]
        );
    }
}
