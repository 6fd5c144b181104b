//! A sandbox that runs: what it is started with, and what is printed of it.

use authkeeper_sandbox::{
    ClientCommand, ClientError, Mood, Sandbox, SandboxEvent, SandboxSettings, StartError,
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    args::sandbox::SandboxArgs,
    exit::Exit,
    failure::Failure,
    output::{Output, Paint},
};

pub(super) fn not_started(error: &StartError) -> Failure {
    let what = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    Failure::new(Exit::Unavailable, what, "choose another --port")
}

pub(super) fn no_client(error: &ClientError) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), "give a command after --")
}

/// The client to try, if one was given.
pub(super) fn client(args: &SandboxArgs) -> Option<ClientCommand> {
    ClientCommand::new(&args.client, args.timeout)
}

/// What was typed over what is usual.
pub(super) fn settings(args: &SandboxArgs, usual: SandboxSettings) -> SandboxSettings {
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

pub(super) fn announce(sandbox: &Sandbox, output: Output) {
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
pub(super) async fn tell(mut events: Receiver<SandboxEvent>, output: Output) {
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
