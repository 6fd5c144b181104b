//! `notify test`: sends a test notification to every configured channel.

use authkeeper::{
    model::{Event, PrincipalId, Record},
    platform::clock::Seams,
};
use serde_json::json;

use crate::{
    app::App,
    exit::Exit,
    failure::Failure,
    output::{CommandOutput, Paint},
};

pub(crate) async fn test(app: &App) -> Result<(), Failure> {
    let notifier = app.notifier();
    if !notifier.is_set() {
        let what = "nobody is told of incidents: neither on_incident nor notify.webhook is set";
        let next = format!("set one of them in {}", app.settings.file.0.display());
        return Err(Failure::new(Exit::Config, what, next));
    }
    let record = record(app);
    let line = serde_json::to_string(&record).unwrap_or_default();
    let mut outcomes = Vec::new();
    if let Some(hook) = notifier.hook() {
        let told = hook.run(&line).await.map_err(|error| error.to_string());
        outcomes.push(("on_incident", told));
    }
    if let Some(webhook) = notifier.webhook() {
        // No incident has this id: a receiver that knows the messages it has seen takes each test for a new one.
        let sent = webhook.send(&record.trace_id, &line, record.ts).await;
        let told = sent.map_err(|error| error.to_string());
        outcomes.push(("notify.webhook", told));
    }
    say(app.output, &outcomes);
    match outcomes.iter().find(|(_, told)| told.is_err()) {
        None => Ok(()),
        Some((name, _)) => {
            let what = format!("{name} did not take the test message");
            let next = format!(
                "fix it in {}, then run authkeeper notify test again",
                app.settings.file.0.display()
            );
            Err(Failure::new(Exit::Unavailable, what, next))
        }
    }
}

fn say(output: CommandOutput, outcomes: &[(&str, Result<(), String>)]) {
    if output.json {
        let outcomes = outcomes.iter().map(
            |(name, told)| json!({"by": name, "told": told.is_ok(), "detail": told.as_ref().err()}),
        );
        output.data_json(&outcomes.collect());
        return;
    }
    for (name, told) in outcomes {
        output.data(&match told {
            Ok(()) => format!("{name}: {}", output.paint(Paint::Good, "told")),
            Err(why) => format!("{name}: {} {why}", output.paint(Paint::Bad, "not told:")),
        });
    }
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
