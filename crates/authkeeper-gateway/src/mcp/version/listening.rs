//! What a handshake client hears unasked, from the subscription of a stateless server.
//!
//! A subscription cannot be changed: a new one is opened in its place, and the old one is closed once
//! the new one is acknowledged, so that nothing is missed in between.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    messages::{self, SUBSCRIPTION},
    protocol::{INVALID_PARAMS, METHOD_NOT_FOUND},
    step::TranslatorStep,
};
use crate::mcp::codec::{
    json_object::Object,
    message::{Id, Message},
    reconnect::pause,
};

#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Which changed lists the server tells of: member of its capabilities, member of the filter.
    lists: Vec<&'static str>,
    resources: BTreeSet<String>,
    /// Acknowledged.
    current: Option<String>,
    /// Not yet.
    opening: Option<String>,
    opened: u64,
    /// Who waits for the acknowledgment, and of what.
    subscribing: Vec<(Id, String)>,
    /// Subscriptions in a row that ended before they were acknowledged.
    fruitless: u32,
    /// The server knows no subscriptions.
    stopped: bool,
}

impl Listening {
    pub(super) fn new(capabilities: &Object) -> Self {
        let lists = [
            ("tools", "toolsListChanged"),
            ("prompts", "promptsListChanged"),
            ("resources", "resourcesListChanged"),
        ];
        let told = |member: &str| {
            let capability = capabilities.object(member).unwrap_or_default();
            capability
                .get("listChanged")
                .is_some_and(|raw| raw.get() == "true")
        };
        let lists = lists.into_iter().filter(|(member, _)| told(member));
        Self {
            lists: lists.map(|(_, filter)| filter).collect(),
            ..Self::default()
        }
    }

    /// Opens a subscription for what is wanted now. `meta` is what the client says of itself.
    pub(super) fn open(&mut self, meta: &Object) -> Vec<TranslatorStep> {
        self.next(meta)
            .map(TranslatorStep::ToServer)
            .into_iter()
            .collect()
    }

    fn next(&mut self, meta: &Object) -> Option<Message> {
        if self.stopped || (self.lists.is_empty() && self.resources.is_empty()) {
            return None;
        }
        let mut filter = Object::default();
        for list in &self.lists {
            filter.set(list, &true);
        }
        if !self.resources.is_empty() {
            filter.set("resourceSubscriptions", &self.resources);
        }
        self.opened += 1;
        let id = format!("authkeeper-listen-{}", self.opened);
        let params = Object::default()
            .with("_meta", meta)
            .with("notifications", &filter);
        let message = messages::request(&id, "subscriptions/listen", &params);
        self.opening = Some(id);
        message
    }

    pub(super) fn subscribe(
        &mut self,
        client: Id,
        uri: String,
        meta: &Object,
    ) -> Vec<TranslatorStep> {
        if self.stopped {
            return vec![refused(&client, &uri)];
        }
        let before = self.opening.take();
        self.resources.insert(uri.clone());
        self.subscribing.push((client, uri));
        let mut steps = self.open(meta);
        steps.extend(close(before));
        steps
    }

    pub(super) fn unsubscribe(
        &mut self,
        client: &Id,
        uri: &str,
        meta: &Object,
    ) -> Vec<TranslatorStep> {
        let answer = messages::result(client.raw(), &Object::default());
        let mut steps = vec![TranslatorStep::ToClient(answer.into())];
        if !self.resources.remove(uri) {
            return steps;
        }
        let mut before = vec![self.opening.take()];
        let opened = self.open(meta);
        if opened.is_empty() {
            before.push(self.current.take());
        }
        steps.extend(opened);
        steps.extend(before.into_iter().filter_map(close));
        steps
    }

    /// The server says what it will tell of.
    pub(super) fn acknowledged(&mut self, params: &Object) -> Vec<TranslatorStep> {
        let meta = params.object("_meta").unwrap_or_default();
        if self.opening.is_none() || meta.text(SUBSCRIPTION) != self.opening {
            return Vec::new();
        }
        self.fruitless = 0;
        let honored = params.object("notifications").unwrap_or_default();
        let honored: Vec<String> = honored
            .get("resourceSubscriptions")
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let mut steps = Vec::new();
        for (client, uri) in std::mem::take(&mut self.subscribing) {
            steps.push(if honored.contains(&uri) {
                TranslatorStep::ToClient(messages::result(client.raw(), &Object::default()).into())
            } else {
                self.resources.remove(&uri);
                refused(&client, &uri)
            });
        }
        let before = self.current.take();
        self.current = self.opening.take();
        steps.extend(close(before));
        steps
    }

    pub(super) fn is_ours(&self, id: &str) -> bool {
        [&self.current, &self.opening]
            .into_iter()
            .flatten()
            .any(|ours| ours == id)
    }

    /// A subscription ended, well or not: another one takes its place after a while, unless the server
    /// knows none.
    pub(super) fn ended(
        &mut self,
        id: &str,
        answer: &Object,
        meta: &Object,
    ) -> Vec<TranslatorStep> {
        let was_opening = self.opening.as_deref() == Some(id);
        if was_opening {
            self.opening = None;
        } else {
            self.current = None;
        }
        let error = answer.object("error").unwrap_or_default();
        if error
            .get("code")
            .is_some_and(|code| code.get() == METHOD_NOT_FOUND.to_string())
        {
            self.stopped = true;
        }
        let mut steps = Vec::new();
        if was_opening {
            for (client, uri) in std::mem::take(&mut self.subscribing) {
                self.resources.remove(&uri);
                steps.push(refused(&client, &uri));
            }
        } else if self.opening.is_some() {
            return steps;
        }
        self.fruitless = self.fruitless.saturating_add(1);
        let wait = pause(None, self.fruitless);
        steps.extend(
            self.next(meta)
                .map(|message| TranslatorStep::Later(wait, message)),
        );
        steps
    }
}

fn close(subscription: Option<String>) -> Option<TranslatorStep> {
    let id = json!(subscription?).to_string();
    messages::cancelled(&id).map(TranslatorStep::ToServer)
}

fn refused(client: &Id, uri: &str) -> TranslatorStep {
    let message =
        format!("The server does not tell of changes of {uri}. Read it again when it matters.");
    let data = json!({"kind": "no_counterpart", "executed": "no", "retryable": false});
    TranslatorStep::ToClient(messages::error(client.raw(), INVALID_PARAMS, &message, &data).into())
}
