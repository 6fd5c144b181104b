//! What an answer of a token endpoint means. Errors are classified here, where they are seen, from status, body and
//! headers; nothing later guesses from text.
//!
//! The rows of the table below were measured on real servers; each has its test.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;

pub use super::refused::Refused;

/// How many requests are left (GitHub, and those that follow it).
pub(crate) const RATE_LIMIT_LEFT: &str = "x-ratelimit-remaining";

use super::{
    answer::{carries_tokens, document},
    challenge,
    error_response::{self, ErrorMeaning, ErrorResponse},
    refused::NO_CODE_GIVEN,
    token::{TokenAnswer, refresh_alone},
};
use crate::{
    http::{ExchangeError, Reply},
    model::{RefreshToken, UnknownKind},
    secret::SecretString,
    text::sanitize::{self, one_line},
};

/// The outcomes of an exchange, and who is refused when one is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Tokens came.
    Accepted(TokenAnswer),
    /// A refresh token came in the place of the one that was sent, and no access token.
    RefreshTokenAlone(RefreshToken),
    /// The provider said clearly that this refresh token (or code) is not good.
    GrantRefused(Refused),
    /// The provider refused *our client*; the refresh token is untouched.
    ClientRefused(Refused),
    /// The provider refused what was asked for (scope, resource, grant type).
    RequestRefused(Refused),
    /// The provider refused with a code that nobody knows. It surely did not act, and may mean anything: asked again
    /// later, and believed once it has said the same for hours.
    Unrecognized {
        /// What it said.
        refused: Refused,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
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

impl Outcome {
    /// The same, and no text in it repeats this secret: some servers quote the token that they refuse.
    #[must_use]
    pub(crate) fn without(mut self, secret: &SecretString) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "what is looked for in order to be hidden"
        )]
        let hide = |text: &mut String| *text = sanitize::without(text, secret.expose());
        match &mut self {
            Self::GrantRefused(refused)
            | Self::ClientRefused(refused)
            | Self::RequestRefused(refused)
            | Self::Unrecognized { refused, .. } => {
                hide(&mut refused.code);
                refused.description.iter_mut().for_each(hide);
            }
            Self::Transient { why, .. } | Self::Suspect { why } => hide(why),
            Self::Moved { target, .. } => target.iter_mut().for_each(hide),
            Self::Accepted(_) | Self::RefreshTokenAlone(_) | Self::Unknown(_) => {}
        }
        self
    }
}

/// Reads a whole reply.
pub fn classify(reply: &Reply, now: Timestamp) -> Outcome {
    classify_in(reply, now, None)
}

/// The same of a provider that is known to put its tokens at this path (`data.auth`).
///
/// A 2xx with an access token is a success, whatever else it says. A 2xx with any token has spent the refresh token: it is
/// never read as an answer after which that may be sent again as if nothing had happened.
pub fn classify_in(reply: &Reply, now: Timestamp, path: Option<&str>) -> Outcome {
    let body = document(reply);
    if reply.status.is_success()
        && let Some(outcome) = success(reply, body.as_ref(), path)
    {
        return outcome;
    }
    let error = body.and_then(|body| error_response::read(&body, reply.status));
    match error.or_else(|| challenged(reply)) {
        Some(error) => by_code(reply, error, now),
        None if reply.status.is_success() => Outcome::Unknown(UnknownKind::Unreadable),
        None => by_status(reply, now),
    }
}

/// The error that a challenge names, where the body says nothing (RFC 6750 §3).
fn challenged(reply: &Reply) -> Option<ErrorResponse> {
    let all = challenge::all(&reply.headers).into_iter();
    let mut named = all.filter_map(|(_, said)| Some((said.error?, said.error_description)));
    let (code, words) = named.next()?;
    let body = serde_json::json!({"error": code, "error_description": words});
    error_response::read(&body, reply.status).filter(|_| !reply.status.is_success())
}

/// A 2xx that brings tokens, readable or not.
fn success(reply: &Reply, body: Option<&Value>, path: Option<&str>) -> Option<Outcome> {
    if let Some(answer) = body.and_then(|body| TokenAnswer::read_in(body, path)) {
        return Some(Outcome::Accepted(answer.answered_at(date(&reply.headers))));
    }
    if let Some(refresh) = body.and_then(|body| refresh_alone(body, path)) {
        return Some(Outcome::RefreshTokenAlone(refresh));
    }
    carries_tokens(reply, body).then_some(Outcome::Unknown(UnknownKind::UnreadTokens))
}

/// The refusal in a reply, if it states one.
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

fn by_code(reply: &Reply, error: ErrorResponse, now: Timestamp) -> Outcome {
    let ErrorResponse {
        refused,
        meaning,
        by_code,
        wait,
    } = error;
    let status = reply.status;
    let retry_after = retry_after(reply, now).or(wait);
    let transient = |refused: &Refused| Outcome::Transient {
        why: format!("{refused} ({status})"),
        retry_after,
    };
    let said = by_code || !status.is_server_error();
    match meaning {
        ErrorMeaning::MayHaveActed => Outcome::Unknown(UnknownKind::ServerError),
        _ if matches!(status.as_u16(), 429 | 503) => transient(&refused),
        // A status that says that the server failed counts more than words, and less than a clear code.
        ErrorMeaning::Grant if said => Outcome::GrantRefused(refused),
        ErrorMeaning::Client if said => Outcome::ClientRefused(refused),
        _ if status.is_server_error() => Outcome::Unknown(unknown_by_status(status)),
        // "Timed out" under a 200 may have been done.
        ErrorMeaning::Later if status.is_success() && !by_code => {
            Outcome::Unknown(UnknownKind::ServerError)
        }
        ErrorMeaning::Later | ErrorMeaning::Failed => transient(&refused),
        _ if is_rate_limit(reply) => transient(&refused),
        _ if asks_for_the_client(reply) => Outcome::ClientRefused(refused),
        ErrorMeaning::Unknown if status == StatusCode::UNAUTHORIZED && !has_code(&refused) => {
            Outcome::ClientRefused(refused)
        }
        ErrorMeaning::Unknown if is_elsewhere(status) => moved(reply),
        ErrorMeaning::Unknown if !has_code(&refused) && is_bare(status) => Outcome::Suspect {
            why: format!("{refused} ({status})"),
        },
        ErrorMeaning::Unknown => Outcome::Unrecognized {
            refused,
            retry_after,
        },
        ErrorMeaning::Request | ErrorMeaning::Grant | ErrorMeaning::Client => {
            Outcome::RequestRefused(refused)
        }
    }
}

/// RFC 6749 §5.2: a server that wants HTTP Basic of a client says so when it does not know it.
fn asks_for_the_client(reply: &Reply) -> bool {
    let challenges = challenge::all(&reply.headers);
    let basic = challenges.iter().any(|(scheme, _)| scheme == "basic");
    reply.status == StatusCode::UNAUTHORIZED && basic
}

/// A number that repeats the status is no code.
fn has_code(refused: &Refused) -> bool {
    refused.code != NO_CODE_GIVEN && refused.code.parse::<u16>().is_err()
}

/// Statuses with which servers refuse without a reason.
fn is_bare(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 401 | 403)
}

/// Whether an answer's error has a code, or words, whose meaning is known.
pub(super) fn is_known_error(body: &Value, status: StatusCode) -> bool {
    error_response::read(body, status).is_some_and(|error| error.meaning != ErrorMeaning::Unknown)
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
        status if is_elsewhere(status) => moved(reply),
        status => {
            let why = format!("no OAuth answer ({})", super::body_hint(reply));
            tracing::debug!(
                status = status.as_u16(),
                "a token endpoint answered without an OAuth code"
            );
            let refused = || Refused {
                code: NO_CODE_GIVEN.to_owned(),
                description: Some(super::body_hint(reply)),
            };
            if asks_for_the_client(reply) {
                return Outcome::ClientRefused(refused());
            }
            // A page is a proxy's.
            if is_page(reply) || !is_bare(status) {
                return transient(why, reply, now);
            }
            if status == StatusCode::UNAUTHORIZED {
                return Outcome::ClientRefused(refused());
            }
            Outcome::Suspect { why }
        }
    }
}

/// Statuses of an address where there is no token endpoint.
fn is_elsewhere(status: StatusCode) -> bool {
    status.is_redirection() || matches!(status.as_u16(), 404 | 405 | 410)
}

/// A page for people: a proxy's, or a login form.
pub(super) fn is_page(reply: &Reply) -> bool {
    reply.content_type().contains("html") || reply.text().trim_ascii_start().starts_with(b"<")
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

/// The error that a JSON body says it is.
pub(super) fn error_of(body: &Value) -> Option<Refused> {
    error_response::error_of(body)
}

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
pub fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    retry_after_of(&reply.headers, now)
}

/// The same of whatever server, by the headers of its answer.
pub(super) fn retry_after_of(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        // Some servers send a fraction.
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = http_date(text)?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// How far the provider's clock is ahead of ours, in seconds, by its `Date` header.
pub fn skew_seconds(reply: &Reply, now: Timestamp) -> Option<i64> {
    skew_of(&reply.headers, now)
}

/// The same of whatever server, by the headers of its answer.
pub(super) fn skew_of(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    Some(date(headers)?.as_second() - now.as_second())
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(header::DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
