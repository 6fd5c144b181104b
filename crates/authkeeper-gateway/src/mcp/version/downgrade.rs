//! What a stateless client says, as a handshake server reads it, and the server's requests and errors as the
//! client does.

use super::{
    messages::{self, CAPABILITIES, CLIENT_INFO, LOG_LEVEL},
    protocol::INVALID_PARAMS,
};
use crate::mcp::codec::{
    json_object::Object,
    message::{META_VERSION, Message},
};

/// 2025-11-25, server/resources, "Error Handling"; 2026-07-28 says −32602.
const RESOURCE_NOT_FOUND: &str = "-32002";
/// 2025-11-25, client/elicitation: a page has to be opened before the call is made again.
const URL_REQUIRED: &str = "-32042";
/// The state of such a call: nothing waits for it.
pub(super) const AGAIN: &str = "authkeeper-again";

/// The message without what only the stateless era says, and its `_meta` as it was.
pub(super) fn lowered(message: &Message) -> Option<(Object, Object)> {
    let mut envelope = messages::envelope(&message.body)?;
    let Some(mut params) = envelope.object("params") else {
        return envelope
            .get("params")
            .is_none()
            .then(|| (envelope, Object::default()));
    };
    let meta = params.object("_meta").unwrap_or_default();
    let mut kept = meta.clone();
    for name in [META_VERSION, CLIENT_INFO, CAPABILITIES, LOG_LEVEL] {
        let _ = kept.remove(name);
    }
    if kept.is_empty() {
        let _ = params.remove("_meta");
    } else {
        params.set("_meta", &kept);
    }
    envelope.set("params", &params);
    Some((envelope, meta))
}

pub(super) fn input_required(requests: &Object, state: &str) -> Object {
    Object::default()
        .with("resultType", &"input_required")
        .with("inputRequests", requests)
        .with("requestState", &state)
}

/// A request of the server's without what 2026-07-28 does not know.
pub(super) fn question_to_client(request: &Object) -> Object {
    let mut question = Object::default().with("method", &request.get("method"));
    if let Some(mut params) = request.object("params") {
        for name in ["elicitationId", "task"] {
            let _ = params.remove(name);
        }
        question.set("params", &params);
    }
    question
}

/// For a call that wants pages opened first: both eras then make the call again.
pub(super) fn pages_to_open(error: &Object) -> Option<Object> {
    if error.get("code")?.get() != URL_REQUIRED {
        return None;
    }
    let pages = error.object("data")?;
    let pages: Vec<Object> = serde_json::from_str(pages.get("elicitations")?.get()).ok()?;
    let mut requests = Object::default();
    for (number, page) in pages.into_iter().enumerate() {
        let request = Object::default()
            .with("method", &"elicitation/create")
            .with("params", &page.with("mode", &"url"));
        requests.set(&format!("{number}"), &question_to_client(&request));
    }
    (!requests.is_empty()).then(|| input_required(&requests, AGAIN))
}

pub(super) fn stateless_error(mut error: Object) -> Object {
    if error
        .get("code")
        .is_some_and(|code| code.get() == RESOURCE_NOT_FOUND)
    {
        error.set("code", &INVALID_PARAMS);
    }
    error
}
