//! What an HTTP response means for the message that caused it, and how the bridge words its own errors.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    codec::message::{FromServer, Id, Malformed},
    upstream::UpstreamError,
};

// Our codes. Not −32001 and its like: both official SDKs read that as a timeout, and 2026-07-28
// (basic/index, "Error Codes") wants new ones outside the range JSON-RPC reserves.
/// A person must act; nothing was done.
pub(super) const AUTHORITY: i32 = -31001;
/// The server refuses this identity; nothing was done.
pub(super) const REJECTED: i32 = -31002;
/// Provider or network; nothing was done, try later.
pub(super) const UNAVAILABLE: i32 = -31003;
/// The connection broke before the answer; whether anything was done is unknown.
pub(super) const INTERRUPTED: i32 = -31004;
/// The server answered with something that is not an MCP message.
pub(super) const UNUSABLE: i32 = -31005;
/// The bridge can't work: a command line, a setting or the store must be repaired.
pub(super) const NOT_STARTED: i32 = -31006;
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// How to read a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Events,
    Json,
    /// Accepted, nothing to say: right for a notification or a response.
    Accepted,
    Unusable,
}

pub(super) fn shape<B>(response: &Response<B>) -> Shape {
    let status = response.status();
    match content_type(response.headers()).as_deref() {
        Some("text/event-stream") if status.is_success() => Shape::Events,
        _ if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) => Shape::Accepted,
        Some("application/json") => Shape::Json,
        _ => Shape::Unusable,
    }
}

/// Type and subtype only; parameters could hold anything.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next()?.trim();
    Some(
        essence
            .chars()
            .take(80)
            .collect::<String>()
            .to_ascii_lowercase(),
    )
}

/// Statuses that say nothing about the next attempt.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

/// What to do with a JSON body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers (some of) what was asked, or is a message of its own kind: pass it on.
    Forward,
    /// An HTTP-level error that names no request (a null or made-up id): its `error`, for our ids.
    Attribute(String),
    Unusable,
}

pub(super) fn judge(status: StatusCode, seen: Option<FromServer>, waiting: &[Id]) -> Verdict {
    let Some(seen) = seen else {
        return Verdict::Unusable;
    };
    let ours = waiting.iter().any(|id| seen.answers.contains(id.key()));
    match seen.error {
        _ if ours => Verdict::Forward,
        Some(error) => Verdict::Attribute(error),
        None if status.is_success() && seen.answers.is_empty() => Verdict::Forward,
        None => Verdict::Unusable,
    }
}

/// Why a request got no answer from the server.
#[derive(Debug, Error)]
pub(super) enum CallFailure {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("HTTP {status} with {} is not an answer", content_type.as_deref().unwrap_or("no content type"))]
    Unusable {
        status: StatusCode,
        content_type: Option<String>,
    },
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the connection broke before the answer")]
    Interrupted,
    /// Authority went while an answer was awaited: unlike at the start, the call is already made.
    #[error("authorization was lost before the answer")]
    AuthorityLost {
        message_for_model: String,
        data: Value,
    },
}

impl CallFailure {
    pub(super) fn unusable<B>(response: &Response<B>) -> Self {
        let content_type = content_type(response.headers());
        Self::Unusable {
            status: response.status(),
            content_type,
        }
    }

    /// The HTTP status that came in the place of an MCP message.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unusable { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The JSON-RPC error a request gets: code, a message a model understands, machine-readable data.
    fn error(&self) -> (i32, String, Value) {
        match self {
            Self::Upstream(error) => upstream_error(error),
            Self::Unusable {
                status,
                content_type,
            } => unusable_error(*status, content_type.as_deref()),
            Self::TooLarge { limit } => (
                UNUSABLE,
                format!(
                    "The server's answer is larger than {limit} bytes and was dropped. The call may have been carried out: check, and do not report success unseen."
                ),
                json!({"kind": "answer_too_large", "limit": limit, "executed": "unknown", "retryable": false}),
            ),
            Self::Interrupted => interrupted_error(),
            Self::AuthorityLost {
                message_for_model,
                data,
            } => (
                AUTHORITY,
                format!(
                    "Authorization was lost before the answer arrived. The call may or may not have been carried out. Do not report success. {message_for_model}"
                ),
                with_facts(data, "authority_lost", "unknown"),
            ),
        }
    }

    pub(super) fn answer(&self, id: &Id) -> Bytes {
        let (code, message, data) = self.error();
        let error = json!({"code": code, "message": message, "data": data});
        attributed(id.raw(), &error.to_string())
    }
}

fn upstream_error(error: &UpstreamError) -> (i32, String, Value) {
    match error {
        UpstreamError::Authority {
            message_for_model,
            data,
        } => (
            AUTHORITY,
            format!(
                "Authorization is missing. Nothing was done: the call was not carried out. Do not report success, and do not try again until a person has acted. {message_for_model}"
            ),
            with_facts(data, "authority", "no"),
        ),
        UpstreamError::Rejected { message, data } => (
            REJECTED,
            format!(
                "The server refuses this authorization although it is fresh. Nothing was done. Do not report success. {message}"
            ),
            with_facts(data, "rejected", "no"),
        ),
        UpstreamError::Permission { message, data } => (
            REJECTED,
            format!(
                "The server does not allow this call to this authorization, and signing in again has not changed that. Nothing was done. Do not report success, and do not make this call again. {message}"
            ),
            with_facts(data, "permission", "no"),
        ),
        UpstreamError::Unavailable { message } => (
            UNAVAILABLE,
            format!(
                "The server or its authorization server cannot be reached right now. Nothing was done: do not report success; trying again later is safe. {message}"
            ),
            json!({"kind": "unavailable", "executed": "no", "retryable": true}),
        ),
        UpstreamError::NotStarted { message } => (
            NOT_STARTED,
            format!(
                "authkeeper can't work for this server. Nothing was done. Do not report success, and do not try again until a person has acted. {message}"
            ),
            json!({"kind": "not_started", "executed": "no", "retryable": false}),
        ),
        UpstreamError::Interrupted { .. } => interrupted_error(),
    }
}

fn interrupted_error() -> (i32, String, Value) {
    (
        INTERRUPTED,
        "The connection to the server broke before its answer arrived. The call may or may not have been carried out: do not report success, and check before repeating it.".to_owned(),
        json!({"kind": "interrupted", "executed": "unknown", "retryable": false}),
    )
}

fn unusable_error(status: StatusCode, content_type: Option<&str>) -> (i32, String, Value) {
    let shown = content_type.unwrap_or("no content type");
    (
        UNUSABLE,
        format!(
            "The server answered HTTP {} with {shown} instead of an MCP message. Do not report success.",
            status.as_u16()
        ),
        json!({"kind": "unusable_answer", "status": status.as_u16(), "content_type": content_type, "executed": "unknown", "retryable": false}),
    )
}

/// The incident's record, plus what every error of ours says: which kind, and whether anything happened.
fn with_facts(data: &Value, kind: &str, executed: &str) -> Value {
    let mut facts = data.as_object().cloned().unwrap_or_default();
    facts.insert("kind".to_owned(), kind.into());
    facts.insert("executed".to_owned(), executed.into());
    facts.insert("retryable".to_owned(), false.into());
    Value::Object(facts)
}

/// An error response for `id`, whose `error` member is already JSON.
pub(super) fn attributed(id: &str, error: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
}

/// The answer to a line that names no request (JSON-RPC 2.0 §5.1).
pub(super) fn malformed(problem: Malformed) -> Bytes {
    let (code, message) = match problem {
        Malformed::NotJson => (PARSE_ERROR, "Parse error: the line is not JSON"),
        Malformed::NotAMessage => (INVALID_REQUEST, "Invalid request: not a JSON-RPC message"),
    };
    attributed(
        "null",
        &json!({"code": code, "message": message}).to_string(),
    )
}

pub(super) fn line_too_long(limit: usize) -> Bytes {
    let message = format!("Invalid request: the line is longer than {limit} bytes");
    attributed(
        "null",
        &json!({"code": INVALID_REQUEST, "message": message}).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::codec::message::Message;

    fn response(status: u16, content_type: &str) -> Response<()> {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, content_type)
            .body(())
            .unwrap()
    }

    fn id(raw: &str) -> Id {
        let text = format!(r#"{{"id":{raw},"method":"x"}}"#);
        Message::parse(text.into()).unwrap().awaited().remove(0)
    }

    fn judged(status: u16, body: &str) -> Verdict {
        judge(
            StatusCode::from_u16(status).unwrap(),
            FromServer::parse(body),
            &[id("1")],
        )
    }

    #[test]
    fn responses_are_read_by_status_and_type() {
        assert_eq!(
            shape(&response(200, "text/event-stream; charset=utf-8")),
            Shape::Events
        );
        assert_eq!(
            shape(&response(200, "Application/JSON;charset=utf-8")),
            Shape::Json
        );
        assert_eq!(shape(&response(400, "application/json")), Shape::Json);
        assert_eq!(shape(&response(202, "application/json")), Shape::Accepted);
        assert_eq!(shape(&response(200, "text/html")), Shape::Unusable);
        assert_eq!(shape(&response(500, "text/event-stream")), Shape::Unusable);
        assert_eq!(shape(&Response::new(())), Shape::Unusable);
    }

    #[test]
    fn errors_without_our_id_are_given_to_our_request() {
        assert_eq!(judged(200, r#"{"id":1,"result":{}}"#), Verdict::Forward);
        assert_eq!(
            judged(400, r#"{"id":1,"error":{"code":-32022}}"#),
            Verdict::Forward
        );
        let stray = Verdict::Attribute(r#"{"code":-32600}"#.into());
        assert_eq!(
            judged(400, r#"{"id":"server-error","error":{"code":-32600}}"#),
            stray
        );
        assert_eq!(judged(200, r#"{"id":null,"error":{"code":-32600}}"#), stray);
        for oauth in [
            r#"{"error":"invalid_token","error_description":"The token ended"}"#,
            r#"{"id":1,"error":"invalid_token"}"#,
            r#"{"error":{"type":"overloaded"}}"#,
        ] {
            assert_eq!(judged(401, oauth), Verdict::Unusable, "{oauth}");
        }
        assert_eq!(judged(200, r#"{"id":2,"result":{}}"#), Verdict::Unusable);
        assert_eq!(judged(500, r#"{"detail":"oops"}"#), Verdict::Unusable);
        assert_eq!(
            judged(500, r#"{"method":"notifications/message"}"#),
            Verdict::Unusable
        );
    }

    #[test]
    fn a_model_is_told_plainly_that_nothing_happened() {
        let failure = CallFailure::Upstream(UpstreamError::Authority {
            message_for_model: "ana was asked: https://x.example/1".into(),
            data: json!({"connection": "notion", "kind": "x"}),
        });
        let answer: Value = serde_json::from_slice(&failure.answer(&id(r#""q""#))).unwrap();
        assert_eq!(answer["id"], "q");
        assert_eq!(answer["error"]["code"], AUTHORITY);
        let message = answer["error"]["message"].as_str().unwrap();
        for part in [
            "Nothing was done",
            "Do not report success",
            "https://x.example/1",
        ] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
        let data = &answer["error"]["data"];
        assert_eq!(
            (&data["connection"], &data["kind"]),
            (&json!("notion"), &json!("authority"))
        );
        assert_eq!(
            (&data["executed"], &data["retryable"]),
            (&json!("no"), &json!(false))
        );
    }

    #[test]
    fn every_failure_says_whether_anything_was_done() {
        let executed = |failure: CallFailure| failure.error().2["executed"].clone();
        let message = String::new;
        let data = || json!({});
        assert_eq!(
            executed(UpstreamError::Unavailable { message: message() }.into()),
            "no"
        );
        assert_eq!(
            executed(
                UpstreamError::Rejected {
                    message: message(),
                    data: data()
                }
                .into()
            ),
            "no"
        );
        assert_eq!(
            executed(UpstreamError::Interrupted { message: message() }.into()),
            "unknown"
        );
        assert_eq!(executed(CallFailure::Interrupted), "unknown");
        assert_eq!(executed(CallFailure::TooLarge { limit: 1 }), "unknown");
        assert_eq!(
            executed(CallFailure::unusable(&response(502, "text/html"))),
            "unknown"
        );
        let lost = CallFailure::AuthorityLost {
            message_for_model: message(),
            data: data(),
        };
        assert_eq!(executed(lost), "unknown");
    }

    #[test]
    fn only_the_plain_content_type_is_shown() {
        let odd = response(502, "text/html; secret=hunter2");
        let (_, message, data) = CallFailure::unusable(&odd).error();
        assert!(
            message.contains("HTTP 502 with text/html instead"),
            "{message}"
        );
        assert_eq!(data["content_type"], "text/html");
        assert_eq!(data["status"], 502);
    }
}
