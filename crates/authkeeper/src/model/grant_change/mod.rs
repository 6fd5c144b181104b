//! What a claim, a commit, a refusal or a replaced key does to a grant, decided without a store. A store reads its record of
//! the grant, applies the change, and writes the result in the same transaction; it has no rules of its own.

mod api_key;
mod claim;
mod outcome;

use jiff::Timestamp;

use super::{
    AccessToken, AttemptId, Claim, Generation, Grant, GrantId, GrantLifecycle, GrantMaterial,
    Lineage, Moment, ReauthorizeReason, RefreshToken, SubjectBinding, SuspendReason, UnknownKind,
};
use crate::secret::SecretString;

/// A grant as a store keeps it: the grant, and what only its transitions need.
#[derive(Clone, Debug)]
pub struct GrantRecord {
    /// The grant.
    pub grant: Grant,
    /// Refusals in a row that came without an OAuth code.
    pub suspects: u32,
    /// What the provider says when it refuses, and since when it has said nothing else.
    pub refused: Option<RepeatedRefusal>,
}

/// A refusal that the provider repeats in the same words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedRefusal {
    /// The words.
    pub words: String,
    /// When it said so first.
    pub since: Moment,
}

/// Exactly which token an attempt wants to spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Of which grant.
    pub grant: GrantId,
    /// Of which sign-in.
    pub lineage: Lineage,
    /// Which generation.
    pub generation: Generation,
}

/// One accepted refresh, to be committed in one step.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// What was spent.
    pub spend: Spend,
    /// The new access token; its generation is the spent one's successor.
    pub access: AccessToken,
    /// The new refresh token; none keeps the old one (RFC 6749 §6).
    pub refresh: Option<RefreshToken>,
    /// What is known now of whose grant it is, and for what.
    pub subject_binding: SubjectBinding,
    /// Why its tokens must not be handed out, and since when: kept, and suspended with the same step.
    pub hold: Option<(SuspendReason, Timestamp)>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is the current generation now.
    Yes,
    /// Another generation or lineage is current; nothing was overwritten.
    Superseded,
    /// The grant was disconnected meanwhile: what came must be revoked, never adopted.
    Revoked,
}

/// A new API key in the place of the current one.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key.
    pub secret: SecretString,
    /// When it is taken into use.
    pub at: Moment,
    /// When it should be replaced in its turn.
    pub rotate_by: Option<Timestamp>,
    /// Until when the key before it may serve again.
    pub overlap_until: Timestamp,
}

/// One step of a grant. Each applies only to the state that it names; applied to another one it changes nothing.
#[derive(Clone, Debug)]
pub enum GrantChange {
    /// Claims one generation: only if it is still current, active and unclaimed.
    Claim(Spend, Claim),
    /// Claims a refused generation to try it once more: only if it is still current, in quarantine and unclaimed.
    Probe(Spend, Claim, Timestamp),
    /// Replaces the claim of this attempt, whose outcome is unknown, by the next attempt at the same generation.
    TakeOver(Spend, AttemptId, Claim),
    /// Gives back a claim under which surely nothing was sent.
    Release(AttemptId),
    /// Notes that an attempt's outcome is unknown, how its answer was lost, and when.
    MarkUnknown(AttemptId, UnknownKind, Moment),
    /// Keeps a refresh token that came before the tokens it is for: an identity provider answered with a new one in the
    /// place of the one it was shown. Only if the attempt still holds the claim, or the token that was shown is still the
    /// current one. What became of that attempt is not unknown any more.
    KeepSubject {
        /// What is being spent.
        spend: Spend,
        /// By which attempt.
        attempt: AttemptId,
        /// The refresh token that the identity provider was shown.
        shown: SecretString,
        /// The one that it answered with.
        refresh: RefreshToken,
    },
    /// Commits an accepted refresh, if what was spent is still current.
    Commit(Box<Refreshed>),
    /// Notes a clear refusal and ends the attempt's claim; only if that attempt still holds it.
    Refuse(Spend, AttemptId, ReauthorizeReason, Timestamp),
    /// Marks the grant as in need of a sign-in, whatever its tokens: only if this sign-in is still the current one, and
    /// the grant active and unclaimed.
    RequireSignIn(Lineage, ReauthorizeReason, Timestamp),
    /// Makes an imported grant usable: a person has confirmed, at this time, that no other copy of its refresh token is used.
    ConfirmSoleCopy(Timestamp),
    /// Puts a new API key in the place of the one of this generation, which stays as standby for the overlap.
    ReplaceKey(Generation, NewKey),
    /// The API key of this generation was refused: the one before it serves again, if its overlap has not ended.
    FallBack(Generation, Moment),
    /// Removes the access token of this generation.
    RetireAccess(Generation),
    /// Counts a refusal that says nothing of the grant.
    CountSuspect,
    /// Notes that the provider refused the grant in these words.
    NoteRefusal(String, Moment),
    /// Disconnects: never active again. The secrets stay until they are wiped, so that they can be revoked.
    Revoke(Timestamp),
    /// Removes every secret of a revoked grant.
    Wipe,
}

impl GrantChange {
    /// The record after this change; none where it does not apply.
    pub fn applied_to(&self, held: &GrantRecord) -> Option<GrantRecord> {
        let mut record = held.clone();
        record.apply(self).then_some(record)
    }

    /// Whether it is made to send a refresh token.
    pub fn spends(&self) -> bool {
        matches!(self, Self::Claim(..) | Self::Probe(..) | Self::TakeOver(..))
    }

    /// What the audit keeps of it: when it happened, and the record, which names the grant after it.
    pub fn audit(&self, after: &Grant) -> Option<(Timestamp, serde_json::Value)> {
        let key_event = |event: &str| {
            serde_json::json!({
                "event": event, "grant": after.id.as_str(), "generation": after.generation.0,
            })
        };
        match self {
            Self::ReplaceKey(_, key) => Some((key.at.wall, key_event("key_replaced"))),
            Self::FallBack(_, at) => Some((at.wall, key_event("key_fell_back"))),
            Self::ConfirmSoleCopy(at) => {
                let event =
                    serde_json::json!({"event": "sole_copy_confirmed", "grant": after.id.as_str()});
                Some((*at, event))
            }
            _ => None,
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug)]
pub struct GrantChanged {
    /// Whether it applied.
    pub applied: bool,
    /// The grant as it is kept from now on; none if there is no such grant.
    pub record: Option<GrantRecord>,
}

impl GrantChanged {
    /// What became of a commit.
    pub fn committed(&self) -> Committed {
        let revoked = (self.record.as_ref()).is_some_and(|record| record.grant.is_revoked());
        match self.applied {
            true => Committed::Yes,
            false if revoked => Committed::Revoked,
            false => Committed::Superseded,
        }
    }
}

impl GrantRecord {
    /// A grant of which nothing else is known.
    pub fn new(grant: Grant) -> Self {
        Self {
            grant,
            suspects: 0,
            refused: None,
        }
    }

    /// True if the change applies; else nothing may be kept of what it did.
    fn apply(&mut self, change: &GrantChange) -> bool {
        let grant = &mut self.grant;
        match change {
            GrantChange::Claim(spend, claim) => grant.claim(spend, claim),
            GrantChange::Probe(spend, claim, at) => grant.claim_probe(spend, claim, *at),
            GrantChange::TakeOver(spend, seen, claim) => grant.take_over(spend, seen, claim),
            GrantChange::Release(attempt) => grant.release(attempt),
            GrantChange::MarkUnknown(attempt, kind, since) => {
                grant.mark_unknown(attempt, *kind, *since)
            }
            GrantChange::KeepSubject {
                spend,
                attempt,
                shown,
                refresh,
            } => grant.keep_subject(spend, (attempt, shown), refresh),
            GrantChange::Commit(refreshed) => self.commit(refreshed),
            GrantChange::Refuse(spend, attempt, reason, at) => {
                grant.refuse(spend, attempt, *reason, *at)
            }
            GrantChange::RequireSignIn(lineage, reason, at) => {
                grant.require_sign_in(*lineage, *reason, *at)
            }
            GrantChange::ConfirmSoleCopy(_) => grant.confirm_sole_copy(),
            GrantChange::ReplaceKey(seen, key) => grant.replace_key(*seen, key),
            GrantChange::FallBack(refused, at) => grant.fall_back(*refused, *at),
            GrantChange::RetireAccess(generation) => grant.retire_access(*generation),
            GrantChange::CountSuspect => {
                self.suspects = self.suspects.saturating_add(1);
                true
            }
            GrantChange::NoteRefusal(words, now) => self.note_refusal(words, *now),
            GrantChange::Revoke(since) => grant.revoke(*since),
            GrantChange::Wipe => grant.wipe(),
        }
    }
}

impl Grant {
    /// Whether exactly this is still current.
    fn is_current(&self, spend: &Spend) -> bool {
        (self.lineage, self.generation) == (spend.lineage, spend.generation)
    }

    /// Whether it is disconnected, for good.
    pub fn is_revoked(&self) -> bool {
        matches!(self.lifecycle, GrantLifecycle::Revoked { .. })
    }

    fn revoke(&mut self, since: Timestamp) -> bool {
        let was_good = !self.is_revoked();
        if was_good {
            self.lifecycle = GrantLifecycle::Revoked { since };
        }
        was_good
    }

    fn wipe(&mut self) -> bool {
        if !self.is_revoked() {
            return false;
        }
        self.refresh = None;
        self.access = None;
        self.standby = None;
        self.grant_material = GrantMaterial::default();
        true
    }
}

#[cfg(test)]
mod tests;
