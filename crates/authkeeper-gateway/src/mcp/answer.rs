//! What an HTTP response means for the message that caused it: pure functions.

use authkeeper::oauth::resource_error;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode, response::Parts};
use jiff::Timestamp;

use super::codec::message::{FromServer, Id};
use crate::error::CallError;

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

/// Whether the text of a refusal is about a session that the server does not know.
pub(super) fn says_no_session(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    text.contains("session") || text.contains("not initialized")
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

pub(super) fn judge(status: StatusCode, body: &[u8], waiting: &[Id]) -> Verdict {
    let Some(seen) = FromServer::parse(body) else {
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

/// For a response that is no answer: the server's own words, and when to try again where it has surely not acted. A 503
/// without a time may be a gateway's for a server that did act.
pub(super) fn refusal(head: &Parts, body: &[u8], now: Timestamp) -> CallError {
    let (status, headers) = (head.status, &head.headers);
    let retry_after = resource_error::retry_after(headers, now);
    let is_busy = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => retry_after.is_some(),
        _ => false,
    };
    let error = if is_busy {
        CallError::server_busy(status, retry_after)
    } else {
        CallError::unusable_answer(status, content_type(headers))
    };
    error.saying(resource_error::said(headers, body).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{CallErrorKind, UnusableResponse},
        mcp::codec::message::Message,
    };

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
            body.as_bytes(),
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

    fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> CallError {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (head, ()) = response.body(()).unwrap().into_parts();
        refusal(&head, body.as_bytes(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_the_plain_content_type_is_shown() {
        let error = refused(502, &[("content-type", "text/html; secret=hunter2")], "<p>");
        assert!(
            error
                .message
                .ends_with("HTTP 502 with text/html instead of an MCP message"),
            "{error}"
        );
        let content_type = Some("text/html".to_owned());
        let status = StatusCode::BAD_GATEWAY;
        assert_eq!(
            error.response,
            Some(UnusableResponse::Foreign {
                status,
                content_type
            })
        );
    }

    #[test]
    fn a_server_that_takes_no_calls_now_has_not_acted() {
        let later = ("retry-after", "7");
        let (busy, unusable) = (CallErrorKind::ServerBusy, CallErrorKind::UnusableAnswer);
        for (status, says_when, kind) in [
            (429, false, busy),
            (429, true, busy),
            (503, true, busy),
            (503, false, unusable),
            (502, true, unusable),
        ] {
            let headers = says_when.then_some(later);
            let error = refused(status, headers.as_slice(), "");
            assert_eq!(error.kind, kind, "{status} {says_when}");
            let seconds = (says_when && kind == busy).then_some(7);
            assert_eq!(error.retry_after_seconds(), seconds, "{status} {says_when}");
        }
    }

    #[test]
    fn the_servers_own_words_are_told_and_no_page_of_it() {
        let said = |kind: &str, body: &str| refused(400, &[("content-type", kind)], body).message;
        let json = said("application/json", r#"{"detail":"workspace is archived"}"#);
        assert!(json.ends_with("it said: workspace is archived"), "{json}");
        let plain = said("text/plain; charset=utf-8", "Workspace is archived\n");
        assert!(plain.ends_with("it said: Workspace is archived"), "{plain}");
        let long = "x".repeat(201);
        for (kind, body) in [
            ("text/html", "<p>secret"),
            ("text/plain", &long),
            ("text/plain", "two\nlines"),
            ("application/json", "[1]"),
        ] {
            assert!(!said(kind, body).contains("it said"), "{kind} {body}");
        }
    }
}
