//! What precedes a run: a token of each connection. Nothing is started that can't work.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, FailedCall, Incident, IncidentId},
    store::StoreError,
};
use authkeeper_gateway::{
    alerts::{IncidentFeed, Watcher},
    first_tokens::{FirstTokens, Lacking},
    open_incidents::OpenIncidents,
    report::Report,
};
use tokio::sync::oneshot;

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
    incidents: OpenIncidents,
) -> Result<Preflight, Failure> {
    let incidents = Arc::new(IncidentsBefore {
        open: incidents,
        in_vain: OnceLock::new(),
    });
    let report = Report::new(std::io::stderr());
    let watch = Watcher::new(incidents.clone(), app.notifier(), report);
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
            wait(app, first, lacking, (watch, &incidents)).await
        }
        Err(lacking) => {
            incident::report(app, &lacking.connection, Some(&lacking.error)).await;
            Err(not_started(app, lacking).await)
        }
    }
}

async fn wait(
    app: &App,
    first: &FirstTokens,
    lacking: Vec<Lacking>,
    (mut watch, incidents): (Watcher, &IncidentsBefore),
) -> Result<Preflight, Failure> {
    // Inside another run, that one reports.
    let reports = app.task().await.is_none();
    let (ended, over) = oneshot::channel::<()>();
    let waiting = async {
        let waited = tokio::select! {
            waited = first.wait(lacking) => Ok(waited),
            number = app.stopped() => Err(number),
        };
        drop(ended);
        waited
    };
    let watching = async {
        if reports {
            watch.until(over).await;
        }
    };
    let (waited, ()) = tokio::join!(waiting, watching);
    match waited {
        Ok(Ok(there)) => {
            let waited = there.into_iter().map(|one| (one.connection, one.waited));
            let waited = waited.collect();
            Ok(Preflight::Ready { watch, waited })
        }
        Ok(Err(lacking)) if reports => {
            let _first = incidents.in_vain.set(lacking.connection.clone());
            finish(watch).await;
            Err(not_started(app, lacking).await)
        }
        Ok(Err(lacking)) => {
            incident::report(app, &lacking.connection, Some(&lacking.error)).await;
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
    let failure = Failure::from(lacking.error);
    let failure = app.with_health(&lacking.connection, failure).await;
    Failure {
        what: format!("{}; {waited}the command was not started", failure.what),
        ..failure
    }
}

/// The incidents while the first tokens are waited for. The owner hears at once of those that ended the wait.
struct IncidentsBefore {
    open: OpenIncidents,
    in_vain: OnceLock<ConnectionName>,
}

#[async_trait]
impl IncidentFeed for IncidentsBefore {
    async fn open(&self) -> Result<Vec<Incident>, StoreError> {
        self.open.open().await
    }

    async fn is_due(&self, incident: &Incident) -> Result<bool, StoreError> {
        let in_vain = self.in_vain.get().map(ConnectionName::as_str);
        Ok(in_vain == Some(&incident.record.connection) || self.open.is_due(incident).await?)
    }

    async fn claim_notification(&self, id: &IncidentId) -> bool {
        self.open.claim_notification(id).await
    }

    async fn is_open(&self, id: &IncidentId) -> bool {
        self.open.is_open(id).await
    }

    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        self.open.unrecovered().await
    }
}
