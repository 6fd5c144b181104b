//! What is looked at along a schedule.

use std::sync::Arc;

use authkeeper::{platform::files::Files, refresh::decide::BELIEVED_FOR, testing as inside};

use crate::{
    disk::Frozen,
    fault::Checkpoint,
    provider::SimToken,
    store::{self, StoreWrite},
    truth::{GrantSnapshot, Violation},
    world::{ProcessId, SimWorld},
};

/// The key of the simulated machine.
pub const KEY: [u8; 32] = [7; 32];

impl SimWorld {
    /// The refresh tokens that a kill of every process would leave.
    pub fn durable(&mut self) -> Vec<SimToken> {
        let stores = self.stores.iter();
        let rows = stores.flat_map(|rows| GrantSnapshot::all(&store::lock(rows)));
        let mut durable: Vec<SimToken> = rows.filter_map(|row| row.refresh).collect();
        if self.in_files.0 != self.disk.version {
            let files: Arc<dyn Files> = Arc::new(Frozen(self.disk.clone()));
            let texts = inside::refresh_tokens_in(&files, "/sim".as_ref(), KEY);
            let tokens = texts
                .iter()
                .filter_map(|text| SimToken::parse(text))
                .collect();
            self.in_files = (self.disk.version, tokens);
        }
        durable.extend(&self.in_files.1);
        durable
    }

    /// After each write to the store.
    pub fn look(&mut self, write: StoreWrite, done: bool, rows: &[GrantSnapshot]) {
        let Some(own) = rows.last().filter(|_| done) else {
            return;
        };
        match write {
            StoreWrite::SignIn => {
                self.truth.disconnected = false;
                self.truth.durable = own.refresh;
                self.truth.family = own.refresh.map_or(u32::MAX, |token| token.family);
            }
            StoreWrite::Disconnect => self.truth.disconnected = true,
            _ => {}
        }
        self.truth.committed.extend(own.access.clone());
        if self.controls.two_stores {
            return;
        }
        let looked = self.truth.look(rows);
        if let Err(broken) = looked {
            self.broke(broken);
        }
        let undone = own
            .refresh
            .filter(|token| token.family != self.truth.family);
        if let Some(undone) = undone.filter(|_| !own.is_revoked()) {
            self.broke(Violation::SignInUndone(undone));
        }
    }

    pub fn pass_write(&mut self, process: ProcessId, write: StoreWrite) {
        let step = match write {
            StoreWrite::Claim => Checkpoint::Claimed,
            StoreWrite::TakeOver => Checkpoint::TakenOver,
            StoreWrite::Commit => Checkpoint::Committed,
            StoreWrite::MarkUnknown => Checkpoint::Lost,
            _ => return,
        };
        self.pass(process, step);
        // It is a claim too.
        if step == Checkpoint::TakenOver {
            self.pass(process, Checkpoint::Claimed);
        }
    }

    /// What a process has read last is in its journal.
    pub fn note_durable(&mut self, process: ProcessId) {
        let unread = self.truth.unread.iter().filter(|(by, _)| *by == process);
        self.truth
            .kept_unread
            .extend(unread.map(|(_, spent)| *spent));
        let mut received = self.truth.received.iter().rev();
        let granted = received.find(|received| received.process == process);
        let family = self.truth.family;
        let granted = granted.map(|received| received.granted);
        if let Some(granted) = granted.filter(|granted| granted.family == family) {
            self.truth.durable = self.truth.durable.max(Some(granted));
        }
    }

    /// The newest token, once it was durable, stays so until it is superseded.
    pub fn check_reachable(&mut self) {
        let newest = self.provider.newest(self.truth.family);
        let Some(token) = self
            .truth
            .durable
            .filter(|durable| Some(*durable) == newest)
        else {
            return;
        };
        let wanted = !self.truth.disconnected && self.provider.is_good(token, self.now);
        if wanted && !self.durable().contains(&token) {
            self.broke(Violation::Unreachable(token));
        }
    }

    /// A caller gets this token now.
    pub fn check_released(&mut self, access: &str) {
        if !self.truth.committed.contains(access) {
            self.broke(Violation::ReleasedTooEarly(access.to_owned()));
        }
        self.note_lawful();
        // What another process has written may go unseen for that long.
        let unseen = self.now.saturating_sub(self.truth.last_lawful);
        if unseen > BELIEVED_FOR {
            self.broke(Violation::ReleasedUnlawfully(access.to_owned()));
        }
    }

    /// Notes whether a token may be handed out now. It is asked whenever time has gone on.
    pub fn note_lawful(&mut self) {
        let mut stores = self.stores.iter();
        let lawful = stores.any(|rows| {
            GrantSnapshot::current(&store::lock(rows)).is_some_and(|row| row.may_release())
        });
        if lawful {
            self.truth.last_lawful = self.now;
        }
    }
}
