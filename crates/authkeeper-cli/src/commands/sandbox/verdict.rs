//! Prints how a client did in the built-in scenarios, for people and for programs.

use authkeeper_sandbox::{CheckStatus, ScenarioCheck, ScenarioReport, ScenarioVerdict};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    failure::Failure,
    output::{CommandOutput, Paint},
};

/// Prints one report; JSON is the suite's `checks.json`.
pub(super) fn print(report: &ScenarioReport, output: CommandOutput) {
    if output.json {
        return output.data_json(&json!(report.checks()));
    }
    print_for_people(report, output, |_| true);
}

/// Prints those that failed, and then a table of all.
pub(super) fn print_all(all: &[ScenarioReport], output: CommandOutput) {
    if output.json {
        let each: Vec<Value> = all.iter().map(ScenarioReport::json).collect();
        return output.data_json(&json!(each));
    }
    for report in all.iter().filter(|report| report.failed().count() > 0) {
        print_for_people(report, output, |check| {
            matches!(check.status, CheckStatus::Failure | CheckStatus::Warning)
        });
        output.data("");
    }
    for report in all {
        output.data(&row(report, output));
    }
}

fn print_for_people(
    report: &ScenarioReport,
    output: CommandOutput,
    wanted: impl Fn(&ScenarioCheck) -> bool,
) {
    let verdict = painted(output, report.verdict());
    let name = output.paint(Paint::Strong, report.name());
    output.data(&format!("{name}, {}: {verdict}", report.revision()));
    if report.checks().is_empty() {
        output.data("  there is nothing like it in this revision");
    }
    for check in report.checks().iter().filter(|check| wanted(check)) {
        for line in lines(check, output) {
            output.data(&line);
        }
    }
}

/// A line of the table.
fn row(report: &ScenarioReport, output: CommandOutput) -> String {
    let verdict = painted(output, report.verdict());
    let line = format!("{:41} {verdict}  {}", report.name(), report.reason());
    line.trim_end().to_owned()
}

/// The command's failure, if a check failed.
pub(super) fn failure(report: &ScenarioReport) -> Option<Failure> {
    let failed = report.failed().count();
    let what = format!(
        "{} is not met: {failed} of {} checks failed",
        report.name(),
        report.checks().len()
    );
    let failure = Failure::new(Exit::Data, what, "see above what was seen");
    (failed > 0).then_some(failure)
}

/// The command's failure, if a scenario failed.
pub(super) fn failure_of(all: &[ScenarioReport]) -> Option<Failure> {
    let failed = all.iter().filter(|report| report.failed().count() > 0);
    let failed = failed.count();
    let what = format!("{failed} of {} scenarios are not met", all.len());
    let failure = Failure::new(Exit::Data, what, "see above what was seen");
    (failed > 0).then_some(failure)
}

fn painted(output: CommandOutput, verdict: ScenarioVerdict) -> String {
    let paint = match verdict {
        ScenarioVerdict::Passed => Paint::Good,
        ScenarioVerdict::Failed => Paint::Bad,
        ScenarioVerdict::Skipped => Paint::Warn,
    };
    output.paint(paint, verdict.word())
}

fn lines(check: &ScenarioCheck, output: CommandOutput) -> Vec<String> {
    let paint = match check.status {
        CheckStatus::Success => Paint::Good,
        CheckStatus::Failure => Paint::Bad,
        _ => Paint::Warn,
    };
    let status = output.paint(paint, &format!("{:8}", check.status.word()));
    let mut lines = vec![format!("  {status} {}: {}", check.id, check.description)];
    let indented = |what: &str| format!("           {what}");
    if let Some(seen) = &check.seen {
        lines.push(indented(&format!("seen: {seen}")));
    }
    if matches!(check.status, CheckStatus::Failure | CheckStatus::Warning) {
        for reference in &check.spec_references {
            let place = format!("{} {}", reference.id, reference.url);
            lines.push(indented(&output.paint(Paint::Dim, &place)));
        }
    }
    lines
}
