//! `notify test`: sends a test notification by every configured route.

use authkeeper::{
    model::{Event, PrincipalId, Record, Severity},
    platform::clock::Seams,
};
use authkeeper_gateway::alerts::{Notification, NotificationStatus, Notifier, Route};
use serde_json::{Value, json};

use crate::{
    app::App,
    exit::Exit,
    failure::Failure,
    output::{CommandOutput, Paint},
    settings::setting_of,
};

/// What became of the test at one route.
struct Tried {
    /// The setting that names it.
    by: String,
    how: &'static str,
    takes: Vec<&'static str>,
    told: Result<(), String>,
}

pub(crate) async fn test(app: &App) -> Result<(), Failure> {
    let notifier = app.notifier();
    if !notifier.is_set() {
        let what = "nobody is told of incidents: neither on_incident, notify.webhook nor a notify.route is set";
        let next = format!(
            "authkeeper doctor prints a line for {}; put it there",
            app.settings.file.0.display()
        );
        return Err(Failure::new(Exit::Config, what, next));
    }
    let message = message(app, &notifier);
    let mut all = Vec::new();
    for route in notifier.routes() {
        all.push(tried(route, &message).await);
    }
    say(app.output, &all, &message);
    match all.iter().find(|tried| tried.told.is_err()) {
        None => Ok(()),
        Some(Tried { by, .. }) => {
            let what = format!("{by} did not take the test message");
            let next = format!(
                "fix it in {}, then run authkeeper notify test again",
                app.settings.file.0.display()
            );
            Err(Failure::new(Exit::Unavailable, what, next))
        }
    }
}

/// The test goes by every route, whatever the severities that it takes.
async fn tried(route: &Route, message: &Notification) -> Tried {
    let takes = Severity::ALL.into_iter().filter(|one| route.takes(*one));
    let told = route.send(message, message.record.ts).await;
    Tried {
        by: setting_of(route.settings()),
        how: route.settings().channel.as_str(),
        takes: takes.map(Severity::as_str).collect(),
        told: told.map_err(|error| error.to_string()),
    }
}

fn say(output: CommandOutput, all: &[Tried], message: &Notification) {
    if output.json {
        let json = |tried: &Tried| {
            json!({
                "by": tried.by,
                "how": tried.how,
                "severities": tried.takes,
                "told": tried.told.is_ok(),
                "detail": tried.told.as_ref().err(),
                "message": message,
            })
        };
        output.data_json(&all.iter().map(json).collect::<Value>());
        return;
    }
    for tried in all {
        let told = match &tried.told {
            Ok(()) => output.paint(Paint::Good, "told"),
            Err(why) => format!("{} {why}", output.paint(Paint::Bad, "not told:")),
        };
        let takes = tried.takes.join(", ");
        output.data(&format!("{} ({}; {takes}): {told}", tried.by, tried.how));
    }
}

/// No alert has this id: a receiver that knows the messages it has seen takes each test for a new one.
fn message(app: &App, notifier: &Notifier) -> Notification {
    let record = record(app);
    let message = Notification {
        id: record.trace_id.clone(),
        number: 1,
        status: NotificationStatus::Firing,
        resolved: false,
        severity: Severity::Info,
        title: String::new(),
        text: String::new(),
        cause: "test".to_owned(),
        summary: "a test of authkeeper notify test; nothing is wrong".to_owned(),
        provider: "none".to_owned(),
        count: 1,
        connections: vec![record.connection.clone()],
        whose_move: "nobody".to_owned(),
        runs: 0,
        link_host: None,
        record,
    };
    notifier.worded(message, None)
}

fn record(app: &App) -> Record {
    let now = app.runtime.now();
    Record {
        event: Event::Test,
        connection: "none".to_owned(),
        principal: PrincipalId::local_user().to_string(),
        task: None,
        scope: None,
        reason: "test".to_owned(),
        detail: "authkeeper notify test: nothing is wrong; an incident is reported like this"
            .to_owned(),
        since: now,
        expires_at: None,
        action: "nothing".to_owned(),
        link: None,
        trace_id: Seams::system().random_id(),
        ts: now,
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{HealthCause, HealthState, Severity, notify_delay, severity};

    fn row(cause: HealthCause) -> Option<String> {
        let word = |has_token| {
            let state: HealthState = cause.state(has_token);
            severity(cause, state).map(Severity::as_str)
        };
        let (with, without) = (word(true)?, word(false)?);
        let delay = notify_delay(cause).as_str();
        Some(format!(
            "| `{}` | {with} | {without} | {delay} |",
            cause.as_str()
        ))
    }

    /// `UPDATE_DOCS=1` writes it.
    #[test]
    fn the_documented_severities_are_those_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/notifications.md");
        let page = std::fs::read_to_string(path).unwrap();
        let head = "| cause | with a token | without | told after |\n| --- | --- | --- | --- |\n";
        let (before, rest) = page.split_once(head).unwrap();
        let (_, after) = rest.split_once("\n- *").unwrap();
        let rows: Vec<String> = HealthCause::all().into_iter().filter_map(row).collect();
        let right = format!("{before}{head}{}\n\n- *{after}", rows.join("\n"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            return std::fs::write(path, &right).unwrap();
        }
        let stale = "docs/notifications.md is stale; run: UPDATE_DOCS=1 cargo test -p authkeeper-cli severities";
        assert!(page == right, "{stale}");
    }
}
