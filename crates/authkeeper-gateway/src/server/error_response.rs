//! Answers of the loopback servers themselves, in the place of a server's.

use authkeeper::model::{ConnectionName, Record};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

use crate::{
    body::{ResponseBody, whole},
    forward::{ForwardError, described},
};

/// The fixed word, so that a client can tell an answer of ours from the server's.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-authkeeper-error");

/// Whose server answers: the words differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// The command of one run.
    Run,
    /// The clients of the daemon.
    Daemon,
}

/// Why a request was not passed on.
#[derive(Debug)]
pub(super) enum Rejection {
    Host,
    Origin,
    Handle,
    Upgrade,
    Route,
    Path,
    Undeclared {
        declared: Vec<ConnectionName>,
    },
    /// The request's body broke off.
    Body,
    Forward(ForwardError),
}

impl Rejection {
    pub(super) fn response(&self, audience: Audience) -> Response<ResponseBody> {
        let (status, word) = self.kind(audience);
        let mut object = Map::new();
        object.insert("error".to_owned(), Value::from(word));
        object.insert("message".to_owned(), Value::from(self.message(audience)));
        if let Some(record) = self.record() {
            let record = serde_json::to_value(record).unwrap_or_default();
            object.insert("record".to_owned(), record);
        }
        let text = Value::Object(object).to_string();
        let mut response = ours(status, word, text.into());
        if let Some(seconds) = self.retry_after() {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Authority that is missing is a 403: a 401 would make clients start a sign-in of their own. The daemon's handle too:
    /// MCP clients take any 401 for the beginning of OAuth (2025-11-25, basic/authorization).
    fn kind(&self, audience: Audience) -> (StatusCode, &'static str) {
        match self {
            Self::Host => (StatusCode::FORBIDDEN, "wrong_host"),
            Self::Origin => (StatusCode::FORBIDDEN, "wrong_origin"),
            Self::Handle if audience == Audience::Daemon => {
                (StatusCode::FORBIDDEN, "handle_required")
            }
            Self::Handle => (StatusCode::UNAUTHORIZED, "task_handle_required"),
            Self::Upgrade => (StatusCode::NOT_IMPLEMENTED, "upgrade_not_supported"),
            Self::Route => (StatusCode::NOT_FOUND, "no_such_route"),
            Self::Path => (StatusCode::BAD_REQUEST, "bad_path"),
            Self::Undeclared { .. } => (StatusCode::FORBIDDEN, "connection_not_declared"),
            Self::Body => (StatusCode::BAD_REQUEST, "request_broken_off"),
            Self::Forward(error) => forward_kind(error),
        }
    }

    fn message(&self, audience: Audience) -> String {
        let served = audience == Audience::Daemon;
        match self {
            Self::Host if served => {
                "the Host header must name this machine: 127.0.0.1, localhost or [::1] with the port"
                    .to_owned()
            }
            Self::Host => {
                "the Host header must name this proxy; use AUTHKEEPER_URL as it is".to_owned()
            }
            Self::Origin => "pages of other origins may not use this proxy".to_owned(),
            Self::Handle if served => "show the handle: `authkeeper serve --print-handle` prints it; send it as \
                `Authorization: Bearer …` or as `X-Authkeeper-Task`"
                .to_owned(),
            Self::Handle => "show the task handle: send the value of AUTHKEEPER_TASK as \
                `Authorization: Bearer …` or as `X-Authkeeper-Task`"
                .to_owned(),
            Self::Upgrade => {
                "websockets and other upgrades can't be carried; use plain HTTP".to_owned()
            }
            Self::Route if served => "there is nothing here; an MCP endpoint is /mcp/NAME".to_owned(),
            Self::Route => "there is nothing here; call $AUTHKEEPER_URL/c/NAME/…".to_owned(),
            Self::Path => {
                "the path has `.` or `..` segments or a backslash; resolve them first".to_owned()
            }
            Self::Undeclared { declared } => undeclared(declared),
            Self::Body => "the request's body broke off; nothing was sent".to_owned(),
            Self::Forward(error) => forward_message(error),
        }
    }

    fn record(&self) -> Option<&Record> {
        match self {
            Self::Forward(
                ForwardError::Authority { record }
                | ForwardError::Rejected { record }
                | ForwardError::Permission { record },
            ) => Some(record),
            _ => None,
        }
    }

    /// In seconds, rounded up. A provider that named no time is tried again soon.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Forward(ForwardError::Unavailable { retry_after, .. }) => {
                let asked = retry_after.map_or(5, |wait| wait.as_millis().div_ceil(1000));
                Some(u64::try_from(asked).unwrap_or(u64::MAX).max(1))
            }
            _ => None,
        }
    }
}

/// An answer of ours.
pub(super) fn ours(status: StatusCode, word: &'static str, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ERROR_HEADER, HeaderValue::from_static(word));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn forward_kind(error: &ForwardError) -> (StatusCode, &'static str) {
    match error {
        ForwardError::Authority { .. } => (StatusCode::FORBIDDEN, "authorization_missing"),
        ForwardError::Rejected { .. } => (StatusCode::FORBIDDEN, "token_rejected"),
        ForwardError::Permission { .. } => (StatusCode::FORBIDDEN, "scope_refused"),
        ForwardError::NoSuchConnection => (StatusCode::FORBIDDEN, "no_such_connection"),
        ForwardError::Unavailable { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable")
        }
        ForwardError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "server_unreachable"),
        ForwardError::Interrupted { .. } => (StatusCode::BAD_GATEWAY, "interrupted"),
        ForwardError::Refused { reason, .. } => (StatusCode::FORBIDDEN, reason),
        ForwardError::BadTarget(_) => (StatusCode::BAD_REQUEST, "bad_path"),
        ForwardError::Fault { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "fault"),
    }
}

fn forward_message(error: &ForwardError) -> String {
    match error {
        ForwardError::Authority { record }
        | ForwardError::Rejected { record }
        | ForwardError::Permission { record } => described(record),
        ForwardError::NoSuchConnection => {
            "this connection is not there any more; a person must run `authkeeper connect`"
                .to_owned()
        }
        ForwardError::Unavailable { message, .. } => format!("no token can be had now: {message}"),
        ForwardError::Unreachable { message } => format!("the server can't be reached: {message}"),
        ForwardError::Interrupted { message } => {
            format!(
                "the connection broke before the answer; the call may have been carried out: {message}"
            )
        }
        ForwardError::BadTarget(bad) => bad.to_string(),
        ForwardError::Refused { message, .. } | ForwardError::Fault { message } => message.clone(),
    }
}

fn undeclared(declared: &[ConnectionName]) -> String {
    let names: Vec<&str> = declared.iter().map(ConnectionName::as_str).collect();
    format!(
        "this task declared {}; add `--with NAME` to `authkeeper run`",
        if names.is_empty() {
            "no connection".to_owned()
        } else {
            format!("only {}", names.join(", "))
        }
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::forward::TokenFailure;

    #[test]
    fn refusals_of_the_authority_have_statuses_of_their_own() {
        let message = "broken".to_owned();
        for (refusal, status, word) in [
            (TokenFailure::NoSuchConnection, 403, "no_such_connection"),
            (
                TokenFailure::Refused {
                    reason: "client_refused",
                    message: message.clone(),
                },
                403,
                "client_refused",
            ),
            (
                TokenFailure::Fault {
                    reason: "store",
                    message,
                },
                500,
                "fault",
            ),
        ] {
            let response = Rejection::Forward(refusal.into()).response(Audience::Run);
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[ERROR_HEADER], word);
            assert!(!response.headers().contains_key("retry-after"));
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_always_there() {
        for (asked, said) in [
            (None, "5"),
            (Some(1500), "2"),
            (Some(0), "1"),
            (Some(60_000), "60"),
        ] {
            let refusal = Rejection::Forward(ForwardError::from(TokenFailure::Unavailable {
                reason: "unavailable",
                message: "busy".to_owned(),
                retry_after: asked.map(Duration::from_millis),
            }));
            let response = refusal.response(Audience::Run);
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], said);
            assert_eq!(response.headers()[ERROR_HEADER], "provider_unavailable");
        }
    }
}
