//! The order that messages of the handshake era keep.

use tokio::sync::watch;

use crate::{mcp::codec::message::Message, wait::Waiting};

/// Held by a message that others must not overtake; dropping it lets them pass.
#[derive(Debug)]
pub(in crate::mcp) struct Gate(
    #[expect(dead_code, reason = "works by being dropped")] watch::Sender<()>,
);

/// What a message has to wait for: another one, which may itself wait for something.
#[derive(Debug, Clone)]
pub(in crate::mcp) struct OrderTurn(watch::Receiver<()>, Waiting);

/// `waiting` is that of the message that holds the gate.
pub(in crate::mcp) fn gate(waiting: Waiting) -> (Gate, OrderTurn) {
    let (sender, receiver) = watch::channel(());
    (Gate(sender), OrderTurn(receiver, waiting))
}

impl OrderTurn {
    pub(in crate::mcp) async fn passed(mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// The same; what the other one waits for, `waiting` says too.
    pub(in crate::mcp) async fn passed_telling(self, waiting: &Waiting) {
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
pub(in crate::mcp) struct Order {
    opening: Option<OrderTurn>,
    notified: Option<OrderTurn>,
}

/// A message's place in the order.
#[derive(Debug, Default)]
pub(in crate::mcp) struct QueuePlace {
    pub(in crate::mcp) after: Vec<OrderTurn>,
    pub(in crate::mcp) holds: Option<Gate>,
}

impl Order {
    pub(in crate::mcp) fn place(&mut self, message: &Message, waiting: &Waiting) -> QueuePlace {
        let opens = message.opens_session();
        let initialized = message.is_notification("notifications/initialized");
        let notifies = message.call().is_some() && message.awaited().is_empty();
        let mut after: Vec<OrderTurn> = self.opening.iter().cloned().collect();
        if notifies {
            after.extend(self.notified.take());
        }
        if !(opens || notifies) {
            return QueuePlace { after, holds: None };
        }
        let (gate, turn) = gate(waiting.clone());
        if opens || initialized {
            self.opening = Some(turn.clone());
        }
        if notifies {
            self.notified = Some(turn);
        }
        QueuePlace {
            after,
            holds: Some(gate),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn placed(order: &mut Order, text: &str) -> QueuePlace {
        order.place(&message(text), &Waiting::default())
    }

    async fn may_go(place: &QueuePlace) -> bool {
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
}
