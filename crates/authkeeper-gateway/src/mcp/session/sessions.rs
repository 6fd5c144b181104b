//! What the bridge remembers of the sessions of the handshake era.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::timeout;

use super::order::{Gate, OrderTurn, gate};
use crate::{
    mcp::codec::message::{Message, MethodCall},
    wait::Waiting,
};

/// The session as the server named it. Stateless servers give no id, then only the version counts.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct Session {
    pub(in crate::mcp) id: Option<HeaderValue>,
    pub(in crate::mcp) version: Option<HeaderValue>,
    /// The server may have forgotten it: a 401 may be about that, and is no verdict on the token.
    pub(in crate::mcp) may_be_forgotten: bool,
    /// Grows with every `initialize` that succeeded: tells a forgotten session from its successor.
    pub(in crate::mcp) generation: u64,
    /// Passes once it is known whether the server can be heard.
    pub(in crate::mcp) heard: Option<OrderTurn>,
}

/// What an `initialize` brought.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct OpenedSession {
    pub(in crate::mcp) id: Option<HeaderValue>,
    pub(in crate::mcp) version: Option<HeaderValue>,
}

impl From<&OpenedSession> for Session {
    fn from(opened: &OpenedSession) -> Self {
        Self {
            id: opened.id.clone(),
            version: opened.version.clone(),
            ..Self::default()
        }
    }
}

impl Session {
    /// Waits until the server can be heard, or has said that it has no stream, but no longer than this: what it asks
    /// before that, while it serves a call, would be lost.
    pub(in crate::mcp) async fn heard(&self, limit: Duration) {
        if let Some(turn) = &self.heard {
            // The listener lets the others pass in time; there may be none any more.
            let _ = timeout(limit, turn.clone().passed()).await;
        }
    }
}

/// What the client said to open its session, to say it again when the server forgot.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct Handshake {
    pub(in crate::mcp) initialize: Option<Message>,
    pub(in crate::mcp) initialized: Option<Message>,
    /// What the server keeps for the session: the log level, and what is subscribed to.
    pub(in crate::mcp) wishes: Vec<Message>,
}

impl Handshake {
    fn wish(&mut self, message: &Message) {
        let about = message.call().and_then(wish_about);
        let Some(about) = about else { return };
        self.wishes
            .retain(|wish| wish.call().and_then(wish_about) != Some(about));
        if !message.is_request("resources/unsubscribe") {
            self.wishes.push(message.clone());
        }
    }
}

/// What a wish is about: a later one about the same takes its place.
fn wish_about(call: &MethodCall) -> Option<&str> {
    match call.method.as_str() {
        _ if call.version.is_some() => None,
        "logging/setLevel" => Some(""),
        "resources/subscribe" | "resources/unsubscribe" => {
            call.fingerprint.split_once('\n').map(|(_, params)| params)
        }
        _ => None,
    }
}

#[derive(Debug, Default)]
pub(in crate::mcp) struct Sessions {
    current: watch::Sender<Session>,
    handshake: Mutex<Handshake>,
    /// The generation in which the server has taken `notifications/initialized`.
    complete: watch::Sender<u64>,
    ears: Mutex<Ears>,
    /// Held while one message re-initializes; the others wait and find a newer generation.
    pub(in crate::mcp) renewing: tokio::sync::Mutex<()>,
}

/// Between the opening of a session and the server's word on listening to it.
#[derive(Debug, Default)]
struct Ears {
    /// There is nothing to listen to.
    closed: bool,
    /// For the listener of the current session.
    gate: Option<Gate>,
}

impl Sessions {
    pub(in crate::mcp) fn current(&self) -> Session {
        self.current.borrow().clone()
    }

    pub(in crate::mcp) fn watch(&self) -> watch::Receiver<Session> {
        self.current.subscribe()
    }

    /// The client's own, which is to be listened to.
    pub(in crate::mcp) fn begin(&self, opened: &OpenedSession) {
        self.ears().closed = false;
        self.open(opened);
    }

    /// Whether the server may have something to listen to.
    pub(in crate::mcp) fn may_be_heard(&self) -> bool {
        !self.ears().closed
    }

    pub(in crate::mcp) fn open(&self, opened: &OpenedSession) {
        let heard = self.ears().next();
        self.current.send_modify(|session| {
            *session = Session {
                generation: session.generation + 1,
                heard,
                ..Session::from(opened)
            };
        });
    }

    /// The server has taken the handshake's last word.
    pub(in crate::mcp) fn complete(&self) {
        let generation = self.current.borrow().generation;
        self.complete.send_replace(generation);
    }

    pub(in crate::mcp) fn is_complete(&self, session: &Session) -> bool {
        *self.complete.borrow() >= session.generation
    }

    pub(in crate::mcp) async fn completed(&self, session: &Session) {
        let mut complete = self.complete.subscribe();
        let so = complete.wait_for(|generation| *generation >= session.generation);
        // An error means that nobody is left to complete it.
        let _ = so.await;
    }

    /// Held by the listener of the current session, until the server has said whether it offers a stream.
    pub(in crate::mcp) fn listening(&self) -> Option<Gate> {
        self.ears().gate.take()
    }

    /// The server has no stream: nobody waits for it any more.
    pub(in crate::mcp) fn deaf(&self) {
        *self.ears() = Ears {
            closed: true,
            gate: None,
        };
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the messages of the handshake as they pass by.
    pub(in crate::mcp) fn remember(&self, message: &Message) {
        if message.opens_session() {
            *self.lock() = Handshake {
                initialize: Some(message.clone()),
                ..Handshake::default()
            };
        } else if message.is_notification("notifications/initialized") {
            self.lock().initialized = Some(message.clone());
        } else {
            self.lock().wish(message);
        }
    }

    pub(in crate::mcp) fn handshake(&self) -> Handshake {
        self.lock().clone()
    }

    /// The handshake came to nothing: the server knows none.
    pub(in crate::mcp) fn forget(&self) {
        *self.lock() = Handshake::default();
    }

    pub(in crate::mcp) fn after_handshake(&self) -> bool {
        self.lock().initialize.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Handshake> {
        self.handshake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ears {
    /// What the messages of a new session wait for.
    fn next(&mut self) -> Option<OrderTurn> {
        if self.closed {
            return None;
        }
        let (gate, turn) = gate(Waiting::default());
        self.gate = Some(gate);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn wishes_are_kept_until_they_are_replaced() {
        let sessions = Sessions::default();
        for text in [
            r#"{"id":0,"method":"initialize"}"#,
            r#"{"id":1,"method":"logging/setLevel","params":{"level":"info"}}"#,
            r#"{"id":2,"method":"resources/subscribe","params":{"uri":"a:"}}"#,
            r#"{"id":3,"method":"resources/subscribe","params":{"uri":"b:"}}"#,
            r#"{"id":4,"method":"logging/setLevel","params":{"level":"error"}}"#,
            r#"{"id":5,"method":"resources/unsubscribe","params":{"uri":"a:"}}"#,
            r#"{"id":6,"method":"tools/call","params":{"name":"t"}}"#,
        ] {
            sessions.remember(&message(text));
        }
        let kept = sessions.handshake().wishes;
        let ids: Vec<_> = kept
            .iter()
            .map(|wish| wish.awaited().remove(0).raw().to_owned())
            .collect();
        assert_eq!(ids, ["3", "4"]);
        sessions.remember(&message(r#"{"id":7,"method":"initialize"}"#));
        assert!(sessions.handshake().wishes.is_empty());
    }

    #[test]
    fn a_new_handshake_replaces_the_old_one() {
        let sessions = Sessions::default();
        assert!(!sessions.after_handshake());
        sessions.remember(&message(r#"{"id":1,"method":"initialize"}"#));
        sessions.remember(&message(r#"{"method":"notifications/initialized"}"#));
        sessions.remember(&message(r#"{"id":2,"method":"initialize"}"#));
        let handshake = sessions.handshake();
        assert_eq!(handshake.initialize.unwrap().awaited().remove(0).raw(), "2");
        assert!(handshake.initialized.is_none());
    }
}
