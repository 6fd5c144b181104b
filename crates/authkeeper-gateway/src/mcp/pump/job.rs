//! One message, from waiting for its turn to its end.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    exchange::{ExchangePurpose, MessageExchange},
    in_flight::Ticket,
    link::Link,
    negotiate::{NegotiationResult, negotiate},
    outcome::Undecided,
    session_control,
    wait_progress::telling,
};
use crate::{
    mcp::{
        codec::message::Message,
        session::order::{OrderTurn, QueuePlace},
    },
    wait::Waiting,
};

/// What follows from a message that a task has carried as far as it goes alone.
pub(super) enum JobEnd {
    Over,
    /// A translator stands between by now: the message has to go through it.
    Again(Box<Message>),
    /// The message waits until it is known which era the server speaks.
    Undecided(Box<Undecided>),
    /// That is found out, unless the message was given up meanwhile.
    Negotiated(Box<Undecided>, Option<Box<NegotiationResult>>),
}

/// Carries a message of the client's. `is_foreseen`: an earlier process found that the server does not speak its era.
pub(super) async fn carry(
    link: Link,
    message: Message,
    (place, is_foreseen): (QueuePlace, bool),
    mut ticket: Ticket,
) -> JobEnd {
    let waiting = ticket.waiting.clone();
    let asks = !message.awaited().is_empty();
    let turn = its_turn(&link, place.after, asks, &waiting);
    let _permit = tokio::select! {
        permit = telling(&link.client, &message, &waiting, turn) => permit,
        _ = ticket.given_up() => return JobEnd::Over,
    };
    if link.is_outdated() {
        return JobEnd::Again(Box::new(message));
    }
    if is_foreseen {
        return JobEnd::Undecided(Box::new(Undecided {
            message,
            refusal: None,
            gate: place.holds,
        }));
    }
    let held = (place.holds, waiting);
    let exchange = MessageExchange::new(&link, message, ExchangePurpose::Client, held);
    tokio::select! {
        undecided = session_control::run(&link, exchange) => {
            undecided.map_or(JobEnd::Over, JobEnd::Undecided)
        }
        () = ticket.given_up_late() => JobEnd::Over,
    }
}

/// Finds out for the sake of this message which era the server speaks.
pub(super) async fn settle(link: Link, undecided: Box<Undecided>, mut ticket: Ticket) -> JobEnd {
    let waiting = ticket.waiting.clone();
    let found = tokio::select! {
        found = negotiate(&link, &undecided, &waiting) => Some(Box::new(found)),
        () = ticket.given_up_late() => None,
    };
    JobEnd::Negotiated(undecided, found)
}

/// Waits for what must come first, for a person too, if that waits for one; then, for a request, for a free place.
async fn its_turn(
    link: &Link,
    after: Vec<OrderTurn>,
    needs_permit: bool,
    waiting: &Waiting,
) -> Option<OwnedSemaphorePermit> {
    for turn in after {
        turn.passed_telling(waiting).await;
    }
    if !needs_permit {
        return None;
    }
    Arc::clone(&link.server.permits).acquire_owned().await.ok()
}
