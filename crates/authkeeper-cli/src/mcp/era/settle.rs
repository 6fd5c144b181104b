//! Finds out which era a server speaks that refused a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;

use super::super::answer::{Failure, UNUSABLE};
use super::super::carrier::{Carrier, Said};
use super::super::exchange::Doubted;
use super::super::headers::{Era, era};
use super::super::message::{FromServer, Message};
use super::super::object::Object;
use super::super::upstream::Waiting;
use super::shapes::{self, Hello};
use super::{Interpreter, PROBES, ToHandshake, ToStateless, doubt};

/// The message is said again in the server's era, or the client gets the answer that came.
pub(in crate::mcp) async fn settle(carrier: &Arc<Carrier>, doubted: Doubted) {
    if speaks_the_other(carrier, &doubted).await {
        carrier.say(Said::Again(doubted.message.clone()));
    } else if let Some(answer) = &doubted.answer {
        carrier.tell(None, answer.clone()).await;
    }
}

async fn speaks_the_other(carrier: &Arc<Carrier>, doubted: &Doubted) -> bool {
    let (eras, message) = (&carrier.eras, &doubted.message);
    let _turn = eras.settling.lock().await;
    if eras.translates() {
        return true;
    }
    let era = era(message, carrier.sessions.after_handshake());
    let settled = eras.works(era).load(Ordering::Relaxed);
    if settled || !carrier.options.translate || eras.probes.load(Ordering::Relaxed) >= PROBES {
        return false;
    }
    eras.probes.fetch_add(1, Ordering::Relaxed);
    let found = match era {
        Era::Handshake => discover(carrier, message, &Waiting::default()).await,
        Era::Stateless => greet(carrier, doubted).await,
    };
    match found {
        Ok(Some(other)) => translate(carrier, era, other).await,
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
    carrier: &Arc<Carrier>,
    message: &Message,
    waiting: &Waiting,
) -> bool {
    let eras = &carrier.eras;
    let era = era(message, carrier.sessions.after_handshake());
    // While the first message finds out, those after it wait for that.
    if eras.translates() || !eras.is_foreseen(message, era) {
        return false;
    }
    let _turn = eras.settling.lock().await;
    if !eras.translates() {
        if !eras.is_foreseen(message, era) {
            return false;
        }
        let found = match era {
            Era::Handshake => discover(carrier, message, waiting).await,
            Era::Stateless => meet(carrier, message, waiting).await,
        };
        match found {
            Ok(Some(other)) => translate(carrier, era, other).await,
            Ok(None) => {
                eras.is_contradicted();
                return false;
            }
            Err(Failure::Unusable { status, .. }) if !doubt::has_other_reasons(status) => {
                eras.is_contradicted();
                return false;
            }
            Err(_) => return false,
        }
    }
    carrier.say(Said::Again(message.clone()));
    true
}

async fn translate(carrier: &Carrier, client: Era, other: Other) {
    tracing::info!(
        ?client,
        "client and server speak different eras; translating"
    );
    if other.surely {
        carrier.eras.learn(&other.interpreter);
    }
    carrier.eras.translate(other.interpreter).await;
    if client == Era::Stateless {
        carrier.say(Said::Listen);
    }
}

/// A server of the other era than its client.
struct Other {
    interpreter: Interpreter,
    /// It said itself that it does not know the client's. A gateway's 404 in a bad minute is no reason to remember anything.
    surely: bool,
}

impl Other {
    fn surely(interpreter: Interpreter) -> Self {
        Self {
            interpreter,
            surely: true,
        }
    }
}

/// What was found of the other era, if the server answered at all.
type Found = Result<Option<Other>, Failure>;

/// For an `initialize` that was refused: a server of the stateless era answers `server/discover`.
async fn discover(carrier: &Arc<Carrier>, initialize: &Message, waiting: &Waiting) -> Found {
    let hello = Hello::of(initialize);
    let mut meta = Object::default();
    hello.describe(&mut meta, None);
    let answer = ask_for_discovery(carrier, &meta, waiting).await?;
    let Some(discovered) = shapes::discovered(&answer) else {
        return Ok(None);
    };
    carrier.sessions.forget();
    let interpreter = ToStateless::new(hello, &discovered);
    Ok(Some(Other::surely(Interpreter::ToStateless(interpreter))))
}

/// For a stateless message that was refused: unless the server answers `server/discover` as one of
/// this era does, it is greeted.
async fn greet(carrier: &Arc<Carrier>, doubted: &Doubted) -> Found {
    let message = &doubted.message;
    let surely = if message.is_request("server/discover") {
        is_sure(doubted.status, doubted.answer.as_deref())
    } else {
        let meta = shapes::own_meta(message);
        match ask_for_discovery(carrier, &meta, &Waiting::default()).await {
            Ok(answer) if is_of_the_stateless_era(&answer) => return Ok(None),
            Ok(answer) => is_sure(StatusCode::OK, Some(&answer)),
            Err(Failure::Unusable { status, .. }) => is_sure(status, None),
            Err(failure) => return Err(failure),
        }
    };
    let other = meet(carrier, message, &Waiting::default()).await?;
    Ok(other.map(|other| Other { surely, ..other }))
}

/// Opens a session on behalf of a stateless client.
async fn meet(carrier: &Arc<Carrier>, message: &Message, waiting: &Waiting) -> Found {
    let Some(initialize) = shapes::initialize(&carrier.own_id(), message) else {
        return Ok(None);
    };
    let answer = carrier.open(initialize.clone(), None, waiting).await?;
    let Some(welcome) = shapes::result_of(&answer) else {
        return Ok(None);
    };
    carrier.sessions.remember(&initialize);
    Ok(Some(Other::surely(Interpreter::ToHandshake(
        ToHandshake::new(&welcome),
    ))))
}

async fn ask_for_discovery(
    carrier: &Arc<Carrier>,
    meta: &Object,
    waiting: &Waiting,
) -> Result<bytes::Bytes, Failure> {
    let params = Object::default().with("_meta", meta);
    let request = shapes::request(&carrier.own_id(), "server/discover", &params);
    let request = request.ok_or(Failure::Interrupted)?;
    let answer = carrier.ask_for(request, waiting).await?;
    if doubt::has_other_reasons(answer.status) {
        let (status, content_type) = (answer.status, None);
        return Err(Failure::Unusable {
            status,
            content_type,
        });
    }
    Ok(answer.message)
}

/// The server itself refused: with an error of its own (not ours, in the place of something that is no MCP message), or as
/// servers refuse what they can't read. A gateway in a bad minute has other statuses.
fn is_sure(status: StatusCode, answer: Option<&[u8]>) -> bool {
    let code = answer.and_then(code_of);
    status == StatusCode::BAD_REQUEST || code.is_some_and(|code| code != i64::from(UNUSABLE))
}

fn code_of(answer: &[u8]) -> Option<i64> {
    let seen = std::str::from_utf8(answer).ok().and_then(FromServer::parse);
    seen.and_then(|seen| seen.code())
}

fn is_of_the_stateless_era(answer: &[u8]) -> bool {
    code_of(answer).is_some_and(doubt::is_stateless_error)
        || shapes::result_of(answer).is_some_and(|result| result.get("supportedVersions").is_some())
}
