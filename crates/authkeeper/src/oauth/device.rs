//! Signing in on another device (RFC 8628): the request, what a person is shown, and what a poll's answer means.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    classify::{self, Outcome},
    client_auth::ClientProof,
};
use crate::{
    http::{HttpUrl, InvalidUrl, Reply, Request},
    model::{Resource, Scope},
    secret::SecretString,
    shown::one_line,
};

/// RFC 8628 §3.2: the interval when the server names none.
const INTERVAL: Duration = Duration::from_secs(5);
/// RFC 8628 §3.5: what `slow_down` adds, for this and all later polls.
const SLOWER: Duration = Duration::from_secs(5);
/// No server is asked more often than this, whatever it says.
const FASTEST: Duration = Duration::from_secs(1);
/// No server needs to be asked less often than this.
const SLOWEST: Duration = Duration::from_mins(1);
/// A server that names no end has one all the same.
const LONGEST: Duration = Duration::from_mins(30);

/// A sign-in that waits for a person at another device.
#[derive(Clone, Debug)]
pub struct DeviceSignIn {
    /// Ours: what is polled with.
    pub device_code: SecretString,
    /// The person's: what is typed at the other device.
    pub user_code: String,
    /// Where it is typed.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: Option<String>,
    /// How long to wait between polls.
    pub interval: Duration,
    /// When the code ends.
    pub ends: Timestamp,
}

/// The answer was no device authorization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It was refused.
    #[error("the device sign-in was refused: {0}")]
    Refused(String),
    /// It can't be read as RFC 8628 §3.2 has it.
    #[error("the answer is no device authorization ({0})")]
    Unreadable(String),
    /// The person is sent to a URL that is none.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The person said no.
    #[error("access was denied on the other device")]
    Denied,
    /// Nobody typed the code in time.
    #[error("the code ended before anyone signed in with it")]
    Expired,
}

/// Asks for a code (RFC 8628 §3.1).
pub fn device_authorization_request(
    client: &ClientProof,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    let mut fields = vec![];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// Reads the answer (RFC 8628 §3.2). `verification_url` is how Google spelled it before the RFC.
pub fn read_device_authorization(
    reply: &Reply,
    now: Timestamp,
) -> Result<DeviceSignIn, DeviceError> {
    let unreadable = || DeviceError::Unreadable(super::body_hint(reply));
    let body: Value = serde_json::from_slice(&reply.body).map_err(|_json| unreadable())?;
    if let Some(refused) = classify::error_of(&body) {
        return Err(DeviceError::Refused(refused.to_string()));
    }
    let text = |key: &str| {
        let text = body.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let uri = text("verification_uri").or_else(|| text("verification_url"));
    let verification_uri = uri.ok_or_else(unreadable)?;
    HttpUrl::parse(&verification_uri)?;
    let complete = text("verification_uri_complete");
    let seconds = |key: &str| Some(Duration::from_secs(body.get(key)?.as_u64()?));
    let lives = seconds("expires_in").unwrap_or(LONGEST).min(LONGEST);
    Ok(DeviceSignIn {
        device_code: text("device_code").ok_or_else(unreadable)?.into(),
        user_code: one_line(&text("user_code").ok_or_else(unreadable)?),
        verification_uri,
        verification_uri_complete: complete.filter(|uri| HttpUrl::parse(uri).is_ok()),
        interval: seconds("interval")
            .unwrap_or(INTERVAL)
            .clamp(FASTEST, SLOWEST),
        ends: now.saturating_add(lives).unwrap_or(Timestamp::MAX),
    })
}

/// What a poll's answer means.
#[derive(Debug)]
pub enum Poll {
    /// Nobody has signed in yet: ask again after this.
    Again(Duration),
    /// It is over, one way or the other.
    Over(Outcome),
    /// The person said no, or the code ended.
    Failed(DeviceError),
}

/// Reads a poll's answer (RFC 8628 §3.5).
pub fn read_poll(reply: &Reply, interval: Duration, now: Timestamp) -> Poll {
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let refused = body.as_ref().and_then(classify::error_of);
    match refused.as_ref().map(|refused| refused.code.as_str()) {
        Some("authorization_pending") => return Poll::Again(interval),
        Some("slow_down") => return Poll::Again((interval + SLOWER).min(SLOWEST)),
        Some("access_denied") => return Poll::Failed(DeviceError::Denied),
        Some("expired_token") => return Poll::Failed(DeviceError::Expired),
        _ => {}
    }
    match classify::classify(reply, now) {
        Outcome::Transient { retry_after, .. } => {
            let asked = retry_after.unwrap_or_default().min(SLOWEST);
            Poll::Again(asked.max(unanswered(interval)))
        }
        Outcome::Moved { .. } => Poll::Again(unanswered(interval)),
        Outcome::Unknown(_) if !reply.status.is_success() => Poll::Again(unanswered(interval)),
        outcome => Poll::Over(outcome),
    }
}

/// RFC 8628 §3.5: after a poll without an answer the wait is doubled.
pub fn unanswered(interval: Duration) -> Duration {
    (interval * 2).clamp(Duration::from_secs(1), SLOWEST)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests look at what came")]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        }
    }

    fn read(body: &str) -> Result<DeviceSignIn, DeviceError> {
        read_device_authorization(&reply(200, body), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_answer_is_read_with_the_rfcs_defaults() {
        let sign_in = read(
            r#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://as.example/device"}"#,
        )
        .unwrap();
        assert_eq!(sign_in.device_code.expose(), "d");
        assert_eq!(
            (sign_in.user_code.as_str(), sign_in.interval),
            ("AB-CD", INTERVAL)
        );
        assert_eq!(sign_in.ends, Timestamp::from_second(1_800).unwrap());
        let google = r#"{"device_code":"d","user_code":"X","verification_url":"https://g.example/device","interval":1}"#;
        assert_eq!(read(google).unwrap().interval.as_secs(), 1);
    }

    #[test]
    fn what_is_no_device_authorization_says_so() {
        for bad in ["", "<html>", "{}", r#"{"device_code":"d","user_code":"X"}"#] {
            assert!(
                matches!(read(bad), Err(DeviceError::Unreadable(_))),
                "{bad}"
            );
        }
        let strange =
            r#"{"device_code":"d","user_code":"X","verification_uri":"javascript:alert(1)"}"#;
        assert!(matches!(read(strange), Err(DeviceError::Url(_))));
        let refused = read(r#"{"error":"unauthorized_client"}"#).unwrap_err();
        assert!(refused.to_string().contains("unauthorized_client"));
    }

    #[test]
    fn each_answer_to_a_poll() {
        let second = Duration::from_secs(1);
        let poll =
            |status, body: &str| read_poll(&reply(status, body), second, Timestamp::UNIX_EPOCH);
        let again = |poll: Poll| match poll {
            Poll::Again(wait) => wait.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(again(poll(400, r#"{"error":"authorization_pending"}"#)), 1);
        assert_eq!(again(poll(400, r#"{"error":"slow_down"}"#)), 6);
        assert_eq!(again(poll(500, "oops")), 2);
        assert_eq!(again(poll(429, "")), 2);
        let failed = |body: &str| match poll(400, body) {
            Poll::Failed(error) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed(r#"{"error":"access_denied"}"#), DeviceError::Denied);
        assert_eq!(failed(r#"{"error":"expired_token"}"#), DeviceError::Expired);
        let over = |status, body: &str| matches!(poll(status, body), Poll::Over(_));
        assert!(over(200, r#"{"access_token":"a"}"#) && over(200, "not tokens"));
        assert!(over(401, r#"{"error":"invalid_client"}"#));
    }
}
