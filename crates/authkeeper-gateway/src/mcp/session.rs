//! What the handshake era makes the bridge remember, and the order its messages keep.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::timeout;

use super::message::{Call, Message};
use crate::wait::Waiting;

/// The session as the server named it. Stateless servers give no id, then only the version counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub(super) id: Option<HeaderValue>,
    pub(super) version: Option<HeaderValue>,
    /// Grows with every `initialize` that succeeded: tells a forgotten session from its successor.
    pub(super) generation: u64,
    /// Passes once it is known whether the server can be heard.
    pub(super) heard: Option<Turn>,
}

impl Session {
    /// Waits until the server can be heard, or has said that it has no stream, but no longer than this: what it asks
    /// before that, while it serves a call, would be lost.
    pub(super) async fn heard(&self, limit: Duration) {
        if let Some(turn) = &self.heard {
            // Whoever listens lets the others pass in time; nobody may be there any more.
            let _ = timeout(limit, turn.clone().passed()).await;
        }
    }
}

/// What the client said to open its session, to say it again when the server forgot.
#[derive(Debug, Clone, Default)]
pub(super) struct Handshake {
    pub(super) initialize: Option<Message>,
    pub(super) initialized: Option<Message>,
    /// What the server keeps for the session: the log level, and what is subscribed to.
    pub(super) wishes: Vec<Message>,
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
fn wish_about(call: &Call) -> Option<&str> {
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
pub(super) struct Sessions {
    current: watch::Sender<Session>,
    handshake: Mutex<Handshake>,
    /// The generation in which the server has taken `notifications/initialized`.
    complete: watch::Sender<u64>,
    ears: Mutex<Ears>,
    /// Held while one message re-initializes; the others wait and find a newer generation.
    pub(super) renewing: tokio::sync::Mutex<()>,
}

/// Between the opening of a session and the server's word on listening to it.
#[derive(Debug, Default)]
struct Ears {
    /// There is nothing to listen to.
    closed: bool,
    /// For whoever listens to the current session.
    gate: Option<Gate>,
}

impl Sessions {
    pub(super) fn current(&self) -> Session {
        self.current.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Session> {
        self.current.subscribe()
    }

    /// The client's own, which is to be listened to.
    pub(super) fn begin(&self, id: Option<HeaderValue>, version: Option<HeaderValue>) {
        self.ears().closed = false;
        self.open(id, version);
    }

    pub(super) fn open(&self, id: Option<HeaderValue>, version: Option<HeaderValue>) {
        let heard = self.ears().next();
        self.current.send_modify(|session| {
            *session = Session {
                id,
                version,
                generation: session.generation + 1,
                heard,
            };
        });
    }

    /// The server has taken the handshake's last word.
    pub(super) fn complete(&self) {
        let generation = self.current.borrow().generation;
        self.complete.send_replace(generation);
    }

    pub(super) fn is_complete(&self, session: &Session) -> bool {
        *self.complete.borrow() >= session.generation
    }

    pub(super) async fn completed(&self, session: &Session) {
        let mut complete = self.complete.subscribe();
        let so = complete.wait_for(|generation| *generation >= session.generation);
        // An error means that nobody is left to complete it.
        let _ = so.await;
    }

    /// Held by the listener of the current session, until the server has said whether it offers a stream.
    pub(super) fn listening(&self) -> Option<Gate> {
        self.ears().gate.take()
    }

    /// The server has no stream: nobody waits for it any more.
    pub(super) fn deaf(&self) {
        *self.ears() = Ears {
            closed: true,
            gate: None,
        };
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the messages of the handshake as they pass by.
    pub(super) fn remember(&self, message: &Message) {
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

    pub(super) fn handshake(&self) -> Handshake {
        self.lock().clone()
    }

    /// The handshake came to nothing: the server knows none.
    pub(super) fn forget(&self) {
        *self.lock() = Handshake::default();
    }

    pub(super) fn after_handshake(&self) -> bool {
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
    fn next(&mut self) -> Option<Turn> {
        if self.closed {
            return None;
        }
        let (gate, turn) = gate(Waiting::default());
        self.gate = Some(gate);
        Some(turn)
    }
}

/// Held by a message that others must not overtake; dropping it lets them pass.
#[derive(Debug)]
pub(super) struct Gate(#[expect(dead_code, reason = "works by being dropped")] watch::Sender<()>);

/// What a message has to wait for: another one, which may itself wait for something.
#[derive(Debug, Clone)]
pub(super) struct Turn(watch::Receiver<()>, Waiting);

/// `waiting` is that of the message that holds the gate.
pub(super) fn gate(waiting: Waiting) -> (Gate, Turn) {
    let (sender, receiver) = watch::channel(());
    (Gate(sender), Turn(receiver, waiting))
}

impl Turn {
    pub(super) async fn passed(mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// The same; what the other one waits for, `waiting` says too.
    pub(super) async fn passed_telling(self, waiting: &Waiting) {
        let before = self.1.clone();
        tokio::select! {
            () = self.passed() => {}
            never = waiting.follow(&before) => match never {},
        }
    }
}

/// Who waits for whom in the handshake era. HTTP requests overtake each other; these must not:
/// `initialize` is answered before anything else is sent, `notifications/initialized` is accepted
/// before later messages, and notifications arrive in the order they were written (progress).
/// Requests do not wait for requests, and nothing waits in the stateless era.
#[derive(Debug, Default)]
pub(super) struct Order {
    opening: Option<Turn>,
    notified: Option<Turn>,
}

/// A message's place in the order.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) after: Vec<Turn>,
    pub(super) holds: Option<Gate>,
}

impl Order {
    pub(super) fn place(&mut self, message: &Message, waiting: &Waiting) -> Place {
        let opens = message.opens_session();
        let initialized = message.is_notification("notifications/initialized");
        let notifies = message.call().is_some() && message.awaited().is_empty();
        let mut after: Vec<Turn> = self.opening.iter().cloned().collect();
        if notifies {
            after.extend(self.notified.take());
        }
        if !(opens || notifies) {
            return Place { after, holds: None };
        }
        let (gate, turn) = gate(waiting.clone());
        if opens || initialized {
            self.opening = Some(turn.clone());
        }
        if notifies {
            self.notified = Some(turn);
        }
        Place {
            after,
            holds: Some(gate),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn placed(order: &mut Order, text: &str) -> Place {
        order.place(&message(text), &Waiting::default())
    }

    async fn may_go(place: &Place) -> bool {
        for turn in place.after.clone() {
            let wait = timeout(Duration::from_millis(1), turn.passed());
            if wait.await.is_err() {
                return false;
            }
        }
        true
    }

    #[tokio::test(start_paused = true)]
    async fn everything_waits_for_the_handshake_and_requests_for_nothing_else() {
        let mut order = Order::default();
        let initialize = placed(&mut order, r#"{"id":1,"method":"initialize"}"#);
        let initialized = placed(&mut order, r#"{"method":"notifications/initialized"}"#);
        let list = placed(&mut order, r#"{"id":2,"method":"tools/list"}"#);
        assert!(may_go(&initialize).await);
        assert!(!may_go(&initialized).await);
        drop(initialize);
        assert!(may_go(&initialized).await);
        assert!(!may_go(&list).await);
        drop(initialized);
        assert!(may_go(&list).await);
        let call = placed(&mut order, r#"{"id":3,"method":"tools/call"}"#);
        assert!(may_go(&call).await);
    }

    #[tokio::test(start_paused = true)]
    async fn notifications_keep_their_order_without_holding_up_requests() {
        let mut order = Order::default();
        let first = placed(&mut order, r#"{"method":"notifications/progress"}"#);
        let second = placed(&mut order, r#"{"method":"notifications/progress"}"#);
        let third = placed(&mut order, r#"{"method":"notifications/cancelled"}"#);
        let request = placed(&mut order, r#"{"id":1,"method":"x"}"#);
        let response = placed(&mut order, r#"{"id":1,"result":{}}"#);
        assert!(may_go(&first).await && may_go(&request).await && may_go(&response).await);
        assert!(!may_go(&second).await);
        drop(first);
        assert!(may_go(&second).await && !may_go(&third).await);
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
