//! Opens and renews sessions, lists tools, and runs the exchanges that need either.

use bytes::Bytes;

use super::{
    exchange::{ExchangePurpose, MessageExchange, Needs},
    link::Link,
    outcome::{OwnAnswer, Undecided},
};
use crate::{
    error::CallError,
    mcp::{
        codec::{
            json_object::Object,
            message::{Kind, Message, MethodCall},
        },
        response_body::read_refusal,
        session::sessions::{OpenedSession, Session},
        version::messages,
    },
    wait::Waiting,
};

/// As many pages of tools are read at most.
const PAGES: usize = 50;

/// Runs the exchange of a client's message to its end, and gets what it needs on the way: a new session in the place of one
/// that the server forgot, a list of tools.
pub(super) async fn run(link: &Link, mut exchange: MessageExchange) -> Option<Box<Undecided>> {
    loop {
        match exchange.advance().await {
            Ok(Needs::Tools) => list_missing_tools(link, exchange.message()).await,
            Ok(Needs::NewTools) => list_tools(link, exchange.message(), true).await,
            Ok(Needs::Session { forgotten }) => match renew(link, forgotten).await {
                Ok(()) => {}
                Err(failure) => return exchange.finish(Err(failure)).await,
            },
            Ok(Needs::Nothing) => return exchange.finish(Ok(())).await,
            Err(failure) => return exchange.finish(Err(failure)).await,
        }
    }
}

/// Opens a new session in place of the one with generation `forgotten`, without the client
/// noticing (2025-11-25, basic/transports, "Session Management" 4). One does it for all.
pub(in crate::mcp) async fn renew(link: &Link, forgotten: u64) -> Result<(), CallError> {
    let _turn = link.server.sessions.renewing.lock().await;
    if link.server.sessions.current().generation != forgotten {
        return Ok(());
    }
    let handshake = link.server.sessions.handshake();
    let Some(initialize) = handshake.initialize else {
        return Err(CallError::broken_off());
    };
    tracing::info!("the server forgot the session; initializing again");
    let initialized = handshake.initialized;
    let (_, opened) = open(link, initialize, initialized, &Waiting::default()).await?;
    link.server.sessions.open(&opened);
    link.server.sessions.complete();
    for wish in handshake.wishes {
        if let Err(failure) = ask(link, wish, &Waiting::default()).await {
            tracing::warn!(%failure, "a wish of the client is not known in the new session");
        }
    }
    Ok(())
}

/// Opens a session; the client hears nothing of it. Returns the server's answer, and the session. `waiting` is that of the
/// message on whose behalf it is opened.
pub(in crate::mcp) async fn open(
    link: &Link,
    initialize: Message,
    initialized: Option<Message>,
    waiting: &Waiting,
) -> Result<(Bytes, OpenedSession), CallError> {
    let answer = ask(link, initialize, waiting).await?;
    let opened = answer
        .opened
        .ok_or_else(|| CallError::unusable_answer(answer.status, None))?;
    let session = Session::from(&opened);
    let initialized = initialized.unwrap_or_else(initialized_notification);
    let response = link
        .server
        .post(&initialized, &session, &Waiting::default())
        .await?;
    if !response.status().is_success() {
        return Err(read_refusal(response).await);
    }
    Ok((answer.message, opened))
}

/// Asks the server something of the bridge's own, for the sake of a message, which waits when this waits for a person.
pub(in crate::mcp) async fn ask(
    link: &Link,
    request: Message,
    waiting: &Waiting,
) -> Result<OwnAnswer, CallError> {
    let held = (None, waiting.clone());
    let exchange = MessageExchange::new(link, request, ExchangePurpose::Own, held);
    exchange.ask().await
}

/// Reads the list of tools on behalf of `call`, `all` of it or up to the tool that is called.
/// Whatever goes wrong is told by the call itself.
async fn list_tools(link: &Link, call: &Message, all: bool) {
    let mut params = Object::default().with("_meta", &messages::own_meta(call));
    for _ in 0..PAGES {
        let request = messages::request(&link.server.own_id(), "tools/list", &params);
        let answer = match request {
            Some(request) => ask(link, request, &Waiting::default()).await,
            None => return,
        };
        let next = match answer {
            Ok(answer) => {
                messages::result_of(&answer.message).and_then(|page| page.text("nextCursor"))
            }
            Err(failure) => return tracing::debug!(%failure, "the tools are not known"),
        };
        match next {
            Some(cursor) if all || link.server.tools.lacks(call) => params.set("cursor", &cursor),
            _ => return,
        }
    }
}

/// One message lists the tools for all that wait for them.
async fn list_missing_tools(link: &Link, call: &Message) {
    let _turn = link.server.tools.fetching.lock().await;
    if link.server.tools.lacks(call) {
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
