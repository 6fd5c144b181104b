//! What is known of the server's eras.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{
    cache::VersionCache,
    mismatch::{self, VersionRefusal},
};
use crate::mcp::codec::{
    era::Era,
    message::{FromServer, Message},
};

/// A server that understands neither era is not asked for ever.
const PROBES: usize = 3;

/// Which eras the server speaks, by its own answers.
#[derive(Default)]
pub(in crate::mcp) struct ServerEras {
    handshake_works: AtomicBool,
    stateless_works: AtomicBool,
    probes: AtomicUsize,
}

impl ServerEras {
    fn works(&self, era: Era) -> &AtomicBool {
        match era {
            Era::Handshake => &self.handshake_works,
            Era::Stateless => &self.stateless_works,
        }
    }

    /// The server speaks this era.
    pub(in crate::mcp) fn speaks(&self, era: Era) {
        self.works(era).store(true, Ordering::Relaxed);
    }

    /// Whether nothing says that the server speaks this era, and it has not been asked in the other one's way too often.
    pub(in crate::mcp) fn may_probe(&self, era: Era) -> bool {
        let works = self.works(era).load(Ordering::Relaxed);
        !works && self.probes.load(Ordering::Relaxed) < PROBES
    }

    /// It is asked in the other era's way.
    pub(in crate::mcp) fn probe(&self) {
        self.probes.fetch_add(1, Ordering::Relaxed);
    }

    /// True: a server of the other era would refuse this message in this way, and nothing says that
    /// the server is of this one.
    pub(in crate::mcp) fn doubts(
        &self,
        message: &Message,
        era: Era,
        refusal: VersionRefusal,
    ) -> bool {
        self.may_probe(era) && mismatch::is_doubtful(message, era, refusal)
    }

    /// Learns from an answer.
    pub(in crate::mcp) fn observe(&self, message: &Message, era: Era, seen: &FromServer) {
        let works = match era {
            Era::Handshake => message.opens_session() && seen.negotiated.is_some(),
            Era::Stateless => seen.typed || seen.code().is_some_and(mismatch::is_stateless_error),
        };
        if works {
            self.speaks(era);
        }
    }
}

/// The only era of the server, as an earlier process found, until this one has looked.
#[derive(Default)]
pub(in crate::mcp) struct RememberedEra {
    cache: Option<VersionCache>,
    era: Option<Era>,
}

impl RememberedEra {
    pub(in crate::mcp) fn load(cache: Option<VersionCache>) -> Self {
        let era = cache.as_ref().and_then(VersionCache::load);
        Self { cache, era }
    }

    /// True: this message is of an era that the server did not speak when it was last found out.
    pub(in crate::mcp) fn contradicts(&self, message: &Message, era: Era) -> bool {
        let may_be_repeated = match era {
            Era::Handshake => message.opens_session(),
            Era::Stateless => !message.awaited().is_empty(),
        };
        self.era.is_some_and(|remembered| remembered != era) && may_be_repeated
    }

    /// What was remembered is wrong.
    pub(in crate::mcp) fn forget(&mut self) {
        self.era = None;
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// For later processes.
    pub(in crate::mcp) fn store(&self, era: Era) {
        if let Some(cache) = &self.cache {
            cache.store(era);
        }
    }
}
