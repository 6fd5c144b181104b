//! Alerts: the owner is notified of an incident by a command (`on_incident`) and a signed webhook, each once, whatever the
//! number of processes that see it.
//!
//! ```text
//! incident ─▶ outbox (the webhook's, durable) ─▶ claim (one process of all) ─▶ hook
//!               └─▶ any process: one attempt when it is due ─▶ webhook
//! ```

mod hook;
mod incident_feed;
mod notifier;
mod outbox;
mod watcher;
mod webhook;

pub use self::{
    hook::{Hook, HookError},
    incident_feed::IncidentFeed,
    notifier::{Delivery, Notifier},
    watcher::{BackgroundWatcher, Watcher},
    webhook::{Webhook, WebhookError, WebhookSettings},
};
