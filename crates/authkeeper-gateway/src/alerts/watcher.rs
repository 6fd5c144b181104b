//! Looks for incidents about once a second: each is reported once, and its owner notified when that is due.

use std::{collections::HashSet, sync::Arc, time::Duration};

use authkeeper::{
    model::{FailedCall, Incident, IncidentId},
    store::StoreError,
};
use tokio::{sync::oneshot, task::JoinSet};

use super::{incident_feed::IncidentFeed, notifier::Notifier};
use crate::report::Report;

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
    telling: Vec<JoinSet<()>>,
    /// What the last look for alerts saw of the store; none if it has to be repeated.
    seen: Option<u64>,
    spared: u32,
}

impl Watcher {
    /// Each incident is told once by `report`.
    pub fn new(incidents: Arc<dyn IncidentFeed>, notifier: Notifier, report: Report) -> Self {
        let telling = notifier.routes().iter().map(|_| JoinSet::new()).collect();
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

    /// Watches until the command is over. A look is never cut short.
    pub async fn until(&mut self, mut over: oneshot::Receiver<()>) {
        loop {
            // What can't be read now is read at the next look, and at the latest at the end.
            if let Err(error) = self.look(false).await {
                tracing::debug!(%error, "can't read the incidents");
            }
            tokio::select! {
                _ = &mut over => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// A last look, and the end of the deliveries that were started.
    pub async fn finish(mut self) -> Result<(Vec<Incident>, Vec<FailedCall>), StoreError> {
        let seen = self.last_look().await;
        for telling in &mut self.telling {
            while telling.join_next().await.is_some() {}
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
        for (route, telling) in self.notifier.routes().iter().zip(&mut self.telling) {
            while telling.try_join_next().is_some() {}
            if !telling.is_empty() {
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

/// Longer than a hook may take, with a look before it.
const LAST_LOOK: Duration = Duration::from_secs(35);

/// A watcher in the background, outside a run.
pub struct BackgroundWatcher {
    over: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl BackgroundWatcher {
    /// Watches until [`Self::end`].
    pub fn start(incidents: Arc<dyn IncidentFeed>, notifier: Notifier, report: Report) -> Self {
        let (over, until) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut watch = Watcher::new(incidents, notifier, report);
            watch.until(until).await;
            if let Err(error) = watch.finish().await {
                tracing::warn!(%error, "can't read the incidents");
            }
        });
        Self { over, task }
    }

    /// A last look, and the end of the deliveries; what is not delivered then is left to the next process.
    pub async fn end(mut self) {
        drop(self.over);
        let ended = tokio::time::timeout(LAST_LOOK, self.task.join_next());
        if ended.await.is_err() {
            tracing::warn!("the owner may not have been told of every incident");
        }
    }
}
