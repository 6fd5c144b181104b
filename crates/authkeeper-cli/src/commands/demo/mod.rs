//! `demo`: arguments, output and exit code. The story itself is played by the sandbox crate.
//!
//! What stays here belongs to the command line: clap, the terminal and its colours, and the text of failures.

mod job;

use std::{ffi::OsString, io::Error as IoError};

use authkeeper_sandbox::demo::{
    Demo, DemoClaim, DemoError, DemoOptions, DemoOutcome, DemoReport, DemoTerminal, Story, Tone,
    Workspace,
};
use rustix::termios::tcgetwinsize;
use serde_json::json;

pub(crate) use self::job::{sign_in, work};
use crate::{
    args::demo::DemoArgs,
    exit::Exit,
    failure::{Failure, REPORT},
    output::{CommandOutput, Paint},
    settings::Environment,
    signals,
};

impl DemoArgs {
    fn story(&self) -> Story {
        if self.without_refresh {
            return Story::WithoutRefresh;
        }
        Story::Whole {
            own_browser: self.browser,
        }
    }
}

/// Plays the story. However it ends, every process that was started is ended.
pub(crate) async fn demo(
    args: DemoArgs,
    environment: &Environment,
    output: CommandOutput,
) -> Result<u8, Failure> {
    let workspace = workspace(&args, environment)?;
    let terminal = Box::new(StderrTerminal {
        output,
        unicode: speaks_unicode(environment),
    });
    let stop = async {
        signals::stopped().await;
    };
    let demo = Demo::play(args.story(), workspace, terminal, stop).await;
    let Demo { outcome, workspace } = demo.map_err(|error| failure(&error))?;
    match outcome {
        DemoOutcome::Stopped => {
            leave(workspace, output, args.keep)?;
            Ok(130)
        }
        DemoOutcome::Failed(error) => {
            leave(workspace, output, true)?;
            Err(failure(&error))
        }
        DemoOutcome::Told(report) => {
            print(&report, args.without_refresh, output);
            leave(workspace, output, args.keep || !report.holds())?;
            if !report.holds() {
                return Err(untrue(&report.claims));
            }
            next_steps(args.without_refresh, output);
            Ok(if args.without_refresh {
                Exit::Person.code()
            } else {
                0
            })
        }
    }
}

fn workspace(args: &DemoArgs, environment: &Environment) -> Result<Workspace, Failure> {
    let machine = |source: IoError| DemoError::Machine {
        what: "the demo's folder".to_owned(),
        source,
    };
    let program = std::env::current_exe()
        .map_err(machine)
        .map_err(|error| failure(&error))?;
    let variable = |name: &str| -> Option<OsString> { environment.get(name).cloned() };
    let options = DemoOptions {
        story: args.story(),
        program,
        variable: &variable,
    };
    Demo::workspace(&options).map_err(|error| failure(&error))
}

/// The terminal behind standard error.
struct StderrTerminal {
    output: CommandOutput,
    unicode: bool,
}

impl DemoTerminal for StderrTerminal {
    fn write(&self, text: &str) {
        self.output.raw(text);
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let paint = match tone {
            Tone::Good => Paint::Good,
            Tone::Warn => Paint::Warn,
            Tone::Bad => Paint::Bad,
            Tone::Dim => Paint::Dim,
            Tone::Strong => Paint::Strong,
        };
        self.output.paint_err(paint, text)
    }

    fn is_live(&self) -> bool {
        self.output.is_watched()
    }

    fn columns(&self) -> Option<usize> {
        let size = tcgetwinsize(std::io::stderr()).ok()?;
        (size.ws_col > 0).then(|| usize::from(size.ws_col))
    }

    fn speaks_unicode(&self) -> bool {
        self.unicode
    }
}

/// POSIX: the first of these that is set names the character set.
fn speaks_unicode(environment: &Environment) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale = set.into_iter().find_map(|name| environment.text(name));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The exit code and the next step of a demo that broke off.
fn failure(error: &DemoError) -> Failure {
    let (exit, next) = match error {
        DemoError::Sandbox(_) => (Exit::Unavailable, "check that 127.0.0.1 can be listened on"),
        DemoError::Machine { .. } => (
            Exit::Store,
            "check TMPDIR, its free space and its permissions",
        ),
        DemoError::NotSignedIn => (
            Exit::Person,
            "start again, or leave --browser out and the demo does it for you",
        ),
        DemoError::Command(_) => (Exit::Bug, REPORT),
        _ => (
            Exit::Bug,
            "look at the folder named above, and please report this",
        ),
    };
    Failure::new(exit, error.to_string(), next)
}

fn leave(workspace: Workspace, output: CommandOutput, keep: bool) -> Result<(), Failure> {
    if keep {
        let folder = workspace.keep();
        output.say(&format!("Kept: {}", folder.display()));
        return Ok(());
    }
    workspace.remove().map_err(|error| failure(&error))
}

fn untrue(claims: &[DemoClaim]) -> Failure {
    let wrong = claims.iter().filter(|claim| !claim.ok);
    let wrong: Vec<String> = wrong.map(|claim| format!("{:?}", claim.text)).collect();
    let what = format!("this is not true: {}", wrong.join(", "));
    Failure::new(
        Exit::Bug,
        what,
        "that is a bug of authkeeper; please report it with the folder named above",
    )
}

fn print(report: &DemoReport, without_refresh: bool, output: CommandOutput) {
    if output.json {
        output.data_json(&json!({
            "story": if without_refresh { "without_refresh" } else { "whole" },
            "ok": report.holds(),
            "claims": report.claims,
            "facts": report.facts,
        }));
        return;
    }
    output.data("");
    for line in table(&report.claims, output) {
        output.data(&line);
    }
    output.data("");
}

/// A line for each claim: the claim, our logs, the sandbox's counters, and whether it holds.
fn table(claims: &[DemoClaim], output: CommandOutput) -> Vec<String> {
    let header = ["Is it true?", "our logs", "the provider counted"].map(str::to_owned);
    let row = |claim: &DemoClaim| {
        [
            claim.text.clone(),
            claim.ours.clone(),
            claim.provider.clone(),
        ]
    };
    let rows: Vec<_> = std::iter::once(header)
        .chain(claims.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    let line = |(number, [claim, ours, provider]): (usize, &[String; 3])| {
        let text = format!("{claim:<first$}  {ours:<second$}  {provider}");
        let verdict = number.checked_sub(1).and_then(|index| claims.get(index));
        match verdict {
            None => output.paint(Paint::Dim, &format!("    {text}")),
            Some(claim) if claim.ok => format!("{}  {text}", output.paint(Paint::Good, "ok")),
            Some(_) => output.paint(Paint::Bad, &format!("NO  {text}")),
        }
    };
    rows.iter().enumerate().map(line).collect()
}

fn next_steps(without_refresh: bool, output: CommandOutput) {
    if without_refresh {
        output.say("With authkeeper the same job goes on: authkeeper demo");
        return;
    }
    output.say("Next:");
    output.say("  authkeeper connect NAME URL    your own: any MCP server or OAuth API");
    output.say("  authkeeper sandbox             a provider to play with and to break");
    output.say("  authkeeper --help, README.md   everything else");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Vec<DemoClaim> {
        let claim = |text: &str, ok| DemoClaim {
            id: "id",
            text: text.to_owned(),
            ours: "1 sign-in".to_owned(),
            provider: "2 sign-ins".to_owned(),
            ok,
        };
        vec![
            claim("no work was done twice", false),
            claim("no call failed", true),
        ]
    }

    #[test]
    fn a_claim_that_is_not_true_is_named() {
        let failure = untrue(&claims());
        assert_eq!(failure.exit, Exit::Bug);
        assert!(
            failure.what.contains("no work was done twice"),
            "{}",
            failure.what
        );
        assert!(!failure.what.contains("no call failed"), "{}", failure.what);
    }

    #[test]
    fn the_table_has_a_line_for_each_claim() {
        let lines = table(&claims(), CommandOutput::new(false, true));
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("NO  "), "{}", lines[1]);
        assert!(lines[2].starts_with("ok  "), "{}", lines[2]);
    }
}
