//! How a built-in scenario came out, for people and for programs.

use authkeeper_sandbox::{BuiltIn, Check, Revision, Status, Verdict};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    failure::Failure,
    output::{Output, Paint},
};

/// A scenario that was played.
#[derive(Debug)]
pub(super) struct Played {
    scenario: BuiltIn,
    revision: Revision,
    checks: Vec<Check>,
}

impl Played {
    pub(super) fn of(scenario: BuiltIn, revision: Revision, checks: Vec<Check>) -> Self {
        Self {
            scenario,
            revision,
            checks,
        }
    }

    /// It makes no sense in this revision.
    pub(super) fn left_out(scenario: BuiltIn, revision: Revision) -> Self {
        Self::of(scenario, revision, Vec::new())
    }

    fn verdict(&self) -> Verdict {
        Verdict::of(&self.checks)
    }

    fn failed(&self) -> impl Iterator<Item = &Check> {
        let checks = self.checks.iter();
        checks.filter(|check| check.status == Status::Failure)
    }

    /// As the suite's `checks.json`.
    pub(super) fn print(&self, output: Output) {
        if output.json {
            return output.data_json(&json!(self.checks));
        }
        self.print_for_people(output, |_| true);
    }

    /// Those that want a look, and then a table.
    pub(super) fn print_all(all: &[Self], output: Output) {
        if output.json {
            let each: Vec<Value> = all.iter().map(Self::json).collect();
            return output.data_json(&json!(each));
        }
        for played in all.iter().filter(|played| played.failed().count() > 0) {
            played.print_for_people(output, |check| {
                matches!(check.status, Status::Failure | Status::Warning)
            });
            output.data("");
        }
        for played in all {
            output.data(&played.row(output));
        }
    }

    fn json(&self) -> Value {
        json!({
            "scenario": self.scenario.name(),
            "revision": self.revision.as_str(),
            "verdict": self.verdict().word().to_lowercase(),
            "checks": self.checks,
        })
    }

    fn print_for_people(&self, output: Output, wanted: impl Fn(&Check) -> bool) {
        let verdict = painted(output, self.verdict());
        let name = output.paint(Paint::Strong, self.scenario.name());
        output.data(&format!("{name}, {}: {verdict}", self.revision));
        if self.checks.is_empty() {
            output.data("  there is nothing like it in this revision");
        }
        for check in self.checks.iter().filter(|check| wanted(check)) {
            for line in lines(check, output) {
                output.data(&line);
            }
        }
    }

    /// A line of the table.
    fn row(&self, output: Output) -> String {
        let failed: Vec<&str> = self.failed().map(|check| check.id).collect();
        let skipped = self.checks.iter().rev();
        let mut skipped = skipped.filter(|check| check.status == Status::Skipped);
        let why = match self.verdict() {
            Verdict::Passed => String::new(),
            Verdict::Failed => failed.join(", "),
            Verdict::Skipped if self.checks.is_empty() => format!("not of {}", self.revision),
            Verdict::Skipped => {
                let seen = skipped.next_back().and_then(|check| check.seen.clone());
                seen.unwrap_or_default()
            }
        };
        let name = self.scenario.name();
        let verdict = painted(output, self.verdict());
        format!("{name:41} {verdict}  {why}").trim_end().to_owned()
    }

    /// What the command fails with, if it does.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failed = self.failed().count();
        let what = format!(
            "{} is not met: {failed} of {} checks failed",
            self.scenario.name(),
            self.checks.len()
        );
        let failure = Failure::new(Exit::Data, what, "see above what was seen");
        (failed > 0).then_some(failure)
    }

    /// The same for all of them.
    pub(super) fn failure_of(all: &[Self]) -> Option<Failure> {
        let failed = all.iter().filter(|played| played.failed().count() > 0);
        let failed = failed.count();
        let what = format!("{failed} of {} scenarios are not met", all.len());
        let failure = Failure::new(Exit::Data, what, "see above what was seen");
        (failed > 0).then_some(failure)
    }
}

fn painted(output: Output, verdict: Verdict) -> String {
    let paint = match verdict {
        Verdict::Passed => Paint::Good,
        Verdict::Failed => Paint::Bad,
        Verdict::Skipped => Paint::Warn,
    };
    output.paint(paint, verdict.word())
}

fn lines(check: &Check, output: Output) -> Vec<String> {
    let paint = match check.status {
        Status::Success => Paint::Good,
        Status::Failure => Paint::Bad,
        _ => Paint::Warn,
    };
    let status = output.paint(paint, &format!("{:8}", check.status.word()));
    let mut lines = vec![format!("  {status} {}: {}", check.id, check.description)];
    let indented = |what: &str| format!("           {what}");
    if let Some(seen) = &check.seen {
        lines.push(indented(&format!("seen: {seen}")));
    }
    if matches!(check.status, Status::Failure | Status::Warning) {
        for reference in &check.spec_references {
            let place = format!("{} {}", reference.id, reference.url);
            lines.push(indented(&output.paint(Paint::Dim, &place)));
        }
    }
    lines
}
