//! Checks, in the shape of the conformance suite's `checks.json`.

use serde::Serialize;
use serde_json::Value;

/// The status of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckStatus {
    /// It holds.
    Success,
    /// It does not hold.
    Failure,
    /// It does not hold, and a specification only recommends it.
    Warning,
    /// There was no evidence.
    Skipped,
    /// For information.
    Info,
}

impl CheckStatus {
    /// The status in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "passed",
            Self::Failure => "FAILED",
            Self::Warning => "warning",
            Self::Skipped => "skipped",
            Self::Info => "info",
        }
    }
}

/// The specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SpecReference {
    /// A short name.
    pub id: &'static str,
    /// The URL of the section.
    pub url: &'static str,
}

/// A check with its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioCheck {
    /// Its id.
    pub id: &'static str,
    /// The id in the suite's `CamelCase` form.
    pub name: String,
    /// The requirement.
    pub description: &'static str,
    /// How it came out.
    pub status: CheckStatus,
    /// When it was judged.
    pub timestamp: String,
    /// The specification.
    pub spec_references: Vec<SpecReference>,
    /// The evidence, as numbers.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub details: Value,
    /// The evidence, in words.
    #[serde(rename = "errorMessage", skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// The verdict of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScenarioVerdict {
    /// Every check with evidence holds.
    Passed,
    /// A check failed.
    Failed,
    /// There was no evidence for what the scenario tests.
    Skipped,
}

impl ScenarioVerdict {
    /// The verdict of these checks.
    pub fn of(checks: &[ScenarioCheck]) -> Self {
        let has = |status| checks.iter().any(|check| check.status == status);
        let of_its_own =
            |check: &&ScenarioCheck| check.id != SIGNED_IN && check.status == CheckStatus::Success;
        if has(CheckStatus::Failure) {
            Self::Failed
        } else if checks.iter().filter(of_its_own).count() == 0 {
            Self::Skipped
        } else {
            Self::Passed
        }
    }

    /// A short name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// The id of the check without which nothing else is judged.
pub(crate) const SIGNED_IN: &str = "signed-in";

/// `no-second-sign-in` as `NoSecondSignIn`.
pub(crate) fn in_capitals(id: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    id.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_looks_as_in_the_suite() {
        let check = ScenarioCheck {
            id: "no-second-sign-in",
            name: in_capitals("no-second-sign-in"),
            description: "x",
            status: CheckStatus::Failure,
            timestamp: "2026-01-01T00:00:00Z".into(),
            spec_references: vec![SpecReference {
                id: "RFC-6749-6",
                url: "u",
            }],
            details: Value::Null,
            seen: Some("two".into()),
        };
        let written = serde_json::to_value(&check).unwrap();
        assert_eq!(written["name"], "NoSecondSignIn");
        assert_eq!(written["status"], "FAILURE");
        assert_eq!(written["specReferences"][0]["id"], "RFC-6749-6");
        assert_eq!(written["errorMessage"], "two");
        assert!(written.get("details").is_none());
        assert_eq!(ScenarioVerdict::of(&[check]), ScenarioVerdict::Failed);
    }

    #[test]
    fn to_be_signed_in_is_no_success_yet() {
        let check = |id, status| ScenarioCheck {
            id,
            name: String::new(),
            description: "",
            status,
            timestamp: String::new(),
            spec_references: Vec::new(),
            details: Value::Null,
            seen: None,
        };
        let signed_in = check(SIGNED_IN, CheckStatus::Success);
        let skipped = check("x", CheckStatus::Skipped);
        let checks = [signed_in, skipped, check("y", CheckStatus::Success)];
        assert_eq!(ScenarioVerdict::of(&checks[..2]), ScenarioVerdict::Skipped);
        assert_eq!(ScenarioVerdict::of(&checks), ScenarioVerdict::Passed);
    }
}
