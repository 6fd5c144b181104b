//! A token in memory, and until when it answers.

use std::{sync::Arc, time::Duration};

use crate::{refresh::decide::Freshness, runtime::IssuedToken};

/// A token that may be handed out again.
#[derive(Clone, Debug)]
pub(super) struct CachedToken {
    pub(super) token: Arc<IssuedToken>,
    /// The state of the store that it was made of.
    pub(super) epoch: u64,
    /// Until which tick a plain ask is served with it.
    pub(super) repeats_until: u64,
    /// Until which tick it may be presented.
    pub(super) ends: u64,
}

impl CachedToken {
    /// The same with a token of its own, whose count nobody else writes to.
    pub(super) fn copy(&self) -> Self {
        Self {
            token: Arc::new(IssuedToken::clone(&self.token)),
            ..*self
        }
    }

    #[cfg(test)]
    pub(super) fn of(token: Arc<IssuedToken>, lives: Duration) -> Self {
        Self {
            token,
            epoch: 0,
            repeats_until: nanos(lives),
            ends: nanos(lives),
        }
    }

    /// Whether it is what this caller asks for.
    pub(super) fn answers(&self, ask: Freshness, ticks: u64) -> bool {
        let lives = |wanted| self.ends.saturating_sub(ticks) >= nanos(wanted);
        ask.min_ttl.is_none_or(lives) && ask.rejected.is_none_or(|old| self.token.generation > old)
    }
}

/// A span in ticks.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
