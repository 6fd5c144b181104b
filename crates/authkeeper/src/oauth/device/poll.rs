//! Polls of the token endpoint (RFC 8628 §3.4, §3.5), and their pace.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    http::Reply,
    oauth::{
        answer,
        classify::{self, Outcome},
        device::error::DeviceError,
    },
    text::sanitize::{one_line, without_secrets},
};

/// RFC 8628 §3.2: the interval when the server names none.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// RFC 8628 §3.5: what `slow_down` adds, for this and all later polls.
const SLOWER: Duration = Duration::from_secs(5);

/// No server is asked more often than this, whatever it says.
pub(super) const FASTEST: Duration = Duration::from_secs(1);

/// No server needs to be asked less often than this.
pub(super) const SLOWEST: Duration = Duration::from_mins(1);

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
    match error_in(&texts) {
        Some(PollError::Pending) => return again(Pace::every(interval)),
        Some(PollError::SlowDown) => return again(Pace::slower(interval)),
        Some(PollError::Denied) => return Poll::Failed(DeviceError::Denied),
        Some(PollError::Expired) => return Poll::Failed(DeviceError::Expired),
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

/// What an answer tells the person who is waited for: its sentences, and no codes.
pub fn said_meanwhile(reply: &Reply) -> Option<String> {
    let texts = texts_of(reply);
    let mut sentences = texts.iter().filter(|text| !text.is_one_word());
    let said = without_secrets(&one_line(&sentences.next()?.error_in));
    Some(said).filter(|said| said.chars().any(char::is_alphabetic))
}

/// What an answer says of a sign-in that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollError {
    Pending,
    SlowDown,
    Denied,
    Expired,
}

/// Codes with one meaning in whatever field, without case and punctuation. RFC 8628 §3.5, then Microsoft's word.
const CODES: [(&str, PollError); 7] = [
    ("slowdown", PollError::SlowDown),
    ("authorizationpending", PollError::Pending),
    ("pending", PollError::Pending),
    ("accessdenied", PollError::Denied),
    ("authorizationdeclined", PollError::Denied),
    ("expiredtoken", PollError::Expired),
    ("codeexpired", PollError::Expired),
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
pub(super) struct Message {
    /// The name of its field, in small letters and digits only.
    field: String,
    /// The same of what it says.
    code: String,
    /// As it came.
    error_in: String,
}

impl Message {
    fn new(field: &str, error_in: &str) -> Self {
        let letters = |text: &str| {
            let plain = text.chars().filter(char::is_ascii_alphanumeric);
            plain.collect::<String>().to_ascii_lowercase()
        };
        Self {
            field: letters(field),
            code: letters(error_in),
            error_in: error_in.to_owned(),
        }
    }

    /// Plain words are no code: "Access Denied" may be a firewall's.
    fn is_one_word(&self) -> bool {
        !self.error_in.is_empty() && !self.error_in.contains(char::is_whitespace)
    }

    fn meaning(&self) -> Option<PollError> {
        let (_, error_in) = CODES.iter().find(|(code, _)| *code == self.code)?;
        let goes_on = matches!(error_in, PollError::Pending | PollError::SlowDown);
        (goes_on || self.is_one_word()).then_some(*error_in)
    }
}

pub(super) fn error_in(texts: &[Message]) -> Option<PollError> {
    let mut codes: Vec<PollError> = texts.iter().filter_map(Message::meaning).collect();
    codes.sort_by_key(|error_in| matches!(error_in, PollError::Denied | PollError::Expired));
    codes.first().copied().or_else(|| error_of_message(texts))
}

fn error_of_message(texts: &[Message]) -> Option<PollError> {
    if texts.iter().any(|text| FINAL.contains(&text.code.as_str())) {
        return None;
    }
    let is_said = |words: &[&str]| {
        texts.iter().any(|text| {
            let mut error_in = text.error_in.split(|c: char| !c.is_alphanumeric());
            error_in.any(|error_in| words.iter().any(|word| error_in.eq_ignore_ascii_case(word)))
        })
    };
    if is_said(&["slow", "fast", "often", "frequently", "quickly"]) {
        Some(PollError::SlowDown)
    } else if is_said(&["pending", "yet", "waiting"]) {
        Some(PollError::Pending)
    } else {
        None
    }
}

/// Whether one of the fields that codes stand in holds one.
fn has_code(texts: &[Message]) -> bool {
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
fn texts_of(reply: &Reply) -> Vec<Message> {
    let mut texts = Vec::new();
    match answer::document(reply) {
        Some(document) => collect("", &document, DEEPEST, &mut texts),
        None if classify::is_page(reply) => {}
        None => {
            let pairs = form_urlencoded::parse(&reply.body).take(MOST_TEXTS);
            texts.extend(pairs.map(|(field, error_in)| Message::new(&field, &error_in)));
        }
    }
    texts
}

fn collect(field: &str, value: &Value, depth: usize, texts: &mut Vec<Message>) {
    let Some(below) = depth.checked_sub(1).filter(|_| texts.len() < MOST_TEXTS) else {
        return;
    };
    match value {
        Value::String(error_in) => texts.push(Message::new(field, error_in)),
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
