//! Signing in on another device (RFC 8628): the request, what a person is shown, and what a poll's answer means.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    PublishedUrl, answer,
    classify::{self, Outcome},
    client_auth::ClientProof,
    published_url::parse_published,
};
use crate::{
    http::{HttpUrl, Reply, Request},
    model::{Issuer, Resource, Scope},
    secret::SecretString,
    text::sanitize::one_line,
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
    #[error("the provider refused the device sign-in; it said: {0}")]
    Refused(String),
    /// It can't be read as RFC 8628 §3.2 has it.
    #[error("the answer is no device authorization ({0})")]
    Unreadable(String),
    /// The person is sent to a URL that is none.
    #[error(transparent)]
    Published(#[from] PublishedUrl),
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
    issuer: &Issuer,
    reply: &Reply,
    now: Timestamp,
) -> Result<DeviceSignIn, DeviceError> {
    let unreadable = || DeviceError::Unreadable(super::body_hint(reply));
    let body: Value = reply.json().ok_or_else(unreadable)?;
    if let Some(refused) = classify::error_of(&body) {
        return Err(DeviceError::Refused(refused.to_string()));
    }
    let text = |key: &str| {
        let text = body.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let uri = text("verification_uri").or_else(|| text("verification_url"));
    let verification_uri = uri.ok_or_else(unreadable)?;
    parse_published(issuer.as_str(), "verification_uri", &verification_uri)?;
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
    /// Nobody has signed in yet.
    Again(Pace),
    /// It is over, one way or the other.
    Over(Outcome),
    /// The person said no, or the code ended.
    Failed(DeviceError),
}

/// When the next poll is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long to wait before it.
    pub wait: Duration,
    /// The interval of the polls after it.
    pub interval: Duration,
}

impl Pace {
    /// Polls at this interval.
    pub fn every(interval: Duration) -> Self {
        Self {
            wait: interval,
            interval,
        }
    }

    /// RFC 8628 §3.5: after a poll without an answer the interval is doubled.
    pub fn unanswered(interval: Duration) -> Self {
        Self::every((interval * 2).clamp(FASTEST, SLOWEST))
    }

    fn slower(interval: Duration) -> Self {
        Self::every((interval + SLOWER).min(SLOWEST))
    }

    /// `Retry-After` is for the next poll alone.
    fn not_before(self, reply: &Reply, now: Timestamp) -> Self {
        let asked = classify::retry_after(reply, now).unwrap_or_default();
        Self {
            wait: self.wait.max(asked),
            ..self
        }
    }
}

/// Reads a poll's answer (RFC 8628 §3.5). Some servers say "not yet" and "slow down" in another field than `error`, in words
/// of their own, or by the status alone: all of that is asked again until the code ends. A clear refusal ends it at once.
pub fn read_poll(reply: &Reply, interval: Duration, now: Timestamp) -> Poll {
    let outcome = classify::classify(reply, now);
    if matches!(outcome, Outcome::Accepted(_)) {
        return Poll::Over(outcome);
    }
    let again = |pace: Pace| Poll::Again(pace.not_before(reply, now));
    let texts = texts_of(reply);
    match said(&texts) {
        Some(Said::Pending) => return again(Pace::every(interval)),
        Some(Said::SlowDown) => return again(Pace::slower(interval)),
        Some(Said::Denied) => return Poll::Failed(DeviceError::Denied),
        Some(Said::Expired) => return Poll::Failed(DeviceError::Expired),
        None => {}
    }
    if !has_code(&texts) {
        match reply.status.as_u16() {
            429 if classify::retry_after(reply, now).is_none() => {
                return again(Pace::slower(interval));
            }
            400 | 401 | 403 | 428 | 429 => return again(Pace::every(interval)),
            _ => {}
        }
    }
    match outcome {
        Outcome::Transient { .. }
        | Outcome::Suspect { .. }
        | Outcome::Unrecognized { .. }
        | Outcome::Moved { .. } => again(Pace::unanswered(interval)),
        Outcome::Unknown(_) if !reply.status.is_success() => again(Pace::unanswered(interval)),
        outcome => Poll::Over(outcome),
    }
}

/// What an answer says of a sign-in that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Pending,
    SlowDown,
    Denied,
    Expired,
}

/// Codes with one meaning in whatever field, without case and punctuation. RFC 8628 §3.5, then Microsoft's word.
const CODES: [(&str, Said); 7] = [
    ("slowdown", Said::SlowDown),
    ("authorizationpending", Said::Pending),
    ("pending", Said::Pending),
    ("accessdenied", Said::Denied),
    ("authorizationdeclined", Said::Denied),
    ("expiredtoken", Said::Expired),
    ("codeexpired", Said::Expired),
];

/// Codes that end a poll, whatever is said beside them.
const FINAL: [&str; 6] = [
    "invalidclient",
    "unauthorizedclient",
    "invalidgrant",
    "unsupportedgranttype",
    "invalidscope",
    "invalidtarget",
];

/// A text of an answer.
struct Text {
    /// The name of its field, in small letters and digits only.
    field: String,
    /// The same of what it says.
    code: String,
    /// As it came.
    said: String,
}

impl Text {
    fn new(field: &str, said: &str) -> Self {
        let letters = |text: &str| {
            let plain = text.chars().filter(char::is_ascii_alphanumeric);
            plain.collect::<String>().to_ascii_lowercase()
        };
        Self {
            field: letters(field),
            code: letters(said),
            said: said.to_owned(),
        }
    }

    /// Plain words are no code: "Access Denied" may be a firewall's.
    fn is_one_word(&self) -> bool {
        !self.said.is_empty() && !self.said.contains(char::is_whitespace)
    }

    fn meaning(&self) -> Option<Said> {
        let (_, said) = CODES.iter().find(|(code, _)| *code == self.code)?;
        let goes_on = matches!(said, Said::Pending | Said::SlowDown);
        (goes_on || self.is_one_word()).then_some(*said)
    }
}

fn said(texts: &[Text]) -> Option<Said> {
    let mut codes: Vec<Said> = texts.iter().filter_map(Text::meaning).collect();
    codes.sort_by_key(|said| matches!(said, Said::Denied | Said::Expired));
    codes.first().copied().or_else(|| said_in_words(texts))
}

fn said_in_words(texts: &[Text]) -> Option<Said> {
    if texts.iter().any(|text| FINAL.contains(&text.code.as_str())) {
        return None;
    }
    let is_said = |words: &[&str]| {
        texts.iter().any(|text| {
            let mut said = text.said.split(|c: char| !c.is_alphanumeric());
            said.any(|said| words.iter().any(|word| said.eq_ignore_ascii_case(word)))
        })
    };
    if is_said(&["slow", "fast", "often", "frequently", "quickly"]) {
        Some(Said::SlowDown)
    } else if is_said(&["pending", "yet", "waiting"]) {
        Some(Said::Pending)
    } else {
        None
    }
}

/// Whether one of the fields that codes stand in holds one.
fn has_code(texts: &[Text]) -> bool {
    texts.iter().any(|text| {
        let field = matches!(text.field.as_str(), "error" | "errorcode" | "code");
        field && text.is_one_word()
    })
}

/// No answer nests deeper.
const DEEPEST: usize = 4;
/// No more texts of an answer are looked at.
const MOST_TEXTS: usize = 64;

/// The texts of a JSON body or of a form, at whatever depth.
fn texts_of(reply: &Reply) -> Vec<Text> {
    let mut texts = Vec::new();
    match answer::document(reply) {
        Some(document) => collect("", &document, DEEPEST, &mut texts),
        None if classify::is_page(reply) => {}
        None => {
            let pairs = form_urlencoded::parse(&reply.body).take(MOST_TEXTS);
            texts.extend(pairs.map(|(field, said)| Text::new(&field, &said)));
        }
    }
    texts
}

fn collect(field: &str, value: &Value, depth: usize, texts: &mut Vec<Text>) {
    let Some(below) = depth.checked_sub(1).filter(|_| texts.len() < MOST_TEXTS) else {
        return;
    };
    match value {
        Value::String(said) => texts.push(Text::new(field, said)),
        Value::Array(all) => {
            for one in all {
                collect(field, one, below, texts);
            }
        }
        Value::Object(all) => {
            for (field, one) in all {
                collect(field, one, below, texts);
            }
        }
        _ => {}
    }
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
        let issuer = Issuer::new("https://as.example");
        read_device_authorization(&issuer, &reply(200, body), Timestamp::UNIX_EPOCH)
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
        let error = read(strange).unwrap_err();
        assert!(matches!(error, DeviceError::Published(_)));
        let said = error.to_string();
        assert!(
            said.starts_with("https://as.example publishes a wrong verification_uri: "),
            "{said}"
        );
        let refused = read(r#"{"error":"unauthorized_client"}"#).unwrap_err();
        assert!(refused.to_string().contains("unauthorized_client"));
    }

    fn poll(status: u16, body: &str) -> Poll {
        poll_with(status, body, None)
    }

    fn poll_with(status: u16, body: &str, retry_after: Option<&'static str>) -> Poll {
        let mut reply = reply(status, body);
        if let Some(wait) = retry_after {
            let wait = http::HeaderValue::from_static(wait);
            reply.headers.insert(http::header::RETRY_AFTER, wait);
        }
        read_poll(&reply, Duration::from_secs(1), Timestamp::UNIX_EPOCH)
    }

    /// How long to wait, and how long from then on.
    fn again(poll: Poll) -> (u64, u64) {
        match poll {
            Poll::Again(pace) => (pace.wait.as_secs(), pace.interval.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    fn failed(body: &str) -> DeviceError {
        match poll(400, body) {
            Poll::Failed(error) => error,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn each_answer_to_a_poll() {
        assert_eq!(
            again(poll(400, r#"{"error":"authorization_pending"}"#)),
            (1, 1)
        );
        assert_eq!(again(poll(400, r#"{"error":"slow_down"}"#)), (6, 6));
        assert_eq!(again(poll(500, "oops")), (2, 2));
        assert_eq!(failed(r#"{"error":"access_denied"}"#), DeviceError::Denied);
        assert_eq!(failed(r#"{"error":"expired_token"}"#), DeviceError::Expired);
        let over = |status, body: &str| matches!(poll(status, body), Poll::Over(_));
        assert!(over(200, r#"{"access_token":"a"}"#) && over(200, "not tokens"));
        assert!(over(401, r#"{"error":"invalid_client"}"#));
    }

    #[test]
    fn not_yet_is_heard_in_whatever_field_it_stands() {
        for body in [
            r#"{"error_code":"authorization_pending"}"#,
            r#"{"message":"authorization_pending"}"#,
            r#"{"status":"AUTHORIZATION_PENDING"}"#,
            r#"{"status":"pending"}"#,
            r#"{"error":"authorization-pending"}"#,
            r#"{"error":"AuthorizationPending"}"#,
            r#"{"error":{"code":"authorization_pending","message":"wait"}}"#,
            r#"{"errors":[{"code":"authorization_pending"}]}"#,
            r#"{"error":"invalid_grant","error_code":"authorization_pending"}"#,
            r#"{"error":"invalid_request","message":"The user has not signed in yet"}"#,
            r#"{"code":40001,"msg":"Authorization is pending"}"#,
            "error=authorization_pending&error_description=wait",
            "\u{feff}{\"error\":\"authorization_pending\"}",
        ] {
            for status in [200, 400, 401, 403, 428] {
                assert_eq!(again(poll(status, body)), (1, 1), "{status} {body}");
            }
        }
        for body in [
            r#"{"error_code":"slow_down"}"#,
            r#"{"error":"invalid_request","error_description":"SLOW-DOWN"}"#,
            r#"{"message":"You are polling too frequently"}"#,
        ] {
            assert_eq!(again(poll(400, body)), (6, 6), "{body}");
        }
    }

    #[test]
    fn a_refusal_without_a_code_is_asked_again_until_the_code_ends() {
        for body in [
            "",
            "{}",
            "<html>no</html>",
            r#"{"message":"Access Denied"}"#,
        ] {
            for status in [400, 401, 403, 428] {
                assert_eq!(again(poll(status, body)), (1, 1), "{status} {body}");
            }
            assert_eq!(again(poll(429, body)), (6, 6), "{body}");
        }
    }

    #[test]
    fn retry_after_is_for_the_next_poll_alone() {
        assert_eq!(again(poll_with(429, "", Some("90"))), (90, 1));
        let pending = r#"{"error":"authorization_pending"}"#;
        assert_eq!(again(poll_with(400, pending, Some("30"))), (30, 1));
        assert_eq!(again(poll_with(503, "", Some("40"))), (40, 2));
        assert_eq!(again(poll_with(429, "", Some("0"))), (1, 1));
    }

    #[test]
    fn a_clear_refusal_ends_it_in_whatever_field_it_stands() {
        for body in [
            r#"{"error_code":"access_denied"}"#,
            r#"{"error":"ACCESS_DENIED"}"#,
            r#"{"error":{"code":"access-denied"}}"#,
            r#"{"error":"authorization_declined"}"#,
        ] {
            assert_eq!(failed(body), DeviceError::Denied, "{body}");
        }
        for body in [
            r#"{"error_code":"expired_token"}"#,
            r#"{"message":"expired_token"}"#,
            r#"{"error":"code_expired"}"#,
        ] {
            assert_eq!(failed(body), DeviceError::Expired, "{body}");
        }
        let waits = r#"{"error":"invalid_client","error_description":"not known yet"}"#;
        assert!(matches!(poll(401, waits), Poll::Over(_)));
    }
}
