//! Token endpoints' answers, changed step by step as servers and proxies change them.
//!
//! A case is words. The first names an answer, each further one a change: `keycloak nested bom gzip`. A word that is none
//! stands for one of them all the same, so that any bytes are a case.

use std::{fmt::Debug, sync::OnceLock};

use authkeeper::{
    http::Reply,
    oauth::{
        classify::{self as classifying, Outcome},
        unrecognized_response::{shape_of, unrecognized_shape},
    },
};
use serde_json::{Map, Value, json};

use crate::{
    draft::{CHANGES, Draft},
    message,
    mutate::Dice,
    shown::fit,
    wire::{exposed, now},
};

/// The secrets that stand in the answers, in the forms that real ones have.
pub(crate) const ACCESS: &str = "ya29.a0PlantedAcc3ssKqZ9xW2mB5tR8LcVhY4uJ1nE6sD0pT7wX";
pub(crate) const REFRESH: &str = "1//0gPlantedRefr3shKqZ9xW2mB5tR8aLcVhY4uJ1nE6sD0fG-L9Ir";
pub(crate) const ID: &str =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJQbGFudGVkIn0.UGxhbnRlZElkVG9rZW4xMjM0NTY3ODkw";
pub(crate) const SECRET: &str = "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Vh";
pub(crate) const ALL_SECRETS: [&str; 4] = [ACCESS, REFRESH, ID, SECRET];

/// A part of a secret that is no longer than this tells nothing.
const TELLING: usize = 16;

/// The fields that hold tokens.
const TOKENS: [&str; 3] = ["accesstoken", "refreshtoken", "idtoken"];

/// An answer by its name.
struct Base {
    name: String,
    reply: Reply,
    value: Option<Value>,
}

/// What providers answer when all is well.
fn successes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "plain",
            json!({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600, "refresh_token": REFRESH}),
        ),
        (
            "keycloak",
            json!({"access_token": ACCESS, "expires_in": 300, "refresh_expires_in": 1800, "refresh_token": REFRESH,
                "token_type": "Bearer", "id_token": ID, "not-before-policy": 0, "session_state": "s", "scope": "email profile"}),
        ),
        (
            "google",
            json!({"access_token": ACCESS, "expires_in": 3599, "scope": "https://www.googleapis.com/auth/drive",
                "token_type": "Bearer", "refresh_token_expires_in": 604_799}),
        ),
        (
            "microsoft",
            json!({"token_type": "Bearer", "scope": "User.Read", "expires_in": "3599", "ext_expires_in": 3599,
                "access_token": ACCESS, "refresh_token": REFRESH, "id_token": ID}),
        ),
        (
            "b2c",
            json!({"id_token": ID, "token_type": "Bearer", "not_before": 1_764_400_000, "id_token_expires_in": 3600,
                "refresh_token": REFRESH, "refresh_token_expires_in": 1_209_600}),
        ),
        (
            "slack",
            json!({"ok": true, "access_token": ACCESS, "token_type": "bot", "expires_in": 43_200,
                "refresh_token": REFRESH, "team": {"id": "T1", "name": "x"}, "is_enterprise_install": false}),
        ),
        (
            "slack-user",
            json!({"ok": true, "app_id": "A1", "authed_user": {"id": "U1", "scope": "chat:write", "token_type": "user",
                "access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 43_200}}),
        ),
        (
            "withings",
            json!({"status": 0, "body": {"userid": "363", "access_token": ACCESS, "refresh_token": REFRESH,
                "scope": "user.info", "expires_in": 10_800, "token_type": "Bearer"}}),
        ),
        (
            "notion",
            json!({"access_token": ACCESS, "token_type": "bearer", "bot_id": "b", "workspace_name": null,
                "owner": {"type": "user", "user": {"id": "u"}}, "refresh_token": REFRESH, "request_id": "r"}),
        ),
        (
            "strava",
            json!({"token_type": "Bearer", "access_token": ACCESS, "expires_at": 1_767_230_000, "expires_in": 20_566,
                "refresh_token": REFRESH}),
        ),
        (
            "twitch",
            json!({"access_token": ACCESS, "expires_in": 14_124, "refresh_token": REFRESH, "scope": ["chat:read"],
                "token_type": "bearer"}),
        ),
    ]
}

fn bases() -> &'static [Base] {
    static ALL: OnceLock<Vec<Base>> = OnceLock::new();
    ALL.get_or_init(|| {
        let successes = successes().into_iter().map(|(name, value)| Base {
            name: name.to_owned(),
            reply: message::reply(b"200\ncontent-type: application/json\n\n"),
            value: Some(value),
        });
        successes.chain(measured()).chain(of_the_corpus()).collect()
    })
}

/// The measured table of the library: who, when, status and headers, what it means, body.
fn measured() -> impl Iterator<Item = Base> {
    let rows = include_str!("../../../crates/authkeeper/src/oauth/measured.txt").lines();
    let rows = rows.filter(|line| !line.starts_with('#'));
    rows.zip(0..).filter_map(|(row, number)| {
        let cells: Vec<&str> = row.splitn(5, '|').map(str::trim).collect();
        let [_who, _when, head, _meaning, body] = cells[..] else {
            return None;
        };
        let head = head
            .replace('=', ": ")
            .replace(' ', "\n")
            .replace(":\n", ": ");
        let case = format!("{head}\n\n{body}");
        Some(base(format!("measured-{number}"), case.as_bytes()))
    })
}

/// The answers of the target `classify`: those of the catalogue, and what that target has found.
fn of_the_corpus() -> impl Iterator<Item = Base> {
    let named = crate::corpus_files("classify").into_iter();
    named.map(|(name, case)| base(name, &case))
}

fn base(name: String, case: &[u8]) -> Base {
    let reply = message::reply(case);
    let value = serde_json::from_slice(&reply.body).ok();
    Base { name, reply, value }
}

/// Which of so many a word that is no name stands for (FNV-1a).
fn pick(word: &[u8], of: usize) -> usize {
    let hash = word.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    usize::try_from(hash).unwrap_or_default() % of.max(1)
}

/// More changes than this make an answer that nobody sends.
const MOST_CHANGES: usize = 8;

fn drafted(case: &[u8]) -> Draft {
    let words = case.split(u8::is_ascii_whitespace);
    let mut words = words.filter(|word| !word.is_empty());
    let first = words.next().unwrap_or(b"plain");
    let bases = bases();
    let named = bases.iter().find(|base| base.name.as_bytes() == first);
    let base = named.unwrap_or_else(|| &bases[pick(first, bases.len())]);
    let mut draft = Draft::of(&base.reply, base.value.as_ref());
    for word in words.take(MOST_CHANGES) {
        let (name, number) = split(word);
        let known = CHANGES.iter().find(|(known, _)| known.as_bytes() == name);
        let (_, change) = known.unwrap_or_else(|| &CHANGES[pick(name, CHANGES.len())]);
        change(&mut draft, number);
    }
    draft
}

/// A change's name and its number: `beside:3`.
fn split(word: &[u8]) -> (&[u8], usize) {
    let colon = word.iter().position(|byte| *byte == b':');
    let at = colon.unwrap_or(word.len());
    let number = word.get(at + 1..).unwrap_or_default();
    let told = std::str::from_utf8(number).ok();
    let told = told.and_then(|text| text.parse().ok());
    (&word[..at], told.unwrap_or_else(|| pick(number, 1_000)))
}

/// A case of words for a run without libFuzzer.
pub(crate) fn case(dice: &mut Dice) -> Vec<u8> {
    let bases = bases();
    // The successes stand first, and half of what is tried.
    let among = if dice.below(2) == 0 {
        successes().len()
    } else {
        bases.len()
    };
    let mut words = vec![bases[dice.below(among)].name.clone()];
    for _ in 0..dice.below(6) {
        let (name, _) = CHANGES[dice.below(CHANGES.len())];
        words.push(format!("{name}:{}", dice.below(300)));
    }
    words.join(" ").into_bytes()
}

/// A token endpoint's answer as somebody may have changed it on the way. After a 2xx with tokens the refresh token is never
/// given back as unspent, what is read is what was sent, and no message holds a secret.
pub fn answers(case: &[u8]) {
    let draft = drafted(case);
    let carries = draft.carries_tokens();
    let (exact, plain) = (draft.is_exact(), draft.is_plain());
    let sent = draft.tokens_sent();
    let reply = draft.into_reply();
    let outcome = classifying::classify(&reply, now().wall);
    tell_no_secret(&reply, &outcome);
    if reply.status.is_success() && carries {
        assert!(
            counts_as_spent(&outcome),
            "tokens came, and the refresh token counts as unspent: {outcome:?}"
        );
    }
    let accepted = matches!(outcome, Outcome::Accepted(_));
    assert!(
        !plain || accepted,
        "tokens that can be read were not: {outcome:?}"
    );
    if let Outcome::Accepted(answer) = outcome
        && exact
    {
        let read = exposed(&answer.into_token_set(now(), None));
        assert_eq!(read, sent, "other tokens were read than were sent");
    }
}

fn counts_as_spent(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Accepted(_) | Outcome::RefreshTokenAlone(_) | Outcome::Unknown(_)
    )
}

fn tell_no_secret(reply: &Reply, outcome: &Outcome) {
    match outcome {
        Outcome::GrantRefused(refused)
        | Outcome::ClientRefused(refused)
        | Outcome::RequestRefused(refused)
        | Outcome::Unrecognized { refused, .. } => check_text("a refusal", &refused.to_string()),
        Outcome::Transient { why, .. } | Outcome::Suspect { why } => check_text("a delay", why),
        Outcome::Moved {
            target: Some(target),
            ..
        } => check_text("a target", target),
        _ => {}
    }
    check_debug("an outcome", outcome);
    check_debug("a reply", reply);
    check_text("a shape", &shape_of(reply));
    if let Some(shape) = unrecognized_shape(reply) {
        check_text("an odd shape", &shape);
    }
}

fn check_debug(what: &str, value: &impl Debug) {
    hide_secrets(what, &format!("{value:?}"));
}

fn check_text(what: &str, text: &str) {
    fit(what, text);
    hide_secrets(what, text);
}

fn hide_secrets(what: &str, text: &str) {
    for secret in ALL_SECRETS {
        let parts = secret.as_bytes().windows(TELLING + 1);
        let told = parts
            .filter_map(|part| std::str::from_utf8(part).ok())
            .find(|part| text.contains(part));
        assert_eq!(told, None, "{what} tells a secret: {text}");
    }
}

/// Whether a planted token stands under a token's name, however either is written, anywhere in a document.
pub(crate) fn carries(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(name, inner)| {
            let named = TOKENS.contains(&letters(name).as_str());
            (named && mentions(inner)) || carries(inner)
        }),
        Value::Array(list) => list.iter().any(carries),
        Value::String(text) => {
            let inner: Option<Value> = serde_json::from_str(text).ok();
            inner.is_some_and(|inner| !inner.is_string() && carries(&inner))
        }
        _ => false,
    }
}

fn mentions(value: &Value) -> bool {
    match value {
        Value::String(text) => [ACCESS, REFRESH, ID].contains(&text.as_str()),
        Value::Array(list) => list.iter().any(mentions),
        Value::Object(object) => object.values().any(mentions),
        _ => false,
    }
}

/// A name without case, dashes and underscores.
fn letters(name: &str) -> String {
    let plain = name.chars().filter(|c| !matches!(c, '_' | '-'));
    plain.map(|c| c.to_ascii_lowercase()).collect()
}

/// The token that stands as a text under a name, if there is one.
pub(crate) fn token(value: &Value, wanted: &str) -> Option<String> {
    match value {
        Value::Object(object) => of_object(object, wanted)
            .or_else(|| object.values().find_map(|inner| token(inner, wanted))),
        Value::Array(list) => list.iter().find_map(|item| token(item, wanted)),
        _ => None,
    }
}

fn of_object(object: &Map<String, Value>, wanted: &str) -> Option<String> {
    let mut texts = object
        .iter()
        .filter(|(name, _)| letters(name) == wanted)
        .filter_map(|(_, value)| value.as_str());
    texts.find(|text| !text.is_empty()).map(str::to_owned)
}
