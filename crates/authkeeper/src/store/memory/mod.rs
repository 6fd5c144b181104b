//! A store in memory that behaves as every store does. What happens around a write (its turn, its failure, a lost answer) is
//! decided by [`Hooks`], so that tests and the simulation can break it.

mod clients;
mod connections;
mod incidents;
mod observations;
mod rows;
mod tasks;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;

pub use self::rows::{GrantRow, StoreRows};
use crate::{
    model::{Grant, GrantChange, GrantChanged, GrantId},
    store::{Epoch, Grants, Result, Store, Use},
};

/// The writes that hooks can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreWrite {
    /// A claim, or a probe.
    Claim,
    /// The next attempt takes over.
    TakeOver,
    /// A claim is given back.
    Release,
    /// The outcome of an attempt is unknown.
    MarkUnknown,
    /// New tokens.
    Commit,
    /// A person must sign in.
    Refuse,
    /// A sign-in is adopted.
    SignIn,
    /// A connection is disconnected.
    Disconnect,
    /// A connection is removed.
    Forget,
    /// Anything else.
    Other,
}

impl StoreWrite {
    fn of(change: &GrantChange) -> Self {
        match change {
            GrantChange::Claim(..) | GrantChange::Probe(..) => Self::Claim,
            GrantChange::TakeOver(..) => Self::TakeOver,
            GrantChange::Release(..) => Self::Release,
            GrantChange::MarkUnknown(..) => Self::MarkUnknown,
            GrantChange::Commit(..) | GrantChange::KeepSubject { .. } => Self::Commit,
            GrantChange::Refuse(..) | GrantChange::RequireSignIn(..) => Self::Refuse,
            _ => Self::Other,
        }
    }
}

/// What happens around reads and writes.
#[async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Before a read: it may fail.
    fn read(&self) -> Result<()>;
    /// Waits for the turn of a write. An error means that nothing was written.
    async fn turn(&self, write: StoreWrite) -> Result<()>;
    /// It is durable; `done` says whether it changed what it was to change. An error means that its answer was lost.
    async fn written(&self, write: StoreWrite, done: bool) -> Result<()>;
}

/// Nothing happens around them.
#[derive(Clone, Copy, Debug)]
pub struct Calm;

#[async_trait]
impl Hooks for Calm {
    fn read(&self) -> Result<()> {
        Ok(())
    }

    async fn turn(&self, _write: StoreWrite) -> Result<()> {
        Ok(())
    }

    async fn written(&self, _write: StoreWrite, _done: bool) -> Result<()> {
        Ok(())
    }
}

/// The content, shared by all handles.
pub type Shared = Arc<Mutex<StoreRows>>;

/// One process's handle of the store.
pub struct MemoryStore {
    rows: Shared,
    hooks: Arc<dyn Hooks>,
    epoch: Arc<Epoch>,
    /// Which write this handle saw last.
    seen: AtomicU64,
    used: Use,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Shared::default(), Arc::new(Calm))
    }
}

/// The content behind a handle.
pub fn lock(rows: &Shared) -> MutexGuard<'_, StoreRows> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    /// A handle on these rows.
    pub fn new(rows: Shared, hooks: Arc<dyn Hooks>) -> Self {
        Self {
            rows,
            hooks,
            epoch: Arc::default(),
            seen: AtomicU64::new(0),
            used: Use::default(),
        }
    }

    fn read<T>(&self, work: impl FnOnce(&StoreRows) -> T) -> Result<T> {
        self.used.count_read();
        self.hooks.read()?;
        Ok(work(&lock(&self.rows)))
    }

    /// `work` also says whether it changed what it was to change.
    async fn write<T: Send>(
        &self,
        write: StoreWrite,
        work: impl FnOnce(&mut StoreRows) -> (T, bool) + Send,
    ) -> Result<T> {
        self.hooks.turn(write).await?;
        let (out, done) = {
            let mut rows = lock(&self.rows);
            rows.touch();
            work(&mut rows)
        };
        self.used.count_commit();
        self.epoch.raise();
        self.hooks.written(write, done).await?;
        Ok(out)
    }

    async fn note(&self, work: impl FnOnce(&mut StoreRows) + Send) -> Result<()> {
        let done = |rows: &mut StoreRows| (work(rows), true);
        self.write(StoreWrite::Other, done).await
    }

    async fn decide(&self, work: impl FnOnce(&mut StoreRows) -> bool + Send) -> Result<bool> {
        let twice = |rows: &mut StoreRows| {
            let done = work(rows);
            (done, done)
        };
        self.write(StoreWrite::Other, twice).await
    }
}

#[async_trait]
impl Grants for MemoryStore {
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        self.read(|rows| rows.grants.get(id).map(|row| row.record.grant.clone()))
    }

    async fn change(&self, id: &GrantId, change: GrantChange) -> Result<GrantChanged> {
        let apply = |rows: &mut StoreRows| {
            let changed = rows.change(id, &change);
            let done = changed.applied;
            (changed, done)
        };
        self.write(StoreWrite::of(&change), apply).await
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    fn look(&self) -> Result<()> {
        let last = self.read(|rows| rows.last_write)?;
        if self.seen.swap(last, Ordering::AcqRel) != last {
            self.epoch.raise();
        }
        Ok(())
    }

    fn used(&self) -> &Use {
        &self.used
    }

    async fn settle_here(&self, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.tell(at, serde_json::json!({"event": "copy_adopted"})))
            .await
    }
}
