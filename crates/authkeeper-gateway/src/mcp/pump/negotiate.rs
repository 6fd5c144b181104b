//! Asks a server in the other era's way, for a message that may be of the wrong one.

use http::StatusCode;

use super::{
    link::Link,
    outcome::{EraRefusal, Undecided},
    session_control::{ask, open},
};
use crate::{
    error::{CallError, CallErrorKind},
    mcp::{
        codec::{
            era::{Era, era},
            json_object::Object,
            message::{FromServer, Message},
        },
        session::sessions::OpenedSession,
        version::{
            messages::{self, Hello},
            mismatch,
            to_handshake::ToHandshake,
            to_stateless::ToStateless,
            translator::Translator,
        },
    },
    wait::Waiting,
};

/// A server of the other era than its client.
pub(in crate::mcp) struct Negotiated {
    pub(in crate::mcp) translator: Box<Translator>,
    /// The session with a server of the handshake era, and what opened it.
    pub(in crate::mcp) session: Option<(Message, OpenedSession)>,
    /// It said itself that it does not know the client's. A gateway's 404 in a bad minute is no reason to remember anything.
    pub(in crate::mcp) surely: bool,
}

/// What was found of the other era, if the server answered at all.
pub(in crate::mcp) type NegotiationResult = Result<Option<Negotiated>, CallError>;

/// A server that answered, but not as was remembered, is remembered wrongly; a gateway in a bad minute says nothing of it.
pub(in crate::mcp) fn contradicts_memory(answered: &NegotiationResult) -> bool {
    match answered {
        Ok(_) => true,
        Err(error) => error
            .foreign_status()
            .is_some_and(|status| !mismatch::has_other_reasons(status)),
    }
}

/// Whether the server speaks the other era than this message. `waiting` is the message's own.
pub(in crate::mcp) async fn negotiate(
    link: &Link,
    undecided: &Undecided,
    waiting: &Waiting,
) -> NegotiationResult {
    let message = &undecided.message;
    match (message_era(link, message), &undecided.refusal) {
        (Era::Handshake, None) => discover(link, message, waiting).await,
        (Era::Handshake, Some(_)) => discover(link, message, &Waiting::default()).await,
        (Era::Stateless, None) => greet(link, message, waiting).await,
        (Era::Stateless, Some(refusal)) => greet_unless_stateless(link, message, refusal).await,
    }
}

pub(in crate::mcp) fn message_era(link: &Link, message: &Message) -> Era {
    era(message, link.server.sessions.after_handshake())
}

/// For an `initialize`: a server of the stateless era answers `server/discover`.
async fn discover(link: &Link, initialize: &Message, waiting: &Waiting) -> NegotiationResult {
    let hello = Hello::of(initialize);
    let mut meta = Object::default();
    hello.describe(&mut meta, None);
    let answer = ask_for_discovery(link, &meta, waiting).await?;
    Ok(messages::discovered(&answer).map(|discovered| Negotiated {
        translator: Box::new(Translator::ToStateless(ToStateless::new(
            hello,
            &discovered,
        ))),
        session: None,
        surely: true,
    }))
}

/// For a stateless message that was refused: unless the server answers `server/discover` as one of
/// this era does, it is greeted.
async fn greet_unless_stateless(
    link: &Link,
    message: &Message,
    refusal: &EraRefusal,
) -> NegotiationResult {
    let surely = if message.is_request("server/discover") {
        is_sure(refusal.status, refusal.answer.as_deref())
    } else {
        let meta = messages::own_meta(message);
        match ask_for_discovery(link, &meta, &Waiting::default()).await {
            Ok(answer) if is_of_the_stateless_era(&answer) => return Ok(None),
            Ok(answer) => is_sure(StatusCode::OK, Some(&answer)),
            Err(error) => is_sure(error.foreign_status().ok_or(error)?, None),
        }
    };
    let found = greet(link, message, &Waiting::default()).await?;
    Ok(found.map(|found| Negotiated { surely, ..found }))
}

/// Opens a session on behalf of a stateless client.
async fn greet(link: &Link, message: &Message, waiting: &Waiting) -> NegotiationResult {
    let Some(initialize) = messages::initialize(&link.server.own_id(), message) else {
        return Ok(None);
    };
    let (answer, opened) = open(link, initialize.clone(), None, waiting).await?;
    Ok(messages::result_of(&answer).map(|welcome| Negotiated {
        translator: Box::new(Translator::ToHandshake(ToHandshake::new(&welcome))),
        session: Some((initialize, opened)),
        surely: true,
    }))
}

async fn ask_for_discovery(
    link: &Link,
    meta: &Object,
    waiting: &Waiting,
) -> Result<bytes::Bytes, CallError> {
    let params = Object::default().with("_meta", meta);
    let request = messages::request(&link.server.own_id(), "server/discover", &params);
    let request = request.ok_or_else(CallError::broken_off)?;
    let answer = ask(link, request, waiting).await?;
    if mismatch::has_other_reasons(answer.status) {
        return Err(CallError::unusable_answer(answer.status, None));
    }
    Ok(answer.message)
}

/// The server itself refused: with an error of its own (not ours, in the place of something that is no MCP message), or as
/// servers refuse what they can't read. A gateway in a bad minute has other statuses.
fn is_sure(status: StatusCode, answer: Option<&[u8]>) -> bool {
    let code = answer.and_then(code_of);
    status == StatusCode::BAD_REQUEST
        || code.is_some_and(|code| code != i64::from(CallErrorKind::UnusableAnswer.code()))
}

fn code_of(answer: &[u8]) -> Option<i64> {
    FromServer::parse(answer)?.code()
}

fn is_of_the_stateless_era(answer: &[u8]) -> bool {
    code_of(answer).is_some_and(mismatch::is_stateless_error)
        || messages::result_of(answer)
            .is_some_and(|result| result.get("supportedVersions").is_some())
}
