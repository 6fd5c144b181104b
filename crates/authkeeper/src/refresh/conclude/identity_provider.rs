//! A reply of the identity provider that vouches for a grant.

use crate::{
    model::{IdentityProvider, RefreshToken},
    oauth::{classify::Outcome, id_jag, moved},
    refresh::{
        circuit_breaker::RequestFailure, conclude::Conclusion, incident, journal::StoredReply,
        outcome::RefreshOutcome, provider_state, steps::spend_of,
    },
    store::Result,
};

impl Conclusion<'_> {
    /// Draws from what an identity provider answered, or from what came of it at the authorization server, if that is what
    /// was kept.
    pub(in crate::refresh) async fn draw_vouched(
        &self,
        idp: &IdentityProvider,
        stored: StoredReply,
    ) -> Result<Option<RefreshOutcome>> {
        if id_jag::is_combined(&stored.reply) {
            return self.draw(stored).await;
        }
        self.draw_first_leg(idp, &stored).await
    }

    /// Draws from what an identity provider answered. A new refresh token is kept before the rest is judged: with it nothing
    /// is lost, whatever else the answer is.
    pub(in crate::refresh) async fn draw_first_leg(
        &self,
        idp: &IdentityProvider,
        stored: &StoredReply,
    ) -> Result<Option<RefreshOutcome>> {
        let renewed = id_jag::renewed(idp, &stored.reply);
        if !self.keep_subject(renewed.as_ref()).await? {
            self.let_go().await?;
            return self.close(Ok(None));
        }
        let end = match id_jag::read(idp, &stored.reply, stored.issued) {
            Ok(_assertion) => self.let_go().await.map(|()| None),
            Err(_) if renewed.is_some() => {
                let why = id_jag::told(idp, "it gave a new refresh token and no assertion");
                let end = RefreshOutcome::Later {
                    why,
                    retry_after: None,
                };
                self.let_go().await.map(|()| Some(end))
            }
            Err(outcome) => {
                let of = provider_state::first_asked(self.grant);
                self.heard(&of, (&outcome, stored.reply.status)).await;
                self.not_vouched(idp, *outcome).await
            }
        };
        self.close(end)
    }

    /// It is told which of the two servers refuses.
    async fn not_vouched(
        &self,
        idp: &IdentityProvider,
        outcome: Outcome,
    ) -> Result<Option<RefreshOutcome>> {
        let spent = !self.grant.is_issued_again();
        match outcome {
            // Its address was given by a person.
            Outcome::Moved { status, target } => {
                let why = id_jag::told(idp, &moved::said(status, target.as_deref()));
                let of = provider_state::first_asked(self.grant);
                let failure = RequestFailure::moved(why.clone());
                self.by().failed(&of, &failure).await;
                return self.unspent(RefreshOutcome::Moved(why)).await;
            }
            Outcome::GrantRefused(_) if spent => {}
            Outcome::GrantRefused(ref refused)
            | Outcome::RequestRefused(ref refused)
            | Outcome::ClientRefused(ref refused) => {
                self.not_allowed(incident::BY_IDENTITY_PROVIDER, refused)
                    .await?;
                return self.unspent(RefreshOutcome::Request(refused.clone())).await;
            }
            _ => {}
        }
        let now = self.context.seams.clock.now();
        self.not_accepted(outcome, now).await
    }

    /// Keeps the identity provider's new refresh token, if it gave one; false if another attempt or sign-in took over.
    pub(in crate::refresh) async fn keep_subject(
        &self,
        renewed: Option<&RefreshToken>,
    ) -> Result<bool> {
        let (Some(refresh), Some(shown)) = (renewed, &self.grant.refresh) else {
            return Ok(true);
        };
        let spend = spend_of(self.grant);
        let by = (self.attempt, &shown.secret);
        self.context
            .grants()
            .keep_subject(&spend, by, refresh)
            .await
    }
}
