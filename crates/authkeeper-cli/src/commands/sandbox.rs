//! `sandbox`: a provider on this machine that can be as bad as the world.

use std::{path::PathBuf, time::Duration};

use authkeeper_sandbox::{Event, Fault, Finding, Mood, Profile, Sandbox, Scenario, Settings};
use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    bounded,
    exit::Exit,
    failure::Failure,
    output::{Output, Paint},
    settings::parse_duration,
    signals,
};

/// No scenario is longer.
const LONGEST: u64 = 1024 * 1024;

pub(crate) const EXAMPLES: &str = "\
Examples:
  authkeeper sandbox --port 8765 --ttl 20s &
  authkeeper connect try http://127.0.0.1:8765/mcp    sign in as alice or bob
  authkeeper sandbox --profile grace --auto-approve   like django-oauth-toolkit
  authkeeper sandbox --fault status=503,times=3,at=refresh --fault cut,times=1
  authkeeper sandbox --scenario night.toml            faults, then a verdict

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

Exit codes: 0 stopped · 64 usage · 65 the scenario is not met or can't be read
69 port taken";

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
    /// A timeline of faults and what is expected at the end (TOML)
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Sign everybody in without asking
    #[arg(long)]
    auto_approve: bool,
}

/// Serves until a signal, or the scenario, ends it.
pub(crate) async fn serve(args: SandboxArgs, output: Output) -> Result<(), Failure> {
    let settings = settings(args)?;
    let end = settings.scenario.as_ref().and_then(|scenario| scenario.end);
    let sandbox = Sandbox::start(settings).await.map_err(|error| {
        let what = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        Failure::new(Exit::Unavailable, what, "choose another --port")
    })?;
    let events = sandbox.events();
    announce(&sandbox, output);
    tokio::select! {
        _ = signals::stopped() => {}
        () = ended(end) => {}
        () = tell(events, output) => {}
    }
    let verdict = sandbox.verdict();
    sandbox.stop().await;
    judge(&verdict, output)
}

fn settings(args: SandboxArgs) -> Result<Settings, Failure> {
    let mut settings = Settings {
        port: args.port,
        faults: args.faults,
        ..Settings::default()
    };
    let rules = &mut settings.rules;
    rules.auto_approve = args.auto_approve;
    rules.ttl = args.ttl.unwrap_or(rules.ttl);
    rules.refresh_ttl = args.refresh_ttl.or(rules.refresh_ttl);
    rules.profile = args.profile.unwrap_or(rules.profile);
    if let Some(path) = args.scenario {
        let refuse = |why: String| {
            let what = format!("{}: {}", path.display(), why.trim());
            Failure::new(Exit::Data, what, "mend the scenario file")
        };
        let text = bounded::read(&path, LONGEST).map_err(|error| refuse(error.to_string()))?;
        let scenario = Scenario::parse(&text).map_err(|error| refuse(error.to_string()))?;
        settings.scenario = Some(scenario);
    }
    Ok(settings)
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
async fn tell(mut events: Receiver<Event>, output: Output) {
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

fn line(event: &Event, output: Output) -> String {
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

/// Says how the scenario went; one that is not met fails the command.
fn judge(verdict: &[Finding], output: Output) -> Result<(), Failure> {
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
        let settings = settings(typed(words).unwrap()).unwrap();
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
        let finding = |met| Finding {
            counter: "sign_ins".into(),
            expected: "1".into(),
            got: 0,
            met,
        };
        assert!(judge(&[finding(true)], output).is_ok());
        let failed = judge(&[finding(true), finding(false)], output).unwrap_err();
        assert_eq!(failed.exit, Exit::Data);
        let missing = settings(typed("--scenario /nowhere/night.toml").unwrap()).unwrap_err();
        assert_eq!(missing.exit, Exit::Data);
    }
}
