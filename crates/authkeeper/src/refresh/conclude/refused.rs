//! A reply that refuses the grant, the client or the request.

use crate::{
    model::{Moment, ReauthorizeReason, Record},
    oauth::GUESS,
    oauth::classify::Refused,
    refresh::{
        client_refusals,
        conclude::Conclusion,
        decide, incident,
        outcome::RefreshOutcome,
        provider_state,
        steps::{spend_of, spends, take_from_archive},
    },
    store::Result,
};

/// Stands for the words of refusals that have none.
const NO_REASON: &str = "refused without a reason";

impl Conclusion<'_> {
    /// Whether a refusal that names nothing can only mean the refresh token: the request held nothing else, or was accepted
    /// before in this lineage. `LemonLDAP::NG` says `invalid_request` of a dead refresh token.
    pub(super) fn is_about_the_token(&self, refused: &Refused) -> bool {
        if !spends(self.grant) || !refused.names_nothing() {
            return false;
        }
        let last = self.context.reply_archive.last(&self.grant.id);
        let accepted = last.is_some_and(|last| last.lineage == self.grant.lineage);
        accepted || self.on_behalf_of.resource.is_none()
    }

    /// Whether the provider has refused in the same words for so long that they are believed to be about the grant.
    pub(super) async fn has_lasted(&self, refused: &Refused) -> Result<bool> {
        if !spends(self.grant) {
            return Ok(false);
        }
        let (context, now) = (self.context, self.context.seams.clock.now());
        let words = refused.to_string();
        let noted = context.grants().note_refusal(&self.grant.id, &words, now);
        let since = noted.await?;
        Ok(decide::is_lasting_refusal(
            since,
            context.rules.refused_for,
            now,
        ))
    }

    /// A person is asked, and shown the words.
    pub(super) async fn refuse_in_words(
        &self,
        refused: &Refused,
    ) -> Result<Option<RefreshOutcome>> {
        let said = refused.to_string();
        self.refuse(ReauthorizeReason::RefusedRepeatedly, Some(&said))
            .await
    }

    /// A refusal without a reason, three times in a row, is believed: some servers give none.
    pub(super) async fn suspect(&self, why: String) -> Result<Option<RefreshOutcome>> {
        let count = self.context.grants().count_suspect(&self.grant.id).await?;
        // Beside an attempt whose answer was lost it is most likely that attempt which spent the token.
        let now = self.context.seams.clock.now();
        let since = self
            .context
            .grants()
            .note_refusal(&self.grant.id, NO_REASON, now);
        let lasts = now.surely_since(since.await?) >= decide::SUSPECTED_FOR;
        let believed = self.number > 1 || (lasts && count >= decide::MAX_SUSPECTED_REFUSALS);
        if believed && spends(self.grant) {
            tracing::warn!(connection = %self.on_behalf_of.connection, count, why, "refused without a reason");
            let reason = ReauthorizeReason::RefusedWithoutCode;
            return self.refuse(reason, Some(&why)).await;
        }
        self.unspent(RefreshOutcome::later(format!("{why}; {GUESS}")))
            .await
    }

    /// While a secret is replaced two are good: the next in order is tried. The refresh token is untouched.
    pub(super) async fn client_refused(
        &self,
        refused: Refused,
        now: Moment,
    ) -> Result<Option<RefreshOutcome>> {
        let (issuer, client) = (&self.grant.issuer, &self.grant.client_id);
        let store = &self.context.store;
        if let Some(secret) = self.secret {
            store.refuse_secret(secret, now.wall).await?;
        }
        // Read again: a secret may have been put in front while this one was being refused.
        let known = store.registration(issuer, client).await?;
        let known = known.as_ref().unwrap_or(&self.plan.registration);
        if known.has_another_than(self.secret) {
            tracing::warn!(connection = %self.on_behalf_of.connection, "a client secret was refused; the next is tried");
            self.settle().await?;
            return Ok(None);
        }
        let told = (&refused, self.attempt);
        let asking = Some(&self.on_behalf_of.connection);
        client_refusals::note(self.context, (issuer, client), told, asking).await?;
        self.not_allowed(Record::CLIENT_REFUSED, &refused).await?;
        self.unspent(RefreshOutcome::Client(refused)).await
    }

    /// Nobody is told by the provider that its own client is refused: we tell.
    pub(super) async fn not_allowed(&self, reason: &str, refused: &Refused) -> Result<()> {
        incident::not_allowed(
            self.context,
            self.on_behalf_of,
            self.grant,
            self.attempt,
            (reason, refused),
        )
        .await
    }

    /// `said` is what the provider said.
    pub(in crate::refresh) async fn refuse(
        &self,
        reason: ReauthorizeReason,
        said: Option<&str>,
    ) -> Result<Option<RefreshOutcome>> {
        if self.try_candidates().await? {
            return Ok(Some(RefreshOutcome::Fresh));
        }
        // Refused beside an attempt whose answer was lost: it was most likely that attempt which spent the token.
        let at = self.context.seams.clock.now().wall;
        let refresh = self.grant.refresh.as_ref();
        let ended = refresh
            .and_then(|token| token.expires_at)
            .is_some_and(|ends| ends <= at);
        let reason = match self.number {
            0 | 1 if ended => ReauthorizeReason::RefreshExpired,
            0 | 1 => reason,
            _ => ReauthorizeReason::UnknownOutcome,
        };
        let spend = spend_of(self.grant);
        if !self
            .context
            .grants()
            .commit_refusal(&spend, self.attempt, reason, at)
            .await?
        {
            // Suspended or outrun meanwhile: the claim must not stay behind without its journal.
            self.settle().await?;
            return Ok(None);
        }
        provider_state::answered(self.context, &provider_state::client_of(self.grant)).await;
        self.by().grant_settled().await;
        if matches!(
            reason,
            ReauthorizeReason::UnknownOutcome | ReauthorizeReason::AnswerUnread
        ) {
            self.end_incidents().await;
        }
        let why = (reason, said);
        incident::reauthorize(
            self.context,
            self.on_behalf_of,
            self.grant,
            self.attempt,
            why,
        )
        .await?;
        Ok(Some(RefreshOutcome::Refused))
    }

    /// Before a person is asked, each answer that lost a race is tried: on a provider that lets two generations live its
    /// refresh token may be the one that is good.
    async fn try_candidates(&self) -> Result<bool> {
        let refused = self.grant.refresh.as_ref().map(|token| &token.secret);
        for candidate in self
            .context
            .reply_archive
            .late(&self.grant.id, self.grant.lineage)
        {
            // Once: whatever comes of it, it is not tried again.
            candidate.remove();
            let next = self.grant.generation.next();
            // An older generation than the one in use is spent: it would take the place of one that may come back.
            if candidate.generation >= self.grant.generation
                && candidate.brings_another_than(refused)
                && take_from_archive(self.by(), &candidate, next).await?
            {
                tracing::warn!(connection = %self.on_behalf_of.connection, "an answer that lost a race takes over");
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn end_incidents(&self) {
        let now = self.context.seams.clock.now().wall;
        // The generation is committed; an incident that stays open is ended by the next one.
        if let Err(error) = self
            .context
            .store
            .end_incidents(&self.on_behalf_of.connection, now)
            .await
        {
            tracing::warn!(%error, "incidents that are over can't be ended");
        }
    }
}
