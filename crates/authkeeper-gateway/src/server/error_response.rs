//! Answers of the loopback servers themselves, in the place of a server's.

use authkeeper::model::ConnectionName;
use axum::response::{IntoResponse, Response as AxumResponse};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::{
    body::{ResponseBody, whole},
    error::{CallError, CallErrorKind},
    forward::UNDECLARED,
};

/// The fixed word, so that a client can tell an answer of ours from the server's.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-authkeeper-error");

/// When to ask a provider again that named no time, in seconds.
const SOON: u64 = 5;

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
    Host(Audience),
    Origin,
    Handle(Audience),
    Upgrade,
    Route(Audience),
    Path,
    Undeclared {
        /// The connection that was asked for, if that can be one's name.
        name: Option<ConnectionName>,
        declared: Vec<ConnectionName>,
    },
    /// The request's body broke off.
    Body,
    Forward(CallError),
}

impl IntoResponse for Rejection {
    fn into_response(self) -> AxumResponse {
        tracing::debug!(rejection = ?self, "the proxy answered by itself");
        self.response().into_response()
    }
}

impl Rejection {
    fn response(&self) -> Response<ResponseBody> {
        let (status, word) = self.kind();
        let mut body = json!({"error": word, "message": self.message()});
        let Self::Forward(error) = self else {
            return ours(status, word, body.to_string().into());
        };
        body["executed"] = error.executed.word().into();
        body["retryable"] = error.kind.is_retryable().into();
        if let Some(record) = &error.incident {
            body["record"] = serde_json::to_value(record).unwrap_or_default();
        }
        if let Some(health) = &error.health {
            body["health"] = serde_json::to_value(health).unwrap_or_default();
        }
        let mut response = ours(status, word, body.to_string().into());
        if let Some(seconds) = retry_after(error) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// A missing handle of the daemon is a 403 too: MCP clients take any 401 for the beginning of OAuth (2025-11-25,
    /// basic/authorization).
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Host(_) => (StatusCode::FORBIDDEN, "wrong_host"),
            Self::Origin => (StatusCode::FORBIDDEN, "wrong_origin"),
            Self::Handle(Audience::Daemon) => (StatusCode::FORBIDDEN, "handle_required"),
            Self::Handle(Audience::Run) => (StatusCode::UNAUTHORIZED, "task_handle_required"),
            Self::Upgrade => (StatusCode::NOT_IMPLEMENTED, "upgrade_not_supported"),
            Self::Route(_) => (StatusCode::NOT_FOUND, "no_such_route"),
            Self::Path => (StatusCode::BAD_REQUEST, "bad_path"),
            Self::Undeclared { .. } => (StatusCode::FORBIDDEN, UNDECLARED),
            Self::Body => (StatusCode::BAD_REQUEST, "request_broken_off"),
            Self::Forward(error) => (error.kind.status(), error.kind.word()),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Host(Audience::Daemon) => {
                "the Host header must name this machine: 127.0.0.1, localhost or [::1] with the port"
                    .to_owned()
            }
            Self::Host(Audience::Run) => {
                "the Host header must name this proxy; use AUTHKEEPER_URL as it is".to_owned()
            }
            Self::Origin => "pages of other origins may not use this proxy".to_owned(),
            Self::Handle(Audience::Daemon) => "show the handle: `authkeeper serve --print-handle` prints it; send it as \
                `Authorization: Bearer …` or as `X-Authkeeper-Task`"
                .to_owned(),
            Self::Handle(Audience::Run) => "show the task handle: send the value of AUTHKEEPER_TASK as \
                `Authorization: Bearer …` or as `X-Authkeeper-Task`"
                .to_owned(),
            Self::Upgrade => {
                "websockets and other upgrades can't be carried; use plain HTTP".to_owned()
            }
            Self::Route(Audience::Daemon) => "there is nothing here; an MCP endpoint is /mcp/NAME".to_owned(),
            Self::Route(Audience::Run) => "there is nothing here; call $AUTHKEEPER_URL/c/NAME/…".to_owned(),
            Self::Path => {
                "the path has `.` or `..` segments or a backslash; resolve them first".to_owned()
            }
            Self::Undeclared { declared, .. } => undeclared(declared),
            Self::Body => "the request's body broke off; nothing was sent".to_owned(),
            Self::Forward(error) => error.message.clone(),
        }
    }
}

/// In seconds. A provider that named no time is tried again soon.
fn retry_after(error: &CallError) -> Option<u64> {
    let is_of_provider = error.kind == CallErrorKind::ProviderUnavailable;
    is_of_provider.then(|| error.retry_after_seconds().unwrap_or(SOON))
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

    use authkeeper::model::{Health, HealthCause, HealthState};
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_kind_has_its_status_and_its_word() {
        for kind in CallErrorKind::ALL {
            let response = Rejection::Forward(CallError::new(kind, "why")).response();
            assert_eq!(response.status(), kind.status());
            assert_eq!(response.headers()[ERROR_HEADER], kind.word());
            let is_soon = kind == CallErrorKind::ProviderUnavailable;
            assert_eq!(response.headers().contains_key("retry-after"), is_soon);
        }
    }

    #[tokio::test]
    async fn how_the_connection_stands_is_in_the_body() {
        let health = Health {
            state: HealthState::Down,
            cause: Some(HealthCause::ClientRefused),
            ..Health::OK
        };
        let error = CallError::new(CallErrorKind::ClientRefused, "no").with_health(health);
        let response = Rejection::Forward(error).response();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["health"]["state"], "down");
        assert_eq!(body["health"]["cause"], "client_refused");
    }

    #[test]
    fn each_refused_request_is_documented() {
        let page = include_str!("../../../../docs/errors.md");
        for audience in [Audience::Run, Audience::Daemon] {
            for rejection in [
                Rejection::Host(audience),
                Rejection::Origin,
                Rejection::Handle(audience),
                Rejection::Upgrade,
                Rejection::Route(audience),
                Rejection::Path,
                Rejection::Undeclared {
                    name: None,
                    declared: Vec::new(),
                },
                Rejection::Body,
            ] {
                let (status, word) = rejection.kind();
                let row = format!("| `{word}` | {} | ", status.as_u16());
                assert!(page.contains(&row), "{row}");
            }
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
            let asked = asked.map(Duration::from_millis);
            let rejection = Rejection::Forward(CallError::provider_unavailable("busy", asked));
            let response = rejection.response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], said);
            assert_eq!(response.headers()[ERROR_HEADER], "provider_unavailable");
        }
    }
}
