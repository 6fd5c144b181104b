//! The result of a check: its severity and its fix.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    output::{CommandOutput, Paint, second},
};

/// How bad. Ordered: the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Ok,
    Note,
    Warning,
    Error,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where a check belongs in what a person reads, in the order in which it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Area {
    Configuration,
    Store,
    Connections,
    Providers,
    Surroundings,
}

impl Area {
    fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Store => "Store and key",
            Self::Connections => "Connections",
            Self::Providers => "Providers",
            Self::Surroundings => "Surroundings",
        }
    }

    fn of(check: &str) -> Self {
        match check {
            "config" => Self::Configuration,
            "store" | "key" | "permissions" | "file_system" | "rollback" | "leftovers" => {
                Self::Store
            }
            "clock" | "metadata" | "reach" | "answers" => Self::Providers,
            "hook" | "boundary" | "environment" | "processes" => Self::Surroundings,
            _ => Self::Connections,
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    pub(super) connection: Option<String>,
    pub(super) what: String,
    pub(super) since: Option<Timestamp>,
    /// What it means for calls.
    pub(super) effect: Option<String>,
    pub(super) fix: Option<String>,
    /// The line that the fix asks to be written into a file.
    pub(super) to_copy: Option<String>,
    /// Of an error: the code that a command ends with that meets it.
    pub(super) exit: Option<Exit>,
}

impl Finding {
    fn new(check: &'static str, severity: Severity, what: impl Into<String>) -> Self {
        Self {
            check,
            severity,
            connection: None,
            what: what.into(),
            since: None,
            effect: None,
            fix: None,
            to_copy: None,
            exit: None,
        }
    }

    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, what)
    }

    pub(super) fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Note, what)
    }

    pub(super) fn warning(
        check: &'static str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(check, Severity::Warning, what).with_fix(fix)
    }

    pub(super) fn error(
        check: &'static str,
        exit: Exit,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            exit: Some(exit),
            ..Self::new(check, Severity::Error, what).with_fix(fix)
        }
    }

    pub(super) fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(super) fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    pub(super) fn with_effect(mut self, effect: String) -> Self {
        self.effect = Some(effect);
        self
    }

    pub(super) fn with_line(mut self, to_copy: &str) -> Self {
        self.to_copy = Some(to_copy.to_owned());
        self
    }

    pub(super) fn of(mut self, connection: &str) -> Self {
        self.connection = Some(connection.to_owned());
        self
    }

    pub(super) fn json(&self) -> Value {
        let fix = self.fix.as_deref();
        let fix: Vec<&str> = fix.into_iter().chain(self.to_copy.as_deref()).collect();
        json!({
            "check": self.check,
            "severity": self.severity.as_str(),
            "connection": self.connection,
            "what": self.what,
            "since": self.since,
            "effect": self.effect,
            "fix": (!fix.is_empty()).then(|| fix.join(" ")),
        })
    }
}

/// The exit code of it all: the worst error's own; none if nothing is worse than a warning.
pub(super) fn worst(findings: &[Finding]) -> Option<Exit> {
    let exits = findings.iter().filter_map(|finding| finding.exit);
    exits.max_by_key(|exit| exit.gravity())
}

pub(super) fn count(findings: &[Finding], severity: Severity) -> usize {
    let of_this = |finding: &&Finding| finding.severity == severity;
    findings.iter().filter(of_this).count()
}

/// Where the text of a finding begins: after its severity.
const MARGIN: usize = 11;

/// A line of what a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReportLine {
    Text(String),
    /// To be copied into a file: a line break in it would make it another one.
    ToCopy(String),
}

impl ReportLine {
    pub(super) fn print(&self, output: CommandOutput) {
        match self {
            Self::Text(text) => output.data_hanging(text, MARGIN),
            Self::ToCopy(text) => output.data_whole(text),
        }
    }
}

/// One line for each finding, its fix below it; what is right, or only to be known, where it is asked for.
pub(super) fn lines(findings: &[Finding], verbose: bool, output: CommandOutput) -> Vec<ReportLine> {
    let mut shown: Vec<&Finding> = findings
        .iter()
        .filter(|finding| verbose || finding.severity > Severity::Note)
        .collect();
    shown.sort_by_key(|finding| Area::of(finding.check));
    let mut lines = Vec::new();
    let mut area = None;
    for finding in shown {
        let this = Area::of(finding.check);
        if area != Some(this) {
            lines.push(ReportLine::Text(output.paint(Paint::Strong, this.title())));
            area = Some(this);
        }
        lines.extend(lines_of(finding, output));
    }
    lines
}

fn lines_of(finding: &Finding, output: CommandOutput) -> Vec<ReportLine> {
    let paint = match finding.severity {
        Severity::Ok => Paint::Good,
        Severity::Note => Paint::Dim,
        Severity::Warning => Paint::Warn,
        Severity::Error => Paint::Bad,
    };
    let word = output.paint(paint, &format!("{:<7}", finding.severity.as_str()));
    let name = finding.connection.as_ref();
    let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
    let line = format!("  {word}  {name}{}", finding.what);
    let below = [
        ("since", finding.since.map(second)),
        ("effect", finding.effect.clone()),
        ("fix", finding.fix.clone()),
    ];
    let below = below.into_iter().filter_map(|(label, said)| {
        let said = said?;
        Some(format!("{:MARGIN$}{label}: {said}", ""))
    });
    let texts = [line].into_iter().chain(below).map(ReportLine::Text);
    texts
        .chain(finding.to_copy.clone().map(ReportLine::ToCopy))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_error_decides_and_a_warning_does_not() {
        let error = |exit| Finding::error("state", exit, "w", "m");
        let warning = Finding::warning("scope", "w", "m");
        assert_eq!(worst(&[Finding::ok("x", "y"), warning.clone()]), None);
        let all = [
            error(Exit::Unavailable),
            error(Exit::Person),
            warning,
            error(Exit::Config),
        ];
        assert_eq!(worst(&all), Some(Exit::Config));
        assert_eq!(worst(&all[..2]), Some(Exit::Person));
        assert_eq!(
            worst(&[error(Exit::Config), error(Exit::Store)]),
            Some(Exit::Store)
        );
        assert_eq!(count(&all, Severity::Error), 3);
    }

    #[test]
    fn findings_are_grouped_and_the_fix_stands_below() {
        let findings = [
            Finding::warning("hook", "nobody is told", "set this:").with_line("on_incident = 1"),
            Finding::ok("store", "sound"),
            Finding::note("scope", "wider").of("notion"),
        ];
        let plain = CommandOutput::new(false, true);
        let text = |text: &str| ReportLine::Text(text.to_owned());
        assert_eq!(
            lines(&findings, false, plain),
            [
                text("Surroundings"),
                text("  warning  nobody is told"),
                text("           fix: set this:"),
                ReportLine::ToCopy("on_incident = 1".to_owned()),
            ]
        );
        assert_eq!(findings[0].json()["fix"], "set this: on_incident = 1");
        assert_eq!(findings[1].json()["fix"], Value::Null);
        assert_eq!(
            lines(&findings, true, plain)[..4],
            [
                text("Store and key"),
                text("  ok       sound"),
                text("Connections"),
                text("  note     notion: wider"),
            ]
        );
    }
}
