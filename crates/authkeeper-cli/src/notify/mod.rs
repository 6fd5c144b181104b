//! Telling the owner: a command (`on_incident`) and a signed webhook, each once for an incident, whatever the number of
//! processes that see it.
//!
//! ```text
//! incident ─▶ outbox (the webhook's, durable) ─▶ claim (one process of all) ─▶ hook
//!               └─▶ whoever comes by: one attempt when it is due ─▶ webhook
//! ```

mod hook;
mod outbox;
mod webhook;

use std::{path::Path, sync::Arc};

use authkeeper::{http::Transport, model::IncidentId, platform::clock::Seams};

pub(crate) use self::{
    hook::Hook,
    webhook::{Webhook, WebhookSettings},
};
use self::{
    outbox::{Outbox, Then},
    webhook::WebhookError,
};

/// Who is told of incidents, and how.
#[derive(Clone, Default)]
pub(crate) struct Notifier {
    hook: Option<Hook>,
    webhook: Option<Arc<(Webhook, Outbox)>>,
}

/// What came of an attempt at the webhook.
#[derive(Debug)]
pub(crate) enum Told {
    Yes,
    /// It is tried again.
    NotYet(WebhookError),
    /// It was tried often enough.
    Never(WebhookError),
}

impl Notifier {
    pub(crate) fn new(
        hook: Option<Hook>,
        webhook: Option<WebhookSettings>,
        data: &Path,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let outbox = || Outbox::beside(data);
        let webhook = webhook.map(|set| Arc::new((Webhook::new(set, transport), outbox())));
        Self { hook, webhook }
    }

    #[cfg(test)]
    pub(crate) fn by_hook(hook: Option<Hook>) -> Self {
        Self {
            hook,
            webhook: None,
        }
    }

    /// Whether anybody is to be told.
    pub(crate) fn is_set(&self) -> bool {
        self.hook.is_some() || self.webhook.is_some()
    }

    pub(crate) fn hook(&self) -> Option<&Hook> {
        self.hook.as_ref()
    }

    pub(crate) fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref().map(|both| &both.0)
    }

    /// Keeps what the webhook is to be told, before anybody claims the telling: a crash loses nothing then.
    pub(crate) fn queue(&self, incident: &IncidentId, record: &str) -> std::io::Result<()> {
        let Some((_, outbox)) = self.webhook.as_deref() else {
            return Ok(());
        };
        let now = Seams::system().clock.now().wall;
        outbox.queue(incident.as_str(), record, now)
    }

    /// The incidents whose webhook is due, this process's or those of one that is gone.
    pub(crate) fn due(&self) -> Vec<IncidentId> {
        let Some((_, outbox)) = self.webhook.as_deref() else {
            return vec![];
        };
        let now = Seams::system().clock.now().wall;
        outbox.due(now).into_iter().map(IncidentId::new).collect()
    }

    /// One attempt at one webhook; none if another process is at it, or has been.
    pub(crate) async fn attempt(&self, incident: &IncidentId) -> Option<Told> {
        let (webhook, outbox) = self.webhook.as_deref()?;
        let message = outbox.take(incident.as_str())?;
        let now = || Seams::system().clock.now().wall;
        let told = match webhook.send(message.id(), message.record(), now()).await {
            Ok(()) => message.told(now()).map(|()| Told::Yes),
            Err(error) => message.failed(now()).map(|then| match then {
                Then::Again => Told::NotYet(error),
                Then::NoMore => Told::Never(error),
            }),
        };
        told.map_err(|error| tracing::warn!(%error, "the outbox can't be written"))
            .ok()
    }

    /// What is queued for an incident that is over needs to be told nobody.
    pub(crate) fn drop_queued(&self, incident: &IncidentId) {
        let message = self
            .webhook
            .as_deref()
            .and_then(|(_, outbox)| outbox.take(incident.as_str()));
        let now = Seams::system().clock.now().wall;
        if let Some(Err(error)) = message.map(|message| message.told(now)) {
            tracing::warn!(%error, "the outbox can't be written");
        }
    }
}
