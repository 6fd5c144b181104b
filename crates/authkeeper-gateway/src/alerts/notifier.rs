//! Who is notified of incidents: decides with [`policy`](super::policy) what is told, keeps it, and delivers it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use authkeeper::{http::Transport, platform::clock::Seams, store::StoreError};
use jiff::Timestamp;

use super::{
    incident_feed::IncidentFeed,
    notification::Notification,
    outbox::{AfterFailure, Newest, Outbox, QueuedAlert, entry},
    policy::{AlertContext, AlertState, RunPhase, decide},
    route::{Route, RouteError, RouteSettings},
};

/// How often a decision is made again that another process has outrun.
const MOST_TRIES: usize = 10;

/// What is set of notifications.
#[derive(Clone, Debug, Default)]
pub struct NotifierSettings {
    /// Who is told.
    pub routes: Vec<RouteSettings>,
    /// How long a provider may be down while tokens live.
    pub outage_after: Option<Duration>,
    /// The folder of the outbox.
    pub data: PathBuf,
    /// What this machine is called, for links that open nowhere else.
    pub host: String,
}

/// Tells the owner of incidents. Clones share all of it.
#[derive(Clone, Default)]
pub struct Notifier(Option<Arc<Inner>>);

struct Inner {
    routes: Vec<Arc<Route>>,
    outbox: Outbox,
    outage_after: Option<Duration>,
    host: String,
}

/// What a look at the incidents came to.
#[derive(Debug, Default)]
pub struct Looked {
    /// Something waits to be counted together with what follows.
    pub unsettled: bool,
    /// A message could not be kept.
    pub unkept: Option<io::Error>,
}

impl Notifier {
    /// Nobody is told if there are no routes.
    pub fn new(set: NotifierSettings, transport: &Arc<dyn Transport>) -> Self {
        if set.routes.is_empty() {
            return Self::default();
        }
        let route = |route| Arc::new(Route::new(route, transport));
        Self(Some(Arc::new(Inner {
            routes: set.routes.into_iter().map(route).collect(),
            outbox: Outbox::beside(&set.data),
            outage_after: set.outage_after,
            host: set.host,
        })))
    }

    /// Whether anybody is notified.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Who is.
    pub fn routes(&self) -> &[Arc<Route>] {
        self.0.as_deref().map_or(&[], |inner| &inner.routes)
    }

    /// A message as a route would get it.
    #[must_use]
    pub fn worded(&self, message: Notification, link: Option<String>) -> Notification {
        let host = self.0.as_deref().map_or("", |inner| &inner.host);
        message.worded(link, host)
    }

    /// Decides what is to be told, and queues it for the routes. `last`: nobody looks again soon. Links that were told are
    /// served again if the process that did is gone.
    ///
    /// # Errors
    ///
    /// The store can't be read or written; nothing is lost by that.
    pub async fn look(&self, feed: &dyn IncidentFeed, last: bool) -> Result<Looked, StoreError> {
        let Some(inner) = self.0.as_deref() else {
            return Ok(Looked::default());
        };
        let mut looked = Looked::default();
        for _ in 0..MOST_TRIES {
            let seen = feed.alert_state().await?;
            let before = AlertState::read(seen.as_deref());
            let facts = feed.facts(&before.names()).await?;
            let context = inner.context(feed, last);
            let mut new_id = || Seams::system().random_id().chars().take(16).collect();
            let decided = decide(&before, &facts, &context, &mut new_id);
            looked.unsettled = decided.unsettled;
            let text = decided.state.text();
            let is_same = decided.state == before;
            if is_same
                || feed
                    .put_alert_state(seen.as_deref(), text.as_deref())
                    .await?
            {
                for record in decided.state.open_records() {
                    feed.link(record).await;
                }
                for id in decided.state.newly_told(&facts) {
                    feed.mark_told(&id).await?;
                }
                looked.unkept = inner.hand_on(feed, decided.state).await?;
                break;
            }
        }
        Ok(looked)
    }

    /// One attempt at each message that is due by this route, and a line for a person about each that failed.
    pub async fn deliver(&self, route: &Route) -> Vec<String> {
        let Some(inner) = self.0.as_deref() else {
            return vec![];
        };
        let mut lines = Vec::new();
        for newest in inner.outbox.waiting_for(&route.settings().name) {
            match inner.deliver_newest(route, &newest).await {
                Ok(failed) => lines.extend(failed),
                Err(error) => tracing::warn!(%error, "the outbox can't be written"),
            }
        }
        lines
    }

    /// The same for every route, one beside the other.
    pub async fn deliver_all(&self) -> Vec<String> {
        let mut all = tokio::task::JoinSet::new();
        for route in self.routes() {
            let (notifier, route) = (self.clone(), Arc::clone(route));
            all.spawn(async move { notifier.deliver(&route).await });
        }
        all.join_all().await.concat()
    }
}

impl Inner {
    fn context(&self, feed: &dyn IncidentFeed, last: bool) -> AlertContext {
        let run = match (feed.in_run(), last) {
            (false, _) => RunPhase::None,
            (true, false) => RunPhase::Going,
            (true, true) => RunPhase::Ended,
        };
        AlertContext {
            now: now(),
            outage_after: self.outage_after,
            last,
            run,
        }
    }

    /// Moves the messages to the outbox. Another process may do the same at once: each has one place there.
    async fn hand_on(
        &self,
        feed: &dyn IncidentFeed,
        kept: AlertState,
    ) -> Result<Option<io::Error>, StoreError> {
        if kept.queued.is_empty() {
            return Ok(None);
        }
        for message in &kept.queued {
            let link = if message.resolved {
                None
            } else {
                feed.link(&message.record).await
            };
            if let Err(error) = self.queue(&message.clone().worded(link, &self.host)) {
                return Ok(Some(error));
            }
        }
        let rest = AlertState {
            queued: vec![],
            ..kept.clone()
        };
        // If another process has changed it meanwhile, it has seen them too.
        let (seen, new) = (kept.text(), rest.text());
        feed.put_alert_state(seen.as_deref(), new.as_deref())
            .await?;
        Ok(None)
    }

    fn queue(&self, message: &Notification) -> io::Result<()> {
        let text = serde_json::to_string(message)?;
        self.outbox.drop_foreign(now())?;
        for route in self
            .routes
            .iter()
            .filter(|route| route.takes(message.severity))
        {
            let id = entry(&message.message_id(), &route.settings().name);
            self.outbox.queue(&id, &text, now())?;
        }
        Ok(())
    }

    /// A line for a person if it failed.
    async fn deliver_newest(&self, route: &Route, newest: &Newest) -> io::Result<Option<String>> {
        // Another process may be telling one of them: what follows it waits for that.
        if !self.outbox.drop_all(&newest.superseded, now())? {
            return Ok(None);
        }
        if !self.outbox.is_due(&newest.id, now()) {
            return Ok(None);
        }
        let Some(queued) = self.outbox.take(&newest.id) else {
            return Ok(None);
        };
        let Ok(message) = serde_json::from_str::<Notification>(queued.message()) else {
            queued.dropped(now())?;
            return Ok(None);
        };
        // That something is over is no news where nobody heard of it.
        let name = &route.settings().name;
        if message.resolved && !self.outbox.was_told(&newest.alert, name) {
            queued.dropped(now())?;
            return Ok(None);
        }
        let sent = route.send(&message, now()).await;
        after(sent, queued, name)
    }
}

fn after(
    sent: Result<(), RouteError>,
    queued: QueuedAlert<'_>,
    route: &str,
) -> io::Result<Option<String>> {
    let Err(error) = sent else {
        queued.told(now())?;
        return Ok(None);
    };
    Ok(Some(match queued.failed(now())? {
        AfterFailure::Retry => {
            format!("authkeeper: {route} was not told yet, and is tried again: {error}")
        }
        AfterFailure::GiveUp => format!(
            "authkeeper: {route} was tried for days and never told, the owner may not know: {error}"
        ),
    }))
}

fn now() -> Timestamp {
    Seams::system().clock.now().wall
}

#[cfg(test)]
#[path = "notifier_tests.rs"]
mod tests;
