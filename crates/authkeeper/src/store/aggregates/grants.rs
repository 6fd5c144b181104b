//! Grants: all that a refresh sees of a store.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{
        AttemptId, Claim, Committed, Generation, Grant, GrantChange, GrantChanged, GrantId,
        Lineage, Moment, NewKey, ReauthorizeReason, RefreshToken, Refreshed, Spend, UnknownKind,
    },
    secret::SecretString,
    store::Result,
};

/// The grants. A store implements [`Grants::grant`] and [`Grants::change`]; what a change does is decided in
/// [`crate::model::GrantChange`].
#[async_trait]
pub trait Grants: Send + Sync {
    /// One grant with its current tokens.
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>>;

    /// Applies one change to the grant as it is now, in one step, and returns when the result is durable, with the grant as
    /// it is kept from now on. Two changes at once are applied one after the other. A change that spends is refused where
    /// the store is a copy ([`Store::is_copy`](super::Store::is_copy)), unless the grant is issued again without spending.
    async fn change(&self, id: &GrantId, change: GrantChange) -> Result<GrantChanged>;

    /// [`GrantChange::Claim`]; true if it applied.
    async fn claim(&self, spend: &Spend, claim: &Claim) -> Result<bool> {
        let change = GrantChange::Claim(spend.clone(), claim.clone());
        Ok(self.change(&spend.grant, change).await?.applied)
    }

    /// [`GrantChange::Probe`]; true if it applied.
    async fn claim_probe(&self, spend: &Spend, claim: &Claim, at: Timestamp) -> Result<bool> {
        let change = GrantChange::Probe(spend.clone(), claim.clone(), at);
        Ok(self.change(&spend.grant, change).await?.applied)
    }

    /// [`GrantChange::TakeOver`]; true if it applied.
    async fn take_over(&self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> Result<bool> {
        let change = GrantChange::TakeOver(spend.clone(), seen.clone(), claim.clone());
        Ok(self.change(&spend.grant, change).await?.applied)
    }

    /// [`GrantChange::Release`]; true if it applied.
    async fn release(&self, grant: &GrantId, attempt: &AttemptId) -> Result<bool> {
        let change = GrantChange::Release(attempt.clone());
        Ok(self.change(grant, change).await?.applied)
    }

    /// [`GrantChange::MarkUnknown`]; true if it applied.
    async fn mark_unknown(
        &self,
        grant: &GrantId,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> Result<bool> {
        let change = GrantChange::MarkUnknown(attempt.clone(), kind, since);
        Ok(self.change(grant, change).await?.applied)
    }

    /// [`GrantChange::KeepSubject`], by this attempt, which showed this token; true if it applied.
    async fn keep_subject(
        &self,
        spend: &Spend,
        (attempt, shown): (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> Result<bool> {
        let change = GrantChange::KeepSubject {
            spend: spend.clone(),
            attempt: attempt.clone(),
            shown: shown.clone(),
            refresh: refresh.clone(),
        };
        Ok(self.change(&spend.grant, change).await?.applied)
    }

    /// [`GrantChange::Commit`].
    async fn commit_refresh(&self, refreshed: Refreshed) -> Result<Committed> {
        let grant = refreshed.spend.grant.clone();
        let change = GrantChange::Commit(Box::new(refreshed));
        Ok(self.change(&grant, change).await?.committed())
    }

    /// [`GrantChange::Refuse`]; true if it applied.
    async fn commit_refusal(
        &self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let change = GrantChange::Refuse(spend.clone(), attempt.clone(), reason, at);
        Ok(self.change(&spend.grant, change).await?.applied)
    }

    /// [`GrantChange::RequireSignIn`]; true if it applied.
    async fn require_sign_in(
        &self,
        grant: &GrantId,
        lineage: Lineage,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let change = GrantChange::RequireSignIn(lineage, reason, at);
        Ok(self.change(grant, change).await?.applied)
    }

    /// [`GrantChange::ConfirmSoleCopy`]; true if it applied.
    async fn confirm_sole_copy(&self, grant: &GrantId, at: Timestamp) -> Result<bool> {
        let change = GrantChange::ConfirmSoleCopy(at);
        Ok(self.change(grant, change).await?.applied)
    }

    /// [`GrantChange::ReplaceKey`]; true if it applied.
    async fn replace_key(&self, grant: &GrantId, seen: Generation, key: &NewKey) -> Result<bool> {
        let change = GrantChange::ReplaceKey(seen, key.clone());
        Ok(self.change(grant, change).await?.applied)
    }

    /// [`GrantChange::FallBack`]; true if it applied.
    async fn fall_back(&self, grant: &GrantId, refused: Generation, at: Moment) -> Result<bool> {
        let change = GrantChange::FallBack(refused, at);
        Ok(self.change(grant, change).await?.applied)
    }

    /// [`GrantChange::RetireAccess`]: believed to live, a token that its resource refused would be handed out until its
    /// believed end.
    async fn retire_access(&self, grant: &GrantId, generation: Generation) -> Result<()> {
        let change = GrantChange::RetireAccess(generation);
        self.change(grant, change).await.map(drop)
    }

    /// [`GrantChange::CountSuspect`]; the count since the last accepted refresh, 0 for an unknown grant.
    async fn count_suspect(&self, grant: &GrantId) -> Result<u32> {
        let changed = self.change(grant, GrantChange::CountSuspect).await?;
        Ok(changed.record.map_or(0, |record| record.suspects))
    }

    /// [`GrantChange::NoteRefusal`]; when the provider said the same for the first time since the last accepted refresh or
    /// sign-in.
    async fn note_refusal(&self, grant: &GrantId, words: &str, now: Moment) -> Result<Moment> {
        let change = GrantChange::NoteRefusal(words.to_owned(), now);
        let changed = self.change(grant, change).await?;
        let said = changed.record.and_then(|record| record.refused);
        Ok(said.map_or(now, |said| said.since))
    }
}
