//! `run`, from the command line to the core in [`super::run`]: the preflight, the task, the keeper.

use std::{io::IsTerminal as _, sync::Arc};

use authkeeper::{
    error::TokenError,
    model::{ConnectionName, ConnectionState, Event},
    runtime::TokenRequest,
};
use authkeeper_gateway::{
    open_incidents::OpenIncidents, report::Report, token_source::TokenSource,
};

use super::{hold_flags::Holding, incident, run};
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
    tokio::select! {
        ready = preflight(app, &declared) => ready?,
        number = app.stopped() => return Ok(128 + number),
    }
    let (_forwarder, signals) =
        run::SignalForwarder::install(std::io::stdin().is_terminal(), IgnoredSignals::inherited())
            .map_err(|error| {
                Failure::new(Exit::Bug, format!("can't take signals: {error}"), REPORT)
            })?;
    let task = app.runtime.begin_task(&process::myself()).await?;
    let keeper = app.runtime.keep_fresh(declared.clone());
    let mut words = args.command.into_iter();
    let plan = run::RunPlan {
        declared: declared.clone(),
        command: words.next().unwrap_or_default(),
        args: words.collect(),
        handle: app.runtime.random_handle(),
        task_id: task.to_string(),
        without_proxy: run::without_proxy(&app.environment),
    };
    let tokens = TokenSource::new(app.runtime.clone(), Some(task.clone()), app.links());
    let tokens = Arc::new(tokens);
    let Holding { hold, host } = Holding::new(app, &args.hold);
    let ours = Some(task.clone());
    let links = app.incident_links(host);
    let incidents = OpenIncidents::new(app.runtime.clone(), declared, ours, links);
    let incidents = incidents.with_unnoted(tokens.clone());
    let seams = run::RunSeams {
        forwarder: Arc::new(tokens.forwarder().over(app.network.clone()).holding(hold)),
        incidents: Arc::new(incidents),
        notifier: app.notifier(),
        report: Report::new(std::io::stderr()),
        signals,
    };
    let ran = run::run(plan, seams).await;
    drop(keeper);
    app.drain().await;
    let code = match ran {
        Ok(code) => code,
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
    app.runtime.end_task(&task, i32::from(code)).await?;
    Ok(code)
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

/// Nothing is started that can't work: every connection gives a token now, or the run ends here and says what to do. A
/// provider that is out of reach while a token still serves is no obstacle; a grant that is over is one even then, since
/// nothing could keep its last token fresh and the run would end in the same code whatever its command did.
async fn preflight(app: &App, declared: &[ConnectionName]) -> Result<(), Failure> {
    for name in declared {
        let answer = app
            .runtime
            .access_token(&TokenRequest::new(name.clone()))
            .await;
        let error = match answer {
            Ok(_) => grant_is_over(app, name).await?,
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            incident::report_not_started(app, name, &error).await;
            return Err(error.into());
        }
    }
    Ok(())
}

/// A grant that is over and whose last token still lives: the run would outlive it.
async fn grant_is_over(app: &App, name: &ConnectionName) -> Result<Option<TokenError>, Failure> {
    let status = app.runtime.status(name).await?;
    if !matches!(
        status.state,
        ConnectionState::ReauthorizationRequired { .. }
    ) {
        return Ok(None);
    }
    let mut records = status.incidents.into_iter().map(|incident| incident.record);
    let record = records.find(|record| record.event == Event::ReauthorizationRequired);
    Ok(record.map(|record| TokenError::ReauthorizationRequired {
        record: Box::new(record),
    }))
}
