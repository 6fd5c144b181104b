//! The built-in scenarios: listed, found by name, played.

use std::path::Path;

use authkeeper::text::similar;
use authkeeper_sandbox::{BuiltIn, ClientCommand, Revision, Runs, ScenarioReport, ScenarioTrial};
use serde_json::json;

use super::{
    progress::{announce, tell},
    setup::{client, no_client, not_started, settings},
    verdict,
};
use crate::{
    args::sandbox::SandboxArgs,
    exit::Exit,
    failure::Failure,
    output::{CommandOutput, Paint},
    signals,
};

/// What `--scenario` means.
#[derive(Debug)]
pub(super) enum Which {
    BuiltIn(BuiltIn),
    All,
    File,
}

impl Which {
    pub(super) fn meant(typed: &Path) -> Result<Self, Failure> {
        let name = typed.to_string_lossy();
        if name == "all" {
            return Ok(Self::All);
        }
        if let Some(one) = BuiltIn::named(&name) {
            return Ok(Self::BuiltIn(one));
        }
        let is_path = name.contains('/') || typed.extension().is_some() || typed.exists();
        if is_path {
            return Ok(Self::File);
        }
        let names = BuiltIn::all().iter().map(BuiltIn::name);
        let list = "authkeeper sandbox --list-scenarios lists what is built in";
        let next = match similar::nearest(&name, names) {
            Some(meant) => format!("did you mean {meant}? {list}"),
            None => list.to_owned(),
        };
        let what = format!("{name} is no built-in scenario, and there is no such file");
        Err(Failure::new(Exit::Usage, what, next))
    }
}

fn revisions(one: &BuiltIn) -> Vec<Revision> {
    let mut all = Revision::ALL.to_vec();
    all.retain(|revision| one.is_of(*revision));
    all
}

pub(super) fn list(output: CommandOutput) {
    if output.json {
        let row = |one: &BuiltIn| {
            let revisions: Vec<&str> = revisions(one).into_iter().map(Revision::as_str).collect();
            json!({"name": one.name(), "does": one.does(), "wants": one.wants(), "revisions": revisions})
        };
        let rows: Vec<_> = BuiltIn::all().iter().map(row).collect();
        return output.data_json(&json!(rows));
    }
    for one in BuiltIn::all() {
        output.data(&output.paint(Paint::Strong, one.name()));
        output.data(&format!("  {}", one.does()));
        output.data(&format!("  wants: {}", one.wants()));
        if let [only] = revisions(one).as_slice() {
            output.data(&format!("  {only} only"));
        }
    }
}

/// Plays one scenario, with its client or with one that is started by hand.
pub(super) async fn play(
    one: BuiltIn,
    args: &SandboxArgs,
    output: CommandOutput,
) -> Result<(), Failure> {
    let revision = args.spec_version.unwrap_or_default();
    let report = match client(args) {
        _ if !one.is_of(revision) => ScenarioReport::not_played(one, revision),
        Some(client) => tried(one, &client, revision, args, output).await?,
        None => by_hand(one, revision, args, output).await?,
    };
    verdict::print(&report, output);
    verdict::failure(&report).map_or(Ok(()), Err)
}

/// Plays all scenarios, one after the other.
pub(super) async fn play_all(args: &SandboxArgs, output: CommandOutput) -> Result<(), Failure> {
    let usage = |what: &str, next: &str| Err(Failure::new(Exit::Usage, what, next));
    if args.port != 0 {
        return usage(
            "--port can't be used with all: each scenario is a server of its own",
            "leave --port away",
        );
    }
    let Some(client) = client(args) else {
        return usage(
            "all scenarios need a client to start",
            "give its command after --",
        );
    };
    let revision = args.spec_version.unwrap_or_default();
    let mut all = Vec::new();
    for one in BuiltIn::all() {
        all.push(if one.is_of(revision) {
            tried(*one, &client, revision, args, output).await?
        } else {
            ScenarioReport::not_played(*one, revision)
        });
    }
    verdict::print_all(&all, output);
    verdict::failure_of(&all).map_or(Ok(()), Err)
}

/// Starts the client as often as the scenario says.
async fn tried(
    one: BuiltIn,
    client: &ClientCommand,
    revision: Revision,
    args: &SandboxArgs,
    output: CommandOutput,
) -> Result<ScenarioReport, Failure> {
    let trial = trial(one, revision, args).await?;
    let said = format!(
        "{}, {revision}, at {}/mcp",
        one.name(),
        trial.sandbox().url()
    );
    output.say(&output.paint_err(Paint::Dim, &said));
    let ends = tokio::select! {
        ends = trial.run(client) => ends.map_err(|error| no_client(&error))?,
        _ = signals::stopped() => {
            let what = format!("{} was stopped before its end", one.name());
            return Err(Failure::new(Exit::Data, what, "start it again"));
        }
    };
    Ok(trial.finish(&ends).await)
}

async fn trial(
    one: BuiltIn,
    revision: Revision,
    args: &SandboxArgs,
) -> Result<ScenarioTrial, Failure> {
    let settings = settings(args, one.settings(0, None));
    let started = ScenarioTrial::start(settings, one, revision).await;
    started.map_err(|error| not_started(&error))
}

/// Serves clients that are started by hand, until they are done.
async fn by_hand(
    one: BuiltIn,
    revision: Revision,
    args: &SandboxArgs,
    output: CommandOutput,
) -> Result<ScenarioReport, Failure> {
    if one.runs() != Runs::Once {
        let what = format!("{} starts its client several times", one.name());
        return Err(Failure::new(Exit::Usage, what, "give its command after --"));
    }
    let trial = trial(one, revision, args).await?;
    let events = trial.sandbox().events();
    announce(trial.sandbox(), output);
    output.say(&format!("the scenario wants: {}", one.wants()));
    tokio::select! {
        _ = signals::stopped() => {}
        () = trial.until_quiet() => {}
        () = tell(events, output) => {}
    }
    Ok(trial.finish(&[]).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_a_name_or_a_file() {
        let meant = |typed: &str| Which::meant(Path::new(typed));
        assert!(matches!(meant("all"), Ok(Which::All)));
        assert!(matches!(meant("revoked"), Ok(Which::BuiltIn(_))));
        assert!(matches!(meant("auth/revoked"), Ok(Which::BuiltIn(_))));
        assert!(matches!(meant("night.toml"), Ok(Which::File)));
        assert!(matches!(meant("./revoked"), Ok(Which::File)));
        let slip = meant("early-402").unwrap_err();
        assert_eq!(slip.exit, Exit::Usage);
        assert!(slip.next.contains("did you mean early-401?"), "{slip:?}");
        assert!(
            meant("something")
                .unwrap_err()
                .next
                .contains("--list-scenarios")
        );
    }
}
