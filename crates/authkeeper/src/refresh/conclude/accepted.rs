//! A reply that brings tokens: check, commit, keep, and only then let anyone see them.

use std::time::Duration;

use crate::{
    model::{Drift, Grant, GrantChange, GrantChanged, SuspendReason},
    oauth::revoke,
    oauth::token::TokenAnswer,
    refresh::{
        client_refusals,
        conclude::Conclusion,
        journal::StoredReply,
        outcome::RefreshOutcome,
        reply_archive::ArchivedReply,
        steps::is_same,
        verify_response::{self, VerifiedReply},
    },
    store::{Committed, Refreshed, Result, unusable},
};

impl Conclusion<'_> {
    pub(super) async fn accept(
        &self,
        answer: TokenAnswer,
        stored: &StoredReply,
    ) -> Result<RefreshOutcome> {
        if stored.after_rejection {
            self.context
                .notice_early_end(self.on_behalf_of, self.grant)
                .await;
        }
        let learned = self
            .context
            .learned_lifetime(self.on_behalf_of, self.grant)
            .await;
        let at = (self.grant.generation.next(), stored);
        let VerifiedReply { refreshed, drifts } = verify_response::check(
            self.context,
            self.on_behalf_of,
            self.grant,
            answer,
            at,
            learned,
        );
        let changed = self.commit(&refreshed).await?;
        match changed.committed() {
            Committed::Yes => {
                let at = (self.grant.lineage, self.grant.generation.next());
                self.context.reply_archive.keep(&self.grant.id, at, stored);
                self.note_accepted_secret().await;
                // A token fetched after a 401 has proved nothing yet: what was told of the 401 stays told.
                let proved = !stored.after_rejection || self.number > 1;
                let hold = refreshed.hold.map(|(reason, _)| reason);
                self.tell((&drifts, hold), proved).await;
                Ok(RefreshOutcome::Fresh)
            }
            Committed::Superseded => {
                let current = changed.record.map(|record| record.grant);
                self.set_aside(&refreshed, stored, current)?;
                Ok(RefreshOutcome::Fresh)
            }
            Committed::Revoked => {
                self.revoke(&refreshed).await;
                Ok(RefreshOutcome::Withdrawn)
            }
        }
    }

    /// A client, or a secret, that had been refused and is taken now is as good as the others.
    async fn note_accepted_secret(&self) {
        let registration = &self.plan.registration;
        if registration.refused.is_some() {
            let client = (&registration.issuer, &registration.client_id);
            if let Err(error) = client_refusals::end(self.context, client).await {
                tracing::warn!(%error, "that a client is good again can't be kept");
            }
        }
        let mut secrets = self.plan.registration.secrets.iter();
        let refused = secrets.any(|secret| secret.id == self.secret && secret.refused.is_some());
        let Some(secret) = self.secret.filter(|_| refused) else {
            return;
        };
        if let Err(error) = self.context.store.accept_secret(secret).await {
            tracing::warn!(%error, "that a secret is good again can't be kept");
        }
    }

    /// The generation is committed; an incident that stays open is ended by the next one.
    async fn tell(&self, checked: (&[Drift], Option<SuspendReason>), proved: bool) {
        if let Err(error) =
            verify_response::tell(self.context, self.on_behalf_of, self.grant, checked, proved)
                .await
        {
            tracing::warn!(%error, "the end of incidents after an accepted refresh can't be recorded");
        }
    }

    /// The store may be busy or full for a moment. The answer is safe in the journal, so giving up loses nothing.
    async fn commit(&self, refreshed: &Refreshed) -> Result<GrantChanged> {
        let commit = || {
            let change = GrantChange::Commit(Box::new(refreshed.clone()));
            self.context.grants().change(&self.grant.id, change)
        };
        let mut pause = Duration::from_millis(50);
        for _ in 0..5 {
            match commit().await {
                Err(error) => tracing::warn!(%error, "a new generation can't be committed yet"),
                done => return done,
            }
            self.context.seams.clock.sleep(pause).await;
            pause *= 2;
        }
        commit().await
    }

    /// A late answer after a disconnect: its tokens are revoked, never adopted.
    async fn revoke(&self, refreshed: &Refreshed) {
        let late = Grant {
            refresh: refreshed.refresh.clone(),
            access: Some(refreshed.access.clone()),
            ..self.grant.clone()
        };
        let metadata = &self.plan.provider.metadata;
        let named = (&self.grant.issuer, self.on_behalf_of.provider.as_deref());
        let audience = self
            .context
            .audience(self.grant.grant_material.audience.as_deref(), named);
        let client = self.context.our_client(metadata, &self.plan.registration);
        let client = client.for_audience(audience.as_deref());
        let (provider, reach) = (&self.plan.provider, self.on_behalf_of.reach);
        let transport = self.context.transport_of(&late);
        let done = revoke::revoke(&*transport, reach, provider, client, &late).await;
        tracing::info!(connection = %self.on_behalf_of.connection, ?done, "revoked a late answer");
    }

    /// Keeps a reply that another one outran. It may be the same reply: another process adopted it first, or the store
    /// committed it and did not say so. Then a store that is restored from a backup must find it.
    fn set_aside(
        &self,
        refreshed: &Refreshed,
        stored: &StoredReply,
        current: Option<Grant>,
    ) -> Result<()> {
        let id = &self.grant.id;
        let held = current.and_then(|grant| grant.refresh);
        let obtained = refreshed.refresh.as_ref();
        let same = held.is_some() && is_same(held.as_ref(), obtained);
        let at = (self.grant.lineage, self.grant.generation.next());
        if same {
            self.context.reply_archive.keep(id, at, stored);
            return Ok(());
        }
        // It was, and a refresh token that came alone has taken the place of its own since.
        let kept = self.context.reply_archive.last(id);
        let kept = kept.filter(|kept| (kept.lineage, kept.generation) == at);
        let was = |kept: ArchivedReply| obtained.is_some_and(|token| kept.brings(&token.secret));
        if kept.is_some_and(was) {
            return Ok(());
        }
        // What can't be kept stays in its journal.
        let kept = (self.attempt, stored);
        self.context
            .reply_archive
            .set_aside(id, at, kept)
            .map_err(|error| unusable("answers".as_ref(), &error))
    }
}
