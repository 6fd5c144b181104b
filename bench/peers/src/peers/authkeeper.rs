//! `Runtime::access_token`, with a store on disk and a journal for each refresh.

use std::sync::Arc;

use authkeeper_bench::machine::{self, Machine};

use super::{Peer, ROUND_TRIP};

/// A machine with one connection.
pub struct Authkeeper(Arc<Machine>);

impl Peer for Authkeeper {
    const NAME: &'static str = "authkeeper";

    async fn expired() -> Self {
        let machine = Machine::connected(ROUND_TRIP).await;
        machine.advance(machine::LIFETIME);
        Self(Arc::new(machine))
    }

    async fn token(&self) -> usize {
        let token = self.0.ask("c").await.expect("a token");
        token.url.len()
    }

    fn requests(&self) -> u64 {
        self.0.provider.requests()
    }
}
