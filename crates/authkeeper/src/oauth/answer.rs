//! The body of an answer as a document: JSON, or a form as some servers still send it (the draft of RFC 6749 had it so).

use serde_json::{Map, Value};

use crate::http::Reply;

/// The fields by which a form is told from a sentence.
const FORM_FIELDS: &[&str] = &["access_token", "refresh_token", "id_token", "error"];

/// How deep objects are looked for.
const DEEPEST: usize = 5;

/// An answer of a token endpoint, whatever its `Content-Type`.
pub(super) fn document(reply: &Reply) -> Option<Value> {
    let json = reply.json();
    let structured = json
        .as_ref()
        .is_some_and(|json| json.is_object() || json.is_array());
    if structured {
        return json;
    }
    form(reply).or(json)
}

fn form(reply: &Reply) -> Option<Value> {
    let text = reply.text();
    let text = std::str::from_utf8(&text).ok()?.trim();
    let pairs = form_urlencoded::parse(text.as_bytes());
    let fields: Map<String, Value> = pairs
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let said = reply.content_type().ends_with("x-www-form-urlencoded");
    let looks_so = !text.contains(['<', '{', ' ', '\n']) && text.contains('=');
    let known = FORM_FIELDS
        .iter()
        .any(|field| get(&fields, field).is_some());
    (known && (said || looks_so)).then_some(Value::Object(fields))
}

/// A field by its name, whatever its case, dashes and underscores: `access_token`, `accessToken`, `Access-Token`.
pub(super) fn get<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    spelled(object, field).next()
}

/// The text in a field, unless it is empty. Bytes that were no UTF-8 are none of a token's.
pub(super) fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    let mut texts = spelled(object, field).filter_map(Value::as_str);
    texts.find(|text| !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER))
}

/// Every spelling of a field, the usual one first.
fn spelled<'a>(object: &'a Map<String, Value>, field: &str) -> impl Iterator<Item = &'a Value> {
    let others = object
        .iter()
        .filter(move |(name, _)| is_spelled(name, field))
        .map(|(_, value)| value);
    object.get(field).into_iter().chain(others)
}

fn is_spelled(name: &str, field: &str) -> bool {
    letters(name).eq(letters(field))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    let plain = name.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
    plain.map(|byte| byte.to_ascii_lowercase())
}

/// The objects in which a field's value is to be read: the one that holds it, then those around it.
pub(super) type ObjectPath<'a> = Vec<&'a Map<String, Value>>;

/// Every object with this text in it, with those around it.
pub(super) fn holders<'a>(body: &'a Value, field: &str) -> Vec<ObjectPath<'a>> {
    let mut found = Vec::new();
    search(body, &mut Vec::new(), &mut found, field);
    found
}

fn search<'a>(
    value: &'a Value,
    around: &mut ObjectPath<'a>,
    found: &mut Vec<ObjectPath<'a>>,
    field: &str,
) {
    if around.len() > DEEPEST {
        return;
    }
    match value {
        Value::Object(object) => {
            around.push(object);
            if text(object, field).is_some() {
                found.push(around.iter().rev().copied().collect());
            }
            for inner in object.values() {
                search(inner, around, found, field);
            }
            around.pop();
        }
        Value::Array(list) => list
            .iter()
            .for_each(|item| search(item, around, found, field)),
        _ => {}
    }
}

/// The object at a path (`data.auth`), with those around it.
pub(super) fn at_path<'a>(body: &'a Value, path: &str) -> Option<ObjectPath<'a>> {
    let mut around = vec![body.as_object()?];
    for name in path.split('.') {
        let inner = get(around.first()?, name)?.as_object()?;
        around.insert(0, inner);
    }
    Some(around)
}

/// The tokens that an answer may carry.
const TOKENS: &[&str] = &["access_token", "refresh_token", "id_token"];

/// Whether an answer carries tokens, also where it can't be read: then the token that was sent for them is spent.
pub(super) fn carries_tokens(reply: &Reply, document: Option<&Value>) -> bool {
    match document {
        Some(document) if document.is_object() || document.is_array() => holds_token(document),
        _ => {
            let text = reply.text();
            !is_cut_short(&text) && names_tokens(&text)
        }
    }
}

/// Whether JSON ends too soon: the rest was lost on the way, as in an answer that never came.
fn is_cut_short(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// Whether anything stands under a token's name, at any depth, in JSON that is written as a text too.
fn holds_token(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(name, inner)| {
            let named = TOKENS.iter().any(|token| is_spelled(name, token));
            (named && is_token(inner)) || holds_token(inner)
        }),
        Value::Array(list) => list.iter().any(holds_token),
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).is_ok_and(|inner| holds_token(&inner))
        }
        _ => false,
    }
}

/// A token may be a number or stand in a list or object of its own. There it is no sentence: "is required".
fn is_token(value: &Value) -> bool {
    let in_a_list = |item: &Value| match item {
        Value::String(text) => is_token(item) && !text.contains(char::is_whitespace),
        item => is_token(item),
    };
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(list) => list.iter().any(in_a_list),
        Value::Object(object) => object.values().any(in_a_list),
        Value::Null | Value::Bool(_) => false,
    }
}

/// A text that is no document may still name them: JSON with a comma too many, a form with something before it.
fn names_tokens(text: &[u8]) -> bool {
    let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic());
    let letters: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
    let mut names = [&b"accesstoken"[..], b"refreshtoken", b"idtoken"].into_iter();
    names.any(|name| letters.windows(name.len()).any(|window| window == name))
}

pub(super) const ID_JAG_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Whether an answer brings an assertion and no access token.
pub(super) fn is_id_jag(body: &Value) -> bool {
    body.get("issued_token_type").and_then(Value::as_str) == Some(ID_JAG_TOKEN_TYPE)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header};
    use serde_json::json;

    use super::*;

    fn reply(kind: &'static str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Reply {
            status: StatusCode::OK,
            headers,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn a_form_is_a_document_too() {
        let tokens = json!({"access_token": "a+b", "expires_in": "60"});
        for kind in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-8",
            "text/plain",
            "text/html",
        ] {
            let form = reply(kind, "access_token=a%2Bb&expires_in=60\n");
            assert_eq!(document(&form), Some(tokens.clone()), "{kind}");
        }
        let refused = reply(
            "text/plain",
            "error=invalid_grant&error_description=it+is+gone",
        );
        assert_eq!(
            document(&refused).unwrap()["error_description"],
            "it is gone"
        );
        for none in ["", "<p>error=1</p>", "error", "the error=x", "a=b"] {
            assert_eq!(document(&reply("text/plain", none)), None, "{none}");
        }
    }

    #[test]
    fn json_is_read_under_any_content_type() {
        for kind in [
            "text/html",
            "application/json, application/json",
            "",
            "text/x-a=b",
        ] {
            let body = reply(kind, r#"{"access_token":"a"}"#);
            assert_eq!(
                document(&body),
                Some(json!({"access_token": "a"})),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_field_is_found_in_any_spelling_and_depth() {
        let body = json!({"data": [{"auth": {"accessToken": "a"}}], "ttl": 5});
        let found = holders(&body, "access_token");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 3, "with the objects around it");
        assert_eq!(text(found[0][0], "access_token"), Some("a"));
        let twice = json!({"access_token": null, "accessToken": "a"});
        let twice = twice.as_object().unwrap();
        assert_eq!(
            text(twice, "access_token"),
            Some("a"),
            "the one that says it"
        );
        assert!(at_path(&json!({"a": {"b": {}}}), "a.b").is_some());
        assert!(at_path(&json!({"a": 1}), "a.b").is_none());
    }

    #[test]
    fn tokens_are_seen_in_what_can_not_be_read() {
        for (body, carries) in [
            (r#"{"data":{"x":{"refresh_token":"r"}}}"#, true),
            (r#"{"id_token":"i"}"#, true),
            (r#"{"access_token":""}"#, false),
            (r#"{"access_token":null,"accessToken":"a"}"#, true),
            (r#"{"error":"x","access_token":12345}"#, true),
            (r#"{"error":"x","access_token":["a"]}"#, true),
            (r#"{"error":"x","refresh_token":{"value":"r"}}"#, true),
            (r#"{"error":"x","data":"{\"access_token\":\"a\"}"}"#, true),
            (
                r#"{"a":{"b":{"c":{"d":{"e":{"f":{"access_token":"a"}}}}}}}"#,
                true,
            ),
            (r#"{"errors":{"refresh_token":["is required"]}}"#, false),
            (r#"{"error":"x","access_token":0,"id_token":false}"#, false),
            (r#"{"access_token":"a","refr"#, false),
            (r#"{"access_token":"a",}"#, true),
            ("token: access_token=a b", true),
            ("<html>welcome</html>", false),
            ("", false),
        ] {
            let reply = reply("text/plain", body);
            let document = document(&reply);
            assert_eq!(carries_tokens(&reply, document.as_ref()), carries, "{body}");
        }
    }
}
