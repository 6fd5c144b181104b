//! Opens and renews sessions, lists tools, and runs the exchanges that need either.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    exchange::{ExchangeOutcome, ExchangePurpose, MessageExchange},
    link::ClientLink,
    outcome::{Finished, OwnAnswer},
};
use crate::{
    error::CallError,
    mcp::{
        codec::{
            json_object::Object,
            message::{Kind, Message, MethodCall},
        },
        response_body::read_refusal,
        session::sessions::Session,
        version::messages,
    },
    wait::Waiting,
};

/// As many pages of tools are read at most.
const PAGES: usize = 50;

/// Runs the exchange of a client's message to its end. A session that the server forgot is opened again, and tools are
/// listed, when the exchange asks for it.
pub(super) async fn run(link: &Arc<ClientLink>, exchange: MessageExchange) -> Finished {
    let mut outcome = exchange.run().await;
    loop {
        outcome = match outcome {
            ExchangeOutcome::Finished(finished) => return finished,
            ExchangeOutcome::NeedsTools(exchange) => {
                list_missing_tools(link, exchange.message()).await;
                exchange.run().await
            }
            ExchangeOutcome::NeedsNewTools(exchange) => {
                list_tools(link, exchange.message(), true).await;
                exchange.run().await
            }
            ExchangeOutcome::NeedsSession {
                exchange,
                forgotten,
            } => match renew(link, forgotten).await {
                Ok(()) => exchange.run().await,
                Err(failure) => return exchange.finish(Err(failure)).await,
            },
        };
    }
}

/// Opens a new session in place of the one with generation `forgotten`, without the client
/// noticing (2025-11-25, basic/transports, "Session Management" 4). One does it for all.
pub(in crate::mcp) async fn renew(link: &Arc<ClientLink>, forgotten: u64) -> Result<(), CallError> {
    let _turn = link.sessions.renewing.lock().await;
    if link.sessions.current().generation != forgotten {
        return Ok(());
    }
    let handshake = link.sessions.handshake();
    let Some(initialize) = handshake.initialize else {
        return Err(CallError::broken_off());
    };
    tracing::info!("the server forgot the session; initializing again");
    let initialized = handshake.initialized;
    open(link, initialize, initialized, &Waiting::default()).await?;
    for wish in handshake.wishes {
        if let Err(failure) = ask(link, wish).await {
            tracing::warn!(%failure, "a wish of the client is not known in the new session");
        }
    }
    Ok(())
}

/// Opens a session; the client hears nothing of it. Returns the server's answer. `waiting` is that of the message on
/// whose behalf it is opened.
pub(in crate::mcp) async fn open(
    link: &Arc<ClientLink>,
    initialize: Message,
    initialized: Option<Message>,
    waiting: &Waiting,
) -> Result<Bytes, CallError> {
    let answer = ask_for(link, initialize, waiting).await?;
    let opened = answer
        .opened
        .ok_or_else(|| CallError::unusable_answer(answer.status, None))?;
    let session = Session {
        id: opened.id,
        version: opened.version,
        ..Session::default()
    };
    let initialized = initialized.unwrap_or_else(initialized_notification);
    let response = link.post(&initialized, &session).await?;
    if !response.status().is_success() {
        return Err(read_refusal(response).await);
    }
    link.sessions.open(session.id, session.version);
    link.sessions.complete();
    Ok(answer.message)
}

/// Asks the server something of the bridge's own.
async fn ask(link: &Arc<ClientLink>, request: Message) -> Result<OwnAnswer, CallError> {
    ask_for(link, request, &Waiting::default()).await
}

/// The same for the sake of a message, which waits when this waits for a person.
pub(in crate::mcp) async fn ask_for(
    link: &Arc<ClientLink>,
    request: Message,
    waiting: &Waiting,
) -> Result<OwnAnswer, CallError> {
    let exchange = MessageExchange::new(link, request, ExchangePurpose::Own);
    exchange.telling(waiting.clone()).ask().await
}

/// Reads the list of tools on behalf of `call`, `all` of it or up to the tool that is called.
/// Whatever goes wrong is told by the call itself.
async fn list_tools(link: &Arc<ClientLink>, call: &Message, all: bool) {
    let mut params = Object::default().with("_meta", &messages::own_meta(call));
    for _ in 0..PAGES {
        let request = messages::request(&link.own_id(), "tools/list", &params);
        let answer = match request {
            Some(request) => ask(link, request).await,
            None => return,
        };
        let next = match answer {
            Ok(answer) => {
                messages::result_of(&answer.message).and_then(|page| page.text("nextCursor"))
            }
            Err(failure) => return tracing::debug!(%failure, "the tools are not known"),
        };
        match next {
            Some(cursor) if all || link.tools.lacks(call) => params.set("cursor", &cursor),
            _ => return,
        }
    }
}

/// One message lists the tools for all that wait for them.
async fn list_missing_tools(link: &Arc<ClientLink>, call: &Message) {
    let _turn = link.tools.fetching.lock().await;
    if link.tools.lacks(call) {
        list_tools(link, call, false).await;
    }
}

/// What a client says once its session is open, should it not have come to that.
fn initialized_notification() -> Message {
    let method = "notifications/initialized".to_owned();
    let call = MethodCall {
        method,
        ..MethodCall::default()
    };
    let body = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    Message {
        body,
        kind: Kind::Notification(call),
    }
}
