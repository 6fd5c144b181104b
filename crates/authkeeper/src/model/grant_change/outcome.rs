//! What an answer makes of a grant: accepted, refused, or in need of a person.

use jiff::Timestamp;

use super::{GrantRecord, Refreshed, RepeatedRefusal, Spend};
use crate::{
    model::{
        AttemptId, ClaimPhase, Generation, Grant, GrantLifecycle, Lineage, Moment,
        ReauthorizeReason, RefreshToken, SuspendReason,
    },
    secret::SecretString,
};

impl GrantRecord {
    /// It never leaves `revoked`, nor `suspended`, and it does leave `reauthorization_required`: a late answer proves that
    /// the grant lives.
    pub(super) fn commit(&mut self, refreshed: &Refreshed) -> bool {
        let grant = &mut self.grant;
        if !grant.is_current(&refreshed.spend) || grant.is_revoked() {
            return false;
        }
        self.suspects = 0;
        self.refused = None;
        grant.generation = refreshed.access.generation;
        grant.probed = None;
        grant.claim = None;
        if !matches!(grant.lifecycle, GrantLifecycle::Suspended { .. }) {
            grant.lifecycle = GrantLifecycle::Active;
        }
        if let Some((reason, since)) = refreshed.hold {
            grant.lifecycle = GrantLifecycle::Suspended { reason, since };
        }
        grant.subject_binding = refreshed.subject_binding.clone();
        grant.access = Some(refreshed.access.clone());
        if let Some(refresh) = &refreshed.refresh {
            grant.refresh = Some(refresh.clone());
        }
        true
    }

    pub(super) fn note_refusal(&mut self, words: &str, now: Moment) -> bool {
        let same = self
            .refused
            .as_ref()
            .is_some_and(|said| said.words == words);
        if !same {
            let words = words.to_owned();
            self.refused = Some(RepeatedRefusal { words, since: now });
        }
        true
    }
}

impl Grant {
    pub(super) fn keep_subject(
        &mut self,
        spend: &Spend,
        (attempt, shown): (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> bool {
        if !self.is_current(spend) || self.is_revoked() {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
        let shown_is_current =
            (self.refresh.as_ref()).is_some_and(|held| held.secret.expose() == shown.expose());
        match &mut self.claim {
            Some(claim) if claim.attempt == *attempt => claim.phase = ClaimPhase::Spending,
            _ if shown_is_current => {}
            _ => return false,
        }
        self.refresh = Some(refresh.clone());
        true
    }

    pub(super) fn refuse(
        &mut self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        since: Timestamp,
    ) -> bool {
        let held = self.claim.as_ref();
        let may = self.is_current(spend)
            && self.lifecycle == GrantLifecycle::Active
            && held.is_some_and(|held| held.attempt == *attempt);
        if may {
            self.lifecycle = GrantLifecycle::ReauthorizationRequired { reason, since };
            self.claim = None;
        }
        may
    }

    pub(super) fn require_sign_in(
        &mut self,
        lineage: Lineage,
        reason: ReauthorizeReason,
        since: Timestamp,
    ) -> bool {
        let may = self.lineage == lineage
            && self.claim.is_none()
            && self.lifecycle == GrantLifecycle::Active;
        if may {
            self.lifecycle = GrantLifecycle::ReauthorizationRequired { reason, since };
        }
        may
    }

    pub(super) fn confirm_sole_copy(&mut self) -> bool {
        let imported = matches!(
            self.lifecycle,
            GrantLifecycle::Suspended {
                reason: SuspendReason::SecondCopy,
                ..
            }
        );
        if imported {
            self.lifecycle = GrantLifecycle::Active;
        }
        imported
    }

    pub(super) fn retire_access(&mut self, generation: Generation) -> bool {
        let held = self.access.as_ref();
        let is_it = held.is_some_and(|token| token.generation == generation);
        if is_it {
            self.access = None;
        }
        is_it
    }
}
