//! The floor: one task sleeps, the callers wait on a channel. What a herd costs beyond this is its cache's.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Peer, ROUND_TRIP, token_text};

/// A watch channel.
pub struct Channel(watch::Receiver<Option<Arc<String>>>);

impl Peer for Channel {
    const NAME: &'static str = "a bare channel";

    async fn expired() -> Self {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            tokio::time::sleep(ROUND_TRIP).await;
            let _ = sender.send(Some(Arc::new(token_text())));
            sender.closed().await;
        });
        Self(receiver)
    }

    async fn token(&self) -> usize {
        let mut receiver = self.0.clone();
        let token = receiver.wait_for(Option::is_some).await;
        token.map_or(0, |token| token.as_ref().map_or(0, |token| token.len()))
    }

    fn requests(&self) -> u64 {
        1
    }
}
