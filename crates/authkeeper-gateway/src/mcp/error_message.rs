//! The JSON-RPC errors of the bridge: one renderer of [`CallError`], and the answers to lines that are no messages.
//!
//! An error has three parts: the code of its kind, a message that a model understands, and `data` for programs.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::codec::message::{Id, Malformed};
use crate::error::{CallError, CallErrorKind, Executed, UnusableResponse};

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// The error response that the request with this id gets.
pub(super) fn answer(error: &CallError, id: &Id) -> Bytes {
    let error = json!({
        "code": error.kind.code(),
        "message": message(error),
        "data": data(error),
    });
    attributed(id.raw(), &error.to_string())
}

/// What a model reads: what happened, whether anything was done, and what not to do.
fn message(error: &CallError) -> String {
    use CallErrorKind as Kind;
    let said = &error.message;
    match error.kind {
        Kind::AuthorizationMissing if error.executed == Executed::Unknown => format!(
            "Authorization was lost before the answer arrived. The call may or may not have been carried out. Do not report success. {said}{}",
            notified(error)
        ),
        Kind::AuthorizationMissing | Kind::NoSuchConnection => format!(
            "Authorization is missing. Nothing was done: the call was not carried out. Do not report success, and do not try again until a person has acted. {said}{}",
            notified(error)
        ),
        Kind::TokenRejected => format!(
            "The server refuses this authorization although it is fresh. Nothing was done. Do not report success. {said}"
        ),
        Kind::ScopeRefused => format!(
            "The server does not allow this call to this authorization, and signing in again has not changed that. Nothing was done. Do not report success, and do not make this call again. {said}"
        ),
        Kind::ClientRefused | Kind::RequestRefused | Kind::TokenEndpointMoved => format!(
            "The authorization server gives no token. Nothing was done: the call was not carried out. Do not report success, and do not try again until a person has acted. {said}"
        ),
        Kind::ProviderUnavailable | Kind::ServerUnreachable => format!(
            "The server or its authorization server cannot be reached right now. Nothing was done: do not report success; trying again later is safe. {said}"
        ),
        Kind::ServerBusy => format!(
            "{}. Nothing was done: do not report success; trying again later is safe.",
            capitalized(said)
        ),
        Kind::NetworkSetting | Kind::BadPath | Kind::Store | Kind::NotStarted | Kind::Fault => format!(
            "authkeeper can't work for this server. Nothing was done. Do not report success, and do not try again until a person has acted. {said}"
        ),
        Kind::Interrupted => "The connection to the server broke before its answer arrived. The call may or may not have been carried out: do not report success, and check before repeating it.".to_owned(),
        Kind::UnusableAnswer => format!("{}. Do not report success.", capitalized(said)),
        Kind::AnswerTooLarge => format!(
            "{}. The call may have been carried out: check, and do not report success unseen.",
            capitalized(said)
        ),
    }
}

fn notified(error: &CallError) -> &'static str {
    match (&error.incident, error.owner_notified) {
        (Some(_), Some(true)) => ". The owner was notified.",
        (Some(_), Some(false)) => ". Nobody was notified: say so to whom you work for.",
        _ => "",
    }
}

fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The incident's record, and what every error says: which kind, whether anything was done, and whether to try again.
fn data(error: &CallError) -> Value {
    let record = error.incident.as_ref().map(serde_json::to_value);
    let mut data = match record {
        Some(Ok(Value::Object(record))) => record,
        _ => Map::new(),
    };
    let kind = match (error.kind, error.executed) {
        (CallErrorKind::AuthorizationMissing, Executed::Unknown) => "authority_lost",
        (kind, _) => kind.older_word(),
    };
    let mut say = |name: &str, value: Value| data.insert(name.to_owned(), value);
    say("error", error.kind.word().into());
    say("kind", kind.into());
    say("executed", error.executed.word().into());
    say("retryable", error.kind.is_retryable().into());
    if let Some(after) = error.retry_after_seconds() {
        say("retry_after", after.into());
    }
    if let (Some(_), Some(notified)) = (&error.incident, error.owner_notified) {
        say("notified", notified.into());
    }
    if let Some(health) = &error.health {
        say("health", serde_json::to_value(health).unwrap_or_default());
    }
    if let Some(missing) = &error.missing {
        say("connection", missing.as_str().into());
        say("reason", error.reason().into());
        say("action", error.action().into());
    }
    match &error.response {
        Some(UnusableResponse::Foreign {
            status,
            content_type,
        }) => {
            say("status", status.as_u16().into());
            say("content_type", content_type.as_deref().into());
        }
        Some(UnusableResponse::TooLarge { limit }) => {
            say("limit", (*limit).into());
        }
        None => {}
    }
    Value::Object(data)
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
    use authkeeper::model::{Event, Health, HealthCause, HealthState};

    use super::*;
    use crate::{forward::tests::record, mcp::codec::message::Message};

    fn answered(error: &CallError) -> Value {
        let message = Message::parse(r#"{"id":"q","method":"x"}"#.into()).unwrap();
        serde_json::from_slice(&answer(error, &message.awaited()[0])).unwrap()
    }

    fn authorization_missing() -> CallError {
        let mut record = record(Event::ReauthorizationRequired, "notion");
        record.link = Some("https://x.example/1".to_owned());
        CallError::authorization_missing(Box::new(record))
    }

    #[test]
    fn a_model_is_told_plainly_that_nothing_happened() {
        let answer = answered(&CallError {
            owner_notified: Some(false),
            ..authorization_missing()
        });
        assert_eq!(answer["id"], "q");
        assert_eq!(answer["error"]["code"], -31001);
        let message = answer["error"]["message"].as_str().unwrap();
        for part in [
            "Nothing was done",
            "Do not report success",
            "https://x.example/1",
            "Nobody was notified",
        ] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
        let data = &answer["error"]["data"];
        for (name, value) in [
            ("connection", json!("notion")),
            ("error", json!("authorization_missing")),
            ("kind", json!("authority")),
            ("executed", json!("no")),
            ("retryable", json!(false)),
            ("notified", json!(false)),
        ] {
            assert_eq!(data[name], value, "{name}");
        }
    }

    #[test]
    fn how_the_connection_stands_is_part_of_the_data() {
        let health = Health {
            state: HealthState::Down,
            cause: Some(HealthCause::ClientRefused),
            ..Health::OK
        };
        let answer =
            answered(&CallError::new(CallErrorKind::ClientRefused, "no").with_health(health));
        let told = &answer["error"]["data"]["health"];
        assert_eq!(
            (&told["state"], &told["cause"]),
            (&json!("down"), &json!("client_refused"))
        );
    }

    #[test]
    fn what_is_lost_after_sending_may_have_been_carried_out() {
        let answer = answered(&authorization_missing().after_sending());
        let data = &answer["error"]["data"];
        assert_eq!(answer["error"]["code"], -31001);
        assert_eq!(
            (&data["kind"], &data["executed"]),
            (&json!("authority_lost"), &json!("unknown"))
        );
    }

    #[test]
    fn a_connection_that_is_not_there_comes_with_the_command_that_adds_it() {
        let name = crate::forward::tests::notion();
        let answer = answered(&CallError::no_such_connection(&name));
        let data = &answer["error"]["data"];
        assert_eq!(data["action"], "authkeeper connect notion URL");
        assert_eq!(
            (&data["connection"], &data["reason"]),
            (&json!("notion"), &json!("no_such_connection"))
        );
    }

    #[test]
    fn only_what_passes_by_itself_is_to_be_tried_again() {
        for kind in CallErrorKind::ALL {
            let answer = answered(&CallError::new(kind, "why"));
            let message = answer["error"]["message"].as_str().unwrap();
            let later = message.contains("trying again later is safe");
            assert_eq!(answer["error"]["data"]["retryable"], later, "{kind:?}");
            let done = message.contains("Nothing was done");
            let executed = if done { "no" } else { "unknown" };
            assert_eq!(answer["error"]["data"]["executed"], executed, "{kind:?}");
        }
    }
}
