//! Shows a running sandbox: where it is, and what happens at it.

use authkeeper_sandbox::{Mood, Sandbox, SandboxEvent};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::output::{CommandOutput, Paint};

pub(super) fn announce(sandbox: &Sandbox, output: CommandOutput) {
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
pub(super) async fn tell(mut events: Receiver<SandboxEvent>, output: CommandOutput) {
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

fn line(event: &SandboxEvent, output: CommandOutput) -> String {
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
