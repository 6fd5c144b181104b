//! `moka::future::Cache::try_get_with`.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::future::Cache;

use super::{LIFETIME, Peer, ROUND_TRIP, token_text};

/// A cache of tokens by name.
pub struct Moka {
    cache: Cache<&'static str, Arc<String>>,
    requests: AtomicU64,
}

impl Peer for Moka {
    const NAME: &'static str = "moka 0.12";

    async fn expired() -> Self {
        Self {
            cache: Cache::builder().time_to_live(LIFETIME).build(),
            requests: AtomicU64::new(0),
        }
    }

    async fn token(&self) -> usize {
        let fetch = async {
            self.requests.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(ROUND_TRIP).await;
            Ok::<_, Infallible>(Arc::new(token_text()))
        };
        self.cache
            .try_get_with("c", fetch)
            .await
            .map_or(0, |token| token.len())
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
