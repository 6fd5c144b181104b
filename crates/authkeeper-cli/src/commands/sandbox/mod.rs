//! `sandbox`: a provider on this machine, with faults on demand.

mod scenarios;
mod verdict;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use authkeeper_sandbox::{
    ClientCommand, ClientContext, ClientError, ExpectationResult, Fault, Mood, Profile, Revision,
    Sandbox, SandboxEvent, SandboxSettings, ScenarioFile, StartError,
};
use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use self::scenarios::Which;
use crate::{
    bounded,
    exit::Exit,
    failure::Failure,
    output::{Output, Paint},
    settings::parse_duration,
    signals,
};

/// The longest scenario file that is read.
const LONGEST: u64 = 1024 * 1024;

pub(crate) const EXAMPLES: &str = "\
Examples:
  authkeeper sandbox --port 8765 --ttl 20s &
  authkeeper connect try http://127.0.0.1:8765/mcp    sign in as alice or bob
  authkeeper sandbox --profile grace --auto-approve   like django-oauth-toolkit
  authkeeper sandbox --fault status=503,times=3,at=refresh --fault cut,times=1
  authkeeper sandbox --scenario night.toml            faults, then a verdict

How does your own MCP client refresh? It gets the server's URL as its last
argument and MCP_CONFORMANCE_… variables, as from the official suite:
  authkeeper sandbox --list-scenarios
  authkeeper sandbox --scenario early-401 -- node my_client.mjs
  authkeeper sandbox --scenario all --json -- ./my_client

Profiles: strict, single-use, grace, idempotent-replay, two-generation,
dies-with-access-token, burns-on-error, no-rotation.

Faults: early-401, status=CODE, cut, outage, slow=TIME, slow-answer=TIME,
answer-lost, html, wrong-type, truncated, huge, no-expires-in,
error-in-200=CODE; each with times=N, at=ENDPOINT, user=U, client=C,
retry_after=TIME.

Open the printed URL in a browser to watch and to break things. Scripts do the
same; /control lists all there is:
  curl http://127.0.0.1:8765/control
  curl -d '{\"do\": \"disable alice\"}' http://127.0.0.1:8765/control/do
Ctrl-C stops it.

Exit codes: 0 stopped, or the scenario is met · 64 usage, or no such scenario
65 the scenario is not met or can't be read · 69 port taken";

#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How long access tokens live [default: 5m]
    #[arg(long, value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// How long refresh tokens live [default: 1d]
    #[arg(long, value_parser = parse_duration)]
    refresh_ttl: Option<Duration>,
    /// How refresh tokens behave [default: strict]
    #[arg(long)]
    profile: Option<Profile>,
    /// Something that goes wrong; may be given several times
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<Fault>,
    /// A built-in scenario, all of them, or a file: a timeline of faults and what is expected at the end (TOML)
    #[arg(long, value_name = "NAME|all|FILE")]
    scenario: Option<PathBuf>,
    /// List the built-in scenarios: what each does and what it wants
    #[arg(long)]
    list_scenarios: bool,
    /// The revision of MCP in a built-in scenario [default: 2025-11-25]
    #[arg(long, value_name = "REVISION", requires = "scenario")]
    spec_version: Option<Revision>,
    /// How long the client may take
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s", requires = "client")]
    timeout: Duration,
    /// Sign everybody in without asking
    #[arg(long)]
    auto_approve: bool,
    /// The client to try, which gets the server's URL as its last argument
    #[arg(last = true, value_name = "CLIENT", requires = "scenario")]
    client: Vec<OsString>,
}

/// Serves until a signal or the end of the scenario.
pub(crate) async fn serve(args: SandboxArgs, output: Output) -> Result<(), Failure> {
    if args.list_scenarios {
        scenarios::list(output);
        return Ok(());
    }
    match args.scenario.as_deref().map(Which::meant).transpose()? {
        Some(Which::BuiltIn(one)) => scenarios::play(one, &args, output).await,
        Some(Which::All) => scenarios::play_all(&args, output).await,
        Some(Which::File) | None => serve_file(&args, output).await,
    }
}

/// Serves with the timeline of a scenario file, or with none.
async fn serve_file(args: &SandboxArgs, output: Output) -> Result<(), Failure> {
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

fn not_started(error: &StartError) -> Failure {
    let what = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    Failure::new(Exit::Unavailable, what, "choose another --port")
}

fn no_client(error: &ClientError) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), "give a command after --")
}

/// The client to try, if one was given.
fn client(args: &SandboxArgs) -> Option<ClientCommand> {
    ClientCommand::new(&args.client, args.timeout)
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

/// The settings, with the options that were given.
fn settings(args: &SandboxArgs, usual: SandboxSettings) -> SandboxSettings {
    let mut settings = usual;
    settings.port = args.port;
    settings.faults.extend(args.faults.iter().cloned());
    let rules = &mut settings.rules;
    rules.auto_approve |= args.auto_approve;
    rules.ttl = args.ttl.unwrap_or(rules.ttl);
    rules.refresh_ttl = args.refresh_ttl.or(rules.refresh_ttl);
    rules.profile = args.profile.unwrap_or(rules.profile);
    settings
}

fn read(path: &Path) -> Result<ScenarioFile, Failure> {
    let refuse = |why: String| {
        let what = format!("{}: {}", path.display(), why.trim());
        Failure::new(Exit::Data, what, "correct the scenario file")
    };
    let text = bounded::read(path, LONGEST).map_err(|error| refuse(error.to_string()))?;
    ScenarioFile::parse(&text).map_err(|error| refuse(error.to_string()))
}

async fn ended(end: Option<Duration>) {
    match end {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn announce(sandbox: &Sandbox, output: Output) {
    let url = sandbox.url();
    if output.json {
        output.data_json(&json!({
            "url": url,
            "issuer": url,
            "mcp": format!("{url}/mcp"),
            "api": format!("{url}/api"),
            "control": format!("{url}/control"),
        }));
    } else {
        output.data(url);
    }
    let hint =
        format!("an MCP server is at {url}/mcp; watch and break things at {url}/; Ctrl-C stops");
    output.say(&output.paint_err(Paint::Dim, &hint));
}

/// Prints what happens, for a person who watches.
async fn tell(mut events: Receiver<SandboxEvent>, output: Output) {
    if !output.is_watched() {
        std::future::pending::<()>().await;
    }
    loop {
        match events.recv().await {
            Ok(event) => output.say(&line(&event, output)),
            Err(RecvError::Lagged(missed)) => output.say(&format!("({missed} events not shown)")),
            Err(RecvError::Closed) => return,
        }
    }
}

fn line(event: &SandboxEvent, output: Output) -> String {
    let at = i64::try_from(event.at).unwrap_or_default();
    let time = Timestamp::from_millisecond(at).unwrap_or_default();
    let time = time
        .to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string();
    let text = match event.mood {
        Mood::Good => output.paint_err(Paint::Good, &event.text),
        Mood::Warn => output.paint_err(Paint::Warn, &event.text),
        Mood::Bad => output.paint_err(Paint::Bad, &event.text),
        Mood::Plain => event.text.clone(),
    };
    format!("{}  {text}", output.paint_err(Paint::Dim, &time))
}

/// Prints the verdict of a scenario file. The command fails if an expectation is not met.
fn judge(verdict: &[ExpectationResult], output: Output) -> Result<(), Failure> {
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
        let output = Output::new(false, true);
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
