//! A herd on an expired token, and callers of a valid one.

use std::{
    hint::black_box,
    sync::{Arc, Barrier, Mutex, PoisonError},
    time::Duration,
};

use authkeeper_bench::report::{CoreWatch, Watch, percentile};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::peers::Peer;

/// What a herd waited and cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Herd {
    /// Half of them waited at most so long.
    pub p50: Duration,
    /// All but one of a hundred waited at most so long.
    pub p99: Duration,
    /// The time on a core, of all threads.
    pub core: Duration,
    /// How many requests reached the provider.
    pub requests: u64,
}

/// So many callers ask at once for a token that is not there.
pub fn herd<P: Peer>(tokio: &Runtime, callers: usize) -> Herd {
    tokio.block_on(async {
        let peer = Arc::new(P::expired().await);
        let core = CoreWatch::of_all_threads();
        let mut all = JoinSet::new();
        for _ in 0..callers {
            let peer = Arc::clone(&peer);
            all.spawn(async move {
                let watch = Watch::start();
                black_box(peer.token().await);
                watch.elapsed()
            });
        }
        let mut waits = all.join_all().await;
        let core = core.elapsed();
        waits.sort_unstable();
        Herd {
            p50: percentile(&waits, 0.5),
            p99: percentile(&waits, 0.99),
            core,
            requests: peer.requests(),
        }
    })
}

/// So many threads ask for the same valid token, each as often; the time on a core of one call.
pub fn lookup<P: Peer>(tokio: &Runtime, callers: u32, times: u32) -> Duration {
    let peer = tokio.block_on(P::expired());
    tokio.block_on(peer.token());
    let start = Barrier::new(usize::try_from(callers).unwrap_or(1));
    let took = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                start.wait();
                tokio.block_on(ask::<P>(&peer, times / 10));
                let watch = CoreWatch::of_this_thread();
                tokio.block_on(ask::<P>(&peer, times));
                *took.lock().unwrap_or_else(PoisonError::into_inner) += watch.elapsed();
            });
        }
    });
    // It lives in the runtime.
    let _guard = tokio.enter();
    drop(peer);
    took.into_inner().unwrap_or_else(PoisonError::into_inner) / (callers * times)
}

async fn ask<P: Peer>(peer: &P, times: u32) {
    for _ in 0..times {
        black_box(peer.token().await);
    }
}
