//! `run`, from the command line to the core in [`super::run`]: the preflight, the task, the keeper, the summary.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use authkeeper::{
    model::{ConnectionName, TaskId},
    runtime::ConnectionStatus,
};
use authkeeper_gateway::{
    alerts::Watcher, first_tokens::FirstTokens, open_incidents::OpenIncidents,
    token_source::TokenSource,
};
use tokio::time::Instant;

use super::{
    hold_flags::Holding,
    preflight::{Preflight, preflight},
    run,
    token_file::{self, TokenFile, TokenFiles},
};
use crate::{
    app::App,
    args::RunArgs,
    exit::Exit,
    failure::{Failure, REPORT},
    process,
    signals::IgnoredSignals,
};

/// Runs the command; the code is its own unless authority was lost.
pub(crate) async fn start(app: &App, args: RunArgs) -> Result<u8, Failure> {
    let declared = parse_names(&args.with)?;
    let files = token_file::parse(&args.token_file, &declared)?;
    let holding = Holding::new(app, &args.hold);
    let first = FirstTokens::new(
        app.runtime.clone(),
        args.wait.unwrap_or_default(),
        holding.hold.clone(),
        app.output.report(),
    );
    match preflight(app, &declared, &first, holding.host.clone()).await {
        Err(failure) => {
            tell(app, &run::RunSummary::not_started(failure.exit.code()));
            Err(failure)
        }
        Ok(Preflight::Stopped(number)) => {
            tell(app, &run::RunSummary::not_started(128 + number));
            Ok(128 + number)
        }
        Ok(Preflight::Ready { watch, waited }) => {
            let led = Led {
                declared,
                files,
                holding,
                watch,
                waited,
            };
            lead(app, args, led).await
        }
    }
}

/// What a run is led with.
struct Led {
    declared: Vec<ConnectionName>,
    files: Vec<TokenFile>,
    holding: Holding,
    watch: Watcher,
    /// How long the start waited for each connection.
    waited: Vec<(ConnectionName, Duration)>,
}

async fn lead(app: &App, args: RunArgs, led: Led) -> Result<u8, Failure> {
    let Led {
        declared,
        files,
        holding: Holding { hold, host },
        watch,
        waited,
    } = led;
    let (terminal, ignored) = (std::io::stdin().is_terminal(), IgnoredSignals::inherited());
    let (_forwarder, signals) =
        run::SignalForwarder::install(app.lifecycle.scope(), terminal, ignored).map_err(
            |error| Failure::new(Exit::Bug, format!("can't take signals: {error}"), REPORT),
        )?;
    let files = TokenFiles::start(&app.serving, &app.runtime, files).await?;
    let before = statuses(app, &declared).await;
    let task = app.runtime.begin_task(&process::myself()).await?;
    let keeper = app.runtime.keep_fresh(declared.clone());
    app.validate(Some(declared.clone()));
    let tokens = TokenSource::new(app.runtime.clone(), Some(task.clone()), app.links());
    let tokens = Arc::new(tokens);
    let forwarder = app.forwarder(&tokens).holding(hold);
    let forwarder = Arc::new(forwarder.waiting_for(args.wait.unwrap_or_default()));
    let ours = Some(task.clone());
    let links = app.incident_links(host);
    let incidents = OpenIncidents::new(app.runtime.clone(), declared.clone(), ours, links);
    let incidents = Arc::new(incidents.with_unnoted(tokens));
    let seams = run::RunSeams {
        serving: app.serving.clone(),
        forwarder: forwarder.clone(),
        watch: watch.over(incidents),
        report: app.output.report(),
        signals,
    };
    let began = Instant::now();
    let ran = run::run(plan(app, args, &declared, &task), seams).await;
    let took = began.elapsed();
    drop((keeper, files));
    app.drain().await;
    let end = match ran {
        Ok(end) => end,
        Err(error) => {
            let failure = no_verdict(error);
            // The store may be what is broken: this is tried, and said below either way.
            let code = i32::from(failure.exit.code());
            if let Err(error) = app.runtime.end_task(&task, code).await {
                tracing::warn!(%error, "can't note the end of the run");
            }
            return Err(failure);
        }
    };
    let code = end.code;
    app.runtime.end_task(&task, i32::from(code)).await?;
    let after = statuses(app, &declared).await;
    // What the command called and `--with` does not name was refused.
    let mut called = forwarder.called();
    called.retain(|name| !declared.contains(name));
    let connections = declared.iter().chain(&called);
    let connections = connections.map(|name| run::ConnectionSummary {
        calls: forwarder.counts(name),
        waited_before: waited_for(&waited, name),
        ..changes(name, &before, &after)
    });
    let summary = run::RunSummary {
        task: Some(task.to_string()),
        end,
        ran: took,
        connections: connections.collect(),
    };
    tell(app, &summary);
    Ok(code)
}

fn plan(app: &App, args: RunArgs, declared: &[ConnectionName], task: &TaskId) -> run::RunPlan {
    let mut words = args.command.into_iter();
    run::RunPlan {
        declared: declared.to_vec(),
        command: words.next().unwrap_or_default(),
        args: words.collect(),
        handle: app.runtime.random_handle(),
        task_id: task.to_string(),
        without_proxy: run::without_proxy(&app.environment),
    }
}

/// Those that can be read: a summary is no reason to fail.
async fn statuses(app: &App, declared: &[ConnectionName]) -> Vec<ConnectionStatus> {
    let mut statuses = Vec::new();
    for name in declared {
        match app.runtime.status(name).await {
            Ok(status) => statuses.push(status),
            Err(error) => tracing::debug!(%name, %error, "not in the summary"),
        }
    }
    statuses
}

fn changes(
    name: &ConnectionName,
    before: &[ConnectionStatus],
    after: &[ConnectionStatus],
) -> run::ConnectionSummary {
    let of = |statuses: &'_ [ConnectionStatus]| {
        let mut statuses = statuses.iter();
        let status = statuses.find(|status| status.connection.name == *name)?;
        Some((status.lineage, status.generation))
    };
    let (refreshes, sign_ins) = of(before)
        .zip(of(after))
        .map(|(before, after)| run::tallied(before, after))
        .unwrap_or_default();
    run::ConnectionSummary {
        name: name.to_string(),
        refreshes,
        sign_ins,
        ..run::ConnectionSummary::default()
    }
}

fn waited_for(waited: &[(ConnectionName, Duration)], name: &ConnectionName) -> Duration {
    let found = waited.iter().find(|(waited, _)| waited == name);
    found.map(|(_, time)| *time).unwrap_or_default()
}

/// On standard error: standard output is the command's.
fn tell(app: &App, summary: &run::RunSummary) {
    if app.output.json {
        app.output.say(&summary.json().to_string());
        return;
    }
    if app.output.is_watched() || summary.is_of_note() {
        for line in summary.lines(app.output.columns_beside()) {
            app.output.say(&line);
        }
    }
}

fn no_verdict(error: run::RunError) -> Failure {
    let what = error.to_string();
    match error {
        run::RunError::Unread { source, .. } => {
            let next = Failure::from(source).next;
            Failure::new(Exit::Store, what, next)
        }
        run::RunError::Lead(_) => Failure::new(Exit::Bug, what, REPORT),
    }
}

fn parse_names(typed: &[String]) -> Result<Vec<ConnectionName>, Failure> {
    let mut names = Vec::new();
    for text in typed.iter().flat_map(|text| text.split(',')) {
        let name = ConnectionName::parse(text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
