//! Answers that fit no row of the table in [`super::classify`]. They are judged by the general rules all the same; their
//! shape is counted, so that a person who meets one can say what came.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    http::Reply,
    oauth::{
        answer::document,
        classify::{Outcome, classify, error_of, is_known_error, is_page, is_rate_limit},
    },
    text::sanitize::{one_line, without_secrets},
};

/// No more names of one object are told.
const MOST_NAMES: usize = 12;
/// Longer words are no names: they may be somebody's secret.
const LONGEST_NAME: usize = 32;

/// The shape of an answer of a token endpoint that fits no row; none if it fits one.
pub fn unrecognized_shape(reply: &Reply) -> Option<String> {
    let json = document(reply);
    let is_error = json.as_ref().and_then(error_of).is_some();
    let odd = match classify(reply, Timestamp::UNIX_EPOCH) {
        Outcome::Accepted(_) => false,
        Outcome::RefreshTokenAlone(_) => true,
        _ if is_judged_by_status(reply.status) => false,
        _ if is_error || (json.is_some() && !reply.status.is_success()) => {
            let known = json.as_ref().map(|json| is_known_error(json, reply.status));
            !known.unwrap_or_default()
        }
        _ => reply.status.is_success() || is_odd_status(reply),
    };
    odd.then(|| shape(reply, json.as_ref()))
}

/// The shape of an answer: what can be told of it without its values.
pub fn shape_of(reply: &Reply) -> String {
    shape(reply, document(reply).as_ref())
}

/// Whatever code stands beside these, they mean "not now" or "not known".
fn is_judged_by_status(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Without a code: errors of the server's, rate limits, a proxy's page and an empty 400 (glewlwyd) have their rows.
fn is_odd_status(reply: &Reply) -> bool {
    let page = is_page(reply);
    let bare = reply.status == StatusCode::BAD_REQUEST && reply.body.is_empty();
    let limit = reply.status == StatusCode::FORBIDDEN && is_rate_limit(reply);
    !is_judged_by_status(reply.status) && !page && !bare && !limit
}

/// Status, content type, the names at the top of a JSON object, and about how long it was. No value but an error's code.
fn shape(reply: &Reply, json: Option<&Value>) -> String {
    let kind = reply.content_type();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = if kind.is_empty() { "no type" } else { kind };
    let names = match json {
        Some(Value::Object(object)) => {
            let names: Vec<&str> = object
                .keys()
                .take(MOST_NAMES)
                .map(|key| name(key))
                .collect();
            let more = if object.len() > MOST_NAMES {
                ", …"
            } else {
                ""
            };
            format!(", {{{}{more}}}", names.join(", "))
        }
        Some(Value::Array(_)) => ", a list".to_owned(),
        Some(_) => ", a single value".to_owned(),
        None => String::new(),
    };
    let code = json.and_then(error_of).map(|refused| refused.code);
    let code = code.map(|code| format!(", error {}", name(&code)));
    one_line(&format!(
        "{} {kind}{names}{}, {}",
        reply.status.as_u16(),
        code.unwrap_or_default(),
        about(reply.body.len())
    ))
}

fn name(text: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    if text.len() <= LONGEST_NAME && text.chars().all(plain) && without_secrets(text) == text {
        text
    } else {
        "?"
    }
}

/// The same shape is to be the same text, though its length differs from time to time.
fn about(bytes: usize) -> String {
    match bytes {
        0 => "empty".to_owned(),
        more => format!("under {} bytes", (more + 1).next_power_of_two().max(64)),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn odd(status: u16, kind: &'static str, body: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        unrecognized_shape(&Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.to_owned().into(),
        })
    }

    #[test]
    fn what_fits_a_row_is_not_odd() {
        let json = "application/json";
        for (status, kind, body) in [
            (200, json, r#"{"access_token":"a"}"#),
            (400, json, r#"{"error":"invalid_grant"}"#),
            (200, json, r#"{"ok":false,"error":"internal_error"}"#),
            (400, json, r#"{"error":"invalid_target"}"#),
            (503, json, r#"{"error":"whatever"}"#),
            (429, "text/plain", "slow down"),
            (403, "text/html", "<html>blocked</html>"),
            (502, "text/html", "<html>"),
            (400, "", ""),
        ] {
            assert_eq!(odd(status, kind, body), None, "{status} {body}");
        }
    }

    #[test]
    fn what_fits_none_is_told_without_its_values() {
        let secret = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        let nested = format!(r#"{{"data":{{"token":"{secret}"}},"{secret}":1}}"#);
        let short = r#"{"error":"AbCd3fGh1jKlMn0pQr5t","Zx9cVb7nMa5sDf3gHj1k":1}"#;
        for (status, kind, body, expected) in [
            (
                200,
                "application/json; charset=utf-8",
                nested.as_str(),
                "200 application/json, {data, ?}, under 128 bytes",
            ),
            (
                400,
                "application/json",
                r#"{"error":"out_of_cheese","hint":"x"}"#,
                "400 application/json, {error, hint}, error out_of_cheese, under 64 bytes",
            ),
            (
                400,
                "",
                short,
                "400 no type, {?, error}, error ?, under 64 bytes",
            ),
            (200, "", "[1]", "200 no type, a list, under 64 bytes"),
            (302, "text/plain", "", "302 text/plain, empty"),
            (401, "text/plain", "no", "401 text/plain, under 64 bytes"),
        ] {
            assert_eq!(odd(status, kind, body).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_shape_has_a_bound() {
        let many: Vec<String> = (0..5_000).map(|n| format!(r#""k{n}":1"#)).collect();
        let shape = odd(200, "application/json", &format!("{{{}}}", many.join(","))).unwrap();
        assert!(shape.len() < 220 && shape.contains('…'), "{shape}");
    }
}
