//! What is true whatever anybody believes, and what must never be seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use authkeeper::model::{GrantId, GrantLifecycle};

use crate::{provider::SimToken, store::StoreRows, world::ProcessId};

/// What must hold does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A refresh token was sent again before the request before was settled.
    SentBeforeSettled(SimToken),
    /// A spent refresh token was sent although its successor lies in store, journal or shelf.
    SpentTokenSent(SimToken),
    /// A refresh token to which tokens had come, that nobody could read, was sent while that could only hurt.
    AnsweredTokenSent(SimToken),
    /// A reuse killed the family whose newest token we hold.
    HeldFamilyKilled(SimToken),
    /// The newest token was durable, and is in none of store, journal and shelf any more.
    Unreachable(SimToken),
    /// A caller has a token that was never committed.
    ReleasedTooEarly(String),
    /// A caller has a token though the lifecycle forbids it.
    ReleasedUnlawfully(String),
    /// Lineage or generation went back.
    WentBack(String),
    /// A refresh ended a suspension.
    SuspensionLeft,
    /// A completed sign-in was undone.
    SignInUndone(SimToken),
    /// A disconnected grant is active again.
    Revived,
    /// After a disconnect a token that is good at the provider lies about.
    LeftUnrevoked(SimToken),
    /// A person is asked, or nothing works, though a token that is held is good.
    LostForNothing(SimToken),
    /// A claim that nobody resolves.
    Unresolved(String),
    /// A caller that nobody answers.
    Hangs,
    /// A caller was told what can't be true.
    ToldWrongly(String),
    /// It goes round and round.
    NoEnd,
    /// The code panicked.
    Panicked(String),
}

impl Violation {
    /// Which of them, whatever it was about.
    pub fn word(&self) -> &'static str {
        match self {
            Self::SentBeforeSettled(_) => "sent before settled",
            Self::SpentTokenSent(_) => "spent token sent",
            Self::AnsweredTokenSent(_) => "answered token sent",
            Self::HeldFamilyKilled(_) => "held family killed",
            Self::Unreachable(_) => "unreachable",
            Self::ReleasedTooEarly(_) => "released too early",
            Self::ReleasedUnlawfully(_) => "released unlawfully",
            Self::WentBack(_) => "went back",
            Self::SuspensionLeft => "suspension left",
            Self::SignInUndone(_) => "sign-in undone",
            Self::Revived => "revived",
            Self::LeftUnrevoked(_) => "left unrevoked",
            Self::LostForNothing(_) => "lost for nothing",
            Self::Unresolved(_) => "unresolved",
            Self::Hangs => "hangs",
            Self::ToldWrongly(_) => "told wrongly",
            Self::NoEnd => "no end",
            Self::Panicked(_) => "panicked",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::SentBeforeSettled(token)
            | Self::SpentTokenSent(token)
            | Self::AnsweredTokenSent(token)
            | Self::HeldFamilyKilled(token)
            | Self::Unreachable(token)
            | Self::SignInUndone(token)
            | Self::LeftUnrevoked(token)
            | Self::LostForNothing(token) => write!(f, ": {token}"),
            Self::ReleasedTooEarly(what)
            | Self::ReleasedUnlawfully(what)
            | Self::WentBack(what)
            | Self::Unresolved(what)
            | Self::ToldWrongly(what)
            | Self::Panicked(what) => write!(f, ": {what}"),
            Self::SuspensionLeft | Self::Revived | Self::Hangs | Self::NoEnd => Ok(()),
        }
    }
}

/// An answer that a process has read.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedReply {
    pub process: ProcessId,
    pub spent: SimToken,
    pub granted: SimToken,
}

/// What was seen of one grant.
#[derive(Clone, Copy, Debug)]
struct SeenGrant {
    at: (u64, u64),
    revoked: bool,
    suspended: bool,
}

#[derive(Debug, Default)]
pub struct GroundTruth {
    /// The family of the last completed sign-in.
    pub family: u32,
    pub disconnected: bool,
    /// When a token might be handed out last.
    pub last_lawful: Duration,
    /// Access tokens that were ever committed.
    pub committed: BTreeSet<String>,
    pub received: Vec<ReceivedReply>,
    /// Tokens that were spent for an answer that nobody could read, and who has read it.
    pub unread: Vec<(ProcessId, SimToken)>,
    /// Those of them whose answer is kept.
    pub kept_unread: BTreeSet<SimToken>,
    /// The newest token that was ever durable.
    pub durable: Option<SimToken>,
    /// Whether the account was ever disabled.
    pub was_disabled: bool,
    seen: BTreeMap<GrantId, SeenGrant>,
}

/// What the store says of the one connection there is.
#[derive(Clone, Debug)]
pub struct GrantSnapshot {
    pub id: GrantId,
    pub lineage: u64,
    pub generation: u64,
    pub lifecycle: GrantLifecycle,
    pub claimed: bool,
    pub refresh: Option<SimToken>,
    pub access: Option<String>,
}

impl GrantSnapshot {
    /// All grants, the connection's own last.
    pub fn all(rows: &StoreRows) -> Vec<Self> {
        let own = rows
            .connections
            .values()
            .find_map(|known| known.grant.clone());
        let mut all: Vec<Self> = rows
            .grants
            .values()
            .map(|row| {
                let grant = &row.record.grant;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the tokens are the simulation's own"
                )]
                Self {
                    id: grant.id.clone(),
                    lineage: grant.lineage.0,
                    generation: grant.generation.0,
                    lifecycle: grant.lifecycle.clone(),
                    claimed: grant.claim.is_some(),
                    refresh: grant
                        .refresh
                        .as_ref()
                        .and_then(|token| SimToken::parse(token.secret.expose())),
                    access: grant
                        .access
                        .as_ref()
                        .map(|token| token.secret.expose().clone()),
                }
            })
            .collect();
        all.sort_by_key(|row| Some(&row.id) == own.as_ref());
        all
    }

    /// The connection's own, if it is connected.
    pub fn current(rows: &StoreRows) -> Option<Self> {
        let connected = rows.connections.values().any(|known| known.grant.is_some());
        Self::all(rows).pop().filter(|_| connected)
    }

    /// Whether a token that lives may be handed out.
    pub fn may_release(&self) -> bool {
        matches!(
            self.lifecycle,
            GrantLifecycle::Active | GrantLifecycle::ReauthorizationRequired { .. }
        )
    }

    pub fn is_revoked(&self) -> bool {
        matches!(self.lifecycle, GrantLifecycle::Revoked { .. })
    }
}

impl GroundTruth {
    /// Looks at the rows after a write that was no restore.
    pub fn look(&mut self, rows: &[GrantSnapshot]) -> Result<(), Violation> {
        for row in rows {
            let now = SeenGrant {
                at: (row.lineage, row.generation),
                revoked: row.is_revoked(),
                suspended: matches!(row.lifecycle, GrantLifecycle::Suspended { .. }),
            };
            let before = self.seen.insert(row.id.clone(), now);
            let Some(before) = before else {
                continue;
            };
            if now.at.0 < before.at.0 || now.at.1 < before.at.1 {
                return Err(Violation::WentBack(format!(
                    "{:?} to {:?}",
                    before.at, now.at
                )));
            }
            if before.revoked && !now.revoked {
                return Err(Violation::Revived);
            }
            if before.suspended && !now.suspended && !now.revoked && before.at.0 == now.at.0 {
                return Err(Violation::SuspensionLeft);
            }
        }
        Ok(())
    }

    /// A person acted on the rows directly, or they were put back: what is there now counts.
    pub fn begin_again(&mut self, rows: &[GrantSnapshot]) {
        self.seen.clear();
        let _ = self.look(rows);
    }

    /// The store is another one than it was.
    pub fn put_back(&mut self, own: Option<&GrantSnapshot>, all: bool) {
        let family = own.and_then(|row| row.refresh).map(|token| token.family);
        let same = family == Some(self.family);
        self.disconnected = own.is_none_or(GrantSnapshot::is_revoked);
        self.family = family.unwrap_or(u32::MAX);
        if all || !same {
            self.durable = None;
        }
        // The store has forgotten that they came.
        self.kept_unread.clear();
    }
}
