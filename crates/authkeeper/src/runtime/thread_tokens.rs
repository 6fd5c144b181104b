//! Each thread's own copies of the tokens that it hands out. A read-write lock, and the count of an [`Arc`], are one cache
//! line that all cores write to: with many callers that costs more than all else. Here a caller writes to nothing that
//! another thread writes to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thread_local::ThreadLocal;

use crate::{
    model::ConnectionName,
    runtime::{IssuedToken, cached_token::CachedToken},
};

/// How many tokens a thread has copies of. A thread that asks for more takes the others from the map that all share.
const SLOTS: usize = 16;

/// The copies of all threads.
#[derive(Default)]
pub(super) struct ThreadTokens {
    /// The lock is the thread's own, and free but for the moment in which a token is dropped everywhere.
    threads: ThreadLocal<OneThread>,
}

/// One thread's, on cache lines of its own: two threads are neighbours in memory, and each of them writes to its lock.
#[derive(Default)]
#[repr(align(128))]
struct OneThread(Mutex<Slots>);

/// A name has one place where it may be.
#[derive(Default)]
struct Slots {
    /// Made with the first copy.
    kept: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    kept: Option<(ConnectionName, CachedToken)>,
    /// The hash of a name that was asked for in vain since the one that is here was.
    wanted: u64,
}

impl ThreadTokens {
    /// This thread's copy, if it is there and good.
    #[inline]
    pub(super) fn token(
        &self,
        name: &ConnectionName,
        is_good: impl Fn(&CachedToken) -> bool,
    ) -> Option<Arc<IssuedToken>> {
        let mut slots = self.threads.get()?.slots();
        let slot = slots.kept.get_mut(place(hash(name)))?;
        let (kept, held) = slot.kept.as_ref()?;
        if kept != name || !is_good(held) {
            return None;
        }
        slot.wanted = 0;
        Some(Arc::clone(&held.token))
    }

    /// Copies a token for this thread. A good one of another name stays, unless that was not asked for in between.
    pub(super) fn keep(
        &self,
        name: &ConnectionName,
        held: &CachedToken,
        is_good: impl Fn(&CachedToken) -> bool,
    ) {
        let mut slots = self.threads.get_or_default().slots();
        if slots.kept.is_empty() {
            slots.kept.resize_with(SLOTS, Slot::default);
        }
        let hash = hash(name);
        let Some(slot) = slots.kept.get_mut(place(hash)) else {
            return;
        };
        let taken = slot
            .kept
            .as_ref()
            .is_some_and(|(kept, held)| kept != name && is_good(held));
        if taken && slot.wanted != hash {
            slot.wanted = hash;
            return;
        }
        slot.kept = Some((name.clone(), held.copy()));
        slot.wanted = 0;
    }

    /// Drops every thread's copy.
    pub(super) fn drop_all(&self, name: &ConnectionName) {
        for thread in &self.threads {
            let mut slots = thread.slots();
            if let Some(slot) = slots.kept.get_mut(place(hash(name)))
                && slot.kept.as_ref().is_some_and(|(kept, _)| kept == name)
            {
                slot.kept = None;
            }
        }
    }
}

impl OneThread {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or_default() % SLOTS
}

/// FNV-1a. Names are short, and nobody gains by names that share a place. Never 0.
fn hash(name: &ConnectionName) -> u64 {
    let bytes = name.as_str().bytes();
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash | 1
}

#[cfg(test)]
#[path = "thread_tokens_tests.rs"]
mod tests;
