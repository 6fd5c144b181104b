//! Looks for incidents about once a second: each is reported once, and its owner notified once, when that is due.

use std::{collections::HashSet, sync::Arc, time::Duration};

use authkeeper::{
    model::{FailedCall, Incident, IncidentId},
    store::StoreError,
};
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    incident_feed::IncidentFeed,
    notifier::{Delivery, Notifier},
};
use crate::report::Report;

const EVERY: Duration = Duration::from_secs(1);

/// Looks for incidents during a run.
pub struct Watcher {
    incidents: Arc<dyn IncidentFeed>,
    notifier: Notifier,
    report: Report,
    printed: HashSet<IncidentId>,
    hooks: JoinSet<()>,
    /// Deliveries to the webhook, one after the other.
    telling: JoinSet<()>,
}

impl Watcher {
    /// Each incident is told once by `report`.
    pub fn new(incidents: Arc<dyn IncidentFeed>, notifier: Notifier, report: Report) -> Self {
        Self {
            incidents,
            notifier,
            report,
            printed: HashSet::new(),
            hooks: JoinSet::new(),
            telling: JoinSet::new(),
        }
    }

    /// Goes on with the incidents of another feed: those that were reported are not reported again.
    #[must_use]
    pub fn over(self, incidents: Arc<dyn IncidentFeed>) -> Self {
        Self { incidents, ..self }
    }

    /// Watches until the command is over. A look is never cut short: between claiming and delivering, that would lose the
    /// notification.
    pub async fn until(&mut self, mut over: oneshot::Receiver<()>) {
        loop {
            // What can't be read now is read at the next look, and at the latest at the end.
            if let Err(error) = self.look().await {
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
        while self.hooks.join_next().await.is_some() {}
        while self.telling.join_next().await.is_some() {}
        seen
    }

    async fn last_look(&mut self) -> Result<(Vec<Incident>, Vec<FailedCall>), StoreError> {
        let open = self.look().await?;
        let unrecovered = self.incidents.unrecovered().await?;
        for call in &unrecovered {
            let FailedCall {
                connection, reason, ..
            } = call;
            tracing::info!(%connection, reason, "a call failed for lack of authority");
        }
        Ok((open, unrecovered))
    }

    async fn look(&mut self) -> Result<Vec<Incident>, StoreError> {
        while self.hooks.try_join_next().is_some() {}
        while self.telling.try_join_next().is_some() {}
        let open = self.incidents.open().await?;
        for incident in &open {
            if self.printed.contains(&incident.id) || !self.incidents.is_due(incident).await? {
                continue;
            }
            self.printed.insert(incident.id.clone());
            self.tell(incident).await;
        }
        self.tell_webhook();
        Ok(open)
    }

    async fn tell(&mut self, incident: &Incident) {
        let Ok(line) = serde_json::to_string(&incident.record) else {
            return;
        };
        self.report.record(&incident.record);
        if incident.notified || !self.notifier.is_set() {
            return;
        }
        if let Err(error) = self.notifier.queue(&incident.id, &line) {
            self.report.line(&format!(
                "authkeeper: the webhook can't be kept, the owner may not know: {error}"
            ));
        }
        if !self.incidents.claim_notification(&incident.id).await {
            return;
        }
        let Some(hook) = self.notifier.hook().cloned() else {
            return;
        };
        let report = self.report.clone();
        self.hooks.spawn(async move {
            if let Err(error) = hook.run(&line).await {
                report.line(&format!(
                    "authkeeper: on_incident failed, the owner may not know: {error}"
                ));
            }
        });
    }

    /// Delivers what is due to the webhook, also what a process that is gone has left.
    fn tell_webhook(&mut self) {
        if !self.telling.is_empty() {
            return;
        }
        let due = self.notifier.due();
        if due.is_empty() {
            return;
        }
        let (incidents, notifier, report) = (
            Arc::clone(&self.incidents),
            self.notifier.clone(),
            self.report.clone(),
        );
        self.telling.spawn(async move {
            for id in due {
                if !incidents.is_open(&id).await {
                    notifier.drop_queued(&id);
                } else if let Some(said) = notifier.attempt(&id).await.and_then(Delivery::warning) {
                    report.line(&said);
                }
            }
        });
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

    /// A last look, and the end of the hooks: a notification that was claimed and not delivered is lost.
    pub async fn end(mut self) {
        drop(self.over);
        let ended = tokio::time::timeout(LAST_LOOK, self.task.join_next());
        if ended.await.is_err() {
            tracing::warn!("the owner may not have been told of every incident");
        }
    }
}
