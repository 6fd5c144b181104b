//! Plays one script against several authorization servers and compares what they answered.
//!
//! [`Subject`] is a server with all that the script needs to know of it: the real ones and the
//! sandbox look alike from here. [`record`] plays the [`cases`] that a subject offers;
//! [`differences`] compares two recordings field by field, once [`shape`] has replaced what no two
//! servers could agree on (token values, moments) by its kind.

pub mod cases;
mod key;
mod play;
pub mod shape;
mod subject;
mod subjects;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::Value;

pub use key::SigningKey;
pub use play::{Play, Tokens};
pub use subject::{
    Access, Auth, CHALLENGE, Client, Feature, INITIALIZE, Knob, LIFETIMES, Subject, VERIFIER,
};
pub use subjects::secret_of;

/// One answer as it is compared: `{"status":…,"content_type":…,"body":…, …}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was asked.
    pub label: String,
    /// The answer's shape.
    pub answer: Value,
}

/// What a subject answered, by case.
#[derive(Debug, Default)]
pub struct Recording(pub BTreeMap<&'static str, Vec<Step>>);

/// Readable, for a person who wants to know what a server does.
impl fmt::Display for Recording {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, steps) in &self.0 {
            writeln!(out, "{case}")?;
            for step in steps {
                writeln!(out, "  {}: {}", step.label, step.answer)?;
            }
        }
        Ok(())
    }
}

/// Plays the cases that this subject offers, one after the other.
pub fn record(subject: &Subject<'_>, wanted: impl Fn(&cases::Case) -> bool) -> Recording {
    let mut recording = Recording::default();
    for case in cases::ALL.iter().filter(|case| wanted(case)) {
        let mut play = Play::new(subject);
        (case.play)(&mut play);
        recording.0.insert(case.name, play.steps());
    }
    recording
}

/// A place where two recordings differ: case, step and field, and what each side has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// For example `reused refresh token / newest refresh token / body.error`.
    pub place: String,
    /// What the first has.
    pub real: Value,
    /// What the second has.
    pub other: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            value => value.to_string(),
        };
        write!(
            out,
            "{}: real {}, sandbox {}",
            self.place,
            shown(&self.real),
            shown(&self.other)
        )
    }
}

/// Differences that are meant.
#[derive(Debug)]
pub struct Deliberate {
    /// Where: how a place begins, or after `* / ` how it ends, whatever the case.
    pub places: &'static [&'static str],
    /// Why the sandbox answers otherwise.
    pub reason: &'static str,
}

fn covers(known: &str, place: &str) -> bool {
    match known.strip_prefix("* / ") {
        Some(end) => place.ends_with(end),
        None => place.starts_with(known),
    }
}

/// Every difference between two recordings of the same cases.
pub fn differences(real: &Recording, other: &Recording) -> Vec<Difference> {
    let mut found = Vec::new();
    for (case, steps) in &real.0 {
        let others = other.0.get(case).map(Vec::as_slice).unwrap_or_default();
        for number in 0..steps.len().max(others.len()) {
            let (left, right) = (steps.get(number), others.get(number));
            let label = left.or(right).map_or("", |step| &step.label);
            let answer = |step: Option<&Step>| step.map_or(Value::Null, |step| step.answer.clone());
            let place = format!("{case} / {label}");
            compare(&place, &answer(left), &answer(right), &mut found);
        }
    }
    found
}

/// Objects field by field; anything else as a whole.
fn compare(place: &str, real: &Value, other: &Value, found: &mut Vec<Difference>) {
    if let (Value::Object(left), Value::Object(right)) = (real, other) {
        let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let field = |side: &serde_json::Map<String, Value>| {
                side.get(key).cloned().unwrap_or(Value::Null)
            };
            compare(
                &format!("{place} / {key}"),
                &field(left),
                &field(right),
                found,
            );
        }
    } else if real != other {
        found.push(Difference {
            place: place.to_owned(),
            real: real.clone(),
            other: other.clone(),
        });
    }
}

/// Fails the test, naming every difference that is not deliberate, and every deliberate one that is
/// none any more.
pub fn assert_equal(real: &Recording, other: &Recording, deliberate: &[Deliberate]) {
    let known: Vec<&str> = deliberate
        .iter()
        .flat_map(|row| row.places)
        .copied()
        .collect();
    let (meant, wrong): (Vec<_>, Vec<_>) = differences(real, other)
        .into_iter()
        .partition(|found| known.iter().any(|known| covers(known, &found.place)));
    let mut message = String::new();
    for difference in &wrong {
        let _ = writeln!(message, "{difference}");
    }
    for known in known {
        if !meant.iter().any(|found| covers(known, &found.place)) {
            let _ = writeln!(message, "{known}: no difference any more");
        }
    }
    assert!(message.is_empty(), "\n{message}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recording(answer: Value) -> Recording {
        let step = Step {
            label: "again".to_owned(),
            answer,
        };
        Recording(BTreeMap::from([("reused", vec![step])]))
    }

    #[test]
    fn differences_are_named_by_field() {
        let real = recording(json!({"status": 400, "body": {"error": "invalid_grant"}}));
        let other =
            recording(json!({"status": 401, "body": {"error": "invalid_grant", "more": 1}}));
        let places: Vec<String> = differences(&real, &other)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            places,
            [
                "reused / again / body / more: real nothing, sandbox 1",
                "reused / again / status: real 400, sandbox 401",
            ]
        );
    }

    #[test]
    fn a_case_the_other_did_not_play_differs() {
        let real = recording(json!({"status": 400}));
        assert_eq!(differences(&real, &Recording::default()).len(), 1);
    }

    #[test]
    #[should_panic(expected = "no difference any more")]
    fn a_deliberate_difference_must_be_one() {
        let same = || recording(json!({"status": 400}));
        let known = Deliberate {
            places: &["* / status"],
            reason: "none",
        };
        assert_equal(&same(), &same(), &[known]);
    }
}
