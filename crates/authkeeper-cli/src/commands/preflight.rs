//! What precedes a run: a token of each connection. Nothing is started that can't work.

use std::{sync::Arc, time::Duration};

use authkeeper::model::ConnectionName;
use authkeeper_gateway::{
    alerts::Watcher,
    error::CallError,
    first_tokens::{FirstTokens, Lacking},
    open_incidents::OpenIncidents,
    signin_link::LinkHost,
};

use super::incident;
use crate::{app::App, failure::Failure, output::span};

/// What came of the wait.
pub(crate) enum Preflight {
    /// Each connection has a token.
    Ready {
        /// What has been reported is not reported again.
        watch: Watcher,
        /// How long each connection was waited for.
        waited: Vec<(ConnectionName, Duration)>,
    },
    /// The signal with this number ended the wait.
    Stopped(u8),
}

/// Every connection gives a token now, or is waited for as `first` says, or the run ends here and says what to do.
pub(crate) async fn preflight(
    app: &App,
    declared: &[ConnectionName],
    first: &FirstTokens,
    host: Option<Arc<LinkHost>>,
) -> Result<Preflight, Failure> {
    let watch = app.watcher(incidents_of(app, declared, host.clone()));
    let asked = tokio::select! {
        asked = first.ask(declared) => asked,
        number = app.stopped() => return Ok(Preflight::Stopped(number)),
    };
    match asked {
        Ok(lacking) if lacking.is_empty() => {
            let waited = vec![];
            Ok(Preflight::Ready { watch, waited })
        }
        Ok(lacking) => {
            // Those that have a token keep one meanwhile.
            let _keeper = app.runtime.keep_fresh(declared.to_vec());
            let in_vain = |lacking: &Lacking| {
                let reason = CallError::from(lacking.error.clone());
                let incidents = incidents_of(app, declared, host);
                incidents.with_failed(&lacking.connection, reason.reason())
            };
            wait(app, first, lacking, (watch, in_vain)).await
        }
        Err(lacking) => {
            incident::report_not_started(app, &lacking.connection, &lacking.error).await;
            Err(not_started(app, lacking).await)
        }
    }
}

/// Those of a run that has not started its command.
fn incidents_of(
    app: &App,
    declared: &[ConnectionName],
    host: Option<Arc<LinkHost>>,
) -> OpenIncidents {
    let (runtime, links) = (app.runtime.clone(), app.incident_links(host));
    OpenIncidents::new(runtime, declared.to_vec(), None, links).of_run_that_did_not_start()
}

async fn wait(
    app: &App,
    first: &FirstTokens,
    lacking: Vec<Lacking>,
    (mut watch, in_vain): (Watcher, impl FnOnce(&Lacking) -> OpenIncidents),
) -> Result<Preflight, Failure> {
    // Inside another run, that one reports.
    let reports = app.task().await.is_none();
    let waiting = async {
        tokio::select! {
            waited = first.wait(lacking) => Ok(waited),
            number = app.stopped() => Err(number),
        }
    };
    let waited = if reports {
        watch.during(waiting).await
    } else {
        waiting.await
    };
    match waited {
        Ok(Ok(there)) => {
            let waited = there.into_iter().map(|one| (one.connection, one.waited));
            let waited = waited.collect();
            Ok(Preflight::Ready { watch, waited })
        }
        Ok(Err(lacking)) if reports => {
            finish(watch.over(Arc::new(in_vain(&lacking)))).await;
            Err(not_started(app, lacking).await)
        }
        Ok(Err(lacking)) => {
            incident::report_not_started(app, &lacking.connection, &lacking.error).await;
            Err(not_started(app, lacking).await)
        }
        Err(number) => {
            if reports {
                finish(watch).await;
            }
            Ok(Preflight::Stopped(number))
        }
    }
}

/// A notification that was begun is made.
async fn finish(watch: Watcher) {
    if let Err(error) = watch.finish().await {
        tracing::warn!(%error, "can't read the incidents");
    }
}

async fn not_started(app: &App, lacking: Lacking) -> Failure {
    let waited = match lacking.waited.as_secs() {
        0 => String::new(),
        seconds => format!("after {} of waiting ", span(seconds)),
    };
    let failure = app.with_health(&lacking.connection, lacking.error.into());
    let failure = failure.await.of(&lacking.connection);
    Failure {
        what: format!("{}; {waited}the command was not started", failure.what),
        ..failure
    }
}
