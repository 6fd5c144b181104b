//! The requests that have no answer yet, and what ends them early.

use std::{collections::BTreeMap, future::pending, time::Duration};

use tokio::{sync::watch, time::sleep};

use crate::{
    mcp::codec::{
        era::Era,
        message::{Id, IdKey, Message},
    },
    wait::Waiting,
};

/// A message that is under way.
#[derive(Clone)]
pub(in crate::mcp) struct Ticket {
    number: u64,
    key: Option<IdKey>,
    /// Whether it waits for a person: then the server has not heard of it.
    pub(in crate::mcp) waiting: Waiting,
    given_up: watch::Receiver<Option<Duration>>,
}

impl Ticket {
    pub(in crate::mcp) fn is_given_up(&self) -> bool {
        self.given_up.borrow().is_some()
    }

    /// Resolves when the message is to be given up, and never when nobody is left to say so.
    pub(in crate::mcp) async fn given_up(&mut self) -> Duration {
        let told = self.given_up.wait_for(Option::is_some).await;
        match told.ok().and_then(|grace| *grace) {
            Some(grace) => grace,
            None => pending().await,
        }
    }

    /// The same, and lets the time pass that the message still has; the end of input may shorten it.
    pub(in crate::mcp) async fn given_up_late(&mut self) {
        loop {
            let grace = self.given_up().await;
            let elapsed = tokio::select! {
                () = sleep(grace) => true,
                Ok(()) = self.given_up.changed() => false,
            };
            if elapsed {
                return;
            }
        }
    }
}

/// A request that has no answer yet.
pub(in crate::mcp) struct InFlight {
    number: u64,
    /// Several of a batch.
    pub(in crate::mcp) ids: Vec<Id>,
    era: Era,
    /// Not worth waiting for when the client leaves: a subscription never ends by itself, and of a
    /// cancelled call nobody wants to know.
    pub(in crate::mcp) expendable: bool,
    pub(in crate::mcp) waiting: Waiting,
    give_up: watch::Sender<Option<Duration>>,
}

impl InFlight {
    /// Gives up after this time.
    pub(in crate::mcp) fn give_up(&self, grace: Duration) {
        // An error means that it was done already.
        let _ = self.give_up.send(Some(grace));
    }
}

/// The requests by the first of their ids.
#[derive(Default)]
pub(in crate::mcp) struct InFlightRequests {
    by_id: BTreeMap<IdKey, InFlight>,
    number: u64,
}

impl InFlightRequests {
    pub(in crate::mcp) fn begin(&mut self, message: &Message, era: Era) -> Ticket {
        self.number += 1;
        let (give_up, given_up) = watch::channel(None);
        let ids = message.awaited();
        let ticket = Ticket {
            number: self.number,
            key: ids.first().map(|id| id.key().clone()),
            waiting: Waiting::default(),
            given_up,
        };
        if let Some(key) = ticket.key.clone() {
            let request = InFlight {
                number: self.number,
                ids,
                era,
                expendable: message.is_request("subscriptions/listen"),
                waiting: ticket.waiting.clone(),
                give_up,
            };
            self.by_id.insert(key, request);
        }
        ticket
    }

    /// Cancels the request with this id, if it is under way; true: the server has to hear of it as well.
    pub(in crate::mcp) fn cancel(&mut self, key: &IdKey, grace: Duration) -> Option<bool> {
        let request = self.by_id.get_mut(key)?;
        let (grace, forward) = if request.waiting.is_held() {
            (Duration::ZERO, false)
        } else {
            on_cancel(request.era, grace)
        };
        request.expendable = true;
        request.give_up(grace);
        Some(forward)
    }

    /// The message is through. Another one may have its id by now.
    pub(in crate::mcp) fn end(&mut self, ticket: &Ticket) {
        let Some(key) = &ticket.key else { return };
        let is_it = |request: &InFlight| request.number == ticket.number;
        if self.by_id.get(key).is_some_and(is_it) {
            self.by_id.remove(key);
        }
    }

    /// All of them; what is left of them is not reachable any more.
    pub(in crate::mcp) fn take(&mut self) -> BTreeMap<IdKey, InFlight> {
        std::mem::take(&mut self.by_id)
    }
}

/// 2026-07-28, basic/patterns/cancellation: closing the stream is the signal, at once, and the server
/// hears nothing else. 2025-11-25: the notification is the signal, a disconnect is none.
fn on_cancel(era: Era, grace: Duration) -> (Duration, bool) {
    match era {
        Era::Stateless => (Duration::ZERO, false),
        Era::Handshake => (grace, true),
    }
}
