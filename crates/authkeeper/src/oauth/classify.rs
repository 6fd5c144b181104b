//! What an answer of a token endpoint means. Errors are classified here, where they are seen, from status, body and
//! headers; nothing later guesses from text.
//!
//! The rows of the table below were measured on real servers; each has its test.

use std::time::Duration;

use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;

/// How many requests are left (GitHub, and those that follow it).
pub(crate) const RATE_LIMIT_LEFT: &str = "x-ratelimit-remaining";

use super::token::TokenAnswer;
use crate::{
    http::{ExchangeError, Reply},
    model::UnknownKind,
    shown::one_line,
};

/// The four outcomes of an exchange, and who is refused when one is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Tokens came.
    Accepted(TokenAnswer),
    /// The provider said clearly that this refresh token (or code) is not good.
    GrantRefused(Refused),
    /// The provider refused *our client*; the refresh token is untouched.
    ClientRefused(Refused),
    /// The provider refused what was asked for (scope, resource, grant type).
    RequestRefused(Refused),
    /// The provider surely did not act; try again later.
    Transient {
        /// What it said.
        why: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The provider refused and gave no reason. Once that is a proxy's doing; again and again it is the provider's.
    Suspect {
        /// What it said.
        why: String,
    },
    /// Nothing answers at this address any more, or the answer is a redirect. A secret is never sent after it.
    Moved {
        /// The status: a redirect, 404, 405 or 410.
        status: StatusCode,
        /// Where the redirect points, without its query.
        target: Option<String>,
    },
    /// The provider may or may not have acted.
    Unknown(UnknownKind),
}

/// What a clear refusal said. Both texts come from the provider and hold no secret of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error code.
    pub code: String,
    /// The provider's words for a person, cut to a line.
    pub description: Option<String>,
}

impl Refused {
    /// Our client was refused a moment ago; it is not shown again so soon.
    pub(crate) fn just_now() -> Self {
        Self {
            code: "invalid_client".to_owned(),
            description: Some("it was refused less than a minute ago".to_owned()),
        }
    }

    /// The key that tokens are bound to is not there any more, or is another one: the provider was not even asked.
    pub(crate) fn without_its_key() -> Self {
        Self {
            code: "proof_key_unusable".to_owned(),
            description: Some(
                "the stored key is not the one that the tokens are bound to".to_owned(),
            ),
        }
    }

    /// Our own client can't be proven, so the provider was not even asked.
    pub(crate) fn of_ours(error: &super::assertion::AssertionError) -> Self {
        Self {
            code: "private_key_unusable".to_owned(),
            description: Some(error.to_string()),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{}: {description}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

/// Codes that say: this grant is over. RFC 6749 §5.2 and what providers use instead of it.
const GRANT_CODES: &[&str] = &[
    "invalid_grant",
    "bad_refresh_token",
    "refresh_token_already_used",
    "refresh_token_not_found",
    "invalid_refresh_token",
    "token_revoked",
    "token_expired",
    // Slack: revoked; the person or the workspace is deleted.
    "authorization_not_found",
    "account_inactive",
    // Zoho: the refresh token is revoked.
    "invalid_code",
    "interaction_required",
    "login_required",
    "consent_required",
];

/// Codes that say: our client is not known or not proven.
const CLIENT_CODES: &[&str] = &[
    "invalid_client",
    "unauthorized_client",
    "incorrect_client_credentials",
    "invalid_client_id",
    "bad_client_secret",
];

/// Codes that say: not now.
const LATER_CODES: &[&str] = &[
    "temporarily_unavailable",
    "slow_down",
    "ratelimited",
    "rate_limited",
    "request_timeout",
];

/// Codes that say: not that. RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §8, and what single providers say of it.
const REQUEST_CODES: &[&str] = &[
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unsupported_grant_type",
    "access_denied",
    "use_dpop_nonce",
    "invalid_dpop_proof",
    "authorization_pending",
    "expired_token",
    "admin_policy_enforced",
];

/// Codes after which "some aspect of the operation succeeded" is possible.
const UNKNOWN_CODES: &[&str] = &["internal_error", "fatal_error"];

/// Reads a whole reply.
pub fn classify(reply: &Reply, now: Timestamp) -> Outcome {
    let json = serde_json::from_slice::<Value>(&reply.body).ok();
    if let Some(refused) = json.as_ref().and_then(error_of) {
        return by_code(reply, refused, now);
    }
    if reply.status.is_success() {
        let answer = json.as_ref().and_then(TokenAnswer::read);
        return answer.map_or(Outcome::Unknown(UnknownKind::Unreadable), Outcome::Accepted);
    }
    by_status(reply, now)
}

/// What a clear refusal said, whoever or whatever is refused.
pub(crate) fn refused(reply: &Reply) -> Option<Refused> {
    match classify(reply, Timestamp::UNIX_EPOCH) {
        Outcome::GrantRefused(refused)
        | Outcome::ClientRefused(refused)
        | Outcome::RequestRefused(refused) => Some(refused),
        _ => None,
    }
}

/// How an exchange without a whole reply was lost.
pub fn lost(error: &ExchangeError) -> UnknownKind {
    match error {
        ExchangeError::Broken(_) => UnknownKind::Reset,
        ExchangeError::TooLarge { .. } => UnknownKind::Unreadable,
    }
}

fn by_code(reply: &Reply, refused: Refused, now: Timestamp) -> Outcome {
    let is_in = |codes: &[&str]| codes.contains(&refused.code.as_str());
    if is_in(UNKNOWN_CODES) {
        return Outcome::Unknown(UnknownKind::ServerError);
    }
    let later = is_in(LATER_CODES) || says_too_often(&refused);
    if later || matches!(reply.status.as_u16(), 429 | 503) {
        return transient(format!("{} ({})", refused.code, reply.status), reply, now);
    }
    if reply.status.is_server_error() {
        return Outcome::Unknown(unknown_by_status(reply.status));
    }
    if is_in(GRANT_CODES) || says_the_grant_is_over(&refused) {
        return Outcome::GrantRefused(refused);
    }
    if is_in(CLIENT_CODES) {
        return Outcome::ClientRefused(refused);
    }
    Outcome::RequestRefused(refused)
}

/// Whether a code stands in one of the lists.
pub(super) fn is_known_code(refused: &Refused) -> bool {
    let lists = [
        GRANT_CODES,
        CLIENT_CODES,
        LATER_CODES,
        REQUEST_CODES,
        UNKNOWN_CODES,
    ];
    let listed = |list: &&[&str]| list.contains(&refused.code.as_str());
    lists.iter().any(listed) || says_too_often(refused)
}

/// Servers that say with another code that the grant is over: the account behind it is deleted or locked (better-auth,
/// Canaille), or the refresh token is not good (Zoom, Gitea).
fn says_the_grant_is_over(refused: &Refused) -> bool {
    let description = refused.description.as_deref().unwrap_or_default();
    match refused.code.as_str() {
        "invalid_request" => {
            matches!(description, "user not found" | "Invalid Token!")
                || description.starts_with("There is no 'user'")
        }
        "unauthorized_client" => description == "unable to parse refresh token",
        _ => false,
    }
}

/// Zoho refuses one refresh token's eleventh access token within ten minutes. The grant lives.
fn says_too_often(refused: &Refused) -> bool {
    let description = refused.description.as_deref().unwrap_or_default();
    refused.code == "Access Denied" && description.contains("too many requests continuously")
}

fn by_status(reply: &Reply, now: Timestamp) -> Outcome {
    let retry_after = reply.headers.contains_key(header::RETRY_AFTER);
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => {
            transient("too many requests (429)".to_owned(), reply, now)
        }
        StatusCode::SERVICE_UNAVAILABLE if retry_after => {
            transient("unavailable (503)".to_owned(), reply, now)
        }
        StatusCode::FORBIDDEN if is_rate_limit(reply) => {
            transient("too many requests (403)".to_owned(), reply, now)
        }
        status if status.is_server_error() => Outcome::Unknown(unknown_by_status(status)),
        status if status.is_redirection() || matches!(status.as_u16(), 404 | 405 | 410) => {
            moved(reply)
        }
        status => {
            let why = format!("no OAuth answer ({})", super::body_hint(reply));
            tracing::debug!(
                status = status.as_u16(),
                "a token endpoint answered without an OAuth code"
            );
            // A page is a proxy's.
            let page = reply.content_type().contains("html") || reply.body.starts_with(b"<");
            if page || !matches!(status.as_u16(), 400 | 401 | 403) {
                return transient(why, reply, now);
            }
            Outcome::Suspect { why }
        }
    }
}

fn moved(reply: &Reply) -> Outcome {
    let target = reply.headers.get(header::LOCATION);
    let target = target.and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| target.split(['?', '#']).next());
    Outcome::Moved {
        status: reply.status,
        target: target.map(one_line).filter(|target| !target.is_empty()),
    }
}

/// GitHub answers 403 to one request too many, and says in a header when to come back, or that none are left.
pub(super) fn is_rate_limit(reply: &Reply) -> bool {
    let left = reply.headers.get(RATE_LIMIT_LEFT);
    reply.headers.contains_key(header::RETRY_AFTER)
        || left.is_some_and(|left| left.as_bytes() == b"0")
}

fn unknown_by_status(status: StatusCode) -> UnknownKind {
    if status == StatusCode::GATEWAY_TIMEOUT {
        UnknownKind::GatewayTimeout
    } else {
        UnknownKind::ServerError
    }
}

fn transient(why: String, reply: &Reply, now: Timestamp) -> Outcome {
    Outcome::Transient {
        why,
        retry_after: retry_after(reply, now),
    }
}

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
pub fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let text = reply
        .headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(text)?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// How far the provider's clock is ahead of ours, in seconds, by its `Date` header.
pub fn skew_seconds(reply: &Reply, now: Timestamp) -> Option<i64> {
    skew_of(&reply.headers, now)
}

/// The same of whatever server, by the headers of its answer.
pub(super) fn skew_of(headers: &http::HeaderMap, now: Timestamp) -> Option<i64> {
    let date = http_date(headers.get(header::DATE)?.to_str().ok()?)?;
    Some(date.as_second() - now.as_second())
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// The error in a JSON body: RFC 6749's `error`, Slack's `ok: false`, or a nested or differently named code.
pub(super) fn error_of(body: &Value) -> Option<Refused> {
    // HubSpot says so in `status`, at times beside an `error` of `invalid_request` that alone would mean something else.
    let bad_refresh_token = body.get("status").and_then(Value::as_str) == Some("BAD_REFRESH_TOKEN");
    let code = match body.get("error") {
        _ if bad_refresh_token => "bad_refresh_token".to_owned(),
        Some(Value::String(code)) => code.clone(),
        Some(Value::Object(inner)) => ["code", "type", "status"]
            .iter()
            .find_map(|key| inner.get(*key)?.as_str())?
            .to_owned(),
        _ => body.get("error_code").and_then(Value::as_str)?.to_owned(),
    };
    let text = ["error_description", "message", "msg", "reason"];
    let description = text
        .iter()
        .find_map(|key| body.get(*key)?.as_str())
        .map(one_line);
    Some(Refused {
        code: one_line(&code),
        description,
    })
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
