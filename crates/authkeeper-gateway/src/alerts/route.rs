//! Routes: who is told, from which severity on, and how.

use std::sync::Arc;

use authkeeper::{
    http::{HttpUrl, Transport},
    model::Severity,
};
use jiff::Timestamp;

use super::{
    hook::{Hook, HookError},
    notification::Notification,
    post::PostError,
    services::{Ntfy, NtfyTopic, Slack},
    webhook::{Webhook, WebhookSettings},
};

/// A route, as it is configured.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// What the configuration calls it. It has no dot.
    pub name: String,
    /// The least severity that it tells of.
    pub severity: Severity,
    /// How.
    pub channel: ChannelSettings,
}

/// How somebody is told.
#[derive(Clone, Debug)]
pub enum ChannelSettings {
    /// A command that gets the message on standard input.
    Command(String),
    /// A signed POST.
    Webhook(WebhookSettings),
    /// An incoming webhook of Slack.
    Slack(HttpUrl),
    /// A topic of an ntfy server.
    Ntfy(NtfyTopic),
}

impl ChannelSettings {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Ntfy(_) => "ntfy",
        }
    }
}

/// A route that messages can be sent by.
pub struct Route {
    set: RouteSettings,
    channel: Channel,
}

enum Channel {
    Command(Hook),
    Webhook(Webhook),
    Slack(Slack),
    Ntfy(Ntfy),
}

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The command did not take it.
    #[error(transparent)]
    Command(#[from] HookError),
    /// The receiver did not take it.
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Route {
    pub(super) fn new(set: RouteSettings, transport: &Arc<dyn Transport>) -> Self {
        let transport = Arc::clone(transport);
        let channel = match &set.channel {
            ChannelSettings::Command(command) => Channel::Command(Hook::new(command.clone())),
            ChannelSettings::Webhook(webhook) => {
                Channel::Webhook(Webhook::new(webhook.clone(), transport))
            }
            ChannelSettings::Slack(url) => Channel::Slack(Slack {
                url: url.clone(),
                transport,
            }),
            ChannelSettings::Ntfy(topic) => Channel::Ntfy(Ntfy {
                topic: topic.clone(),
                transport,
            }),
        };
        Self { set, channel }
    }

    /// What the configuration says of it.
    pub fn settings(&self) -> &RouteSettings {
        &self.set
    }

    /// Whether messages of this severity go there.
    pub fn takes(&self, severity: Severity) -> bool {
        severity >= self.set.severity
    }

    /// One attempt.
    ///
    /// # Errors
    ///
    /// Why nobody was told.
    pub async fn send(&self, message: &Notification, now: Timestamp) -> Result<(), RouteError> {
        match &self.channel {
            Channel::Command(hook) => hook.run(message).await?,
            Channel::Webhook(webhook) => webhook.send(message, now).await?,
            Channel::Slack(slack) => slack.send(message).await?,
            Channel::Ntfy(ntfy) => ntfy.send(message).await?,
        }
        Ok(())
    }
}
