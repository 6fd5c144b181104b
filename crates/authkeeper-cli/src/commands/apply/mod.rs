//! `apply`: connects what `connections.toml` lists, and changes what is otherwise.
//!
//! ```text
//! file ─▶ connect's arguments ─▶ compared with the store ─▶ plan (pure) ─▶ shown, then carried out one after the other
//! ```

mod file;
mod plan;

use std::path::PathBuf;

use authkeeper::{
    model::ConnectionName,
    signin::{Comparison, ConnectRequest},
};
use serde_json::{Value, json};

use self::plan::Step;
use super::connect;
use crate::{
    app::App,
    args::{ApplyArgs, ConnectArgs},
    exit::Exit,
    failure::Failure,
    output::{Paint, count},
};

/// One listed connection and what there is to do about it.
struct Planned {
    request: ConnectRequest,
    step: Step,
}

pub(crate) async fn apply(app: &App, args: ApplyArgs) -> Result<u8, Failure> {
    let beside = app.settings.file.0.with_file_name("connections.toml");
    let path: PathBuf = args.file.unwrap_or(beside);
    let mut planned = Vec::new();
    for listed in file::read(&path)? {
        planned.push(plan(app, listed).await?);
    }
    let unlisted = unlisted(app, &planned).await?;
    if !app.output.json {
        show(app, &planned, &unlisted);
    }
    let results = if args.check {
        vec![]
    } else {
        carry_out(app, &planned).await
    };
    let code = exit_code(&planned, &results, args.check);
    if app.output.json {
        app.output
            .data_json(&report(&planned, &unlisted, &results, code));
    } else {
        app.output.say(&verdict(&planned, args.check, code));
    }
    Ok(code)
}

async fn plan(app: &App, listed: ConnectArgs) -> Result<Planned, Failure> {
    let request = connect::request(app, listed).await?;
    let compared: Comparison = app.runtime.compare(&request).await?;
    Ok(Planned {
        step: Step::of(compared),
        request,
    })
}

/// What is connected and not listed. It is shown, and left alone.
async fn unlisted(app: &App, planned: &[Planned]) -> Result<Vec<ConnectionName>, Failure> {
    let connected = app.runtime.statuses().await?.into_iter();
    let names = connected.map(|status| status.connection.name);
    let is_listed = |name: &ConnectionName| planned.iter().any(|one| one.request.name == *name);
    Ok(names.filter(|name| !is_listed(name)).collect())
}

fn show(app: &App, planned: &[Planned], unlisted: &[ConnectionName]) {
    let output = app.output;
    for one in planned {
        for line in one.step.lines(&one.request.name) {
            let paint = match line.trim_start().chars().next() {
                Some('+') => Paint::Good,
                Some('-' | '!') => Paint::Bad,
                Some('~') => Paint::Warn,
                _ => Paint::Dim,
            };
            output.data(&output.paint(paint, &line));
        }
    }
    for name in unlisted {
        output.data(&output.paint(Paint::Dim, &format!("  {name} (not listed: left alone)")));
    }
}

/// What came of one step.
struct StepResult {
    name: ConnectionName,
    failed: Option<Failure>,
}

/// One sign-in after the other; one that fails keeps no other from being tried.
async fn carry_out(app: &App, planned: &[Planned]) -> Vec<StepResult> {
    let mut results = Vec::new();
    for Planned { request, step } in planned {
        let name = request.name.clone();
        let done = match step {
            Step::Nothing => continue,
            Step::Conflict(_) => Err(conflict(&name)),
            Step::Connect | Step::Change(_) => {
                Box::pin(connect::sign_in(app, request.clone())).await
            }
        };
        if let Err(failure) = &done {
            app.output.failure(failure);
        }
        results.push(StepResult {
            name,
            failed: done.err(),
        });
    }
    results
}

fn conflict(name: &ConnectionName) -> Failure {
    let what = format!(
        "{name} is connected to another server, or for another principal, than the file says"
    );
    let next = format!("authkeeper disconnect {name} gives it up; then run the same command again");
    Failure::new(Exit::Usage, what, next)
}

/// A check fails where something would change; else the gravest failure counts.
fn exit_code(planned: &[Planned], results: &[StepResult], check: bool) -> u8 {
    let changes = planned.iter().any(|one| one.step != Step::Nothing);
    if check {
        return if changes { Exit::Config.code() } else { 0 };
    }
    let failed = results.iter().filter_map(|result| result.failed.as_ref());
    let worst = failed
        .map(|failure| failure.exit)
        .max_by_key(|exit| exit.gravity());
    worst.map_or(0, Exit::code)
}

fn report(
    planned: &[Planned],
    unlisted: &[ConnectionName],
    results: &[StepResult],
    code: u8,
) -> Value {
    let steps: Vec<Value> = planned
        .iter()
        .map(|one| one.step.json(&one.request.name))
        .collect();
    let unlisted: Vec<&str> = unlisted.iter().map(ConnectionName::as_str).collect();
    let done = results.iter().map(|result| {
        let error = result.failed.as_ref().map(|failure| failure.what.as_str());
        let next = result.failed.as_ref().map(|failure| failure.next.as_str());
        json!({"connection": result.name.as_str(), "ok": result.failed.is_none(), "error": error, "next": next})
    });
    json!({"exit": code, "steps": steps, "unlisted": unlisted, "done": done.collect::<Vec<_>>()})
}

fn verdict(planned: &[Planned], check: bool, code: u8) -> String {
    let open = planned
        .iter()
        .filter(|one| one.step != Step::Nothing)
        .count();
    match (open, check, code) {
        (0, ..) => format!(
            "Nothing to change: {} as listed.",
            count(planned.len(), "connection")
        ),
        (_, true, _) => format!(
            "{} would change; authkeeper apply does it.",
            count(open, "connection")
        ),
        (_, false, 0) => format!("Done: {} changed.", count(open, "connection")),
        (_, false, _) => {
            "Not everything is as listed: see above; the same command goes on with what is left."
                .to_owned()
        }
    }
}
