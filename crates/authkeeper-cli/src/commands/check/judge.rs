//! What an answer, or its absence, says of a connection: who has to do what.

use authkeeper::model::ConnectionName;
use authkeeper_gateway::{
    error::{CallError, CallErrorKind},
    mcp::ListToolsError,
};
use http::StatusCode;
use serde_json::Value;

use crate::{
    exit::Exit,
    failure::{Failure, LATER},
};

/// What an answer says of the connection. `said` are the server's own words for a refusal; the rest of an error body is not
/// shown, for it may hold anything.
pub(super) fn judge(
    name: &ConnectionName,
    status: StatusCode,
    succeeds_if: Option<&str>,
    (said, body): (Option<&str>, &[u8]),
) -> Result<(), Failure> {
    let fail = |exit, why: &str, next: String| {
        let said = said.map(|said| format!("; it said: {said}"));
        let what = format!(
            "{name}: the server answered {}: {why}{}",
            status.as_u16(),
            said.unwrap_or_default()
        );
        Err(Failure::new(exit, what, next))
    };
    match status.as_u16() {
        200..=299 => {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            match succeeds_if {
                Some(field) if answer[field] != true => {
                    let why = format!("its {field:?} is not true");
                    let next = "check at the provider what this account and token may do";
                    fail(Exit::Permission, &why, next.to_owned())
                }
                _ => Ok(()),
            }
        }
        401 => {
            let next =
                format!("authkeeper status {name}; if it stays: authkeeper reauthorize {name}");
            fail(Exit::Person, "it does not take the token", next)
        }
        403 => {
            let next = "check at the provider what this account and token may do: signing in again won't change it";
            fail(
                Exit::Permission,
                "this account may not do that",
                next.to_owned(),
            )
        }
        408 | 429 | 500..=599 => fail(Exit::Unavailable, "it can't answer now", LATER.to_owned()),
        300..=399 => {
            let next = "connect with the URL that it redirects to; tokens are never sent across a redirect";
            fail(Exit::Data, "it redirects", next.to_owned())
        }
        _ => {
            let next = format!(
                "nothing is said of the token by that; name a URL that answers: authkeeper connect {name} … --check-url URL"
            );
            fail(Exit::Data, "there is nothing to call", next)
        }
    }
}

/// Why a call got no answer, as the failure of `check`.
pub(super) fn not_carried(error: &CallError, name: &ConnectionName) -> Failure {
    match &error.incident {
        Some(record) => failed(name, error.kind, &record.detail, Some(&record.action)),
        None => failed(name, error.kind, &error.message, None),
    }
}

fn failed(name: &ConnectionName, kind: CallErrorKind, why: &str, action: Option<&str>) -> Failure {
    let next = action.map_or_else(|| next_step(name, kind), str::to_owned);
    Failure::new(Exit::of(kind), format!("{name}: {why}"), next)
}

/// What to do about a failure that no incident explains.
fn next_step(name: &ConnectionName, kind: CallErrorKind) -> String {
    match kind {
        CallErrorKind::ProviderUnavailable
        | CallErrorKind::ServerUnreachable
        | CallErrorKind::ServerBusy
        | CallErrorKind::Interrupted => LATER.to_owned(),
        CallErrorKind::NoSuchConnection => "authkeeper status lists what is connected".to_owned(),
        CallErrorKind::AuthorizationMissing | CallErrorKind::TokenRejected => {
            format!("authkeeper reauthorize {name}")
        }
        CallErrorKind::ClientRefused
        | CallErrorKind::RequestRefused
        | CallErrorKind::TokenEndpointMoved
        | CallErrorKind::ScopeRefused => {
            "check the client at the provider: its id, its secret and what it may ask for"
                .to_owned()
        }
        CallErrorKind::BadPath | CallErrorKind::UnusableAnswer | CallErrorKind::AnswerTooLarge => {
            "check the connection's URL".to_owned()
        }
        CallErrorKind::NetworkSetting
        | CallErrorKind::Store
        | CallErrorKind::NotStarted
        | CallErrorKind::Fault => {
            format!("authkeeper status {name} and authkeeper doctor say more")
        }
    }
}

pub(super) fn is_no_mcp(refused: &ListToolsError) -> bool {
    let may_be_mcp = |status| matches!(status, 401 | 403 | 408 | 429 | 500..=599);
    refused.kind() == Some(CallErrorKind::UnusableAnswer)
        && !refused.status().is_some_and(may_be_mcp)
}

pub(super) fn worded(refused: &ListToolsError, name: &ConnectionName) -> Failure {
    let Some(kind) = refused.kind() else {
        let what = format!("{name}: the MCP server answered: {}", refused.message);
        let next = "the server accepted the token; ask its operator";
        return Failure::new(Exit::Data, what, next);
    };
    let status = refused
        .status()
        .and_then(|code| StatusCode::from_u16(code).ok());
    if let Some(status) = status
        && let Err(judged) = judge(name, status, None, (None, &[]))
    {
        return judged;
    }
    let text = |field: &str| refused.data[field].as_str();
    // The message is written for a model.
    let health = |field: &str| refused.data["health"][field].as_str();
    let of_health = |field: &str| health(field).filter(|_| health("cause") == Some(kind.word()));
    let why = text("detail").or_else(|| of_health("detail"));
    let action = text("action").or_else(|| of_health("action"));
    failed(name, kind, why.unwrap_or(&refused.message), action)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name() -> ConnectionName {
        crate::test_support::notion()
    }

    #[test]
    fn an_answer_s_status_says_who_has_to_act() {
        let judged = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(&name(), status, None, (None, b""))
                .err()
                .map(|failure| failure.exit)
        };
        for (status, exit) in [
            (200, None),
            (204, None),
            (302, Some(Exit::Data)),
            (401, Some(Exit::Person)),
            (403, Some(Exit::Permission)),
            (404, Some(Exit::Data)),
            (429, Some(Exit::Unavailable)),
            (503, Some(Exit::Unavailable)),
        ] {
            assert_eq!(judged(status), exit, "{status}");
        }
    }

    #[test]
    fn an_api_that_answers_200_to_everything_is_asked_what_it_says() {
        let judged =
            |body: &str| judge(&name(), StatusCode::OK, Some("ok"), (None, body.as_bytes()));
        assert!(judged(r#"{"ok":true}"#).is_ok());
        for bad in [r#"{"ok":false}"#, "{}", "<html>"] {
            assert_eq!(judged(bad).unwrap_err().exit, Exit::Permission, "{bad}");
        }
    }

    #[test]
    fn what_the_bridge_refused_keeps_its_exit_code() {
        let exit = |data: Value| {
            let message = "no".to_owned();
            worded(&ListToolsError { message, data }, &name()).exit
        };
        for (data, code) in [
            (
                json!({"error": "authorization_missing", "detail": "d", "action": "a"}),
                Exit::Person,
            ),
            (json!({"error": "token_rejected"}), Exit::Permission),
            (json!({"error": "interrupted"}), Exit::Unavailable),
            (
                json!({"error": "unusable_answer", "status": 403}),
                Exit::Permission,
            ),
            (
                json!({"error": "unusable_answer", "status": 200}),
                Exit::Data,
            ),
            (Value::Null, Exit::Data),
        ] {
            assert_eq!(exit(data.clone()), code, "{data}");
        }
    }

    #[test]
    fn a_person_reads_how_the_connection_stands_and_no_instructions_for_a_model() {
        let said = |cause: &str| {
            let message = "Do not report success.".to_owned();
            let health =
                json!({"cause": cause, "detail": "it refuses our client", "action": "rotate"});
            let data = json!({"error": "client_refused", "health": health});
            let failure = worded(&ListToolsError { message, data }, &name());
            (failure.what, failure.next)
        };
        let (what, next) = said("client_refused");
        assert_eq!(what, "notion: it refuses our client");
        assert_eq!(next, "rotate");
        assert_ne!(said("key_refused").1, "rotate", "that is of something else");
    }
}
