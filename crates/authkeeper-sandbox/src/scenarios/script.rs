//! Scenario files: a timeline of actions, and the counters that are expected at the end.
//!
//! ```toml
//! end = "90s"                          # optional: stop by itself
//!
//! [set]                                # optional: rules from the start
//! profile = "strict"
//! ttl = "20s"
//!
//! [[at]]
//! after = "30s"                        # since the start …
//! do = "fault status=503,times=3,at=refresh"
//!
//! [[at]]
//! after_refreshes = 3                  # … or once so many refreshes were accepted
//! do = "disable alice"
//!
//! [expect]                             # counters at the end: a number, or ">=3", "<=3", "!=0"
//! sign_ins = 1
//! refreshes_replayed = 0
//! api_ok = ">=10"
//! ```

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionError, set_rule},
    clock::{SandboxTime, parse_duration},
    counters::Counters,
    events::Mood,
    settings::Rules,
    state::SandboxState,
};

/// A scenario file.
#[derive(Clone, Debug, Default)]
pub struct ScenarioFile {
    /// When the scenario ends by itself.
    pub end: Option<Duration>,
    sets: Vec<(String, String)>,
    steps: Vec<ScriptStep>,
    expected: Vec<Expectation>,
}

#[derive(Clone, Debug)]
struct ScriptStep {
    when: StepTime,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum StepTime {
    After(Duration),
    Refreshes(u64),
}

#[derive(Clone, Debug)]
struct Expectation {
    counter: String,
    relation: Relation,
    value: u64,
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Equal,
    Unequal,
    AtLeast,
    AtMost,
}

/// A scenario file that is not valid.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no TOML, or has other fields.
    #[error("{0}")]
    Shape(String),
    /// A time is not valid.
    #[error("{0:?} is not a time; write 90s, 10m, 2h or 1d")]
    Time(String),
    /// A step has neither, or both, of `after` and `after_refreshes`.
    #[error("the step {0:?} needs either after or after_refreshes")]
    When(String),
    /// An action or a rule is not valid.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// An expectation is not valid.
    #[error("{0:?} is no expectation; write a number, \">=3\", \"<=3\" or \"!=0\"")]
    Expectation(String),
    /// There is no such counter.
    #[error("there is no counter {0:?}")]
    Counter(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioToml {
    end: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, toml::Value>,
    #[serde(default)]
    at: Vec<StepToml>,
    #[serde(default)]
    expect: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepToml {
    after: Option<String>,
    after_refreshes: Option<u64>,
    #[serde(rename = "do")]
    action: String,
}

impl ScenarioFile {
    /// Parses a scenario file.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let file: ScenarioToml =
            toml::from_str(text).map_err(|error| ScenarioError::Shape(error.to_string()))?;
        let sets = file
            .set
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)));
        let sets: Vec<(String, String)> = sets.collect();
        let mut tried = Rules::default();
        for (name, value) in &sets {
            set_rule(&mut tried, name, value)?;
        }
        Ok(Self {
            end: file.end.as_deref().map(time).transpose()?,
            sets,
            steps: file.at.iter().map(step).collect::<Result<_, _>>()?,
            expected: file.expect.iter().map(expected).collect::<Result<_, _>>()?,
        })
    }

    /// Compares the counters with the expectations.
    pub fn verdict(&self, counters: &Counters) -> Vec<ExpectationResult> {
        let counted = named(counters);
        let finding = |expected: &Expectation| {
            let got = counted.get(&expected.counter).copied().unwrap_or_default();
            let (sign, met) = match expected.relation {
                Relation::Equal => ("", got == expected.value),
                Relation::Unequal => ("!=", got != expected.value),
                Relation::AtLeast => (">=", got >= expected.value),
                Relation::AtMost => ("<=", got <= expected.value),
            };
            ExpectationResult {
                counter: expected.counter.clone(),
                expected: format!("{sign}{}", expected.value),
                got,
                met,
            }
        };
        self.expected.iter().map(finding).collect()
    }
}

/// An expectation, compared with its counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectationResult {
    /// The name of the counter.
    pub counter: String,
    /// The expected value, with its relation.
    pub expected: String,
    /// The counted value.
    pub got: u64,
    /// Whether the expectation is met.
    pub met: bool,
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

fn time(text: &str) -> Result<Duration, ScenarioError> {
    parse_duration(text).ok_or_else(|| ScenarioError::Time(text.to_owned()))
}

fn step(at: &StepToml) -> Result<ScriptStep, ScenarioError> {
    let when = match (&at.after, at.after_refreshes) {
        (Some(after), None) => StepTime::After(time(after)?),
        (None, Some(count)) => StepTime::Refreshes(count),
        _ => return Err(ScenarioError::When(at.action.clone())),
    };
    let action = at.action.parse()?;
    Ok(ScriptStep { when, action })
}

fn expected((counter, value): (&String, &toml::Value)) -> Result<Expectation, ScenarioError> {
    if !named(&Counters::default()).contains_key(counter) {
        return Err(ScenarioError::Counter(counter.clone()));
    }
    let text = plain(value);
    let (relation, number) = [
        (">=", Relation::AtLeast),
        ("<=", Relation::AtMost),
        ("!=", Relation::Unequal),
    ]
    .into_iter()
    .find_map(|(sign, relation)| Some((relation, text.strip_prefix(sign)?)))
    .unwrap_or((Relation::Equal, &text));
    let value = number.trim().parse();
    let value = value
        .ok()
        .ok_or_else(|| ScenarioError::Expectation(text.clone()))?;
    Ok(Expectation {
        counter: counter.clone(),
        relation,
        value,
    })
}

/// The counters that are numbers, by name.
fn named(counters: &Counters) -> BTreeMap<String, u64> {
    let value = serde_json::to_value(counters).unwrap_or_default();
    let fields = value.as_object().into_iter().flatten();
    fields
        .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
        .collect()
}

/// A scenario file that is being played.
#[derive(Debug)]
pub(crate) struct ScriptRun {
    file: ScenarioFile,
    started: SandboxTime,
    begun: bool,
    left: Vec<ScriptStep>,
}

impl ScriptRun {
    pub(crate) fn new(file: ScenarioFile) -> Self {
        Self {
            left: Vec::new(),
            file,
            started: SandboxTime::default(),
            begun: false,
        }
    }

    /// Begins from the first step.
    pub(crate) fn restart(&mut self, now: SandboxTime) {
        self.left = self.file.steps.clone();
        self.started = now;
        self.begun = false;
    }

    /// Performs the steps that are due.
    pub(crate) fn tick(&mut self, state: &mut SandboxState) {
        for action in self.due(state.now(), state.counters.refreshes_accepted) {
            if let Err(error) = state.act(action) {
                state.say(Mood::Bad, format!("scenario: {error}"));
            }
        }
    }

    /// The actions that are due, each once.
    fn due(&mut self, now: SandboxTime, refreshes: u64) -> Vec<Action> {
        let mut due = Vec::new();
        if !self.begun && !self.file.sets.is_empty() {
            due.push(Action::Set(self.file.sets.clone()));
        }
        self.begun = true;
        let elapsed = now.since(self.started);
        let is_due = |step: &ScriptStep| match step.when {
            StepTime::After(time) => elapsed >= time,
            StepTime::Refreshes(count) => refreshes >= count,
        };
        let (now_due, later) = self.left.drain(..).partition(is_due);
        self.left = later;
        let now_due: Vec<ScriptStep> = now_due;
        due.extend(now_due.into_iter().map(|step| step.action));
        due
    }

    /// The expectations, compared with the counters so far.
    pub(crate) fn verdict(&self, state: &SandboxState) -> Vec<ExpectationResult> {
        self.file.verdict(&state.counters_now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scenario_can_not_mean_is_refused() {
        for text in [
            "x = 1",
            "end = 'soon'",
            "[set]\nttl = 'x'",
            "[[at]]\ndo = 'revoke'",
            "[[at]]\nafter = '1s'\nafter_refreshes = 1\ndo = 'revoke'",
            "[[at]]\nafter = '1s'\ndo = 'dance'",
            "[expect]\nsign_inns = 1",
            "[expect]\nsign_ins = '~1'",
        ] {
            assert!(ScenarioFile::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_verdict_compares_counters() {
        let text = "[expect]\nsign_ins = 1\napi_ok = '>=10'\nwork_duplicates = '<=0'";
        let scenario = ScenarioFile::parse(text).unwrap();
        let counters = Counters {
            sign_ins: 1,
            api_ok: 9,
            ..Counters::default()
        };
        let verdict = scenario.verdict(&counters);
        let met: Vec<bool> = verdict.iter().map(|finding| finding.met).collect();
        assert_eq!(met, [false, true, true]);
        assert_eq!(verdict[0].expected, ">=10");
    }
}
