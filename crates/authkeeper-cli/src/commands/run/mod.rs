//! `authkeeper run`: a command that never holds a token, and an exit code that never hides incident.

mod child;
mod plan;
mod summary;
#[cfg(test)]
mod tests;
mod verdict;

use std::{io, sync::Arc, time::Duration};

use authkeeper::{model::FailedCall, store::StoreError};
use authkeeper_gateway::{
    alerts::Watcher,
    forward::Forwarder,
    lifecycle::Lifecycle,
    report::Report,
    server::{Limits, RunProxy},
};
use tokio::sync::mpsc;

pub(crate) use self::{
    child::SignalForwarder,
    plan::{RunPlan, without_proxy},
    summary::{ConnectionSummary, RunSummary, tallied},
    verdict::verdict,
};

/// For answers on their way when the command has ended.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What it is run with.
pub(crate) struct RunSeams {
    /// Ends with the command.
    pub(crate) serving: Lifecycle,
    pub(crate) forwarder: Arc<Forwarder>,
    /// Watches the incidents of the run.
    pub(crate) watch: Watcher,
    pub(crate) report: Report,
    /// Signals to pass on, from [`SignalForwarder::install`].
    pub(crate) signals: mpsc::Receiver<rustix::process::Signal>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct RunEnd {
    /// The command's own code; none if it could not be started.
    pub(crate) command_code: Option<u8>,
    /// What `run` exits with.
    pub(crate) code: u8,
    /// The calls that failed and were not recovered.
    pub(crate) unrecovered: Vec<FailedCall>,
}

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RunError {
    #[error("the run can't be led: {0}")]
    Lead(#[from] io::Error),
    #[error(
        "the command returned {command_code}, but whether a call failed in this run can't be read: {source}"
    )]
    Unread {
        command_code: u8,
        source: StoreError,
    },
}

/// Runs the command to its end and says what `run` exits with.
pub(crate) async fn run(plan: RunPlan, seams: RunSeams) -> Result<RunEnd, RunError> {
    let RunSeams {
        serving,
        forwarder,
        mut watch,
        report,
        signals,
    } = seams;
    tracing::debug!(task = plan.task_id, "starting a run");
    let proxy = RunProxy::bind(
        &serving,
        forwarder,
        plan.handle.clone(),
        plan.declared.clone(),
        Limits::default(),
    )
    .await?;
    let child = match child::spawn(&plan, &proxy.url()) {
        Ok(child) => child,
        Err(error) => {
            report.line(&format!(
                "authkeeper: error: {} can't be run: {error}",
                plan.command.to_string_lossy()
            ));
            report.line("  next: check the command after --, its path and that it may be executed");
            return Ok(RunEnd {
                command_code: None,
                code: child::spawn_failure(&error),
                unrecovered: vec![],
            });
        }
    };
    proxy.serve();
    let command_code = watch.during(child::wait(child, signals)).await?;
    serving.end(STOP_GRACE).await;
    let (open, unrecovered) = watch.finish().await.map_err(|source| RunError::Unread {
        command_code,
        source,
    })?;
    let (code, message) = verdict(command_code, &plan.declared, &open, &unrecovered);
    if let Some(message) = message {
        report.line(&format!("authkeeper: {message}"));
    }
    Ok(RunEnd {
        command_code: Some(command_code),
        code,
        unrecovered,
    })
}
