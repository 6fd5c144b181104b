//! The handshake era's standing GET stream, on which a server speaks unasked (2025-11-25,
//! basic/transports, "Listening for Messages from the Server").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::answer::{Shape, shape};
use super::carrier::Carrier;
use super::exchange::may_pass;
use super::message::FromServer;
use super::session::Session;
use super::stream::{EventStream, message_of};
use super::upstream::{ResponseBody, UpstreamError};

/// While authority is missing, nothing is gained by asking more often.
const WITHOUT_AUTHORITY: Duration = Duration::from_mins(1);

/// Keeps the stream open for as long as the client is there, through every session it gets. Ends where
/// the server offers none.
pub(super) async fn listen(carrier: Arc<Carrier>) {
    let mut sessions = carrier.sessions.watch();
    loop {
        let session = sessions.borrow_and_update().clone();
        tokio::select! {
            () = follow(&carrier, &session) => return,
            changed = sessions.changed() => if changed.is_err() { return },
        }
    }
}

/// Follows one session's stream until there is nothing more to follow.
async fn follow(carrier: &Arc<Carrier>, session: &Session) {
    let mut stream = EventStream::new(carrier.options.max_message);
    loop {
        let last_id = stream.last_id();
        let wait = match next(session, carrier.get(session, last_id.as_deref()).await) {
            Next::Read(body) => {
                stream.attach(body);
                pump(carrier, &mut stream).await;
                stream.pause()
            }
            Next::Wait(at_least) => {
                stream.fruitless = stream.fruitless.saturating_add(1);
                stream.pause().max(at_least)
            }
            // On success a new session is published, which ends this future.
            Next::Renew => match carrier.renew(session.generation).await {
                Ok(()) => WITHOUT_AUTHORITY,
                Err(failure) => {
                    return tracing::warn!(%failure, "no longer listening to the server");
                }
            },
            Next::Stop => return,
        };
        tokio::time::sleep(wait).await;
    }
}

enum Next {
    Read(ResponseBody),
    Wait(Duration),
    Renew,
    Stop,
}

fn next(session: &Session, result: Result<Response<ResponseBody>, UpstreamError>) -> Next {
    match result {
        Ok(response) if shape(&response) == Shape::Events => Next::Read(response.into_body()),
        Ok(response) if may_pass(response.status()) => Next::Wait(Duration::ZERO),
        Ok(response) if response.status() == StatusCode::NOT_FOUND && session.id.is_some() => {
            Next::Renew
        }
        Ok(_) | Err(UpstreamError::Rejected { .. } | UpstreamError::Permission { .. }) => {
            Next::Stop
        }
        Err(UpstreamError::Authority { .. }) => Next::Wait(WITHOUT_AUTHORITY),
        Err(UpstreamError::Unavailable { .. } | UpstreamError::Interrupted { .. }) => {
            Next::Wait(Duration::ZERO)
        }
    }
}

async fn pump(carrier: &Carrier, stream: &mut EventStream) {
    loop {
        match stream.next().await {
            Ok(Some(events)) => {
                for message in events.into_iter().filter_map(message_of) {
                    pass(carrier, message).await;
                }
            }
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "dropped what the server sent unasked"),
        }
    }
}

/// Only JSON goes to the client: a line that is none would break its protocol.
async fn pass(carrier: &Carrier, message: Bytes) {
    let text = std::str::from_utf8(&message).ok();
    if text.and_then(FromServer::parse).is_some() {
        carrier.tell(None, message).await;
    } else {
        tracing::warn!(
            bytes = message.len(),
            "dropped an event that is not a JSON-RPC message"
        );
    }
}
