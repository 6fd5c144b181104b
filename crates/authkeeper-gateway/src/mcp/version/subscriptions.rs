//! The subscriptions of a stateless client, fed by what a handshake server says unasked.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::messages::{self, SUBSCRIPTION};
use crate::mcp::codec::{json_object::Object, message::Id};

/// The list notifications, the filter's member for each, and the capability that promises them.
const LISTS: [(&str, &str, &str); 3] = [
    (
        "notifications/tools/list_changed",
        "toolsListChanged",
        "tools",
    ),
    (
        "notifications/prompts/list_changed",
        "promptsListChanged",
        "prompts",
    ),
    (
        "notifications/resources/list_changed",
        "resourcesListChanged",
        "resources",
    ),
];
const UPDATED: &str = "notifications/resources/updated";

#[derive(Debug)]
struct Subscription {
    id: Id,
    /// Members of the filter that the server honours.
    lists: Vec<&'static str>,
    resources: BTreeSet<String>,
    /// Resources about which the server has not said yes or no.
    waiting: usize,
}

/// What the server can tell of.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    lists: Vec<&'static str>,
    resources: bool,
    open: Vec<Subscription>,
}

impl Subscriptions {
    pub(super) fn new(capabilities: &Object) -> Self {
        let promised = |member: &str, what: &str| {
            let capability = capabilities.object(member).unwrap_or_default();
            capability.get(what).is_some_and(|raw| raw.get() == "true")
        };
        let lists = LISTS
            .iter()
            .filter(|(_, _, member)| promised(member, "listChanged"));
        Self {
            lists: lists.map(|(_, filter, _)| *filter).collect(),
            resources: promised("resources", "subscribe"),
            open: Vec::new(),
        }
    }

    /// Opens a subscription. Returns the resources that the server has to be asked about; with none,
    /// [`Self::acknowledgment`] is due.
    pub(super) fn open(&mut self, id: Id, filter: &Object) -> Vec<String> {
        let wanted = |name: &str| filter.get(name).is_some_and(|raw| raw.get() == "true");
        let lists = self.lists.iter().copied().filter(|name| wanted(name));
        let lists = lists.collect();
        let resources: BTreeSet<String> = filter
            .get("resourceSubscriptions")
            .filter(|_| self.resources)
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let (held, new): (BTreeSet<_>, BTreeSet<_>) =
            resources.into_iter().partition(|uri| self.is_held(uri));
        self.open.push(Subscription {
            id,
            lists,
            resources: held,
            waiting: new.len(),
        });
        new.into_iter().collect()
    }

    fn is_held(&self, uri: &str) -> bool {
        self.open.iter().any(|one| one.resources.contains(uri))
    }

    /// The server said yes or no to a resource. True: [`Self::acknowledgment`] is due.
    pub(super) fn decided(&mut self, id: &Id, uri: &str, yes: bool) -> bool {
        let Some(one) = self.find(id) else {
            return false;
        };
        if yes {
            one.resources.insert(uri.to_owned());
        }
        one.waiting = one.waiting.saturating_sub(1);
        one.waiting == 0
    }

    fn find(&mut self, id: &Id) -> Option<&mut Subscription> {
        self.open.iter_mut().find(|one| one.id.key() == id.key())
    }

    pub(super) fn acknowledgment(&mut self, id: &Id) -> Option<Bytes> {
        let one = self.find(id)?;
        let mut honored = Object::default();
        for list in &one.lists {
            honored.set(list, &true);
        }
        if !one.resources.is_empty() {
            honored.set("resourceSubscriptions", &one.resources);
        }
        let params = Object::default()
            .with("_meta", &marked(Object::default(), id))
            .with("notifications", &honored);
        Some(messages::notification(
            "notifications/subscriptions/acknowledged",
            &params,
        ))
    }

    /// The client closes a subscription. `Some`: the resources that nobody watches any more.
    pub(super) fn close(&mut self, id: &Id) -> Option<Vec<String>> {
        let at = self.open.iter().position(|one| one.id.key() == id.key())?;
        let closed = self.open.remove(at);
        let unwatched = closed
            .resources
            .into_iter()
            .filter(|uri| !self.is_held(uri));
        Some(unwatched.collect())
    }

    /// What the clients of all subscriptions hear of a notification; `None` if it is not of this kind.
    pub(super) fn told(&self, method: &str, params: &Object) -> Option<Vec<Bytes>> {
        let list = LISTS.iter().find(|(name, _, _)| *name == method);
        if list.is_none() && method != UPDATED {
            return None;
        }
        let uri = params.text("uri").unwrap_or_default();
        let wants = |one: &&Subscription| match list {
            Some((_, filter, _)) => one.lists.contains(filter),
            None => one.resources.iter().any(|watched| is_within(&uri, watched)),
        };
        let about = |one: &Subscription| {
            let meta = params.object("_meta").unwrap_or_default();
            let params = params.clone().with("_meta", &marked(meta, &one.id));
            messages::notification(method, &params)
        };
        Some(self.open.iter().filter(wants).map(about).collect())
    }
}

/// 2025-11-25 (server/resources): what changed may be a part of what was subscribed to.
fn is_within(uri: &str, watched: &str) -> bool {
    uri.strip_prefix(watched)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || watched.ends_with('/'))
}

/// The id as the client spelt it.
fn marked(meta: Object, id: &Id) -> Object {
    let id = RawValue::from_string(id.raw().to_owned());
    meta.with(SUBSCRIPTION, &id.ok())
}
