//! A handle that returns one connection's token from memory.

use std::sync::Arc;

use crate::{
    error::TokenError,
    model::ConnectionName,
    platform::clock::Clock,
    runtime::{
        IssuedToken, Runtime, TokenRequest, cached_token::CachedToken, token_cache::TokenCache,
    },
};

/// One connection's token for somebody who needs it again and again: while it is good, [`LiveToken::current`] gives it in
/// some nanoseconds, with no allocation, no lock and no look at the store. Each caller has its own: it is cheap to clone.
#[derive(Clone)]
pub struct LiveToken {
    runtime: Runtime,
    cache: Arc<TokenCache>,
    clock: Arc<dyn Clock>,
    request: TokenRequest,
    cached: Option<CachedToken>,
}

impl std::fmt::Debug for LiveToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveToken")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl LiveToken {
    pub(crate) fn new(runtime: Runtime, cache: Arc<TokenCache>, name: ConnectionName) -> Self {
        Self {
            clock: Arc::clone(cache.clock()),
            request: TokenRequest::new(name),
            cached: None,
            runtime,
            cache,
        }
    }

    /// The token, if it is known to be good without asking the store. None says nothing of the connection, only that
    /// [`LiveToken::get`] must look: at the latest after 50 ms, and whenever something has changed.
    #[inline]
    pub fn current(&mut self) -> Option<&Arc<IssuedToken>> {
        let ticks = self.clock.ticks();
        let serves = |held: &CachedToken| self.cache.serves(held, ticks);
        if !self.cached.as_ref().is_some_and(serves) {
            self.cached = self.cache.held(self.request.connection()).filter(serves);
        }
        self.cached.as_ref().map(|held| &held.token)
    }

    /// A token that may be presented now, or what has to happen before there is one: as [`Runtime::access_token`].
    pub async fn get(&mut self) -> Result<Arc<IssuedToken>, TokenError> {
        if let Some(token) = self.current() {
            return Ok(Arc::clone(token));
        }
        self.runtime.access_token(&self.request).await
    }
}
