//! The handshake era's standing GET stream, on which a server speaks unasked (2025-11-25,
//! basic/transports, "Listening for Messages from the Server").
//!
//! It is asked for as soon as there is a session, and whatever follows, `notifications/initialized` first, waits for the
//! headers of its answer, 405 too ([`BridgeOptions::hearing`](crate::mcp::BridgeOptions) at most): many servers have no other place for a
//! question of theirs, and drop one that comes before the stream. A server that wants to be initialized before it is listened
//! to is asked again then.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use tokio::time::sleep;

use super::{link::Link, session_control::renew};
use crate::{
    body::ResponseBody,
    error::CallErrorKind,
    mcp::{
        answer::{Shape, may_pass, shape},
        codec::message::FromServer,
        event_stream::{EventStream, message_of},
        session::{order::Gate, sessions::Session},
        upstream::UpstreamResponse,
    },
    wait::Waiting,
};

/// While authority is missing, nothing is gained by asking more often.
const WITHOUT_AUTHORITY: Duration = Duration::from_mins(1);

/// Keeps the stream open for as long as the client is there, through every session it gets. Ends where
/// the server offers none.
pub(in crate::mcp) async fn listen(link: Link) {
    let server = &link.server;
    let mut sessions = server.sessions.watch();
    let renewed = AtomicBool::new(false);
    loop {
        let session = sessions.borrow_and_update().clone();
        tokio::select! {
            biased;
            // The message that opened it found this listener running, and starts no other.
            changed = sessions.changed() => if changed.is_err() { return },
            () = follow(&link, session, &renewed) => {
                server.late_answers.has_stream(false);
                return server.sessions.deaf();
            }
        }
    }
}

/// Follows one session's stream until there is nothing more to follow.
/// A session that was `renewed` for it, and is refused again at once, is not renewed again.
async fn follow(link: &Link, mut session: Session, renewed: &AtomicBool) {
    session.may_be_forgotten = !renewed.load(Ordering::Relaxed);
    let (session, server) = (&session, &link.server);
    let mut stream = EventStream::new(server.options.max_message);
    let mut gate = server.sessions.listening();
    loop {
        let last_id = stream.last_id();
        let complete = server.sessions.is_complete(session);
        let waiting = Waiting::default();
        let asked = server.get(session, last_id.as_deref(), &waiting);
        let answered = holding(gate.take(), server.options.hearing, asked).await;
        let wait = match next(session, answered) {
            StreamOutcome::Refused | StreamOutcome::Renew if !complete => {
                server.sessions.completed(session).await;
                continue;
            }
            StreamOutcome::Read(body) => {
                renewed.store(false, Ordering::Relaxed);
                server.late_answers.has_stream(true);
                stream.attach(body);
                pump(link, &mut stream).await;
                stream.pause()
            }
            StreamOutcome::Wait(at_least) => {
                stream.fruitless = stream.fruitless.saturating_add(1);
                stream.pause().max(at_least)
            }
            // On success a new session is published, which ends this future.
            StreamOutcome::Renew if renewed.swap(true, Ordering::Relaxed) => WITHOUT_AUTHORITY,
            StreamOutcome::Renew => match renew(link, session.generation).await {
                Ok(()) => WITHOUT_AUTHORITY,
                Err(failure) => {
                    return tracing::warn!(%failure, "no longer listening to the server");
                }
            },
            StreamOutcome::NoStream | StreamOutcome::Refused => return,
        };
        sleep(wait).await;
    }
}

/// Others wait for this answer, for a while.
async fn holding<T>(gate: Option<Gate>, limit: Duration, answer: impl Future<Output = T>) -> T {
    let Some(gate) = gate else {
        return answer.await;
    };
    tokio::pin!(answer);
    tokio::select! {
        answered = &mut answer => return answered,
        () = sleep(limit) => drop(gate),
    }
    answer.await
}

enum StreamOutcome {
    Read(ResponseBody),
    Wait(Duration),
    Renew,
    /// Not in this way, or not yet.
    Refused,
    NoStream,
}

fn next(session: &Session, result: UpstreamResponse) -> StreamOutcome {
    match result {
        Ok(response) if shape(&response) == Shape::Events => {
            StreamOutcome::Read(response.into_body())
        }
        Ok(response) if may_pass(response.status()) => StreamOutcome::Wait(Duration::ZERO),
        Ok(response) if is_forgotten(session, response.status()) => StreamOutcome::Renew,
        Ok(response) if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            StreamOutcome::NoStream
        }
        Ok(_) => StreamOutcome::Refused,
        Err(error) => match error.kind {
            CallErrorKind::AuthorizationMissing | CallErrorKind::NoSuchConnection => {
                StreamOutcome::Wait(WITHOUT_AUTHORITY)
            }
            CallErrorKind::ProviderUnavailable
            | CallErrorKind::ServerUnreachable
            | CallErrorKind::Interrupted => StreamOutcome::Wait(Duration::ZERO),
            _ => StreamOutcome::Refused,
        },
    }
}

fn is_forgotten(session: &Session, status: StatusCode) -> bool {
    let refused = status == StatusCode::UNAUTHORIZED && session.may_be_forgotten;
    session.id.is_some() && (refused || status == StatusCode::NOT_FOUND)
}

async fn pump(link: &Link, stream: &mut EventStream) {
    loop {
        match stream.next().await {
            Ok(Some(events)) => {
                for message in events.into_iter().filter_map(message_of) {
                    pass(link, message).await;
                }
            }
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "dropped what the server sent unasked"),
        }
    }
}

/// Only JSON goes to the client: a line that is none would break its protocol.
async fn pass(link: &Link, message: Bytes) {
    if let Some(seen) = FromServer::parse(&message) {
        link.client.pass_on(None, message, &seen.answers).await;
        link.server.late_answers.came(&seen.answers);
    } else {
        tracing::warn!(
            bytes = message.len(),
            "dropped an event that is not a JSON-RPC message"
        );
    }
}
