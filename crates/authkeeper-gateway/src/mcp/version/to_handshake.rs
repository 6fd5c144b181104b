//! A client of the stateless era speaks to a server of the handshake one.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use super::{
    downgrade::{
        AGAIN, input_required, lowered, pages_to_open, question_to_client, stateless_error,
    },
    messages::{self, CAPABILITIES, LOG_LEVEL},
    protocol::{INVALID_PARAMS, LEVELS, METHOD_NOT_FOUND, STATELESS, UNSUPPORTED_VERSION},
    step::TranslatorStep,
    subscriptions::Subscriptions,
};
use crate::mcp::codec::{
    json_object::Object,
    message::{Id, IdKey, Kind, Message},
};

/// What we write into `requestState`.
const STATE: &str = "authkeeper-";
/// Calls that may wait for a client's answers at once.
const WAITING: usize = 64;

/// A request that the server has not answered.
struct OpenCall {
    /// Whom the next answer is for; `None` while the client has the word.
    client: Option<Id>,
    method: String,
    /// The progress token as the server knows it, and as the client does now.
    token: Option<Box<RawValue>>,
    wanted_token: Option<Box<RawValue>>,
    level: Option<String>,
    capabilities: Object,
    /// The state that the client brings back with its answer.
    state: Option<String>,
    /// The server's requests: the first one is with the client while `state` is there.
    asked: VecDeque<Question>,
    /// The server's answer, if it came while the client had the word.
    answer: Option<Object>,
}

struct Question {
    /// The server's.
    id: Id,
    request: Object,
}

impl Question {
    /// What it is called among `inputRequests`.
    fn name(&self) -> &str {
        match self.id.key() {
            IdKey::Text(name) | IdKey::Other(name) => name,
        }
    }
}

/// What we ask the server ourselves.
enum Own {
    /// These wait for it.
    Level(Vec<Message>),
    Subscribe {
        subscription: Id,
        uri: String,
    },
    Unsubscribe,
}

pub(in crate::mcp) struct ToHandshake {
    discovery: Object,
    server: Option<Box<RawValue>>,
    logs: bool,
    level: Option<String>,
    /// By the id that the server knows.
    calls: BTreeMap<IdKey, OpenCall>,
    own: BTreeMap<IdKey, Own>,
    subscriptions: Subscriptions,
    number: u64,
}

impl ToHandshake {
    pub(in crate::mcp) fn new(welcome: &Object) -> Self {
        let capabilities = welcome.object("capabilities").unwrap_or_default();
        Self {
            discovery: messages::discovery(welcome),
            server: welcome.get("serverInfo").map(ToOwned::to_owned),
            logs: capabilities.get("logging").is_some(),
            level: None,
            calls: BTreeMap::new(),
            own: BTreeMap::new(),
            subscriptions: Subscriptions::new(&capabilities),
            number: 0,
        }
    }

    pub(super) fn hear_client(&mut self, message: &Message) -> Vec<TranslatorStep> {
        match &message.kind {
            Kind::Request { id, call } => self.request(message, id, &call.method),
            Kind::Notification(call) if call.method == "notifications/cancelled" => call
                .cancels
                .as_ref()
                .map_or_else(Vec::new, |id| self.cancel(id)),
            Kind::Notification(_) => lowered(message)
                .map(|(envelope, _)| TranslatorStep::to_server(envelope.to_string()))
                .unwrap_or_default(),
            // The stateless era has neither.
            Kind::Response | Kind::Batch(_) => Vec::new(),
        }
    }

    fn request(&mut self, message: &Message, id: &Id, method: &str) -> Vec<TranslatorStep> {
        let version = message.call().and_then(|call| call.version.as_deref());
        if let Some(version) = version.filter(|version| *version != STATELESS) {
            let data = json!({"supported": [STATELESS], "requested": version});
            let error = messages::error(
                id.raw(),
                UNSUPPORTED_VERSION,
                "Unsupported protocol version",
                &data,
            );
            return vec![TranslatorStep::to_client(error)];
        }
        match method {
            "server/discover" => vec![TranslatorStep::to_client(messages::result(
                id.raw(),
                &self.discovery,
            ))],
            "subscriptions/listen" => self.listen(id, &messages::params_of(message)),
            // Our own handshake with the server stands.
            "initialize" => vec![TranslatorStep::to_client(unknown(id, method))],
            _ => self.carry(message, id, method),
        }
    }

    fn carry(&mut self, message: &Message, id: &Id, method: &str) -> Vec<TranslatorStep> {
        let Some((mut envelope, meta)) = lowered(message) else {
            return refuse(id, "The request's `params` are no object.");
        };
        let mut params = envelope.object("params").unwrap_or_default();
        let answers = params.remove("inputResponses");
        let state: Option<String> = params
            .remove("requestState")
            .and_then(|state| serde_json::from_str(state.get()).ok());
        envelope.set("params", &params);
        if let Some(state) = state.filter(|state| state != AGAIN) {
            let answers = answers.and_then(|answers| Object::parse(answers.get()));
            return self.resume(id, &state, &answers.unwrap_or_default(), &meta);
        }
        let call = OpenCall {
            client: Some(id.clone()),
            method: method.to_owned(),
            token: meta.get("progressToken").map(ToOwned::to_owned),
            wanted_token: meta.get("progressToken").map(ToOwned::to_owned),
            level: meta.text(LOG_LEVEL),
            capabilities: meta.object(CAPABILITIES).unwrap_or_default(),
            state: None,
            asked: VecDeque::new(),
            answer: None,
        };
        let level = call.level.clone();
        self.calls.insert(id.key().clone(), call);
        self.after_level(level, TranslatorStep::to_server(envelope.to_string()))
    }

    /// The server is told which log messages are wanted before it gets the call that wants them.
    fn after_level(
        &mut self,
        level: Option<String>,
        then: Vec<TranslatorStep>,
    ) -> Vec<TranslatorStep> {
        let Some(level) = level.filter(|level| self.logs && self.level.as_ref() != Some(level))
        else {
            return then;
        };
        let waiting = then.into_iter().filter_map(|step| match step {
            TranslatorStep::ToServer(message) => Some(message),
            _ => None,
        });
        let own = Own::Level(waiting.collect());
        let params = Object::default().with("level", &level);
        self.level = Some(level);
        self.ask("logging/setLevel", &params, own)
    }

    fn ask(&mut self, method: &str, params: &Object, own: Own) -> Vec<TranslatorStep> {
        self.number += 1;
        let id = format!("authkeeper-own-{}", self.number);
        let request = messages::request(&id, method, params);
        self.own.insert(IdKey::Text(id.into()), own);
        request.map(TranslatorStep::ToServer).into_iter().collect()
    }

    fn listen(&mut self, id: &Id, params: &Object) -> Vec<TranslatorStep> {
        let filter = params.object("notifications").unwrap_or_default();
        let resources = self.subscriptions.open(id.clone(), &filter);
        if resources.is_empty() {
            return self.acknowledge(id);
        }
        let mut steps = Vec::new();
        for uri in resources {
            let params = Object::default().with("uri", &uri);
            let subscription = id.clone();
            let own = Own::Subscribe { subscription, uri };
            steps.extend(self.ask("resources/subscribe", &params, own));
        }
        steps
    }

    fn acknowledge(&mut self, id: &Id) -> Vec<TranslatorStep> {
        let acknowledgment = self.subscriptions.acknowledgment(id);
        acknowledgment
            .map(TranslatorStep::ToClient)
            .into_iter()
            .collect()
    }

    fn cancel(&mut self, client: &Id) -> Vec<TranslatorStep> {
        if let Some(unwatched) = self.subscriptions.close(client) {
            let mut steps = Vec::new();
            for uri in unwatched {
                let params = Object::default().with("uri", &uri);
                steps.extend(self.ask("resources/unsubscribe", &params, Own::Unsubscribe));
            }
            return steps;
        }
        let is_it = |call: &OpenCall| {
            call.client
                .as_ref()
                .is_some_and(|id| id.key() == client.key())
        };
        let found = self.calls.iter().find(|(_, call)| is_it(call));
        let Some(key) = found.map(|(key, _)| key.clone()) else {
            return Vec::new();
        };
        self.calls.remove(&key);
        TranslatorStep::cancel(&key)
    }

    /// Calls that wait for answers which nobody will give.
    pub(super) fn leave(&mut self) -> Vec<TranslatorStep> {
        let waiting = self.calls.iter().filter(|(_, call)| call.client.is_none());
        waiting
            .flat_map(|(key, _)| TranslatorStep::cancel(key))
            .collect()
    }

    pub(super) fn hear_server(
        &mut self,
        about: Option<&IdKey>,
        message: Bytes,
    ) -> Vec<TranslatorStep> {
        let Some(envelope) = messages::envelope(&message) else {
            return vec![TranslatorStep::ToClient(message)];
        };
        let id = envelope.get("id").map(Id::parse);
        match (envelope.text("method"), id) {
            (Some(method), None) => self.told(&method, about, envelope),
            (Some(method), Some(id)) => self.asked(about, &method, &id, envelope),
            (None, Some(id)) => self.answered(&id, envelope, message),
            (None, None) => vec![TranslatorStep::ToClient(message)],
        }
    }

    fn told(
        &mut self,
        method: &str,
        about: Option<&IdKey>,
        mut envelope: Object,
    ) -> Vec<TranslatorStep> {
        let mut params = envelope.object("params").unwrap_or_default();
        if let Some(told) = self.subscriptions.told(method, &params) {
            return told.into_iter().map(TranslatorStep::ToClient).collect();
        }
        match method {
            "notifications/message" if !self.is_wanted(about, &params) => Vec::new(),
            "notifications/progress" => {
                let Some(token) = self.token(&params) else {
                    return Vec::new();
                };
                params.set("progressToken", &token);
                envelope.set("params", &params);
                vec![TranslatorStep::to_client(envelope.to_string())]
            }
            "notifications/cancelled" => {
                self.withdraw(&params);
                Vec::new()
            }
            // 2026-07-28, changelog: the client learns of it by making the call again.
            "notifications/elicitation/complete" | "notifications/tasks/status" => Vec::new(),
            _ => vec![TranslatorStep::to_client(envelope.to_string())],
        }
    }

    /// 2026-07-28, server/utilities/logging: only who asks for log messages gets them.
    fn is_wanted(&self, about: Option<&IdKey>, params: &Object) -> bool {
        let rank = |level: &str| LEVELS.iter().position(|known| *known == level).unwrap_or(0);
        let said = params.text("level").map_or(0, |level| rank(&level));
        let wants = |call: &OpenCall| call.level.as_ref().is_some_and(|level| rank(level) <= said);
        match about.and_then(|key| self.calls.get(key)) {
            Some(call) => wants(call),
            None => self.calls.values().any(wants),
        }
    }

    /// The token under which the client knows what the server reports progress of.
    fn token(&self, params: &Object) -> Option<Box<RawValue>> {
        let token = params.get("progressToken")?;
        let is_it = |call: &&OpenCall| {
            call.token
                .as_ref()
                .is_some_and(|one| one.get() == token.get())
        };
        let call = self.calls.values().find(is_it)?;
        call.wanted_token.clone().filter(|_| call.client.is_some())
    }

    /// The server no longer wants an answer.
    fn withdraw(&mut self, params: &Object) {
        let Some(id) = params.get("requestId") else {
            return;
        };
        let id = Id::parse(id);
        for call in self.calls.values_mut() {
            call.asked.retain(|question| question.id.key() != id.key());
        }
    }

    /// A request of the server: with the client's call, where it belongs to one.
    fn asked(
        &mut self,
        about: Option<&IdKey>,
        method: &str,
        id: &Id,
        request: Object,
    ) -> Vec<TranslatorStep> {
        if method == "ping" {
            return TranslatorStep::to_server(messages::result(id.raw(), &Object::default()));
        }
        let capability = match method {
            "elicitation/create" => "elicitation",
            "sampling/createMessage" => "sampling",
            "roots/list" => "roots",
            _ => return decline(id, "The client knows no such request."),
        };
        let Some(key) = self.call_for(about) else {
            return decline(
                id,
                "The client speaks 2026-07-28 and can be asked only while a call of a tool, a prompt or a resource is under way. Ask during a call.",
            );
        };
        let waiting = self
            .calls
            .values()
            .filter(|call| call.client.is_none())
            .count();
        let Some(call) = self.calls.get_mut(&key).filter(|_| waiting < WAITING) else {
            return decline(id, "The client has too many questions to answer already.");
        };
        if call.capabilities.get(capability).is_none() {
            return decline(id, "The client does not support this.");
        }
        call.asked.push_back(Question {
            id: id.clone(),
            request,
        });
        self.hand_over(&key)
    }

    /// The call that a request of the server belongs to: that on whose stream it came, or else the
    /// first that can carry a question.
    fn call_for(&self, about: Option<&IdKey>) -> Option<IdKey> {
        let can_ask = |call: &OpenCall| {
            matches!(
                call.method.as_str(),
                "tools/call" | "prompts/get" | "resources/read"
            )
        };
        if let Some((key, call)) = about.and_then(|key| self.calls.get_key_value(key)) {
            return can_ask(call).then(|| key.clone());
        }
        let found = self.calls.iter().find(|(_, call)| can_ask(call));
        found.map(|(key, _)| key.clone())
    }

    /// Gives the client the word, if it is owed an answer and there is a question.
    fn hand_over(&mut self, key: &IdKey) -> Vec<TranslatorStep> {
        let Some(call) = self.calls.get_mut(key) else {
            return Vec::new();
        };
        let Some(question) = call.asked.front() else {
            return Vec::new();
        };
        let Some(client) = call.client.take() else {
            return Vec::new();
        };
        self.number += 1;
        let state = format!("{STATE}{}", self.number);
        let requests =
            Object::default().with(question.name(), &question_to_client(&question.request));
        call.state = Some(state.clone());
        vec![TranslatorStep::to_client(messages::result(
            client.raw(),
            &input_required(&requests, &state),
        ))]
    }

    /// The client brings its answers.
    fn resume(
        &mut self,
        id: &Id,
        state: &str,
        answers: &Object,
        meta: &Object,
    ) -> Vec<TranslatorStep> {
        let is_it = |call: &OpenCall| call.state.as_deref() == Some(state);
        let found = self.calls.iter_mut().find(|(_, call)| is_it(call));
        let Some((key, call)) = found else {
            return refuse(
                id,
                "The call that these answers belong to is gone: it was cancelled, or the bridge connected to the server again. The answers were not used. Make the call again from the beginning.",
            );
        };
        let key = key.clone();
        call.client = Some(id.clone());
        call.state = None;
        call.wanted_token = meta.get("progressToken").map(ToOwned::to_owned);
        call.level = meta.text(LOG_LEVEL);
        let mut steps = Vec::new();
        if let Some(question) = call.asked.front()
            && let Some(answer) = answers.get(question.name())
        {
            steps.extend(TranslatorStep::to_server(messages::result(
                question.id.raw(),
                answer,
            )));
            call.asked.pop_front();
        }
        match call.answer.take() {
            Some(answer) => steps.extend(self.finish(&key, answer)),
            None => steps.extend(self.hand_over(&key)),
        }
        steps
    }

    fn answered(&mut self, id: &Id, envelope: Object, message: Bytes) -> Vec<TranslatorStep> {
        if let Some(own) = self.own.remove(id.key()) {
            return self.own_answer(own, envelope.get("result").is_some());
        }
        if self.calls.contains_key(id.key()) {
            return self.finish(id.key(), envelope);
        }
        vec![TranslatorStep::ToClient(message)]
    }

    fn own_answer(&mut self, own: Own, yes: bool) -> Vec<TranslatorStep> {
        match own {
            // Whatever it says of log messages, the calls go on, unless they were cancelled.
            Own::Level(mut waiting) => {
                let calls = &self.calls;
                waiting.retain(|message| {
                    message
                        .awaited()
                        .iter()
                        .all(|id| calls.contains_key(id.key()))
                });
                waiting.into_iter().map(TranslatorStep::ToServer).collect()
            }
            Own::Subscribe { subscription, uri } => {
                if self.subscriptions.decided(&subscription, &uri, yes) {
                    return self.acknowledge(&subscription);
                }
                Vec::new()
            }
            Own::Unsubscribe => Vec::new(),
        }
    }

    /// The server's last word on a call.
    fn finish(&mut self, key: &IdKey, mut answer: Object) -> Vec<TranslatorStep> {
        let Some(mut call) = self.calls.remove(key) else {
            return Vec::new();
        };
        let Some(client) = call.client.clone() else {
            // Kept until the client comes back.
            call.answer = Some(answer);
            self.calls.insert(key.clone(), call);
            return Vec::new();
        };
        answer.set("id", &RawValue::from_string(client.raw().to_owned()).ok());
        if let Some(result) = answer.object("result") {
            let result = messages::complete(result, &call.method, self.server.as_deref());
            answer.set("result", &result);
        } else if let Some(error) = answer.object("error") {
            if let Some(pages) = pages_to_open(&error) {
                return vec![TranslatorStep::to_client(messages::result(
                    client.raw(),
                    &pages,
                ))];
            }
            answer.set("error", &stateless_error(error));
        }
        vec![TranslatorStep::to_client(answer.to_string())]
    }
}

fn decline(id: &Id, message: &str) -> Vec<TranslatorStep> {
    let data = json!({"kind": "no_counterpart"});
    TranslatorStep::to_server(messages::error(id.raw(), METHOD_NOT_FOUND, message, &data))
}

fn refuse(id: &Id, message: &str) -> Vec<TranslatorStep> {
    let data = json!({"kind": "no_counterpart", "executed": "unknown", "retryable": false});
    vec![TranslatorStep::to_client(messages::error(
        id.raw(),
        INVALID_PARAMS,
        message,
        &data,
    ))]
}

fn unknown(id: &Id, method: &str) -> String {
    let message = format!("Method not found: 2026-07-28 has no {method}");
    let data = json!({"kind": "no_counterpart", "executed": "no", "retryable": false});
    messages::error(id.raw(), METHOD_NOT_FOUND, &message, &data)
}
