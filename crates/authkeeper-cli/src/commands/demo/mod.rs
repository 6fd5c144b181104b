//! `demo`: the whole story in about a minute on the built-in sandbox, with this very binary for every step.
//!
//! ```text
//! mod ─▶ story, held ─▶ scene ─┬─▶ stage    the folder, the commands
//!                              ├─▶ screen   lines that stay ─▶ picture, drawn in place
//!                              └─▶ joblog   what the job did
//! facts ─▶ verdict   what is claimed, and whether it is true
//! job, person   hidden commands: the job, and who signs in
//! ```

mod facts;
mod held;
mod http;
mod job;
mod joblog;
mod ledger;
mod person;
mod picture;
mod scene;
mod screen;
mod stage;
mod story;
mod verdict;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

pub(crate) use self::{
    job::{JobArgs, work},
    person::sign_in,
};
use self::{scene::Scene, screen::Screen, stage::Stage, verdict::Claim};
use crate::{
    exit::Exit,
    failure::Failure,
    output::{Output, Paint},
    settings::Environment,
    signals,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  authkeeper demo                     a minute; no account, nothing left behind
  authkeeper demo --browser           you sign in yourself
  authkeeper demo --without-refresh   the same job as most programs do it today

What it claims is compared with what the sandbox counted.

Exit codes: 0 every claim holds · 70 one does not (the folder is kept)
  75 with --without-refresh, where the job must fail · 130 stopped by Ctrl-C";

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Sign in yourself, in your browser
    #[arg(long, conflicts_with = "without_refresh")]
    browser: bool,
    /// The job gets one key and holds it to the end; it fails, and this says so (exit code 75)
    #[arg(long)]
    without_refresh: bool,
    /// Keep the temporary folder with the store, the configuration and the logs
    #[arg(long)]
    keep: bool,
}

/// What came of it.
struct Told {
    claims: Vec<Claim>,
    facts: Value,
    /// What the command exits with if every claim holds.
    code: u8,
}

/// How much time the picture has room for.
const WHOLE: Duration = Duration::from_mins(1);
const HELD: Duration = Duration::from_secs(32);

/// Plays the story. However it ends, nothing that was started goes on.
pub(crate) async fn demo(
    args: DemoArgs,
    environment: &Environment,
    output: Output,
) -> Result<u8, Failure> {
    let stage = Stage::build(environment, args.browser)?;
    let screen = Screen::new(output, speaks_unicode(environment));
    let span = if args.without_refresh { HELD } else { WHOLE };
    let mut scene = Scene::open(stage, screen, span).await?;
    let told = tokio::select! {
        told = tell(&mut scene, &args) => Some(told),
        _ = signals::stopped() => None,
    };
    let Scene {
        mut stage,
        mut screen,
        sandbox,
        ..
    } = scene;
    stage.clear().await;
    sandbox.stop().await;
    let Some(told) = told else {
        screen.tell("Stopped. Nothing is left running.");
        leave(stage, output, args.keep)?;
        return Ok(130);
    };
    let good = told
        .as_ref()
        .is_ok_and(|told| told.claims.iter().all(|claim| claim.ok));
    if let Ok(told) = &told {
        report(told, args.without_refresh, output);
    }
    leave(stage, output, args.keep || !good)?;
    let told = told?;
    if !good {
        return Err(untrue(&told.claims));
    }
    next_steps(args.without_refresh, output);
    Ok(told.code)
}

async fn tell(scene: &mut Scene, args: &DemoArgs) -> Result<Told, Failure> {
    if args.without_refresh {
        let facts = held::play(scene).await?;
        return Ok(Told {
            claims: verdict::held_verdict(&facts),
            facts: json!(facts),
            code: Exit::Person.code(),
        });
    }
    let facts = story::play(scene, args.browser).await?;
    Ok(Told {
        claims: verdict::verdict(&facts),
        facts: json!(facts),
        code: 0,
    })
}

/// POSIX: the first of these that is set names the character set.
fn speaks_unicode(environment: &Environment) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale = set.into_iter().find_map(|name| environment.text(name));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn leave(stage: Stage, output: Output, keep: bool) -> Result<(), Failure> {
    if keep {
        let folder = stage.keep();
        output.say(&format!("Kept: {}", folder.display()));
        return Ok(());
    }
    stage.remove()
}

fn untrue(claims: &[Claim]) -> Failure {
    let wrong = claims.iter().filter(|claim| !claim.ok);
    let wrong: Vec<String> = wrong.map(|claim| format!("{:?}", claim.text)).collect();
    let what = format!("this is not true: {}", wrong.join(", "));
    Failure::new(
        Exit::Bug,
        what,
        "that is a bug of authkeeper; please report it with the folder named above",
    )
}

fn report(told: &Told, held: bool, output: Output) {
    let all = told.claims.iter().all(|claim| claim.ok);
    if output.json {
        output.data_json(&json!({
            "story": if held { "without_refresh" } else { "whole" },
            "ok": all,
            "claims": told.claims,
            "facts": told.facts,
        }));
        return;
    }
    output.data("");
    for line in table(&told.claims, output) {
        output.data(&line);
    }
    output.data("");
}

/// Claim, what was seen on our side, what the provider counted, and whether it holds.
fn table(claims: &[Claim], output: Output) -> Vec<String> {
    let header = ["Is it true?", "our logs", "the provider counted"].map(str::to_owned);
    let row = |claim: &Claim| {
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

fn next_steps(held: bool, output: Output) {
    if held {
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

    #[test]
    fn a_claim_that_is_not_true_is_named() {
        let claims = verdict::verdict(&verdict::Facts::default());
        let failure = untrue(&claims);
        assert_eq!(failure.exit, Exit::Bug);
        assert!(
            failure.what.contains("no work was done twice"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_claim() {
        let claims = verdict::verdict(&verdict::Facts::default());
        let lines = table(&claims, Output::new(false, true));
        assert_eq!(lines.len(), claims.len() + 1);
        assert!(lines[1].starts_with("NO  "), "{}", lines[1]);
    }
}
