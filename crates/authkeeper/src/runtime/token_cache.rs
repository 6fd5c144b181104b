//! Tokens handed out from memory. A good token is asked for far more often than anything changes, and the answer is the same
//! each time: it is given again without a look at the store for as long as that is known to be right.
//!
//! It is right while all of this holds; else the caller goes the long way, over the store:
//! - nothing was written since the grant was read: its [`Epoch`] is today's. This process's own commits raise it at once;
//!   those of others are seen by a look at the store, and a look is believed for [`BELIEVED_FOR`] of running time;
//! - a plain ask would still be served ([`crate::refresh::decide::repeats_for`]), as the clocks were when it was decided;
//! - neither clock jumped since then, as of the last look.
//!
//! There is no background task: the first caller after a look has expired takes the next one. A process that was stopped or
//! asleep therefore trusts nothing it saw before, beyond what was left of those milliseconds.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    model::{Connection, ConnectionName, Generation, Grant, Moment},
    platform::clock::Clock,
    refresh::{
        OnBehalfOf,
        decide::{BELIEVED_FOR, Freshness, ServeDecision},
        single_flight::Ticket,
    },
    runtime::{
        IssuedToken,
        cached_token::{CachedToken, nanos},
        thread_tokens::ThreadTokens,
    },
    store::{self, Epoch, Store},
};

/// The tolerated drift between the clocks, in nanoseconds. It exceeds the time between reading one and the next; a larger
/// drift is a clock jump and invalidates the cache.
const JUMP: i128 = 50_000_000;

/// What is known of this process's connections without asking the store again.
pub(crate) struct TokenCache {
    clock: Arc<dyn Clock>,
    epoch: Arc<Epoch>,
    /// Until which tick the last look at the store is believed.
    believed_until: AtomicU64,
    clocks: Mutex<Option<ClockOffsets>>,
    entries: RwLock<HashMap<ConnectionName, CacheEntry>>,
    /// Copies of what `entries` holds. They are made under the lock of `entries` and dropped under it.
    copies: ThreadTokens,
}

/// How far both clocks were ahead of the ticks, in nanoseconds.
#[derive(Clone, Copy)]
struct ClockOffsets {
    wall: i128,
    boot: i128,
}

#[derive(Default)]
struct CacheEntry {
    held: Option<CachedToken>,
    /// What those who are at work on it now have read: a herd reads once.
    read: Weak<GrantSnapshot>,
    /// The decision that was logged last. Each is logged once, not once a call.
    logged: Option<(Generation, ServeDecision)>,
}

/// A connection and its grant, as they were read under one epoch.
pub(crate) struct GrantSnapshot {
    epoch: u64,
    /// Boxed: what is remembered of it weakly takes room until it is replaced.
    rows: Box<Rows>,
}

struct Rows {
    connection: Connection,
    grant: Grant,
    on_behalf_of: OnBehalfOf,
    /// The flight that a plain ask over these rows waits for.
    flight: OnceLock<Ticket>,
}

impl GrantSnapshot {
    pub(crate) fn connection(&self) -> &Connection {
        &self.rows.connection
    }

    pub(crate) fn grant(&self) -> &Grant {
        &self.rows.grant
    }

    pub(crate) fn on_behalf_of(&self) -> &OnBehalfOf {
        &self.rows.on_behalf_of
    }

    /// Who asks the same of these rows while this flight is in the air waits for it too, without deciding again: a token
    /// that has ended does not come back, unless the rows change or a clock jumps, and either makes the rows out of date.
    pub(crate) fn let_board(&self, ticket: &Ticket) {
        let _ = self.rows.flight.set(ticket.clone());
    }

    fn flight(&self) -> Option<Ticket> {
        let ticket = self.rows.flight.get()?;
        ticket.is_in_air().then(|| ticket.clone())
    }
}

/// For how long a token may be handed out again, and for how long it may be presented.
pub(crate) struct CacheLifetime {
    pub(crate) repeats: Duration,
    pub(crate) left: Duration,
}

impl TokenCache {
    pub(crate) fn new(clock: Arc<dyn Clock>, store: &dyn Store) -> Arc<Self> {
        Arc::new(Self {
            clock,
            epoch: Arc::clone(store.epoch()),
            believed_until: AtomicU64::new(0),
            clocks: Mutex::default(),
            entries: RwLock::default(),
            copies: ThreadTokens::default(),
        })
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The token that answers this ask, if that is known without the store. A thread that asks again has a copy of its own,
    /// and takes no lock that others take.
    pub(crate) fn token(&self, name: &ConnectionName, ask: Freshness) -> Option<Arc<IssuedToken>> {
        let ticks = self.clock.ticks();
        if !self.is_believed(ticks) {
            return None;
        }
        let answers = |held: &CachedToken| self.serves(held, ticks) && held.answers(ask, ticks);
        if let Some(token) = self.copies.token(name, answers) {
            return Some(token);
        }
        let entries = self.entries();
        let held = entries.get(name)?.held.as_ref()?;
        if !answers(held) {
            return None;
        }
        self.copies
            .keep(name, held, |kept| self.serves(kept, ticks));
        Some(Arc::clone(&held.token))
    }

    /// The flight that a plain ask would wait for, as somebody found who asked the same of the same rows.
    pub(crate) fn flight(&self, name: &ConnectionName, ask: Freshness) -> Option<Ticket> {
        if ask != Freshness::default() || !self.is_believed(self.clock.ticks()) {
            return None;
        }
        self.shared_read(name)?.flight()
    }

    /// Whether the last look at the store is believed.
    #[inline]
    fn is_believed(&self, ticks: u64) -> bool {
        ticks < self.believed_until.load(Ordering::Acquire)
    }

    pub(super) fn held(&self, name: &ConnectionName) -> Option<CachedToken> {
        self.entries().get(name)?.held.clone()
    }

    /// The order matters: a look that raised the epoch did so before it was believed.
    #[inline]
    pub(super) fn serves(&self, held: &CachedToken, ticks: u64) -> bool {
        self.is_believed(ticks) && held.epoch == self.epoch.get() && ticks < held.repeats_until
    }

    /// Looks at the store and at the clocks, if the last look is not believed any more.
    pub(crate) fn look(&self, store: &dyn Store) -> store::Result<()> {
        let ticks = self.clock.ticks();
        if self.is_believed(ticks) {
            return Ok(());
        }
        self.look_at_clocks(ticks);
        store.look()?;
        let until = ticks.saturating_add(nanos(BELIEVED_FOR));
        self.believed_until.fetch_max(until, Ordering::AcqRel);
        Ok(())
    }

    /// A clock jump invalidates every cached decision.
    fn look_at_clocks(&self, ticks: u64) {
        let now = ClockOffsets::at(self.clock.now(), ticks);
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if clocks.is_some_and(|then| !then.jumped_to(now)) {
            return;
        }
        self.epoch.raise();
        *clocks = Some(now);
    }

    /// What somebody at work on this connection has read, if it is still so.
    pub(crate) fn shared_read(&self, name: &ConnectionName) -> Option<Arc<GrantSnapshot>> {
        let known = self.entries().get(name)?.read.upgrade()?;
        (known.epoch == self.epoch.get()).then_some(known)
    }

    /// Whether somebody is at work on this connection, or waits for its refresh.
    pub(crate) fn is_awaited(&self, name: &ConnectionName) -> bool {
        self.entries()
            .get(name)
            .is_some_and(|entry| entry.read.strong_count() > 0)
    }

    /// Lets those who come now have what was read under this epoch.
    pub(crate) fn share(
        &self,
        epoch: u64,
        connection: Connection,
        grant: Grant,
    ) -> Arc<GrantSnapshot> {
        let name = connection.name.clone();
        let rows = Box::new(Rows {
            on_behalf_of: OnBehalfOf::of(&connection),
            connection,
            grant,
            flight: OnceLock::new(),
        });
        let known = Arc::new(GrantSnapshot { epoch, rows });
        self.entries_mut().entry(name).or_default().read = Arc::downgrade(&known);
        known
    }

    /// From now on this token answers plain asks.
    pub(crate) fn put(
        &self,
        known: &GrantSnapshot,
        token: &Arc<IssuedToken>,
        spans: &CacheLifetime,
        ticks: u64,
    ) {
        let name = &known.connection().name;
        let mut entries = self.entries_mut();
        let Some(entry) = entries.get_mut(name) else {
            return;
        };
        entry.held = Some(CachedToken {
            token: Arc::clone(token),
            epoch: known.epoch,
            repeats_until: ticks.saturating_add(nanos(spans.repeats)),
            ends: ticks.saturating_add(nanos(spans.left)),
        });
        entry.read = Weak::new();
    }

    /// Nothing is handed out from memory: the store must be asked. What is not good any more is not kept.
    pub(crate) fn evict(&self, name: &ConnectionName) {
        let mut entries = self.entries_mut();
        let held = entries.get_mut(name).and_then(|entry| entry.held.take());
        if held.is_some() {
            self.copies.drop_all(name);
        }
    }

    /// There is no such connection any more.
    pub(crate) fn forget(&self, name: &ConnectionName) {
        let mut entries = self.entries_mut();
        if entries.remove(name).is_some() {
            self.copies.drop_all(name);
        }
    }

    /// Whether this decision was not the last one that was logged.
    pub(crate) fn is_new_decision(
        &self,
        name: &ConnectionName,
        of: Generation,
        decision: ServeDecision,
    ) -> bool {
        let decision = Some((of, decision));
        if self
            .entries()
            .get(name)
            .is_none_or(|entry| entry.logged == decision)
        {
            return false;
        }
        let mut entries = self.entries_mut();
        let entry = entries.get_mut(name);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.logged, decision) != decision)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    fn entries(&self) -> RwLockReadGuard<'_, HashMap<ConnectionName, CacheEntry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_mut(&self) -> RwLockWriteGuard<'_, HashMap<ConnectionName, CacheEntry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockOffsets {
    fn at(now: Moment, ticks: u64) -> Self {
        let boot = i128::try_from(now.boot.since.as_nanos()).unwrap_or(i128::MAX);
        Self {
            wall: now.wall.as_nanosecond() - i128::from(ticks),
            boot: boot - i128::from(ticks),
        }
    }

    fn jumped_to(self, later: Self) -> bool {
        (later.wall - self.wall).abs() > JUMP || (later.boot - self.boot).abs() > JUMP
    }
}
