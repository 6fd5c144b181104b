//! Error responses of token endpoints (RFC 6749 §5.2), in the shapes in which providers write them: codes in any case,
//! nested in objects and lists, as numbers, or in a sentence; JSON or a form.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::get;
use crate::text::sanitize::{one_line, without_secrets};

/// What a refusal said. Both texts come from the provider and hold no secret of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error code, as the provider wrote it.
    pub code: String,
    /// The provider's words for a person, cut to a line.
    pub description: Option<String>,
}

impl Refused {
    /// Whether it says that something is wrong with the request and not what.
    pub(crate) fn names_nothing(&self) -> bool {
        self.description.is_none() && is_in(&self.code, &["invalid_request"])
    }

    /// Our client was refused a moment ago; it is not shown again so soon.
    pub(crate) fn just_now() -> Self {
        Self {
            code: "invalid_client".to_owned(),
            description: Some("it was refused less than a minute ago".to_owned()),
        }
    }

    /// The key that tokens are bound to is missing, or is another one: the provider was not even asked.
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
            Some(description) if self.code == NO_CODE_GIVEN => f.write_str(description),
            Some(description) => write!(f, "{}: {description}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

/// Stands in the place of a code where a refusal has none.
pub(super) const NO_CODE_GIVEN: &str = "no_error_code";

/// What an error response refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This refresh token or code is not good.
    Grant,
    /// Our client is not known or not proven.
    Client,
    /// Not now.
    Later,
    /// The server failed. Under a status that is no server error it surely did nothing.
    Failed,
    /// Some of it may have been done.
    MayHaveActed,
    /// What was asked for: scope, resource, grant type.
    Request,
    /// A code that nobody knows: never a final refusal.
    Unknown,
}

/// An error response, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    pub(super) refused: Refused,
    pub(super) meaning: Meaning,
    /// Whether its code says so, and not merely its words.
    pub(super) by_code: bool,
    /// How long the body says to wait.
    pub(super) wait: Option<Duration>,
}

/// Codes that say that this grant is over. RFC 6749 §5.2, `OpenID` Connect Core §3.1.2.6, and
/// the words of single providers.
const GRANT_CODES: &[&str] = &[
    "invalid_grant",
    "invalid_token",
    "bad_refresh_token",
    "invalid_refresh_token",
    "expired_refresh_token",
    "refresh_token_already_used",
    "refresh_token_expired",
    "refresh_token_invalid",
    "refresh_token_not_found",
    "refresh_token_revoked",
    "token_revoked",
    "token_expired",
    "expired_token",
    // Slack: revoked; the person or the workspace is deleted.
    "authorization_not_found",
    "account_inactive",
    // Zoho: the refresh token is revoked.
    "invalid_code",
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "unmet_authentication_requirements",
];

/// Codes that say that our client is not known or not proven.
const CLIENT_CODES: &[&str] = &[
    "invalid_client",
    "unauthorized_client",
    "incorrect_client_credentials",
    "invalid_client_id",
    "invalid_client_secret",
    "invalid_client_credentials",
    "bad_client_id",
    "bad_client_secret",
];

/// Codes that say "not now".
const LATER_CODES: &[&str] = &[
    "temporarily_unavailable",
    "service_unavailable",
    "slow_down",
    "ratelimited",
    "rate_limited",
    "rate_limit",
    "rate_limit_exceeded",
    "too_many_requests",
    "throttled",
    "throttling",
    "quota_exceeded",
    "request_timeout",
    "timeout",
];

/// Codes that refuse what was asked for and nothing else. RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §8.
const REQUEST_CODES: &[&str] = &[
    "invalid_scope",
    "insufficient_scope",
    "invalid_target",
    "invalid_resource",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "use_dpop_nonce",
    "invalid_dpop_proof",
    "authorization_pending",
    "admin_policy_enforced",
];

/// Codes that servers use for anything: the words beside them say what is meant.
const VAGUE_CODES: &[&str] = &["invalid_request", "access_denied"];

/// Codes of a server that failed (RFC 6749 §4.1.2.1).
const FAILED_CODES: &[&str] = &["server_error"];

/// Slack: "some aspect of the operation succeeded before the error was raised".
const ACTED_CODES: &[&str] = &["internal_error", "fatal_error", "internal_server_error"];

/// Reads the error in a body; none if it holds none. Where the status is a success the body itself must say that it is an
/// error.
pub(super) fn read(body: &Value, status: StatusCode) -> Option<ErrorResponse> {
    let said = Said::of(body);
    let (meaning, by_code) = said.meaning();
    let is_error = said.is_error || !status.is_success() || meaning != Meaning::Unknown;
    let refused = said.refused().filter(|_| is_error)?;
    Some(ErrorResponse {
        refused,
        meaning,
        by_code,
        wait: said.wait,
    })
}

/// The error that a body says it is, whatever its status.
pub(super) fn error_of(body: &Value) -> Option<Refused> {
    read(body, StatusCode::OK).map(|error| error.refused)
}

/// Everything that a body says of an error, in the order of its weight.
#[derive(Debug, Default)]
struct Said {
    codes: Vec<String>,
    texts: Vec<String>,
    /// Sentences made of the fields of one object (`field`, `code`): neither says enough alone.
    joined: Vec<String>,
    numbers: Vec<u64>,
    wait: Option<Duration>,
    is_error: bool,
}

/// Fields that hold a code. Names are compared without case, `_` and `-`.
const CODE_FIELDS: &[&str] = &[
    "error",
    "errorcode",
    "oautherror",
    "errcode",
    "errno",
    "errortype",
    "suberror",
    "code",
    "type",
    "status",
    "name",
];

/// Fields that hold words for a person.
const TEXT_FIELDS: &[&str] = &[
    "errordescription",
    "errormessage",
    "errormsg",
    "errorsummary",
    "description",
    "message",
    "msg",
    "reason",
    "detail",
    "details",
    "faultstring",
    "title",
    "hint",
];

/// Fields whose objects and lists are searched too.
const NESTED_FIELDS: &[&str] = &[
    "error", "errors", "fault", "detail", "details", "body", "data", "meta", "response", "result",
];

/// Fields that name what an object's code is about.
const SUBJECT_FIELDS: &[&str] = &["resource", "field", "param", "parameter", "location"];

/// What stands in a code's field and is no code: it says whether, not what, or repeats the status.
const NO_CODE: &[&str] = &[
    "",
    "0",
    "ok",
    "none",
    "null",
    "nil",
    "no",
    "no_error",
    "false",
    "true",
    "success",
    "succeeded",
    "error",
    "fail",
    "failed",
    "failure",
    "bad_request",
    "unauthorized",
    "forbidden",
    "not_found",
];

/// Those of them that say that there is no error.
const NO_ERROR: &[&str] = &[
    "",
    "0",
    "ok",
    "none",
    "null",
    "nil",
    "no",
    "no_error",
    "false",
    "success",
    "succeeded",
];

const DEEPEST: usize = 4;
const MOST_TEXTS: usize = 64;

impl Said {
    fn of(body: &Value) -> Self {
        let mut said = Self::default();
        said.collect(body, DEEPEST);
        said
    }

    fn collect(&mut self, value: &Value, depth: usize) {
        if depth == 0 || self.texts.len() + self.codes.len() > MOST_TEXTS {
            return;
        }
        match value {
            Value::Object(object) => self.collect_object(object, depth),
            Value::Array(list) => list.iter().for_each(|item| match item {
                Value::String(text) => self.add_text(text),
                item => self.collect(item, depth - 1),
            }),
            _ => {}
        }
    }

    fn collect_object(&mut self, object: &Map<String, Value>, depth: usize) {
        self.wait = self.wait.or_else(|| wait_of(object));
        self.is_error |= is_error(object) || self.wait.is_some();
        for field in CODE_FIELDS {
            self.add_code(get(object, field));
        }
        let texts = TEXT_FIELDS.iter().filter_map(|field| get(object, field));
        texts
            .filter_map(Value::as_str)
            .for_each(|text| self.add_text(text));
        self.join(object);
        let nested = NESTED_FIELDS.iter().filter_map(|field| get(object, field));
        nested.for_each(|inner| self.collect(inner, depth - 1));
    }

    fn add_code(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::Number(number)) => self.numbers.extend(number.as_u64()),
            Some(Value::String(text)) => match text.trim().parse() {
                Ok(number) => self.numbers.push(number),
                Err(_) if NO_CODE.contains(&canonical(text).as_str()) => {
                    // It is no code, and may be all that is said.
                    if !NO_ERROR.contains(&canonical(text).as_str()) {
                        self.texts.push(text.clone());
                    }
                }
                Err(_) if text.contains("://") || text == "about:blank" => {}
                Err(_) => self.codes.push(text.clone()),
            },
            _ => {}
        }
    }

    /// A message may be a code, or name one.
    fn add_text(&mut self, text: &str) {
        let names = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'));
        let named = names.filter(|name| name.contains('_'));
        let code = std::iter::once(text)
            .chain(named)
            .find(|name| is_code(name));
        self.codes.extend(code.map(str::to_owned));
        self.texts.push(text.to_owned());
    }

    /// Strava says `{"resource": "RefreshToken", "code": "invalid"}`.
    fn join(&mut self, object: &Map<String, Value>) {
        let text = |field: &&str| get(object, field).and_then(Value::as_str);
        let subject: Vec<&str> = SUBJECT_FIELDS.iter().filter_map(text).collect();
        if subject.is_empty() {
            return;
        }
        let code = CODE_FIELDS.iter().filter_map(text);
        let words: Vec<&str> = subject.into_iter().chain(code).collect();
        self.joined.push(words.join(" "));
    }

    fn refused(&self) -> Option<Refused> {
        let clear = |code: &&String| clear_lists().any(|list| is_in(code, list));
        let code = self.codes.iter().find(clear).or(self.codes.first());
        let number = self.numbers.iter().find(|number| **number >= 100);
        let texts = self.texts.iter().chain(&self.joined);
        let texts = texts
            .filter(|text| Some(*text) != code)
            .map(|text| shown(text));
        // What says most: a filler ("error", "Bad Request") is shorter.
        let texts = texts.filter(|text| !text.is_empty()).rev();
        let description = texts.max_by_key(|text| text.chars().count());
        let code = match (code, number) {
            (Some(code), _) => shown(code),
            (None, Some(number)) => number.to_string(),
            (None, None) if self.is_error || description.is_some() => NO_CODE_GIVEN.to_owned(),
            (None, None) => return None,
        };
        Some(Refused { code, description })
    }

    fn meaning(&self) -> (Meaning, bool) {
        let has = |list: &[&str]| self.codes.iter().any(|code| is_in(code, list));
        let texts = self.texts.iter().chain(&self.joined);
        let words: Vec<Words> = texts
            .chain(&self.codes)
            .map(|text| Words::of(text))
            .collect();
        let say = |what: fn(&Words) -> bool| words.iter().any(what);
        if has(ACTED_CODES) {
            return (Meaning::MayHaveActed, true);
        }
        if say(Words::refuse_the_secret) && !say(Words::refuse_the_refresh_token) {
            return (Meaning::Client, has(CLIENT_CODES));
        }
        if has(GRANT_CODES) {
            return (Meaning::Grant, true);
        }
        let named_later = self.numbers.iter().any(|number| is_later(*number));
        if has(LATER_CODES) || named_later || self.wait.is_some() {
            return (Meaning::Later, true);
        }
        if has(REQUEST_CODES) {
            return (Meaning::Request, true);
        }
        if has(FAILED_CODES) {
            return (Meaning::Failed, true);
        }
        if say(Words::insist_on_waiting) {
            return (Meaning::Later, false);
        }
        if say(Words::refuse_the_refresh_token) {
            return (Meaning::Grant, false);
        }
        if say(Words::ask_to_wait) {
            return (Meaning::Later, false);
        }
        if has(CLIENT_CODES) {
            return (Meaning::Client, true);
        }
        if say(Words::refuse_the_client) {
            return (Meaning::Client, false);
        }
        if say(Words::miss_the_account) {
            return (Meaning::Grant, false);
        }
        if has(VAGUE_CODES) {
            return (Meaning::Request, true);
        }
        (Meaning::Unknown, false)
    }
}

/// Hidden before it is cut: a part of a secret is one too.
fn shown(text: &str) -> String {
    one_line(&without_secrets(text))
}

/// 601 is Withings' word for 429.
fn is_later(number: u64) -> bool {
    matches!(number, 429 | 503 | 601)
}

/// Whether an object says of itself that it is an error.
fn is_error(object: &Map<String, Value>) -> bool {
    let named = [
        "error",
        "errors",
        "errorcode",
        "errcode",
        "errno",
        "fault",
        "errordescription",
    ];
    let named = named.iter().filter_map(|field| get(object, field));
    let denied = ["ok", "success"]
        .iter()
        .filter_map(|field| get(object, field));
    let status = ["status", "code"]
        .iter()
        .filter_map(|field| get(object, field));
    named.into_iter().any(says_error)
        || denied.into_iter().any(|value| *value == Value::Bool(false))
        || status.filter_map(Value::as_u64).any(|number| number >= 400)
}

fn says_error(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(error) => *error,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !NO_ERROR.contains(&canonical(text).as_str()),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// How long a body says to wait, in seconds unless its field says otherwise.
fn wait_of(object: &Map<String, Value>) -> Option<Duration> {
    let seconds = |field: &str| {
        let value = get(object, field)?;
        let number = value
            .as_f64()
            .or_else(|| value.as_str()?.trim().parse().ok())?;
        Duration::try_from_secs_f64(number).ok()
    };
    let fields = ["waitseconds", "retryafter", "retryafterseconds", "retryin"];
    fields
        .iter()
        .find_map(|field| seconds(field))
        .or_else(|| Some(seconds("retryafterms")? / 1000))
}

/// A code in one spelling: `INVALID_GRANT`, `InvalidGrant`, `invalid-grant` and `Invalid grant` are `invalid_grant`.
fn canonical(code: &str) -> String {
    let mut plain = String::new();
    let mut lower_before = false;
    for c in code.trim().chars().take(200) {
        if c.is_ascii_uppercase() && lower_before {
            plain.push('_');
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric() {
            plain.extend(c.to_lowercase());
        } else if !plain.is_empty() && !plain.ends_with('_') {
            plain.push('_');
        }
    }
    plain.trim_end_matches('_').to_owned()
}

/// Whether a code is one of a list, in any spelling, alone or with what frameworks put around one
/// (`oauth.v2.InvalidRefreshToken`, `TokenExpiredError`, `invalid_grant: gone`).
fn is_in(code: &str, list: &[&str]) -> bool {
    const BEFORE: [&str; 4] = ["err_", "error_", "oauth_", "auth_"];
    const AFTER: [&str; 3] = ["_error", "_err", "_exception"];
    let parts = code.split(['.', ':', '/', '#']).map(canonical);
    parts.into_iter().any(|part| {
        let bare = BEFORE.iter().find_map(|fix| part.strip_prefix(fix));
        [Some(part.as_str()), bare]
            .into_iter()
            .flatten()
            .any(|part| {
                let alone = AFTER.iter().find_map(|fix| part.strip_suffix(fix));
                list.contains(&part) || alone.is_some_and(|part| list.contains(&part))
            })
    })
}

/// The lists whose codes mean one thing each.
fn clear_lists() -> impl Iterator<Item = &'static [&'static str]> {
    let lists = [
        GRANT_CODES,
        CLIENT_CODES,
        LATER_CODES,
        REQUEST_CODES,
        FAILED_CODES,
        ACTED_CODES,
    ];
    lists.into_iter()
}

/// Whether a text is a code and nothing else.
fn is_code(text: &str) -> bool {
    let code = canonical(text);
    clear_lists().any(|list| list.contains(&code.as_str()))
}

/// The words of one sentence, in one spelling.
struct Words(String);

impl Words {
    fn of(text: &str) -> Self {
        Self(format!("_{}_", canonical(text)))
    }

    fn has(&self, words: &[&str]) -> bool {
        words
            .iter()
            .any(|word| self.0.contains(&format!("_{word}_")))
    }

    /// What is said of a thing that is not good.
    fn reject(&self) -> bool {
        self.has(&[
            "invalid",
            "expired",
            "revoked",
            "unknown_refresh_token",
            "unknown_client",
            "client_unknown",
            "unrecognized",
            "already_used",
            "been_used",
            "was_used",
            "reused",
            "malformed",
            "inactive",
            "blacklisted",
            "not_active",
            "not_valid",
            "not_exist",
            "exist",
            "not_found",
            "no_longer",
            "unable_to_parse",
            "unable_to_find",
            "mismatch",
            "deleted",
            "disabled",
            "wrong",
            "incorrect",
            "bad",
            "consumed",
            "rotated",
            "not_recognized",
            "not_match",
        ])
    }

    /// "Missing parameter: `refresh_token`" or "the `refresh_token` grant is not allowed" say nothing of this token.
    fn refuse_the_refresh_token(&self) -> bool {
        let named = self.has(&["refresh_token", "refreshtoken", "refresh_tokens"]);
        let of_the_request = self.has(&[
            "missing",
            "required",
            "empty",
            "parameter",
            "grant_type",
            "refresh_token_grant",
            "unsupported",
            "not_allowed",
            "not_supported",
            "must_be",
        ]);
        named && !of_the_request && self.reject_beyond_the_code()
    }

    /// "`invalid_request`: the refresh token …" is not "the refresh token is invalid".
    fn reject_beyond_the_code(&self) -> bool {
        Self(self.0.replace("_invalid_request_", "_")).reject()
    }

    /// No grant is over because of a secret.
    fn refuse_the_secret(&self) -> bool {
        let named = self.has(&[
            "client_secret",
            "app_secret",
            "application_secret",
            "client_credentials",
        ]);
        named && (self.reject() || self.has(&["missing", "required"])) && !self.has(&["grant_type"])
    }

    fn refuse_the_client(&self) -> bool {
        let named = self.has(&[
            "client",
            "client_id",
            "client_secret",
            "secret",
            "clientid",
            "application",
            "app",
            "app_id",
            "consumer_key",
        ]);
        let refused = self.has(&[
            "missing",
            "required",
            "empty",
            "unauthorized",
            "not_authorized",
            "failed",
            "denied",
            "not_registered",
            "suspended",
            "no_client",
            "not_allowed",
        ]);
        named && (refused || self.reject_beyond_the_code()) && !self.has(&["scope", "grant_type"])
    }

    fn miss_the_account(&self) -> bool {
        let named = self.has(&["user", "account", "member"]);
        let gone = self.has(&[
            "not_found",
            "not_exist",
            "there_is_no",
            "deleted",
            "disabled",
            "locked",
            "suspended",
            "deactivated",
            "inactive",
            "blocked",
            "no_longer",
        ]);
        named && gone
    }

    /// Said of a request, whatever it is about.
    fn insist_on_waiting(&self) -> bool {
        self.has(&[
            "too_many",
            "too_many_times",
            "rate_limit",
            "rate_limited",
            "rate_limiting",
            "throttled",
            "retry_your_request",
            "please_retry",
            "retry_later",
            "temporarily",
        ])
    }

    fn ask_to_wait(&self) -> bool {
        self.has(&["try_again", "overloaded", "maintenance", "timed_out"])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meaning(status: u16, body: &Value) -> Option<Meaning> {
        let status = StatusCode::from_u16(status).unwrap();
        read(body, status).map(|error| error.meaning)
    }

    fn all_mean(expected: Meaning, bodies: &[Value]) {
        for body in bodies {
            assert_eq!(meaning(400, body), Some(expected), "{body}");
        }
    }

    #[test]
    fn a_code_is_read_in_any_spelling_and_at_any_place() {
        all_mean(
            Meaning::Grant,
            &[
                json!({"error": "invalid_grant"}),
                json!({"error": "INVALID_GRANT"}),
                json!({"error": "InvalidGrant"}),
                json!({"error": "invalid-grant"}),
                json!({"error": "Invalid grant"}),
                json!({"Error": "invalid_grant"}),
                json!({"errorCode": "invalidGrant"}),
                json!({"ErrorCode": "invalid_request", "Error": "Invalid Refresh Token"}),
                json!({"error": {"code": "invalid_grant", "message": "gone"}}),
                json!({"error": {"error": {"type": "invalid_grant"}}}),
                json!({"errors": [{"errorType": "invalid_grant", "message": "Refresh token invalid"}]}),
                json!([{"error": "invalid_grant"}]),
                json!({"detail": {"error": "invalid_grant"}}),
                json!({"fault": {"faultstring": "Invalid Refresh Token", "detail": {"errorcode": "keymanagement.service.invalid_refresh_token"}}}),
                json!({"fault": {"detail": {"errorcode": "oauth.v2.InvalidRefreshToken"}}}),
                json!({"status": "INVALID_REFRESH_TOKEN"}),
                json!({"message": "INVALID_REFRESH_TOKEN"}),
                json!({"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]}),
                json!({"status": 400, "message": "Invalid refresh token"}),
                json!({"body": {"error": "invalid_grant"}}),
                json!({"error": "invalid_token"}),
            ],
        );
        let number = read(&json!({"error": {"code": 190}}), StatusCode::BAD_REQUEST).unwrap();
        assert_eq!(
            (number.refused.code.as_str(), number.meaning),
            ("190", Meaning::Unknown)
        );
    }

    #[test]
    fn words_about_the_client_are_not_about_the_grant() {
        all_mean(
            Meaning::Client,
            &[
                json!({"error": "invalid_client"}),
                json!({"error": "invalid_request", "error_description": "The client secret is wrong"}),
                json!({"error": "invalid_request", "error_description": "Unknown client"}),
                json!({"error": "invalid_grant", "error_description": "Invalid client_secret"}),
                json!({"error": "unauthorized", "error_description": "Client authentication failed"}),
                json!({"message": "Application is disabled"}),
                json!({"errors": [{"resource": "Application", "field": "client_id", "code": "invalid"}]}),
                json!({"error": "access_denied", "error_description": "application not found"}),
            ],
        );
    }

    #[test]
    fn words_about_the_refresh_token_win_over_those_about_the_client() {
        all_mean(
            Meaning::Grant,
            &[
                json!({"error": "invalid_client", "error_description": "The refresh token is expired"}),
                json!({"error": "unauthorized_client", "error_description": "unable to parse refresh token"}),
                json!({"error": "invalid_request", "message": "refresh token was issued to another client and is not valid"}),
                json!({"error": "invalid_grant", "error_description": "Client ID mismatch"}),
                json!({"error": "invalid_request", "error_description": "user not found"}),
            ],
        );
    }

    #[test]
    fn words_about_the_request_are_about_neither() {
        all_mean(
            Meaning::Request,
            &[
                json!({"error": "invalid_request"}),
                json!({"error": "invalid_request", "error_description": "Missing parameter: refresh_token"}),
                json!({"error": "invalid_request", "error_description": "refresh_token is required"}),
                json!({"error": "invalid_request", "error_description": "Unknown parameter: refresh_token"}),
                json!({"error": "unsupported_grant_type", "error_description": "the client may not use refresh_token"}),
                json!({"error": "invalid_scope", "error_description": "unknown scope for this client"}),
                json!({"error": "access_denied", "error_description": "Unauthorized"}),
            ],
        );
    }

    #[test]
    fn a_code_that_nobody_knows_is_no_final_refusal() {
        all_mean(
            Meaning::Unknown,
            &[
                json!({"error": "unknown_error"}),
                json!({"error": "out_of_cheese", "message": "no"}),
                json!({"message": "Something went wrong"}),
            ],
        );
        all_mean(
            Meaning::Later,
            &[
                json!({"error": "RATE_LIMIT_EXCEEDED"}),
                json!({"error": "temporarily_unavailable"}),
                json!({"error": "request_failed", "message": "Please retry your request"}),
                json!({"error": "Access Denied", "error_description": "You have made too many requests continuously."}),
                json!({"status": 429, "message": "slow"}),
            ],
        );
    }

    #[test]
    fn a_success_is_an_error_only_if_it_says_so() {
        for none in [
            json!({"error": ""}),
            json!({"error": null}),
            json!({"error": "none"}),
            json!({"error": false, "errors": []}),
            json!({"status": "ok", "message": "Welcome"}),
            json!({"status": 0, "body": {}}),
            json!({"token": "x"}),
        ] {
            assert_eq!(meaning(200, &none), None, "{none}");
        }
        all_mean(Meaning::Failed, &[json!({"error": "server_error"})]);
        let limit = json!({"status": 601, "body": {}, "error": "Too Many Requests"});
        assert_eq!(meaning(200, &limit), Some(Meaning::Later));
        let limit = read(&json!({"error": true, "wait_seconds": "7"}), StatusCode::OK).unwrap();
        assert_eq!(
            (limit.meaning, limit.wait),
            (Meaning::Later, Some(Duration::from_secs(7)))
        );
        let denied = json!({"ok": false, "error": "invalid_refresh_token"});
        assert_eq!(meaning(200, &denied), Some(Meaning::Grant));
    }

    #[test]
    fn a_secret_in_the_providers_words_is_hidden() {
        let secret = "1//0gAbCdEf3hKqZ9xW2mB5tR8aLcVhY4uJ1n";
        let long = "x".repeat(180);
        for body in [
            json!({"error": "invalid_grant", "error_description": format!("refresh_token {secret} is invalid")}),
            json!({"error": secret}),
            json!({"error": {"code": secret, "message": format!("no {secret}")}}),
            json!({"message": format!("Unknown token '{secret}'")}),
            json!({"errors": [secret]}),
            json!({"errors": [{"field": "refresh_token", "code": secret}]}),
            json!({"error": "invalid_grant", "error_description": format!("{long} {secret}")}),
        ] {
            let refused = read(&body, StatusCode::BAD_REQUEST).unwrap().refused;
            let told = refused.to_string();
            assert!(!told.contains("AbCdEf3h"), "{told}");
            assert!(told.contains("[hid"), "{told}");
        }
    }

    #[test]
    fn a_code_that_holds_another_one_is_not_that_one() {
        for code in [
            "invalid_grant_type",
            "org_login_required",
            "invalid_token_type",
            "csrf_token_expired",
            "client_assertion_token_expired",
        ] {
            let error = json!({"error": code});
            assert_ne!(meaning(400, &error), Some(Meaning::Grant), "{code}");
        }
        for (code, words) in [
            (
                "temporarily_unavailable",
                "The refresh token service is in an unknown state",
            ),
            (
                "rate_limit_exceeded",
                "refresh token used too many times per minute",
            ),
            (
                "server_error",
                "unknown error: whether the refresh token was used is not known",
            ),
            (
                "invalid_scope",
                "invalid, unknown, or exceeds the scope of the refresh token",
            ),
            (
                "invalid_request",
                "refresh token is being used by another request. Please retry.",
            ),
        ] {
            let error = json!({"error": code, "error_description": words});
            assert_ne!(
                meaning(400, &error),
                Some(Meaning::Grant),
                "{code}: {words}"
            );
        }
    }

    #[test]
    fn the_providers_own_words_are_kept() {
        let refused = |body: Value| {
            read(&body, StatusCode::BAD_REQUEST)
                .unwrap()
                .refused
                .to_string()
        };
        assert_eq!(
            refused(json!({"error": "INVALID_GRANT", "message": "gone"})),
            "INVALID_GRANT: gone"
        );
        assert_eq!(
            refused(
                json!({"status": "BAD_REFRESH_TOKEN", "error": "invalid_request", "message": "missing"})
            ),
            "BAD_REFRESH_TOKEN: missing"
        );
        assert_eq!(refused(json!({"message": "nope\r\n"})), "nope");
        assert_eq!(
            refused(json!({"message": "Unauthorized", "error": 401})),
            "401: Unauthorized"
        );
    }
}
