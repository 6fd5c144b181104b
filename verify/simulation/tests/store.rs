//! The simulated store behaves as every store must.

use std::sync::Arc;

use authkeeper::store::conformance::{self, Pair};
use authkeeper::store::memory::{Calm, MemoryStore, Shared};

#[tokio::test]
async fn the_store_in_memory_passes_the_suite() {
    conformance::run(|| {
        let rows = Shared::default();
        let handle = || Arc::new(MemoryStore::new(Arc::clone(&rows), Arc::new(Calm)));
        let pair: Pair = (handle(), handle());
        async move { pair }
    })
    .await;
}
