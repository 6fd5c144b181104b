//! Finds out which era a server speaks that refused a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;

use super::{
    link::{BridgeCommand, ClientLink},
    outcome::SuspectedMismatch,
    session_control::{ask_for, open},
};
use crate::{
    error::{CallError, CallErrorKind},
    mcp::{
        codec::{
            era::{Era, era},
            json_object::Object,
            message::{FromServer, Message},
        },
        version::{
            messages::{self, Hello},
            mismatch,
            server_eras::PROBES,
            to_handshake::ToHandshake,
            to_stateless::ToStateless,
            translator::Translator,
        },
    },
    wait::Waiting,
};

/// The message is said again in the server's era, or the client gets the answer that came.
pub(in crate::mcp) async fn settle(link: &Arc<ClientLink>, doubted: SuspectedMismatch) {
    if speaks_the_other(link, &doubted).await {
        link.say(BridgeCommand::Again(doubted.message.clone()));
    } else if let Some(answer) = &doubted.answer {
        let answers = doubted.message.awaited_keys();
        link.pass_on(None, answer.clone(), &answers).await;
    }
}

async fn speaks_the_other(link: &Arc<ClientLink>, doubted: &SuspectedMismatch) -> bool {
    let (eras, message) = (&link.eras, &doubted.message);
    let _turn = eras.negotiating.lock().await;
    if eras.translates() {
        return true;
    }
    let era = era(message, link.sessions.after_handshake());
    let settled = eras.works(era).load(Ordering::Relaxed);
    if settled || !link.options.translate || eras.probes.load(Ordering::Relaxed) >= PROBES {
        return false;
    }
    eras.probes.fetch_add(1, Ordering::Relaxed);
    let found = match era {
        Era::Handshake => discover(link, message, &Waiting::default()).await,
        Era::Stateless => greet(link, doubted).await,
    };
    match found {
        Ok(Some(other)) => translate(link, era, other).await,
        Ok(None) => return false,
        Err(failure) => {
            tracing::debug!(%failure, "the server does not answer in the other era either");
            return false;
        }
    }
    true
}

/// Begins in the other era where an earlier process found that the server speaks no other. True: the message is said
/// again, in the server's era. Otherwise it goes its own way; if the server answered, but not as was remembered, that is
/// forgotten.
pub(in crate::mcp) async fn foresee(
    link: &Arc<ClientLink>,
    message: &Message,
    waiting: &Waiting,
) -> bool {
    let eras = &link.eras;
    let era = era(message, link.sessions.after_handshake());
    // While the first message finds out, those after it wait for that.
    if eras.translates() || !eras.contradicts_remembered_era(message, era) {
        return false;
    }
    let _turn = eras.negotiating.lock().await;
    if !eras.translates() {
        if !eras.contradicts_remembered_era(message, era) {
            return false;
        }
        let found = match era {
            Era::Handshake => discover(link, message, waiting).await,
            Era::Stateless => meet(link, message, waiting).await,
        };
        match found {
            Ok(Some(other)) => translate(link, era, other).await,
            Ok(None) => {
                eras.forget_remembered_era();
                return false;
            }
            Err(error) => {
                let status = error.foreign_status();
                if status.is_some_and(|status| !mismatch::has_other_reasons(status)) {
                    eras.forget_remembered_era();
                }
                return false;
            }
        }
    }
    link.say(BridgeCommand::Again(message.clone()));
    true
}

async fn translate(link: &ClientLink, client: Era, other: Other) {
    tracing::info!(
        ?client,
        "client and server speak different eras; translating"
    );
    if other.surely {
        link.eras.remember(&other.translator);
    }
    link.eras.start_translating(other.translator).await;
    if client == Era::Stateless {
        link.say(BridgeCommand::Listen);
    }
}

/// A server of the other era than its client.
struct Other {
    translator: Translator,
    /// It said itself that it does not know the client's. A gateway's 404 in a bad minute is no reason to remember anything.
    surely: bool,
}

impl Other {
    fn surely(translator: Translator) -> Self {
        Self {
            translator,
            surely: true,
        }
    }
}

/// What was found of the other era, if the server answered at all.
type NegotiationResult = Result<Option<Other>, CallError>;

/// For an `initialize` that was refused: a server of the stateless era answers `server/discover`.
async fn discover(
    link: &Arc<ClientLink>,
    initialize: &Message,
    waiting: &Waiting,
) -> NegotiationResult {
    let hello = Hello::of(initialize);
    let mut meta = Object::default();
    hello.describe(&mut meta, None);
    let answer = ask_for_discovery(link, &meta, waiting).await?;
    let Some(discovered) = messages::discovered(&answer) else {
        return Ok(None);
    };
    link.sessions.forget();
    let translator = ToStateless::new(hello, &discovered);
    Ok(Some(Other::surely(Translator::ToStateless(translator))))
}

/// For a stateless message that was refused: unless the server answers `server/discover` as one of
/// this era does, it is greeted.
async fn greet(link: &Arc<ClientLink>, doubted: &SuspectedMismatch) -> NegotiationResult {
    let message = &doubted.message;
    let surely = if message.is_request("server/discover") {
        is_sure(doubted.status, doubted.answer.as_deref())
    } else {
        let meta = messages::own_meta(message);
        match ask_for_discovery(link, &meta, &Waiting::default()).await {
            Ok(answer) if is_of_the_stateless_era(&answer) => return Ok(None),
            Ok(answer) => is_sure(StatusCode::OK, Some(&answer)),
            Err(error) => is_sure(error.foreign_status().ok_or(error)?, None),
        }
    };
    let other = meet(link, message, &Waiting::default()).await?;
    Ok(other.map(|other| Other { surely, ..other }))
}

/// Opens a session on behalf of a stateless client.
async fn meet(link: &Arc<ClientLink>, message: &Message, waiting: &Waiting) -> NegotiationResult {
    let Some(initialize) = messages::initialize(&link.own_id(), message) else {
        return Ok(None);
    };
    let answer = open(link, initialize.clone(), None, waiting).await?;
    let Some(welcome) = messages::result_of(&answer) else {
        return Ok(None);
    };
    link.sessions.remember(&initialize);
    Ok(Some(Other::surely(Translator::ToHandshake(
        ToHandshake::new(&welcome),
    ))))
}

async fn ask_for_discovery(
    link: &Arc<ClientLink>,
    meta: &Object,
    waiting: &Waiting,
) -> Result<bytes::Bytes, CallError> {
    let params = Object::default().with("_meta", meta);
    let request = messages::request(&link.own_id(), "server/discover", &params);
    let request = request.ok_or_else(CallError::broken_off)?;
    let answer = ask_for(link, request, waiting).await?;
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
    let seen = std::str::from_utf8(answer).ok().and_then(FromServer::parse);
    seen.and_then(|seen| seen.code())
}

fn is_of_the_stateless_era(answer: &[u8]) -> bool {
    code_of(answer).is_some_and(mismatch::is_stateless_error)
        || messages::result_of(answer)
            .is_some_and(|result| result.get("supportedVersions").is_some())
}
