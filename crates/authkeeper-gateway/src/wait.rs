//! Calls that wait before they are sent: what for, and who hears of it.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitReason {
    /// A sentence for a person: for what, and what to do.
    pub(crate) what: Arc<str>,
    /// How long it waits at most.
    pub(crate) limit: Duration,
    /// A person has to come, which may take long: nobody waits for that whose client is gone.
    pub(crate) for_a_person: bool,
}

/// Whether a request waits now, unsent, as its forwarder says and its client is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    said: Arc<watch::Sender<Option<WaitReason>>>,
    /// How often its client was told.
    told: Arc<AtomicU32>,
    /// How long its waits lasted that are over, in milliseconds.
    waited: Arc<AtomicU64>,
}

/// While this lives the request waits for what was last said.
pub(crate) struct WaitGuard<'a> {
    waiting: &'a Waiting,
    began: Instant,
}

impl WaitGuard<'_> {
    pub(crate) fn says(&self, waits_for: WaitReason) {
        self.waiting.said.send_if_modified(|said| {
            let news = said.as_ref() != Some(&waits_for);
            *said = Some(waits_for);
            news
        });
    }
}

impl Waiting {
    pub(crate) fn begin(&self) -> WaitGuard<'_> {
        WaitGuard {
            waiting: self,
            began: Instant::now(),
        }
    }

    /// How long it has waited; a wait that goes on does not count yet.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_millis(self.waited.load(Ordering::Relaxed))
    }

    pub(crate) fn is_held(&self) -> bool {
        self.said.borrow().is_some()
    }

    pub(crate) fn is_for_a_person(&self) -> bool {
        let waits_for = self.said.borrow();
        waits_for.as_ref().is_some_and(|what| what.for_a_person)
    }

    /// Counts what its client is told, over all its waits: progress must only grow.
    pub(crate) fn tells(&self) -> u32 {
        self.told.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Says what another one says, for ever.
    pub(crate) async fn follow(&self, other: &Self) -> Infallible {
        let mut said = other.watch();
        while said.wait_for(Option::is_some).await.is_ok() {
            let held = self.begin();
            loop {
                let Some(waits_for) = said.borrow_and_update().clone() else {
                    break;
                };
                held.says(waits_for);
                if said.changed().await.is_err() {
                    break;
                }
            }
        }
        pending().await
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<WaitReason>> {
        self.said.subscribe()
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.waiting.said.send_replace(None);
        // A wait is one, however short.
        let waited = self.began.elapsed().as_millis().max(1);
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        self.waiting.waited.fetch_add(waited, Ordering::Relaxed);
    }
}
