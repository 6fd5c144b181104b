//! Looks for incidents about once a second: each is reported once, and its owner notified when that is due.

use std::{collections::HashSet, sync::Arc, time::Duration};

use authkeeper::{
    model::{FailedCall, Incident, IncidentId},
    store::StoreError,
};
use tokio_util::sync::CancellationToken;

use super::{incident_feed::IncidentFeed, notifier::Notifier};
use crate::{
    lifecycle::{Lifecycle, Scope},
    report::Report,
};

const EVERY: Duration = Duration::from_secs(1);
/// So many looks are spared while nothing was written: what only time changes is seen a little later.
const MOST_SPARED: u32 = 5;

/// Looks for incidents during a run.
pub struct Watcher {
    incidents: Arc<dyn IncidentFeed>,
    notifier: Notifier,
    report: Report,
    printed: HashSet<IncidentId>,
    /// Deliveries, by the number of the route: one after the other for each.
    telling: Vec<Scope>,
    /// What the last look for alerts saw of the store; none if it has to be repeated.
    seen: Option<u64>,
    spared: u32,
}

impl Watcher {
    /// Each incident is told once by `report`; deliveries are tasks of `lifecycle`.
    pub fn new(
        lifecycle: &Lifecycle,
        incidents: Arc<dyn IncidentFeed>,
        notifier: Notifier,
        report: Report,
    ) -> Self {
        let telling = notifier.routes().iter().map(|_| lifecycle.scope());
        let telling = telling.collect();
        Self {
            incidents,
            notifier,
            report,
            printed: HashSet::new(),
            telling,
            seen: None,
            spared: 0,
        }
    }

    /// Goes on with the incidents of another feed: those that were reported are not reported again.
    #[must_use]
    pub fn over(self, incidents: Arc<dyn IncidentFeed>) -> Self {
        Self { incidents, ..self }
    }

    /// Watches while `work` goes on, and gives what comes of it. A look is never cut short.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let over = CancellationToken::new();
        let work = async {
            let done = work.await;
            over.cancel();
            done
        };
        let watching = async {
            loop {
                // What can't be read now is read at the next look, and at the latest at the end.
                if let Err(error) = self.look(false).await {
                    tracing::debug!(%error, "can't read the incidents");
                }
                let pause = over.run_until_cancelled(tokio::time::sleep(EVERY));
                if pause.await.is_none() {
                    return;
                }
            }
        };
        tokio::join!(work, watching).0
    }

    /// Watches in the background, outside a run, until the soft stop; then there is a last look, and the deliveries that were
    /// started are finished.
    pub fn in_background(mut self, lifecycle: &Lifecycle) {
        let stopping = lifecycle.stopping();
        lifecycle.spawn(async move {
            self.during(stopping).await;
            if let Err(error) = self.finish().await {
                tracing::warn!(%error, "can't read the incidents");
            }
        });
    }

    /// A last look, and the end of the deliveries that were started.
    pub async fn finish(mut self) -> Result<(Vec<Incident>, Vec<FailedCall>), StoreError> {
        let seen = self.last_look().await;
        for telling in &self.telling {
            telling.idle().await;
        }
        // What followed while a message was under way.
        for line in self.notifier.deliver_all().await {
            self.report.line(&line);
        }
        seen
    }

    async fn last_look(&mut self) -> Result<(Vec<Incident>, Vec<FailedCall>), StoreError> {
        let open = self.look(true).await?;
        let unrecovered = self.incidents.unrecovered().await?;
        for call in &unrecovered {
            let FailedCall {
                connection, reason, ..
            } = call;
            tracing::info!(%connection, reason, "a call failed for lack of authority");
        }
        Ok((open, unrecovered))
    }

    async fn look(&mut self, last: bool) -> Result<Vec<Incident>, StoreError> {
        let open = self.incidents.open().await?;
        for incident in &open {
            if self.printed.contains(&incident.id) || !self.incidents.is_due(incident).await? {
                continue;
            }
            self.printed.insert(incident.id.clone());
            self.report.record(&incident.record);
        }
        if self.notifier.is_set() {
            self.look_for_alerts(last).await?;
            self.deliver();
        }
        Ok(open)
    }

    async fn look_for_alerts(&mut self, last: bool) -> Result<(), StoreError> {
        let version = self.incidents.version();
        let unchanged = version.is_some() && version == self.seen;
        if unchanged && !last && self.spared < MOST_SPARED {
            self.spared += 1;
            return Ok(());
        }
        self.spared = 0;
        self.seen = None;
        let looked = self.notifier.look(&*self.incidents, last).await?;
        if let Some(error) = looked.unkept {
            self.report.line(&format!(
                "authkeeper: a notification can't be kept, the owner may not know: {error}"
            ));
        } else if !looked.unsettled {
            self.seen = version;
        }
        Ok(())
    }

    /// Delivers what is due, also what a process that is gone has left.
    fn deliver(&mut self) {
        for (route, telling) in self.notifier.routes().iter().zip(&self.telling) {
            if telling.tasks() > 0 {
                continue;
            }
            let (notifier, report) = (self.notifier.clone(), self.report.clone());
            let route = Arc::clone(route);
            telling.spawn(async move {
                for line in notifier.deliver(&route).await {
                    report.line(&line);
                }
            });
        }
    }
}
