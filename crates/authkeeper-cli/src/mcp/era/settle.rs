//! Finds out which era a server speaks that refused a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::answer::Failure;
use super::super::carrier::{Carrier, Said};
use super::super::exchange::Doubted;
use super::super::headers::{Era, era};
use super::super::message::{FromServer, Message};
use super::super::object::Object;
use super::shapes::{self, Hello};
use super::{Interpreter, PROBES, ToHandshake, ToStateless, doubt};

/// The message is said again in the server's era, or the client gets the answer that came.
pub(in crate::mcp) async fn settle(carrier: &Arc<Carrier>, doubted: Doubted) {
    if speaks_the_other(carrier, &doubted.message).await {
        carrier.say(Said::Again(doubted.message.clone()));
    } else if let Some(answer) = &doubted.answer {
        carrier.tell(None, answer.clone()).await;
    }
}

async fn speaks_the_other(carrier: &Arc<Carrier>, message: &Message) -> bool {
    let eras = &carrier.eras;
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
        Era::Handshake => discover(carrier, message).await,
        Era::Stateless => greet(carrier, message).await,
    };
    let Some(interpreter) = found else {
        return false;
    };
    tracing::info!(client = ?era, "client and server speak different eras; translating");
    eras.translate(interpreter).await;
    if era == Era::Stateless {
        carrier.say(Said::Listen);
    }
    true
}

/// For an `initialize` that was refused: a server of the stateless era answers `server/discover`.
async fn discover(carrier: &Arc<Carrier>, initialize: &Message) -> Option<Interpreter> {
    let hello = Hello::of(initialize);
    let mut meta = Object::default();
    hello.describe(&mut meta, None);
    let answer = ask_for_discovery(carrier, &meta).await.ok()?;
    let discovered = shapes::discovered(&answer)?;
    carrier.sessions.forget();
    Some(Interpreter::ToStateless(ToStateless::new(
        hello,
        &discovered,
    )))
}

/// For a stateless message that was refused: unless the server answers `server/discover` as one of
/// this era does, it is greeted.
async fn greet(carrier: &Arc<Carrier>, message: &Message) -> Option<Interpreter> {
    if !message.is_request("server/discover") {
        let meta = shapes::own_meta(message);
        match ask_for_discovery(carrier, &meta).await {
            Ok(answer) if is_of_the_stateless_era(&answer) => return None,
            Ok(_) | Err(Failure::Unusable { .. }) => {}
            Err(_) => return None,
        }
    }
    let initialize = shapes::initialize(&carrier.own_id(), message)?;
    let answer = match carrier.open(initialize.clone(), None).await {
        Ok(answer) => answer,
        Err(failure) => {
            tracing::debug!(%failure, "the server cannot be greeted either");
            return None;
        }
    };
    let welcome = shapes::result_of(&answer)?;
    carrier.sessions.remember(&initialize);
    Some(Interpreter::ToHandshake(ToHandshake::new(&welcome)))
}

async fn ask_for_discovery(carrier: &Arc<Carrier>, meta: &Object) -> Result<bytes::Bytes, Failure> {
    let params = Object::default().with("_meta", meta);
    let request = shapes::request(&carrier.own_id(), "server/discover", &params);
    let request = request.ok_or(Failure::Interrupted)?;
    Ok(carrier.ask(request).await?.message)
}

fn is_of_the_stateless_era(answer: &[u8]) -> bool {
    let seen = std::str::from_utf8(answer).ok().and_then(FromServer::parse);
    let code = seen.and_then(|seen| seen.code());
    code.is_some_and(doubt::is_stateless_error)
        || shapes::result_of(answer).is_some_and(|result| result.get("supportedVersions").is_some())
}
