//! A client of the handshake era speaks to a server of the stateless one.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use super::{
    listening::Listening,
    messages::{self, Hello, SUBSCRIPTION},
    protocol::{INVALID_PARAMS, INVALID_REQUEST, LEVELS, METHOD_NOT_FOUND},
    step::TranslatorStep,
};
use crate::mcp::codec::{
    json_object::Object,
    message::{Id, IdKey, Kind, Message},
};

/// A server that wants a call again and again without asking anything is not heard for ever.
const EMPTY_ROUNDS: u32 = 8;

/// A request of the client that the server has not answered for good.
#[derive(Debug, Clone)]
struct PendingCall {
    client: Id,
    method: String,
    /// As the server got it, to be said again.
    said: Object,
    /// Rounds in a row in which the server asked nothing.
    empty_rounds: u32,
}

/// What a server wants to know before it goes on (2026-07-28, basic/patterns/mrtr).
#[derive(Debug)]
struct Questions {
    call: PendingCall,
    state: Option<Box<RawValue>>,
    /// Our request to the client, and the server's name for it.
    open: BTreeMap<IdKey, String>,
    answers: Object,
}

pub(in crate::mcp) struct ToStateless {
    hello: Hello,
    welcome: Object,
    level: Option<String>,
    /// By the id that the server knows.
    calls: BTreeMap<IdKey, PendingCall>,
    questions: Vec<Questions>,
    listening: Listening,
    number: u64,
}

impl ToStateless {
    pub(in crate::mcp) fn new(hello: Hello, discovered: &Object) -> Self {
        let welcome = hello.welcome(discovered);
        let capabilities = discovered.object("capabilities").unwrap_or_default();
        Self {
            hello,
            welcome,
            level: None,
            calls: BTreeMap::new(),
            questions: Vec::new(),
            listening: Listening::new(&capabilities),
            number: 0,
        }
    }

    pub(super) fn hear_client(&mut self, message: Message) -> Vec<TranslatorStep> {
        match &message.kind {
            // In the server's own words already.
            Kind::Request { call, .. } | Kind::Notification(call) if call.version.is_some() => {
                vec![TranslatorStep::ToServer(message)]
            }
            Kind::Request { id, call } => {
                let (id, method) = (id.clone(), call.method.clone());
                self.request(&message, id, &method)
            }
            Kind::Notification(call) => {
                let method = call.method.clone();
                self.notification(&message, &method)
            }
            Kind::Response => self.response(&message),
            Kind::Batch(_) => self.batch(&message),
        }
    }

    fn request(&mut self, message: &Message, id: Id, method: &str) -> Vec<TranslatorStep> {
        let params = messages::params_of(message);
        let done = |result: &Object| {
            vec![TranslatorStep::to_client(messages::result(
                id.raw(),
                result,
            ))]
        };
        match method {
            "initialize" => done(&self.welcome),
            "ping" => done(&Object::default()),
            "logging/setLevel" => match params.text("level") {
                Some(level) if LEVELS.contains(&level.as_str()) => {
                    self.level = Some(level);
                    done(&Object::default())
                }
                _ => refuse(&id, INVALID_PARAMS, "There is no such log level."),
            },
            "resources/subscribe" | "resources/unsubscribe" => {
                let Some(uri) = params.text("uri") else {
                    return refuse(&id, INVALID_PARAMS, "The resource's `uri` is missing.");
                };
                let meta = self.own_meta();
                if method == "resources/subscribe" {
                    self.listening.subscribe(id, uri, &meta)
                } else {
                    self.listening.unsubscribe(&id, &uri, &meta)
                }
            }
            "tasks/get" | "tasks/result" | "tasks/list" | "tasks/cancel" => refuse(
                &id,
                METHOD_NOT_FOUND,
                "The server speaks 2026-07-28, which has no tasks of this kind. Nothing was done; call the tool without a task.",
            ),
            _ => self.carry(message, &id, method),
        }
    }

    fn carry(&mut self, message: &Message, id: &Id, method: &str) -> Vec<TranslatorStep> {
        let Some(said) = self.lifted(message) else {
            return refuse(id, INVALID_REQUEST, "The request is no JSON object.");
        };
        let call = PendingCall {
            client: id.clone(),
            method: method.to_owned(),
            said,
            empty_rounds: 0,
        };
        let steps = TranslatorStep::to_server(call.said.to_string());
        self.calls.insert(id.key().clone(), call);
        steps
    }

    /// The message with what the stateless era says in each of its messages.
    fn lifted(&self, message: &Message) -> Option<Object> {
        let mut envelope = messages::envelope(&message.body)?;
        let mut params = envelope.object("params").unwrap_or_default();
        let mut meta = params.object("_meta").unwrap_or_default();
        self.hello.describe(&mut meta, self.level.as_deref());
        params.set("_meta", &meta);
        // A server without 2025-11-25's tasks treats the call as an ordinary one (basic/utilities/tasks).
        let _ = params.remove("task");
        envelope.set("params", &params);
        Some(envelope)
    }

    fn own_meta(&self) -> Object {
        let mut meta = Object::default();
        self.hello.describe(&mut meta, None);
        meta
    }

    fn notification(&mut self, message: &Message, method: &str) -> Vec<TranslatorStep> {
        match method {
            "notifications/initialized" => {
                let meta = self.own_meta();
                self.listening.open(&meta)
            }
            "notifications/cancelled" => {
                let target = message.call().and_then(|call| call.cancels.clone());
                target.map_or_else(Vec::new, |id| self.cancel(&id))
            }
            // Asked for again with each call; and about requests that the server does not know as such.
            "notifications/roots/list_changed" | "notifications/progress" => Vec::new(),
            _ => {
                let lifted = self.lifted(message);
                lifted.map_or_else(Vec::new, |envelope| {
                    TranslatorStep::to_server(envelope.to_string())
                })
            }
        }
    }

    fn cancel(&mut self, client: &Id) -> Vec<TranslatorStep> {
        let is_it = |call: &PendingCall| call.client.key() == client.key();
        let at_server = self.calls.iter().find(|(_, call)| is_it(call));
        if let Some(key) = at_server.map(|(key, _)| key.clone()) {
            self.calls.remove(&key);
            return TranslatorStep::cancel(&key);
        }
        let asked = self.questions.iter().position(|asked| is_it(&asked.call));
        asked.map_or_else(Vec::new, |at| withdrawn(&self.questions.remove(at)))
    }

    /// 2025-03-26 knew arrays of messages; the stateless era carries one at a time.
    fn batch(&mut self, message: &Message) -> Vec<TranslatorStep> {
        let parts: Vec<&RawValue> = serde_json::from_slice(&message.body).unwrap_or_default();
        let mut steps = Vec::new();
        for part in parts {
            if let Some(one) = messages::parsed(part.get().to_owned()) {
                steps.extend(self.hear_client(one));
            }
        }
        steps
    }

    /// The client's answer to a question.
    fn response(&mut self, message: &Message) -> Vec<TranslatorStep> {
        let Some(answer) = messages::envelope(&message.body) else {
            return Vec::new();
        };
        let id = answer.get("id").map(Id::parse);
        let at = id.as_ref().and_then(|id| {
            let is_open = |asked: &Questions| asked.open.contains_key(id.key());
            self.questions.iter().position(is_open)
        });
        let (Some(id), Some(at)) = (id, at) else {
            return Vec::new();
        };
        let asked = &mut self.questions[at];
        let name = asked.open.remove(id.key()).unwrap_or_default();
        match answer.get("result") {
            Some(result) => asked.answers.set(&name, &result),
            None => return unanswered(&self.questions.remove(at), &answer),
        }
        if !asked.open.is_empty() {
            return Vec::new();
        }
        let asked = self.questions.remove(at);
        self.again(asked.call, asked.state.as_deref(), Some(&asked.answers))
    }

    /// The call once more, as a request of its own.
    fn again(
        &mut self,
        mut call: PendingCall,
        state: Option<&RawValue>,
        answers: Option<&Object>,
    ) -> Vec<TranslatorStep> {
        self.number += 1;
        let id = format!("authkeeper-again-{}", self.number);
        let mut params = call.said.object("params").unwrap_or_default();
        for (name, value) in [
            (
                "inputResponses",
                answers.map(crate::mcp::codec::json_object::raw),
            ),
            ("requestState", state.map(ToOwned::to_owned)),
        ] {
            match value {
                Some(value) => params.set(name, &value),
                None => drop(params.remove(name)),
            }
        }
        call.said.set("id", &id);
        call.said.set("params", &params);
        let steps = TranslatorStep::to_server(call.said.to_string());
        self.calls.insert(IdKey::Text(id.into()), call);
        steps
    }

    pub(super) fn hear_server(&mut self, message: Bytes) -> Vec<TranslatorStep> {
        let Some(envelope) = messages::envelope(&message) else {
            return vec![TranslatorStep::ToClient(message)];
        };
        let id = envelope.get("id").map(Id::parse);
        match (envelope.text("method"), id) {
            (Some(method), None) => self.told(&method, envelope, message),
            (Some(method), Some(_)) => {
                tracing::warn!(
                    method,
                    "dropped a request that a server of this era must not make"
                );
                Vec::new()
            }
            (None, Some(id)) => self.answered(&id, envelope, message),
            (None, None) => vec![TranslatorStep::ToClient(message)],
        }
    }

    fn told(&mut self, method: &str, mut envelope: Object, message: Bytes) -> Vec<TranslatorStep> {
        let Some(mut params) = envelope.object("params") else {
            return vec![TranslatorStep::ToClient(message)];
        };
        match method {
            "notifications/subscriptions/acknowledged" => {
                return self.listening.acknowledged(&params);
            }
            // Only ever about a subscription (2026-07-28, basic/patterns/cancellation), whose end is seen.
            "notifications/cancelled" => return Vec::new(),
            _ => {}
        }
        let Some(mut meta) = params.object("_meta") else {
            return vec![TranslatorStep::ToClient(message)];
        };
        if meta.remove(SUBSCRIPTION).is_some() {
            if meta.is_empty() {
                let _ = params.remove("_meta");
            } else {
                params.set("_meta", &meta);
            }
            envelope.set("params", &params);
        }
        vec![TranslatorStep::to_client(envelope.to_string())]
    }

    fn answered(&mut self, id: &Id, mut envelope: Object, message: Bytes) -> Vec<TranslatorStep> {
        if let IdKey::Text(ours) = id.key()
            && self.listening.is_ours(ours)
        {
            let meta = self.own_meta();
            return self.listening.ended(ours, &envelope, &meta);
        }
        let Some(call) = self.calls.remove(id.key()) else {
            return vec![TranslatorStep::ToClient(message)];
        };
        envelope.set("id", &raw_id(&call.client));
        let Some(result) = envelope.object("result") else {
            return vec![TranslatorStep::to_client(envelope.to_string())];
        };
        if result.text("resultType").as_deref() == Some("input_required") {
            return self.asked(call, &result);
        }
        envelope.set("result", &messages::plain(result, &call.method));
        vec![TranslatorStep::to_client(envelope.to_string())]
    }

    /// The server wants to know something first: each question becomes a request to the client.
    fn asked(&mut self, mut call: PendingCall, result: &Object) -> Vec<TranslatorStep> {
        let requests = result.object("inputRequests").unwrap_or_default();
        let state = result.get("requestState");
        if requests.is_empty() {
            call.empty_rounds += 1;
            if call.empty_rounds > EMPTY_ROUNDS {
                return refuse(
                    &call.client,
                    INVALID_REQUEST,
                    "The server wants this call again and again without asking anything. What it has done is unknown.",
                );
            }
            return self.again(call, state, None);
        }
        call.empty_rounds = 0;
        let mut asked = Questions {
            call,
            state: state.map(ToOwned::to_owned),
            open: BTreeMap::new(),
            answers: Object::default(),
        };
        let mut steps = Vec::new();
        for (name, _) in requests.members() {
            let Some(question) = requests.object(name) else {
                continue;
            };
            self.number += 1;
            let id = format!("authkeeper-ask-{}", self.number);
            steps.push(TranslatorStep::to_client(question_to_client(
                &id, &question,
            )));
            asked.open.insert(IdKey::Text(id.into()), name.to_owned());
        }
        self.questions.push(asked);
        steps
    }
}

fn question_to_client(id: &str, question: &Object) -> String {
    let mut request = Object::default()
        .with("jsonrpc", &"2.0")
        .with("id", &id)
        .with("method", &question.get("method"));
    if let Some(mut params) = question.object("params") {
        // Required by 2025-11-25 (client/elicitation), unknown to 2026-07-28.
        if params.text("mode").as_deref() == Some("url") {
            params.set_default("elicitationId", &id);
        }
        request.set("params", &params);
    }
    request.to_string()
}

/// The client would not answer: the server cannot be told so, hence the call ends here.
fn unanswered(asked: &Questions, answer: &Object) -> Vec<TranslatorStep> {
    let error = answer.object("error").unwrap_or_default();
    let said = error.text("message").unwrap_or_default();
    let code = error.get("code").and_then(|code| code.get().parse().ok());
    let message = format!(
        "The server needs an answer that the client refused ({said}). The server waits for nothing; what it has done so far is unknown. Answer the question when the call is made again."
    );
    let data = json!({"kind": "question_refused", "executed": "unknown", "retryable": false});
    let answer = messages::error(
        asked.call.client.raw(),
        code.unwrap_or(INVALID_REQUEST),
        &message,
        &data,
    );
    let mut steps = withdrawn(asked);
    steps.push(TranslatorStep::to_client(answer));
    steps
}

/// Nobody needs the answers to these questions any more.
fn withdrawn(asked: &Questions) -> Vec<TranslatorStep> {
    let cancelled = |id: &IdKey| {
        let params = Object::default().with("requestId", &raw_key(id));
        TranslatorStep::ToClient(messages::notification("notifications/cancelled", &params))
    };
    asked.open.keys().map(cancelled).collect()
}

fn refuse(id: &Id, code: i64, message: &str) -> Vec<TranslatorStep> {
    let data = json!({"kind": "no_counterpart", "executed": "no", "retryable": false});
    vec![TranslatorStep::to_client(messages::error(
        id.raw(),
        code,
        message,
        &data,
    ))]
}

fn raw_key(key: &IdKey) -> Box<RawValue> {
    RawValue::from_string(key.spelled()).unwrap_or_else(|_never| RawValue::NULL.to_owned())
}

fn raw_id(id: &Id) -> Box<RawValue> {
    RawValue::from_string(id.raw().to_owned()).unwrap_or_else(|_never| RawValue::NULL.to_owned())
}
