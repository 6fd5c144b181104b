//! The built-in scenarios: listed, found by name, played.

use std::{path::Path, time::Duration};

use authkeeper::near;
use authkeeper_sandbox::{BuiltIn, ClientEnd, Revision, Runs, Sandbox};
use serde_json::json;

use super::{SandboxArgs, announce, client::Client, settings, started, tell, verdict::Played};
use crate::{
    exit::Exit,
    failure::Failure,
    output::{Output, Paint},
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
        let next = match near::nearest(&name, names) {
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

pub(super) fn list(output: Output) {
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

/// One scenario, with its client or with whoever comes.
pub(super) async fn play(one: BuiltIn, args: &SandboxArgs, output: Output) -> Result<(), Failure> {
    let revision = args.spec_version.unwrap_or_default();
    let played = match Client::of(&one, revision, args) {
        _ if !one.is_of(revision) => Played::left_out(one, revision),
        Some(client) => tried(one, &client, revision, args, output).await?,
        None => by_hand(one, revision, args, output).await?,
    };
    played.print(output);
    played.failure().map_or(Ok(()), Err)
}

/// All of them, one after the other.
pub(super) async fn play_all(args: &SandboxArgs, output: Output) -> Result<(), Failure> {
    let usage = |what: &str, next: &str| Err(Failure::new(Exit::Usage, what, next));
    if args.port != 0 {
        return usage(
            "--port can't be used with all: each scenario is a server of its own",
            "leave --port away",
        );
    }
    let revision = args.spec_version.unwrap_or_default();
    let mut all = Vec::new();
    for one in BuiltIn::all() {
        let Some(client) = Client::of(one, revision, args) else {
            return usage(
                "all scenarios need a client to start",
                "give its command after --",
            );
        };
        all.push(if one.is_of(revision) {
            tried(*one, &client, revision, args, output).await?
        } else {
            Played::left_out(*one, revision)
        });
    }
    Played::print_all(&all, output);
    Played::failure_of(&all).map_or(Ok(()), Err)
}

/// So long after a token's end it is surely over.
const AFTER_THE_END: Duration = Duration::from_millis(300);
/// What a client's end set off is over by then.
const SETTLED: Duration = Duration::from_millis(200);

/// Starts the client as often as the scenario says.
async fn tried(
    one: BuiltIn,
    client: &Client,
    revision: Revision,
    args: &SandboxArgs,
    output: Output,
) -> Result<Played, Failure> {
    let sandbox = start(one, revision, args).await?;
    let said = format!("{}, {revision}, at {}/mcp", one.name(), sandbox.url());
    output.say(&output.paint_err(Paint::Dim, &said));
    let ends = tokio::select! {
        ends = runs(one, client, &sandbox) => ends?,
        _ = signals::stopped() => {
            let what = format!("{} was stopped before its end", one.name());
            return Err(Failure::new(Exit::Data, what, "start it again"));
        }
    };
    tokio::time::sleep(SETTLED).await;
    let played = Played::of(one, revision, sandbox.checks(&ends));
    sandbox.stop().await;
    Ok(played)
}

async fn start(one: BuiltIn, revision: Revision, args: &SandboxArgs) -> Result<Sandbox, Failure> {
    let settings = settings(args, one.settings(0, None));
    started(Sandbox::start_built_in(settings, one, revision).await)
}

async fn runs(one: BuiltIn, client: &Client, sandbox: &Sandbox) -> Result<Vec<ClientEnd>, Failure> {
    let mut ends = Vec::new();
    for (index, at_once) in one.runs().at_once().iter().enumerate() {
        if index > 0 {
            if one.runs().waits() {
                tokio::time::sleep(sandbox.access_left() + AFTER_THE_END).await;
            }
            sandbox.next_run();
        }
        if *at_once == 1 {
            ends.push(client.run(sandbox).await?);
        } else {
            let (first, second) = tokio::join!(client.run(sandbox), client.run(sandbox));
            ends.extend([first?, second?]);
        }
    }
    Ok(ends)
}

/// Nobody came for so long: the client is done.
const DONE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// Serves whoever comes, until it is over.
async fn by_hand(
    one: BuiltIn,
    revision: Revision,
    args: &SandboxArgs,
    output: Output,
) -> Result<Played, Failure> {
    if one.runs() != Runs::Once {
        let what = format!("{} starts its client several times", one.name());
        return Err(Failure::new(Exit::Usage, what, "give its command after --"));
    }
    let sandbox = start(one, revision, args).await?;
    let events = sandbox.events();
    announce(&sandbox, output);
    output.say(&format!("the scenario wants: {}", one.wants()));
    tokio::select! {
        _ = signals::stopped() => {}
        () = quiet(&sandbox) => {}
        () = tell(events, output) => {}
    }
    let played = Played::of(one, revision, sandbox.checks(&[]));
    sandbox.stop().await;
    Ok(played)
}

async fn quiet(sandbox: &Sandbox) {
    while sandbox.quiet_for().is_none_or(|quiet| quiet < DONE) {
        tokio::time::sleep(LOOK).await;
    }
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
