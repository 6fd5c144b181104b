//! What is known of the server's eras.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{
    cache::VersionCache,
    mismatch::{self, VersionRefusal},
    translator::Translator,
};
use crate::mcp::codec::{
    era::Era,
    message::{FromServer, Message},
};

/// A server that understands neither era is not asked for ever.
pub(in crate::mcp) const PROBES: usize = 3;

/// What is known of the server's eras.
#[derive(Default)]
pub(in crate::mcp) struct ServerEras {
    handshake_works: AtomicBool,
    stateless_works: AtomicBool,
    pub(in crate::mcp) probes: AtomicUsize,
    /// Held while one message finds out; the others wait for the result.
    pub(in crate::mcp) negotiating: tokio::sync::Mutex<()>,
    cache: Option<VersionCache>,
    /// The only era of the server, as an earlier process found, until this one has looked.
    remembered: Mutex<Option<Era>>,
    translates: AtomicBool,
    pub(in crate::mcp) translator: tokio::sync::Mutex<Option<Translator>>,
}

impl ServerEras {
    pub(in crate::mcp) fn with_cache(cache: Option<VersionCache>) -> Self {
        let remembered = cache.as_ref().and_then(VersionCache::load);
        Self {
            cache,
            remembered: Mutex::new(remembered),
            ..Self::default()
        }
    }

    /// True: this message is of an era that the server did not speak when it was last found out.
    pub(in crate::mcp) fn contradicts_remembered_era(&self, message: &Message, era: Era) -> bool {
        let remembered = *self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may_be_repeated = match era {
            Era::Handshake => message.opens_session(),
            Era::Stateless => !message.awaited().is_empty(),
        };
        remembered.is_some_and(|remembered| remembered != era) && may_be_repeated
    }

    /// What was remembered is wrong.
    pub(in crate::mcp) fn forget_remembered_era(&self) {
        *self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    pub(in crate::mcp) fn works(&self, era: Era) -> &AtomicBool {
        match era {
            Era::Handshake => &self.handshake_works,
            Era::Stateless => &self.stateless_works,
        }
    }

    /// True: a server of the other era would refuse this message in this way, and nothing says that
    /// the server is of this one.
    pub(in crate::mcp) fn doubts(
        &self,
        message: &Message,
        era: Era,
        refusal: VersionRefusal,
    ) -> bool {
        let works = self.works(era).load(Ordering::Relaxed);
        let translates = self.translates();
        let asked_often = self.probes.load(Ordering::Relaxed) >= PROBES;
        !works
            && (translates || !asked_often)
            && mismatch::is_doubtful(message, era, translates, refusal)
    }

    /// Learns from an answer.
    pub(in crate::mcp) fn observe(&self, message: &Message, era: Era, seen: &FromServer) {
        let works = match era {
            Era::Handshake => message.opens_session() && seen.negotiated.is_some(),
            Era::Stateless => seen.typed || seen.code().is_some_and(mismatch::is_stateless_error),
        };
        if works {
            self.works(era).store(true, Ordering::Relaxed);
        }
    }

    pub(in crate::mcp) fn translates(&self) -> bool {
        self.translates.load(Ordering::Acquire)
    }

    pub(in crate::mcp) fn stop_translating(&self) {
        self.translates.store(false, Ordering::Release);
    }

    /// For later processes.
    pub(in crate::mcp) fn remember(&self, translator: &Translator) {
        if let Some(cache) = &self.cache {
            cache.store(translator.servers_era());
        }
    }

    pub(in crate::mcp) async fn start_translating(&self, translator: Translator) {
        let works = translator.servers_era();
        self.works(works).store(true, Ordering::Relaxed);
        *self.translator.lock().await = Some(translator);
        self.translates.store(true, Ordering::Release);
    }
}
