//! `sandbox`: a provider on this machine that can be as bad as the world.

mod background;
mod progress;
mod scenarios;
mod setup;
mod verdict;

use std::{path::Path, time::Duration};

use authkeeper_gateway::bounded_read;
use authkeeper_sandbox::{
    ClientCommand, ClientContext, ExpectationResult, Sandbox, SandboxSettings, ScenarioFile,
};

use self::{
    progress::{announce, tell},
    scenarios::Which,
    setup::{client, no_client, not_started, settings},
};
use crate::{
    args::sandbox::SandboxArgs,
    exit::Exit,
    failure::Failure,
    output::{CommandOutput, Paint},
    signals,
};

/// No scenario is longer.
const LONGEST: u64 = 1024 * 1024;

/// Serves until a signal, or the scenario, ends it.
pub(crate) async fn serve(args: SandboxArgs, output: CommandOutput) -> Result<u8, Failure> {
    if args.list_scenarios {
        scenarios::list(output);
        return Ok(0);
    }
    if args.background {
        return background::start(output).await;
    }
    let done = match args.scenario.as_deref().map(Which::meant).transpose()? {
        Some(Which::BuiltIn(one)) => scenarios::play(one, &args, output).await,
        Some(Which::All) => scenarios::play_all(&args, output).await,
        Some(Which::File) | None => serve_file(&args, output).await,
    };
    done.map(|()| 0)
}

/// With the timeline of a file, or with none.
async fn serve_file(args: &SandboxArgs, output: CommandOutput) -> Result<(), Failure> {
    let settings = settings(args, SandboxSettings::default());
    let path = args.scenario.as_deref();
    let file = path.map(read).transpose()?;
    let end = file.as_ref().and_then(|file| file.end);
    let client = client(args);
    let sandbox = match file {
        Some(file) => Sandbox::start_file(settings, file).await,
        None => Sandbox::start(settings).await,
    };
    let sandbox = sandbox.map_err(|error| not_started(&error))?;
    let events = sandbox.events();
    if client.is_none() {
        announce(&sandbox, output);
    }
    tokio::select! {
        _ = signals::stopped() => {}
        () = ended(end) => {}
        failed = end_of(client.as_ref(), args, &sandbox) => failed?,
        () = tell(events, output) => {}
    }
    let verdict = sandbox.verdict();
    sandbox.stop().await;
    judge(&verdict, output)
}

/// Waits for the end of the client of a scenario file; without a client, for ever.
async fn end_of(
    client: Option<&ClientCommand>,
    args: &SandboxArgs,
    sandbox: &Sandbox,
) -> Result<(), Failure> {
    let stem = args.scenario.as_deref().and_then(Path::file_stem);
    let (Some(client), Some(stem)) = (client, stem) else {
        return std::future::pending().await;
    };
    let revision = args.spec_version.unwrap_or_default();
    let context = ClientContext::of_file(&stem.to_string_lossy(), revision);
    let ended = client.run(sandbox.url(), &context).await;
    ended.map(|_| ()).map_err(|error| no_client(&error))
}

fn read(path: &Path) -> Result<ScenarioFile, Failure> {
    let refuse = |why: String| {
        let what = format!("{}: {}", path.display(), why.trim());
        Failure::new(Exit::Data, what, "correct the scenario file")
    };
    let text = bounded_read::read(path, LONGEST).map_err(|error| refuse(error.to_string()))?;
    ScenarioFile::parse(&text).map_err(|error| refuse(error.to_string()))
}

async fn ended(end: Option<Duration>) {
    match end {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Says how the scenario went; one that is not met fails the command.
fn judge(verdict: &[ExpectationResult], output: CommandOutput) -> Result<(), Failure> {
    for finding in verdict {
        let (paint, word) = if finding.met {
            (Paint::Good, "met")
        } else {
            (Paint::Bad, "not met")
        };
        output.say(&format!(
            "{}: {} expected {}, counted {}",
            output.paint_err(paint, word),
            finding.counter,
            finding.expected,
            finding.got
        ));
    }
    let missed = verdict.iter().filter(|finding| !finding.met).count();
    if missed == 0 {
        return Ok(());
    }
    let what = format!(
        "the scenario is not met: {missed} of {} expectations",
        verdict.len()
    );
    Err(Failure::new(Exit::Data, what, "see above what was counted"))
}

#[cfg(test)]
mod tests {
    use authkeeper_sandbox::Profile;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: SandboxArgs,
    }

    fn typed(words: &str) -> Result<SandboxArgs, clap::Error> {
        let words = std::iter::once("sandbox").chain(words.split_whitespace());
        Typed::try_parse_from(words).map(|typed| typed.args)
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let words = "--ttl 20s --profile grace --fault cut,times=2 --fault outage --auto-approve";
        let settings = settings(&typed(words).unwrap(), SandboxSettings::default());
        assert_eq!(settings.rules.ttl, Duration::from_secs(20));
        assert_eq!(settings.rules.profile, Profile::Grace);
        assert!(settings.rules.auto_approve);
        assert_eq!(settings.faults.len(), 2);
        for wrong in ["--profile kind", "--fault flood", "--ttl soon"] {
            assert!(typed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scenario_that_is_not_met_or_can_not_be_read_is_bad_data() {
        let output = CommandOutput::new(false, true);
        let finding = |met| ExpectationResult {
            counter: "sign_ins".into(),
            expected: "1".into(),
            got: 0,
            met,
        };
        assert!(judge(&[finding(true)], output).is_ok());
        let failed = judge(&[finding(true), finding(false)], output).unwrap_err();
        assert_eq!(failed.exit, Exit::Data);
        let missing = read(Path::new("/nowhere/night.toml")).unwrap_err();
        assert_eq!(missing.exit, Exit::Data);
    }
}
