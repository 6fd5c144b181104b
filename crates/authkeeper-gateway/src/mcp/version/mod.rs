//! A client of one era and a server of the other.
//!
//! Nothing here touches a message as long as the client's era is one of the server's. Only where a
//! server refuses a message as one of the other era would ([`ServerEras::doubts`]), [`negotiate`] asks it in
//! that other era's way; if it answers, an [`Translator`] stands between the two from then on, and in later
//! processes from the first message on ([`cache`]). The interpreters are pure: messages go in, [`Step`]s come out.
//!
//! | client says, up to 2025-11-25 | [`ToStateless`]: server hears, from 2026-07-28 |
//! |---|---|
//! | `initialize` | nothing: answered from `server/discover` |
//! | any request | the same with version, client and capabilities in `_meta` |
//! | `logging/setLevel` | nothing: the level is in the `_meta` of later requests |
//! | `resources/subscribe`, and the wish to know of changed lists | `subscriptions/listen` |
//! | the answer to a request of the server's | the call again, with `inputResponses` |
//! | `ping`, `notifications/roots/list_changed` | nothing |
//!
//! | client says, from 2026-07-28 | [`ToHandshake`]: server hears, up to 2025-11-25 |
//! |---|---|
//! | `server/discover` | nothing: answered from `initialize` |
//! | any request | the same without the stateless `_meta` |
//! | a log level in `_meta` | `logging/setLevel` before it |
//! | `subscriptions/listen` | `resources/subscribe` for each resource |
//! | the call again, with `inputResponses` | the answer to its own request |
//!
//! A client that knows both eras and begins with `server/discover` is answered in the newer one, also
//! before a server that knows only the older: nothing in its question tells it from a client that
//! knows no other.
//!
//! What has no counterpart: a server that asks something while no call of a 2026-07-28 client is under
//! way (it gets an error), the tasks of 2025-11-25, and log messages that nobody asked for.

mod cache;
mod downgrade;
mod listening;
mod messages;
mod mismatch;
mod negotiate;
mod subscriptions;
#[cfg(test)]
mod tests;
mod to_handshake;
mod to_stateless;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::headers::Era;
use super::message::{FromServer, IdKey, Message};

pub use cache::VersionCache;
pub(super) use messages::{own_meta, request, result_of};
pub(super) use mismatch::VersionRefusal;
pub(super) use negotiate::{foresee, settle};
use to_handshake::ToHandshake;
use to_stateless::ToStateless;

/// 2026-07-28, basic/index, "Error Codes".
pub(super) const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;
const UNSUPPORTED_VERSION: i64 = -32022;

/// The stateless version that is translated from and to.
const STATELESS: &str = "2026-07-28";
/// The handshake versions a client may ask for.
const HANDSHAKES: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const NEWEST_HANDSHAKE: &str = "2025-11-25";

/// A server that understands neither era is not asked for ever.
const PROBES: usize = 3;

/// What a translator wants done.
#[derive(Debug)]
pub(super) enum Step {
    ToClient(Bytes),
    ToServer(Message),
    Later(Duration, Message),
}

/// Stands between a client and a server of different eras.
pub(super) enum Translator {
    ToStateless(ToStateless),
    ToHandshake(ToHandshake),
}

impl Translator {
    fn servers_era(&self) -> Era {
        match self {
            Self::ToStateless(_) => Era::Stateless,
            Self::ToHandshake(_) => Era::Handshake,
        }
    }

    /// `Err`: the client now speaks the server's era, and needs nobody in between.
    pub(super) fn hear_client(&mut self, message: Message) -> Result<Vec<Step>, Box<Message>> {
        match self {
            Self::ToHandshake(_) if message.opens_session() => Err(Box::new(message)),
            Self::ToHandshake(translator) => Ok(translator.hear_client(&message)),
            Self::ToStateless(translator) => Ok(translator.hear_client(message)),
        }
    }

    pub(super) fn hear_server(&mut self, about: Option<&IdKey>, message: Bytes) -> Vec<Step> {
        match self {
            Self::ToStateless(translator) => translator.hear_server(message),
            Self::ToHandshake(translator) => translator.hear_server(about, message),
        }
    }

    /// The client is gone.
    pub(super) fn leave(&mut self) -> Vec<Step> {
        match self {
            Self::ToStateless(_) => Vec::new(),
            Self::ToHandshake(translator) => translator.leave(),
        }
    }
}

/// What is known of the server's eras.
#[derive(Default)]
pub(super) struct ServerEras {
    handshake_works: AtomicBool,
    stateless_works: AtomicBool,
    probes: AtomicUsize,
    /// Held while one message finds out; the others wait for the result.
    settling: tokio::sync::Mutex<()>,
    memory: Option<VersionCache>,
    /// The only era of the server, as an earlier process found, until this one has looked.
    remembered: Mutex<Option<Era>>,
    translates: AtomicBool,
    pub(super) translator: tokio::sync::Mutex<Option<Translator>>,
}

impl ServerEras {
    pub(super) fn knowing(memory: Option<VersionCache>) -> Self {
        let remembered = memory.as_ref().and_then(VersionCache::recall);
        Self {
            memory,
            remembered: Mutex::new(remembered),
            ..Self::default()
        }
    }

    /// True: this message is of an era that the server did not speak when it was last found out.
    fn is_foreseen(&self, message: &Message, era: Era) -> bool {
        let remembered = *self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may_be_said_again = match era {
            Era::Handshake => message.opens_session(),
            Era::Stateless => !message.awaited().is_empty(),
        };
        remembered.is_some_and(|remembered| remembered != era) && may_be_said_again
    }

    /// What was remembered is wrong.
    fn is_contradicted(&self) {
        *self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(memory) = &self.memory {
            memory.forget();
        }
    }

    fn works(&self, era: Era) -> &AtomicBool {
        match era {
            Era::Handshake => &self.handshake_works,
            Era::Stateless => &self.stateless_works,
        }
    }

    /// True: a server of the other era would refuse this message in this way, and nothing says that
    /// the server is of this one.
    pub(super) fn doubts(&self, message: &Message, era: Era, refusal: VersionRefusal) -> bool {
        let works = self.works(era).load(Ordering::Relaxed);
        let translates = self.translates();
        let asked_often = self.probes.load(Ordering::Relaxed) >= PROBES;
        !works
            && (translates || !asked_often)
            && mismatch::is_doubtful(message, era, translates, refusal)
    }

    /// Learns from an answer.
    pub(super) fn notice(&self, message: &Message, era: Era, seen: &FromServer) {
        let works = match era {
            Era::Handshake => message.opens_session() && seen.negotiated.is_some(),
            Era::Stateless => seen.typed || seen.code().is_some_and(mismatch::is_stateless_error),
        };
        if works {
            self.works(era).store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn translates(&self) -> bool {
        self.translates.load(Ordering::Acquire)
    }

    pub(super) fn translate_no_more(&self) {
        self.translates.store(false, Ordering::Release);
    }

    /// For later processes.
    fn learn(&self, translator: &Translator) {
        if let Some(memory) = &self.memory {
            memory.learn(translator.servers_era());
        }
    }

    async fn translate(&self, translator: Translator) {
        let works = translator.servers_era();
        self.works(works).store(true, Ordering::Relaxed);
        *self.translator.lock().await = Some(translator);
        self.translates.store(true, Ordering::Release);
    }
}
