//! What an answer, or its absence, says of a connection: who has to do what.

use authkeeper::model::ConnectionName;
use authkeeper_gateway::{forward::ForwardError, mcp::ListToolsError};
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

pub(super) fn not_carried(error: ForwardError, name: &ConnectionName) -> Failure {
    match error {
        ForwardError::Authority { record } => Failure::new(
            Exit::Person,
            format!("{name}: {}", record.detail),
            record.action,
        ),
        ForwardError::Rejected { record } | ForwardError::Permission { record } => Failure::new(
            Exit::Permission,
            format!("{name}: {}", record.detail),
            record.action,
        ),
        ForwardError::Unavailable { message, .. } => {
            Failure::new(Exit::Unavailable, format!("{name}: {message}"), LATER)
        }
        ForwardError::Unreachable { message } => {
            let what = format!("{name}: the server can't be reached: {message}");
            Failure::new(Exit::Unavailable, what, LATER)
        }
        ForwardError::Interrupted { message } => {
            let what = format!("{name}: the connection broke: {message}");
            Failure::new(Exit::Unavailable, what, LATER)
        }
        ForwardError::NoSuchConnection => {
            let what = format!("there is no connection {name} any more");
            Failure::new(
                Exit::NotFound,
                what,
                "authkeeper status lists what is connected",
            )
        }
        ForwardError::BadTarget(error) => {
            Failure::new(Exit::Config, format!("{name}: {error}"), "connect it again")
        }
        ForwardError::Refused { reason, message } => {
            let next =
                "check the client at the provider: its id, its secret and what it may ask for";
            Failure::new(Exit::of_reason(reason), format!("{name}: {message}"), next)
        }
        ForwardError::Fault { message } => {
            let next = format!("authkeeper status {name} and authkeeper doctor say more");
            Failure::new(Exit::Config, format!("{name}: {message}"), next)
        }
    }
}

pub(super) fn is_no_mcp(refused: &ListToolsError) -> bool {
    let may_be_mcp = |status| matches!(status, 401 | 403 | 408 | 429 | 500..=599);
    refused.kind() == "unusable_answer" && !refused.status().is_some_and(may_be_mcp)
}

pub(super) fn worded(refused: &ListToolsError, name: &ConnectionName) -> Failure {
    let text = |field: &str, otherwise: &str| {
        let text = refused.data[field].as_str();
        text.unwrap_or(otherwise).to_owned()
    };
    let again = format!("authkeeper reauthorize {name}");
    match refused.kind() {
        "authority" | "authority_lost" => {
            let what = format!("{name}: {}", text("detail", &refused.message));
            Failure::new(Exit::Person, what, text("action", &again))
        }
        "rejected" => {
            let what = format!("{name}: {}", text("detail", &refused.message));
            Failure::new(Exit::Permission, what, text("action", &again))
        }
        "unavailable" | "interrupted" => Failure::new(
            Exit::Unavailable,
            format!("{name}: {}", refused.message),
            LATER,
        ),
        "unusable_answer" => {
            let status = refused
                .status()
                .and_then(|code| StatusCode::from_u16(code).ok());
            let judged = judge(
                name,
                status.unwrap_or(StatusCode::BAD_GATEWAY),
                None,
                (None, &[]),
            );
            judged.err().unwrap_or_else(|| {
                let what = format!("{name}: its answer is not an MCP message");
                Failure::new(Exit::Data, what, "check the connection's URL")
            })
        }
        _ => {
            let what = format!("{name}: the MCP server answered: {}", refused.message);
            Failure::new(
                Exit::Data,
                what,
                "the server accepted the token; ask its operator",
            )
        }
    }
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
                json!({"kind": "authority", "detail": "d", "action": "a"}),
                Exit::Person,
            ),
            (json!({"kind": "rejected"}), Exit::Permission),
            (json!({"kind": "interrupted"}), Exit::Unavailable),
            (
                json!({"kind": "unusable_answer", "status": 403}),
                Exit::Permission,
            ),
            (
                json!({"kind": "unusable_answer", "status": 200}),
                Exit::Data,
            ),
            (Value::Null, Exit::Data),
        ] {
            assert_eq!(exit(data.clone()), code, "{data}");
        }
    }
}
