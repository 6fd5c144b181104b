//! The faults' effect on replies.

use serde_json::{Value, json};

use crate::{fault::FaultKind, wire::HttpReply};

/// The reply that a fault sends instead of serving the request.
pub(super) fn instead_of_serving(kind: &FaultKind) -> Option<HttpReply> {
    match kind {
        FaultKind::Status { code, retry_after } => {
            let mut reply = HttpReply::empty(*code).with("content-type", "text/plain");
            reply.body = "upstream unavailable".into();
            Some(match retry_after {
                Some(after) => reply.with("retry-after", after.as_secs().to_string()),
                None => reply,
            })
        }
        FaultKind::ErrorIn200(error) => {
            let description = "The refresh token passed is incorrect or expired.";
            let body = json!({"error": error, "error_description": description});
            Some(HttpReply::json(200, &body))
        }
        FaultKind::ProxyPage => Some(proxy_page()),
        _ => None,
    }
}

fn proxy_page() -> HttpReply {
    let page = "<!doctype html><title>Please wait</title><h1>Checking your browser</h1>";
    HttpReply::html(200, page.to_owned())
}

/// Whether a fault damages the reply of a request that is served.
pub(super) fn damages(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::AnswerLost
            | FaultKind::Html
            | FaultKind::WrongType
            | FaultKind::Truncated
            | FaultKind::Huge
            | FaultKind::NoExpiresIn
    )
}

const HUGE: usize = 8 * 1024 * 1024;

/// A served reply, damaged by a fault.
pub(super) fn damaged(mut reply: HttpReply, kind: &FaultKind) -> HttpReply {
    match kind {
        FaultKind::AnswerLost => reply.lost = true,
        FaultKind::Html => return proxy_page(),
        FaultKind::WrongType => return reply.with("content-type", "text/plain; charset=utf-8"),
        FaultKind::Truncated => reply.body.truncate(reply.body.len() / 2),
        FaultKind::Huge => {
            let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| json!({}));
            body["padding"] = "x".repeat(HUGE).into();
            reply.body = body.to_string().into();
        }
        FaultKind::NoExpiresIn => {
            if let Ok(Value::Object(mut body)) = serde_json::from_slice(&reply.body) {
                body.remove("expires_in");
                reply.body = Value::Object(body).to_string().into();
            }
        }
        _ => {}
    }
    reply
}
