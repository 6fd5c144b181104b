//! Error responses of token endpoints (RFC 6749 §5.2), in the shapes in which providers write them: codes in any case,
//! nested in objects and lists, as numbers, or in a sentence; JSON or a form.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::get;
use crate::{
    oauth::{
        error_codes::{
            ACTED_CODES, CLIENT_CODES, FAILED_CODES, GRANT_CODES, LATER_CODES, REQUEST_CODES,
            VAGUE_CODES, canonical, clear_lists, is_code, is_in,
        },
        error_words::ErrorWords,
        refused::{NO_CODE_GIVEN, Refused},
    },
    text::sanitize::{one_line, without_secrets},
};

/// What an error response refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorMeaning {
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
    pub(super) meaning: ErrorMeaning,
    /// Whether its code says so, and not merely its words.
    pub(super) by_code: bool,
    /// How long the body says to wait.
    pub(super) wait: Option<Duration>,
}

/// Reads the error in a body; none if it holds none. Where the status is a success the body itself must say that it is an
/// error.
pub(super) fn read(body: &Value, status: StatusCode) -> Option<ErrorResponse> {
    let fields = ErrorFields::of(body);
    let (meaning, source) = fields.meaning();
    let is_error = fields.is_error || !status.is_success() || meaning != ErrorMeaning::Unknown;
    let refused = fields.refused().filter(|_| is_error)?;
    Some(ErrorResponse {
        refused,
        meaning,
        by_code: source == MeaningSource::Code,
        wait: fields.wait,
    })
}

/// The error that a body says it is, whatever its status.
pub(super) fn error_of(body: &Value) -> Option<Refused> {
    read(body, StatusCode::OK).map(|error| error.refused)
}

/// The fields of a body that describe an error, the most significant first.
#[derive(Debug, Default)]
struct ErrorFields {
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

impl ErrorFields {
    fn of(body: &Value) -> Self {
        let mut fields = Self::default();
        fields.collect(body, DEEPEST);
        fields
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

    fn meaning(&self) -> (ErrorMeaning, MeaningSource) {
        let signals = Signals::of(self);
        let mut rules = RULES.iter();
        let rule = rules.find(|(applies, ..)| applies(&signals));
        rule.map_or(
            (ErrorMeaning::Unknown, MeaningSource::Words),
            |(_, meaning, source)| (*meaning, *source),
        )
    }
}

/// The part of a response that a rule reads the meaning from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MeaningSource {
    Code,
    Words,
}

/// The codes, numbers and messages of an error response, ready to be compared.
struct Signals<'a> {
    fields: &'a ErrorFields,
    words: Vec<ErrorWords>,
}

impl<'a> Signals<'a> {
    fn of(fields: &'a ErrorFields) -> Self {
        let texts = fields.texts.iter().chain(&fields.joined);
        let texts = texts.chain(&fields.codes);
        Self {
            words: texts.map(|text| ErrorWords::of(text)).collect(),
            fields,
        }
    }

    fn code(&self, list: &[&str]) -> bool {
        self.fields.codes.iter().any(|code| is_in(code, list))
    }

    fn words(&self, say: fn(&ErrorWords) -> bool) -> bool {
        self.words.iter().any(say)
    }

    fn refuse_the_secret(&self) -> bool {
        self.words(ErrorWords::refuse_the_secret)
            && !self.words(ErrorWords::refuse_the_refresh_token)
    }

    fn name_a_wait(&self) -> bool {
        let by_number = self.fields.numbers.iter().any(|number| is_later(*number));
        by_number || self.fields.wait.is_some() || self.code(LATER_CODES)
    }
}

type Rule = (fn(&Signals<'_>) -> bool, ErrorMeaning, MeaningSource);

/// In order of precedence: the first rule that applies decides.
const RULES: &[Rule] = &[
    (
        |s| s.code(ACTED_CODES),
        ErrorMeaning::MayHaveActed,
        MeaningSource::Code,
    ),
    (
        |s| s.refuse_the_secret() && s.code(CLIENT_CODES),
        ErrorMeaning::Client,
        MeaningSource::Code,
    ),
    (
        |s| s.refuse_the_secret(),
        ErrorMeaning::Client,
        MeaningSource::Words,
    ),
    (
        |s| s.code(GRANT_CODES),
        ErrorMeaning::Grant,
        MeaningSource::Code,
    ),
    (
        |s| s.name_a_wait(),
        ErrorMeaning::Later,
        MeaningSource::Code,
    ),
    (
        |s| s.code(REQUEST_CODES),
        ErrorMeaning::Request,
        MeaningSource::Code,
    ),
    (
        |s| s.code(FAILED_CODES),
        ErrorMeaning::Failed,
        MeaningSource::Code,
    ),
    (
        |s| s.words(ErrorWords::insist_on_waiting),
        ErrorMeaning::Later,
        MeaningSource::Words,
    ),
    (
        |s| s.words(ErrorWords::refuse_the_refresh_token),
        ErrorMeaning::Grant,
        MeaningSource::Words,
    ),
    (
        |s| s.words(ErrorWords::ask_to_wait),
        ErrorMeaning::Later,
        MeaningSource::Words,
    ),
    (
        |s| s.code(CLIENT_CODES),
        ErrorMeaning::Client,
        MeaningSource::Code,
    ),
    (
        |s| s.words(ErrorWords::refuse_the_client),
        ErrorMeaning::Client,
        MeaningSource::Words,
    ),
    (
        |s| s.words(ErrorWords::miss_the_account),
        ErrorMeaning::Grant,
        MeaningSource::Words,
    ),
    (
        |s| s.code(VAGUE_CODES),
        ErrorMeaning::Request,
        MeaningSource::Code,
    ),
];

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

#[cfg(test)]
#[path = "error_response_tests.rs"]
mod tests;
