//! Alerts: the owner is notified of an incident by the routes of the configuration, once, whatever the number of processes
//! that see it.
//!
//! ```text
//! health of the connections ─▶ policy (pure) ─▶ what was told (in the store, compare-and-set)
//!                                            └─▶ messages ─▶ outbox (files) ─▶ routes: command, webhook, Slack, ntfy
//! ```
//!
//! What was told and the messages that follow from it are written in one step, so a crash loses none; any process with routes
//! delivers what another has left.

mod hook;
mod incident_feed;
mod notification;
mod notifier;
mod outbox;
mod policy;
mod post;
mod route;
mod services;
mod watcher;
mod webhook;

pub use self::{
    hook::{Hook, HookError},
    incident_feed::IncidentFeed,
    notification::{Notification, NotificationStatus},
    notifier::{Looked, Notifier, NotifierSettings},
    policy::{AlertFact, RunPhase},
    post::PostError,
    route::{ChannelSettings, Route, RouteError, RouteSettings},
    services::NtfyTopic,
    watcher::Watcher,
    webhook::WebhookSettings,
};
