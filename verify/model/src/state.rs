//! What the world looks like between two steps: plain, small, hashable.

use authkeeper::model::{ReauthorizeReason, UnknownKind};

use crate::scenario::Budget;

/// Time is counted in steps of [`crate::bridge::TICK`], longer than the quiet period.
pub type Tick = u16;

/// How many processes there are at most.
pub const PROCESSES: usize = 3;
/// How many attempts can leave traces at once.
pub const ATTEMPTS: usize = 6;
/// How many refresh-token families a provider can have issued.
pub const FAMILIES: usize = 4;
/// How many answers that lost a race are kept.
pub const LATE: usize = 3;

/// A refresh token: which family, and the how-manieth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelToken {
    /// Which family.
    pub family: u8,
    /// The how-manieth.
    pub index: u8,
}

/// What the provider knows of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Family {
    /// Not revoked, not killed by a reuse.
    pub alive: bool,
    /// The token issued last.
    pub current: u8,
    /// The one before it, where a provider lets two live.
    pub previous: Option<u8>,
    /// When `current` was issued.
    pub issued: Tick,
    /// How many tokens were issued.
    pub count: u8,
}

/// The truth at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelProvider {
    /// Reachable.
    pub up: bool,
    /// The account may be used.
    pub enabled: bool,
    /// Every family it issued.
    pub families: [Option<Family>; FAMILIES],
}

/// An answer of the token endpoint, as far as the transaction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// New tokens; no refresh token means that the old one stays.
    Accepted {
        /// The new refresh token.
        token: Option<ModelToken>,
        /// When the request left.
        issued: Tick,
    },
    /// A 2xx with tokens and something odd about it.
    Odd {
        /// What of it can be read.
        shape: Shape,
        /// The new refresh token.
        token: Option<ModelToken>,
        /// When the request left.
        issued: Tick,
    },
    /// `invalid_grant`.
    Refused,
    /// Surely not acted: 429, 503 with `Retry-After`.
    Transient,
}

/// How an odd answer brings its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Readable, beside an error field or under an unusual content type.
    Beside,
    /// In a shape that nobody can read, or only a later version.
    Unreadable,
    /// A refresh token and no access token.
    RefreshAlone,
}

impl Reply {
    /// Whether it is a 2xx with tokens.
    pub fn carries_tokens(self) -> bool {
        matches!(self, Self::Accepted { .. } | Self::Odd { .. })
    }

    /// The refresh token and when the request left, where both tokens can be read.
    pub fn brings(self) -> Option<(Option<ModelToken>, Tick)> {
        match self {
            Self::Accepted { token, issued }
            | Self::Odd {
                shape: Shape::Beside,
                token,
                issued,
            } => Some((token, issued)),
            _ => None,
        }
    }

    /// The refresh token, where it can be read.
    pub fn token(self) -> Option<ModelToken> {
        match self {
            Self::Odd {
                shape: Shape::RefreshAlone,
                token,
                ..
            } => token,
            reply => reply.brings()?.0,
        }
    }
}

/// What is in the air for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireMessage {
    /// On its way to the provider, or queued there.
    Request {
        /// What it spends.
        token: ModelToken,
        /// When it left.
        issued: Tick,
        /// Its sender is dead.
        closed: bool,
    },
    /// On its way back, to a socket that is read.
    Reply(Reply),
}

/// Whether the grant may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    Active,
    Lost {
        reason: ReauthorizeReason,
        since: Tick,
    },
    Suspended,
    Revoked,
}

/// A process, as its lock names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Which one.
    pub process: u8,
    /// Its how-manieth life.
    pub life: u8,
}

/// The claim in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub attempt: u8,
    pub number: u8,
    pub owner: Owner,
    pub since: Tick,
    /// Set once the outcome is unknown: how, and since when.
    pub unknown: Option<(UnknownKind, Tick)>,
}

/// The access token in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    pub generation: u8,
    pub issued: Tick,
    pub after_rejection: bool,
}

/// The grant's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelGrant {
    pub lineage: u8,
    pub generation: u8,
    pub lifecycle: Lifecycle,
    pub token: Option<ModelToken>,
    pub access: Access,
    pub claim: Option<Claim>,
    pub probed: Option<Tick>,
}

/// How far a journal says its attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    Intent,
    Sending,
    Reply(Reply),
}

/// One attempt's journal. What was spent and by whom is read by the invariants, and by [`crate::design::Design::orphans`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Journal {
    pub written: Written,
    pub seen: SeenState,
    pub owner: Owner,
}

/// An answer on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shelved {
    pub lineage: u8,
    pub generation: u8,
    pub token: Option<ModelToken>,
    pub issued: Tick,
}

/// The answers beside the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shelf {
    pub kept: Option<Shelved>,
    pub late: [Option<Shelved>; LATE],
    /// An answer that nobody could read.
    pub unread: Option<Shelved>,
}

/// What a flight read before it set out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenState {
    pub lineage: u8,
    pub generation: u8,
    pub token: ModelToken,
    pub number: u8,
    /// The unknown attempt it takes over from, and how that was lost.
    pub takes_over: Option<(u8, UnknownKind)>,
    /// The grant is in quarantine.
    pub probe: bool,
    /// The resource refused the token before.
    pub forced: bool,
}

/// An attempt under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    pub seen: SeenState,
    pub attempt: u8,
    pub since: Tick,
}

/// How a commit came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Committed {
    Yes,
    Superseded,
    Revoked,
}

/// Where a process stands. Being stopped needs no state of its own: it is not being scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlightStep {
    Idle,
    /// Read, decided, connected.
    Connected(SeenState),
    /// Room made and claimed.
    Claimed(Run),
    /// The journal says "sending".
    Marked(Run),
    /// The deadline was met; the request is written next.
    Cleared(Run),
    /// Reading the socket, since then.
    Waiting(Run, Tick),
    /// The answer is in memory.
    Received(Run, Reply),
    /// The answer is in the journal.
    Durable(Run, Reply),
    /// An answer that lost a race was taken from the shelf to be tried.
    Trying(Run, Shelved),
    /// The commit came out; the shelf or the revocation is next.
    Committed(Run, Shelved, Committed),
}

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelProcess {
    pub alive: bool,
    pub life: u8,
    pub step: FlightStep,
}

/// A copy of the store, with what lay beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Copied {
    pub row: ModelGrant,
    pub journals: [Option<Journal>; ATTEMPTS],
    pub shelf: Shelf,
}

/// What nobody in the model can see: what the invariants are told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelTruth {
    /// The sign-in that was completed last: its lineage and its family.
    pub signed_in: (u8, u8),
    /// The newest refresh token that was made durable on this host.
    pub durable: Option<ModelToken>,
    /// The newest refresh token to which a 2xx with another one came.
    pub answered: Option<ModelToken>,
    /// A person disconnected and did not sign in again.
    pub disconnected: bool,
    /// A person's sign-in came to nothing.
    pub sign_in_lost: bool,
    /// The store was put back from a copy.
    pub restored: bool,
    /// The highest lineage that ever was.
    pub lineages: u8,
}

/// All of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelState {
    pub now: Tick,
    pub provider: ModelProvider,
    pub air: [Option<WireMessage>; ATTEMPTS],
    pub row: ModelGrant,
    pub journals: [Option<Journal>; ATTEMPTS],
    pub shelf: Shelf,
    pub processes: [Option<ModelProcess>; PROCESSES],
    pub copied: Option<Copied>,
    /// The generation that got a 401.
    pub rejected: Option<u8>,
    /// A sign-in under way: what it had read of the row.
    pub signing: Option<(u8, u8)>,
    /// A disconnect under way: the row says so, the provider does not know yet.
    pub leaving: bool,
    /// What could not be read before now can: after an upgrade, or with a setting.
    pub upgraded: bool,
    pub left: Budget,
    pub truth: ModelTruth,
}

impl ModelState {
    /// The world after a sign-in, with these processes and this much that may go wrong.
    pub fn start(processes: usize, left: Budget) -> Self {
        let first = ModelToken {
            family: 0,
            index: 0,
        };
        let process = ModelProcess {
            alive: true,
            life: 0,
            step: FlightStep::Idle,
        };
        let mut all = [None; PROCESSES];
        all.iter_mut()
            .take(processes)
            .for_each(|slot| *slot = Some(process));
        Self {
            now: 0,
            provider: ModelProvider::with_one_family(),
            air: [None; ATTEMPTS],
            row: ModelGrant::signed_in(first),
            journals: [None; ATTEMPTS],
            shelf: Shelf::default(),
            processes: all,
            copied: None,
            rejected: None,
            signing: None,
            leaving: false,
            upgraded: false,
            left,
            truth: ModelTruth {
                signed_in: (1, 0),
                durable: Some(first),
                answered: None,
                disconnected: false,
                sign_in_lost: false,
                restored: false,
                lineages: 1,
            },
        }
    }

    /// The attempt's number that nothing refers to any more.
    pub fn free_attempt(&self) -> Option<u8> {
        let claimed = self.row.claim.map(|claim| claim.attempt);
        let copied = self.copied.and_then(|copied| copied.row.claim);
        let of_copy = copied.map(|claim| claim.attempt);
        (0..ATTEMPTS).zip(0_u8..).find_map(|(slot, attempt)| {
            let used = self.air[slot].is_some()
                || self.journals[slot].is_some()
                || self
                    .copied
                    .is_some_and(|copied| copied.journals[slot].is_some())
                || claimed == Some(attempt)
                || of_copy == Some(attempt)
                || self.live().any(|process| process.refers_to(attempt));
            (!used).then_some(attempt)
        })
    }

    /// The processes that live.
    pub fn live(&self) -> impl Iterator<Item = &ModelProcess> {
        self.processes
            .iter()
            .flatten()
            .filter(|process| process.alive)
    }

    /// Whether this owner still holds its lock.
    pub fn is_alive(&self, owner: Owner) -> bool {
        let process = self.processes[usize::from(owner.process)];
        process.is_some_and(|process| process.alive && process.life == owner.life)
    }
}

impl ModelGrant {
    fn signed_in(token: ModelToken) -> Self {
        Self {
            lineage: 1,
            generation: 1,
            lifecycle: Lifecycle::Active,
            token: Some(token),
            access: Access {
                generation: 1,
                issued: 0,
                after_rejection: false,
            },
            claim: None,
            probed: None,
        }
    }
}

impl FlightStep {
    /// The attempt it is at.
    pub fn run(&self) -> Option<Run> {
        match self {
            Self::Idle | Self::Connected(_) => None,
            Self::Claimed(run)
            | Self::Marked(run)
            | Self::Cleared(run)
            | Self::Waiting(run, _)
            | Self::Received(run, _)
            | Self::Durable(run, _)
            | Self::Trying(run, _)
            | Self::Committed(run, _, _) => Some(*run),
        }
    }

    fn seen(&self) -> Option<SeenState> {
        match self {
            Self::Connected(seen) => Some(*seen),
            _ => self.run().map(|run| run.seen),
        }
    }

    /// The refresh token it has in memory and nowhere else.
    pub fn in_memory(&self) -> Option<ModelToken> {
        match self {
            Self::Received(_, reply) | Self::Durable(_, reply) => reply.token(),
            Self::Trying(_, shelved) | Self::Committed(_, shelved, _) => shelved.token,
            _ => None,
        }
    }
}

impl ModelProcess {
    fn refers_to(&self, attempt: u8) -> bool {
        let takes_over = self.step.seen().and_then(|seen| seen.takes_over);
        self.step.run().is_some_and(|run| run.attempt == attempt)
            || takes_over.is_some_and(|(seen, _)| seen == attempt)
    }
}

impl Shelf {
    /// Adds an answer that lost a race; with no place left the oldest goes, as the library looks at no more.
    pub fn set_aside(&mut self, late: Shelved) {
        if self.late.contains(&Some(late)) {
            return;
        }
        match self.late.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(late),
            None => self.late[0] = Some(late),
        }
    }

    /// Takes the newest answer of a lineage away.
    pub fn take_late(&mut self, lineage: u8, from: u8) -> Option<Shelved> {
        let matching = |late: &Shelved| late.lineage == lineage && late.generation >= from;
        let newest = self.late.iter().flatten().filter(|late| matching(late));
        let newest = newest.max_by_key(|late| late.generation).copied()?;
        self.drop_late(newest);
        Some(newest)
    }

    /// It was tried.
    pub fn drop_late(&mut self, tried: Shelved) {
        let same = |place: &&mut Option<Shelved>| **place == Some(tried);
        let places = self.late.iter_mut().filter(same);
        places.for_each(|place| *place = None);
    }

    /// Every answer on it.
    pub fn all(&self) -> impl Iterator<Item = &Shelved> {
        self.kept.iter().chain(self.late.iter().flatten())
    }
}
