//! The interpreters alone: what goes in, what comes out.

mod new_client;
mod old_client;

use serde_json::{Value, json};

use super::messages::Hello;
use super::step::TranslatorStep;
use super::to_handshake::ToHandshake;
use super::to_stateless::ToStateless;
use super::translator::Translator;
use crate::mcp::codec::json_object::Object;
use crate::mcp::codec::message::{Id, Message};

fn message(value: &Value) -> Message {
    Message::parse(value.to_string().into()).unwrap()
}

fn object(value: &Value) -> Object {
    Object::parse(&value.to_string()).unwrap()
}

struct Between(Translator);

/// What was to be said, in order: `("client", …)`, `("server", …)` or `("later", …)`.
type BridgeCommand = Vec<(&'static str, Value)>;

impl Between {
    /// A handshake client with all capabilities before a stateless server.
    fn old_client(capabilities: &Value) -> Self {
        let hello = Hello::of(&message(
            &json!({"id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "clientInfo": {"name": "old", "version": "1"},
                "capabilities": {"elicitation": {}, "sampling": {}, "roots": {"listChanged": true}}
            }}),
        ));
        let discovered = object(&json!({"capabilities": capabilities}));
        Self(Translator::ToStateless(ToStateless::new(
            hello,
            &discovered,
        )))
    }

    /// A stateless client before a handshake server.
    fn new_client(capabilities: &Value) -> Self {
        let welcome =
            json!({"capabilities": capabilities, "serverInfo": {"name": "s", "version": "1"}});
        Self(Translator::ToHandshake(ToHandshake::new(&object(&welcome))))
    }

    fn client(&mut self, value: &Value) -> BridgeCommand {
        match self.0.hear_client(message(value)) {
            Ok(steps) => said(steps),
            Err(_) => vec![("itself", Value::Null)],
        }
    }

    fn server(&mut self, value: &Value) -> BridgeCommand {
        said(self.0.hear_server(None, value.to_string().into()))
    }

    fn about(&mut self, id: &Value, value: &Value) -> BridgeCommand {
        let id = Id::parse(&serde_json::value::to_raw_value(id).unwrap());
        said(self.0.hear_server(Some(id.key()), value.to_string().into()))
    }
}

fn said(steps: Vec<TranslatorStep>) -> BridgeCommand {
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let one = |step| match step {
        TranslatorStep::ToClient(bytes) => ("client", value(&bytes)),
        TranslatorStep::ToServer(message) => ("server", value(&message.body)),
        TranslatorStep::Later(_, message) => ("later", value(&message.body)),
    };
    steps.into_iter().map(one).collect()
}

/// The one thing said.
fn only(said: BridgeCommand, to: &str) -> Value {
    let mut said = said;
    assert_eq!(said.len(), 1, "{said:?}");
    let (to_whom, what) = said.remove(0);
    assert_eq!(to_whom, to, "{what}");
    what
}
