//! The shape of an answer: what two servers can be expected to agree on.
//!
//! A token value becomes `<access_token 1>`, numbered by its first appearance in the case, so that
//! the same token given twice shows; a moment becomes its distance from now; a client's own URLs
//! and ids lose what only one run has.

use serde_json::{Map, Value, json};

use crate::http::Answer;
use crate::wait::unix_now;

/// Values that no two servers share.
const SECRET_FIELDS: [&str; 10] = [
    "access_token",
    "refresh_token",
    "id_token",
    "device_code",
    "user_code",
    "code",
    "jti",
    "client_secret",
    "registration_access_token",
    "request_uri",
];
const MOMENTS: [&str; 4] = ["exp", "iat", "nbf", "client_id_issued_at"];

/// What is replaced in a case's texts, in order of first appearance.
#[derive(Debug, Default)]
pub struct Names {
    /// Fixed ones: origins.
    known: Vec<(String, String)>,
    /// Those that may be part of a word: ids.
    whole: Vec<(String, String)>,
    tokens: Vec<(String, String)>,
}

impl Names {
    /// Replaces `value` by `<name>` wherever it appears.
    pub fn know(&mut self, value: &str, name: &str) {
        self.known.push((value.to_owned(), format!("<{name}>")));
        // The longest first: an issuer may begin with its origin. Equal ones keep their order.
        self.known
            .sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    }

    /// Replaces `value` by `<name>` where it is all there is.
    pub fn know_whole(&mut self, value: &str, name: &str) {
        self.whole.push((value.to_owned(), format!("<{name}>")));
    }

    fn token(&mut self, kind: &str, value: &str) -> String {
        if let Some((_, name)) = self.tokens.iter().find(|(known, _)| known == value) {
            return name.clone();
        }
        let start = format!("<{kind} ");
        let earlier = self
            .tokens
            .iter()
            .filter(|(_, name)| name.starts_with(&start));
        let name = format!("{start}{}>", earlier.count() + 1);
        self.tokens.push((value.to_owned(), name.clone()));
        name
    }

    fn text(&self, text: &str) -> String {
        if let Some((_, name)) = self.whole.iter().find(|(value, _)| value == text) {
            return name.clone();
        }
        let tokens = self.tokens.iter().filter(|(value, _)| value.len() >= 8);
        let replace = |text: String, (value, name): &(String, String)| text.replace(value, name);
        let text = tokens.fold(text.to_owned(), replace);
        self.known.iter().fold(text, replace)
    }
}

/// The shape of one answer.
pub fn of(answer: &Answer, names: &mut Names) -> Value {
    let mut shape = Map::new();
    shape.insert("status".into(), answer.status.into());
    for (field, header, list) in [
        ("content_type", "content-type", ';'),
        ("cache_control", "cache-control", ','),
    ] {
        if let Some(value) = answer.header(header) {
            shape.insert(field.into(), sorted_after_first(value, list).into());
        }
    }
    if let Some(challenge) = answer.header("www-authenticate") {
        shape.insert("challenge".into(), challenge_shape(challenge));
    }
    shape.insert("body".into(), body(answer, names));
    Value::Object(shape)
}

/// `text/html; charset=utf-8`: the type, then its parameters sorted; likewise directives.
fn sorted_after_first(value: &str, separator: char) -> String {
    let mut parts: Vec<String> = value
        .split(separator)
        .map(|part| part.trim().to_ascii_lowercase())
        .collect();
    let sorted_from = usize::from(separator == ';');
    if let Some(rest) = parts.get_mut(sorted_from..) {
        rest.sort_unstable();
    }
    parts.join(&format!("{separator} "))
}

/// The scheme, the names of its parameters, and the error's value.
fn challenge_shape(challenge: &str) -> Value {
    let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
    let parameters = parameters(rest);
    let mut names: Vec<&String> = parameters.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let error = parameters.iter().find(|(name, _)| name == "error");
    json!({
        "scheme": scheme,
        "parameters": names,
        "error": error.map(|(_, value)| value),
    })
}

/// `name="quoted, value", name=token`.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        found.push((name, value.to_owned()));
        rest = after;
    }
    found
}

fn body(answer: &Answer, names: &mut Names) -> Value {
    let text = answer.body.trim();
    if text.is_empty() {
        return "<empty>".into();
    }
    if let Ok(json) = serde_json::from_str(text) {
        return json_shape("", json, names);
    }
    if text.contains("<html") || text.to_ascii_lowercase().starts_with("<!doctype html") {
        return "<html>".into();
    }
    names.text(text).into()
}

fn json_shape(field: &str, value: Value, names: &mut Names) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let value = json_shape(&key, value, names);
                (key, value)
            })
            .collect(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| json_shape(field, item, names))
            .collect(),
        Value::String(text) if SECRET_FIELDS.contains(&field) => names.token(field, &text).into(),
        Value::String(text) => names.text(&text).into(),
        Value::Number(number) => number_shape(field, &number),
        other => other,
    }
}

/// Lifetimes may be a second short, and moments a few.
fn number_shape(field: &str, number: &serde_json::Number) -> Value {
    let Some(whole) = number.as_i64() else {
        return number.clone().into();
    };
    if field == "expires_in" {
        let seconds = if whole % 10 == 9 { whole + 1 } else { whole };
        return format!("<{seconds} s>").into();
    }
    if MOMENTS.contains(&field) {
        let seconds = (whole - unix_now() + 5).div_euclid(10) * 10;
        return format!("<now{seconds:+} s>").into();
    }
    whole.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)], body: &str) -> Answer {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Answer {
            status: 200,
            headers: headers.iter().map(owned).collect(),
            body: body.to_owned(),
        }
    }

    #[test]
    fn the_same_token_has_the_same_name() {
        let mut names = Names::default();
        let first = answer(
            &[],
            r#"{"access_token":"aaaaaaaa","refresh_token":"bbbbbbbb"}"#,
        );
        let again = answer(
            &[],
            r#"{"access_token":"cccccccc","refresh_token":"bbbbbbbb"}"#,
        );
        let _ = of(&first, &mut names);
        assert_eq!(
            of(&again, &mut names)["body"],
            json!({"access_token": "<access_token 2>", "refresh_token": "<refresh_token 1>"})
        );
    }

    #[test]
    fn header_values_are_compared_without_their_order() {
        let headers = [
            ("content-type", "application/json; charset=UTF-8"),
            ("cache-control", "no-store, max-age=0"),
            (
                "www-authenticate",
                r#"Bearer realm="a, b", error="invalid_token""#,
            ),
        ];
        assert_eq!(
            of(&answer(&headers, ""), &mut Names::default()),
            json!({
                "status": 200,
                "content_type": "application/json; charset=utf-8",
                "cache_control": "max-age=0, no-store",
                "challenge": {"scheme": "Bearer", "parameters": ["error", "realm"],
                    "error": "invalid_token"},
                "body": "<empty>",
            })
        );
    }

    #[test]
    fn what_only_one_run_has_is_replaced() {
        let mut names = Names::default();
        names.know("http://127.0.0.1:1", "origin");
        names.know("http://127.0.0.1:1/o", "issuer");
        let body = format!(
            r#"{{"iss":"http://127.0.0.1:1/o","aud":["http://127.0.0.1:1/api"],"exp":{},"expires_in":59}}"#,
            unix_now() + 59
        );
        assert_eq!(
            of(&answer(&[], &body), &mut names)["body"],
            json!({"iss": "<issuer>", "aud": ["<origin>/api"], "exp": "<now+60 s>",
                "expires_in": "<60 s>"})
        );
    }
}
