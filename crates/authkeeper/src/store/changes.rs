//! The change counter and the statistics of a store.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which state of a store was read: it is raised when anything in it has changed, by this process at once and by others as
/// soon as [`Store::look`](super::Store::look) sees it. What was read under an older epoch may be out of date.
#[derive(Debug, Default)]
pub struct Epoch(AtomicU64);

impl Epoch {
    /// Today's. Taken before what is read under it.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// From now on everything that was read before must be read again.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What this process has asked of its store so far.
#[derive(Debug, Default)]
pub struct Use {
    pub(super) reads: AtomicU64,
    pub(super) commits: AtomicU64,
}

impl Use {
    /// How often it was read, looks included.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How many transactions were committed: each is one wait for the disk.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Counts a read.
    pub fn count_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a commit.
    pub fn count_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}
