//! Who is notified of incidents, and how.

use std::{path::Path, sync::Arc};

use authkeeper::{http::Transport, model::IncidentId, platform::clock::Seams};

use super::{
    hook::Hook,
    outbox::{AfterFailure, Outbox},
    webhook::{Webhook, WebhookError, WebhookSettings},
};

/// The command and the webhook that are notified of incidents.
#[derive(Clone, Default)]
pub struct Notifier {
    hook: Option<Hook>,
    webhook: Option<Arc<(Webhook, Outbox)>>,
}

/// The outcome of one attempt at the webhook.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// The receiver took it.
    Done,
    /// It failed, and is tried again.
    Retrying(WebhookError),
    /// It failed for the last time.
    GivenUp(WebhookError),
}

impl Delivery {
    /// A line for a person about an attempt that failed.
    pub fn warning(self) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Retrying(error) => Some(format!(
                "authkeeper: the webhook was not told yet, and is tried again: {error}"
            )),
            Self::GivenUp(error) => Some(format!(
                "authkeeper: the webhook was tried for days and never told, the owner may not know: {error}"
            )),
        }
    }
}

impl Notifier {
    /// The outbox of the webhook is in the folder `data`.
    pub fn new(
        hook: Option<Hook>,
        webhook: Option<WebhookSettings>,
        data: &Path,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let outbox = || Outbox::beside(data);
        let webhook = webhook.map(|set| Arc::new((Webhook::new(set, transport), outbox())));
        Self { hook, webhook }
    }

    /// Notifies by a command alone.
    pub fn by_hook(hook: Option<Hook>) -> Self {
        Self {
            hook,
            webhook: None,
        }
    }

    /// Whether anybody is notified.
    pub fn is_set(&self) -> bool {
        self.hook.is_some() || self.webhook.is_some()
    }

    /// The command.
    pub fn hook(&self) -> Option<&Hook> {
        self.hook.as_ref()
    }

    /// The webhook.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref().map(|both| &both.0)
    }

    /// Writes the record to the outbox of the webhook, before a process claims the notification: a crash loses nothing then.
    pub fn queue(&self, incident: &IncidentId, record: &str) -> std::io::Result<()> {
        let Some((_, outbox)) = self.webhook.as_deref() else {
            return Ok(());
        };
        let now = Seams::system().clock.now().wall;
        outbox.queue(incident.as_str(), record, now)
    }

    /// The incidents whose webhook is due, queued by this process or by one that is gone.
    pub fn due(&self) -> Vec<IncidentId> {
        let Some((_, outbox)) = self.webhook.as_deref() else {
            return vec![];
        };
        let now = Seams::system().clock.now().wall;
        outbox.due(now).into_iter().map(IncidentId::new).collect()
    }

    /// One attempt at one message; none if another process delivers it, or has.
    pub async fn attempt(&self, incident: &IncidentId) -> Option<Delivery> {
        let (webhook, outbox) = self.webhook.as_deref()?;
        let message = outbox.take(incident.as_str())?;
        let now = || Seams::system().clock.now().wall;
        let told = match webhook.send(message.id(), message.record(), now()).await {
            Ok(()) => message.told(now()).map(|()| Delivery::Done),
            Err(error) => message.failed(now()).map(|then| match then {
                AfterFailure::Retry => Delivery::Retrying(error),
                AfterFailure::GiveUp => Delivery::GivenUp(error),
            }),
        };
        told.map_err(|error| tracing::warn!(%error, "the outbox can't be written"))
            .ok()
    }

    /// Drops what is queued for an incident that is over.
    pub fn drop_queued(&self, incident: &IncidentId) {
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
