//! What follows from a reply.

use std::time::Duration;

use http::StatusCode;

use crate::{
    model::{
        AttemptId, Claim, FailingOf, Grant, Moment, ObservationKind, ReauthorizeReason,
        RefreshToken, UnknownKind,
    },
    oauth::classify::Outcome,
    platform::failpoint::{self, FaultPoint},
    refresh::{
        circuit_breaker::RequestFailure,
        context::{Context, GrantContext, OnBehalfOf},
        journal::{Journal, StoredReply},
        moved_endpoint::{self, Moved, MovedReply},
        outcome::RefreshOutcome,
        plan::RefreshPlan,
        provider_state,
        steps::{in_quarantine, lost_unspent, note_unknown, settle_unsent, spends},
    },
    store::{Result, unusable},
};

mod accepted;
mod identity_provider;
mod refused;

/// What follows from an answer.
pub(super) struct Conclusion<'a> {
    pub(super) context: &'a Context,
    pub(super) on_behalf_of: &'a OnBehalfOf,
    pub(super) grant: &'a Grant,
    pub(super) plan: &'a RefreshPlan,
    pub(super) journal: &'a Journal,
    pub(super) attempt: &'a AttemptId,
    pub(super) number: u32,
    /// Which of our client's secrets was shown, where that is known.
    pub(super) secret: Option<u64>,
}

impl<'a> Conclusion<'a> {
    /// Of an attempt that another process made.
    pub(super) fn of_claim(
        of: GrantContext<'a>,
        plan: &'a RefreshPlan,
        (claim, journal): (&'a Claim, &'a Journal),
    ) -> Self {
        Self {
            context: of.context,
            on_behalf_of: of.on_behalf_of,
            grant: of.grant,
            plan,
            journal,
            attempt: &claim.attempt,
            number: claim.number,
            secret: None,
        }
    }

    /// None means: look again. The attempt did not hold the claim any more, or another secret is left to show.
    pub(super) async fn draw(&self, stored: StoredReply) -> Result<Option<RefreshOutcome>> {
        self.close(self.follow(stored).await)
    }

    pub(super) fn close(
        &self,
        end: Result<Option<RefreshOutcome>>,
    ) -> Result<Option<RefreshOutcome>> {
        failpoint::pass(FaultPoint::Committed);
        // After an error the reply stays: the next look at the claim finds it in the journal, or in memory. Otherwise the store
        // holds what follows from it. Where the outcome is unknown, the journal still says that something was sent.
        match &end {
            Ok(Some(RefreshOutcome::Uncertain { .. })) => self.journal.drop_reply(),
            Ok(_) => self.journal.clone().remove(),
            Err(_) => return end,
        }
        let unkept = &self.context.unkept_replies;
        unkept.remove(&self.grant.id, self.attempt);
        end
    }

    async fn follow(&self, stored: StoredReply) -> Result<Option<RefreshOutcome>> {
        let now = self.context.seams.clock.now();
        let issuer = &self.grant.issuer;
        self.context.notice_odd_answer(issuer, &stored.reply).await;
        let provider = self.on_behalf_of.provider.as_deref();
        let outcome = self.context.outcome(provider, self.grant, &stored.reply);
        let secrets = self.plan.registration.secrets.iter();
        let outcome = secrets.fold(outcome, |outcome, shown| outcome.without(&shown.secret));
        if let Outcome::Accepted(answer) = outcome {
            let end = self.accept(answer, &stored).await?;
            self.by().works().await;
            return Ok(Some(end));
        }
        let (of, status) = (provider_state::client_of(self.grant), stored.reply.status);
        self.heard(&of, (&outcome, status)).await;
        if let Outcome::Unknown(kind @ (UnknownKind::Unreadable | UnknownKind::UnreadTokens)) =
            outcome
            && spends(self.grant)
        {
            self.keep_unread(kind, &stored)?;
        }
        self.not_accepted(outcome, now).await
    }

    /// What can't be read may be read later. An answer that can't be kept stays in its journal.
    fn keep_unread(&self, kind: UnknownKind, stored: &StoredReply) -> Result<()> {
        let at = (self.grant.lineage, self.grant.generation.next());
        let carries_tokens = kind == UnknownKind::UnreadTokens;
        let kept = (self.attempt, stored);
        self.context
            .reply_archive
            .keep_unread(&self.grant.id, at, kept, carries_tokens)
            .map_err(|error| unusable("answers".as_ref(), &error))
    }

    pub(super) fn by(&self) -> GrantContext<'_> {
        GrantContext {
            context: self.context,
            on_behalf_of: self.on_behalf_of,
            grant: self.grant,
        }
    }

    async fn heard(&self, of: &FailingOf, answer: (&Outcome, StatusCode)) {
        self.by().heard(of, answer, spends(self.grant)).await;
    }

    /// What follows from an answer that brought no tokens.
    async fn not_accepted(&self, outcome: Outcome, now: Moment) -> Result<Option<RefreshOutcome>> {
        match outcome {
            Outcome::GrantRefused(_)
            | Outcome::RequestRefused(_)
            | Outcome::Unrecognized { .. }
            | Outcome::Suspect { .. }
                if in_quarantine(self.grant) =>
            {
                self.unspent(RefreshOutcome::Refused).await
            }
            Outcome::GrantRefused(refused) if !self.grant.is_issued_again() => {
                tracing::warn!(connection = %self.on_behalf_of.connection, code = refused.code, "refresh refused");
                if self.number > 1 {
                    let provider = self.on_behalf_of.provider.as_deref();
                    let context = self.context;
                    context.notice_refused_replay(provider, self.grant).await;
                }
                let said = refused.to_string();
                self.refuse(ReauthorizeReason::RefreshRefused, Some(&said))
                    .await
            }
            Outcome::ClientRefused(refused) => self.client_refused(refused, now).await,
            Outcome::RequestRefused(refused) if self.is_about_the_token(&refused) => {
                let said = refused.to_string();
                self.refuse(ReauthorizeReason::RefreshRefused, Some(&said))
                    .await
            }
            Outcome::RequestRefused(refused) | Outcome::Unrecognized { refused, .. }
                if self.has_lasted(&refused).await? =>
            {
                self.refuse_in_words(&refused).await
            }
            Outcome::GrantRefused(refused) | Outcome::RequestRefused(refused) => {
                self.not_allowed("request_refused", &refused).await?;
                self.unspent(RefreshOutcome::Request(refused)).await
            }
            Outcome::Unrecognized {
                refused,
                retry_after,
            } => {
                let why = refused.to_string();
                self.unspent(RefreshOutcome::Later { why, retry_after })
                    .await
            }
            Outcome::RefreshTokenAlone(refresh) => self.refresh_token_alone(&refresh).await,
            Outcome::Suspect { why } => self.suspect(why).await,
            Outcome::Transient { why, retry_after } => {
                self.unspent(RefreshOutcome::Later { why, retry_after })
                    .await
            }
            Outcome::Moved { status, target } => self.moved(MovedReply { status, target }).await,
            Outcome::Unknown(kind) if !spends(self.grant) => self.unspent(lost_unspent(kind)).await,
            Outcome::Unknown(kind) => self.unknown(kind, now).await,
            Outcome::Accepted(_) => self.unknown(UnknownKind::Unreadable, now).await,
        }
    }

    /// The token that was sent is spent and its successor came, without an access token. The successor is kept, and spent
    /// by a request that names the granted scope.
    async fn refresh_token_alone(&self, refresh: &RefreshToken) -> Result<Option<RefreshOutcome>> {
        let (context, issuer) = (self.context, &self.grant.issuer);
        let named = context.omits_access_token(issuer).await;
        if !self.keep_subject(Some(refresh)).await? {
            return Ok(None);
        }
        let omitted = ObservationKind::AccessTokenOmitted;
        context.observation(issuer, omitted, String::new()).await;
        tracing::warn!(connection = %self.on_behalf_of.connection, "a refresh brought a refresh token and no access token");
        self.let_go().await?;
        Ok(named.then(|| RefreshOutcome::Later {
            why: "the provider answers refreshes with a refresh token and no access token; if the sign-in named no scope, \
                  connect again with --scope, so that refreshes can name one"
                .to_owned(),
            retry_after: None,
        }))
    }

    /// Nothing was acted on. The refresh token goes where the issuer's own metadata says, and nowhere else.
    async fn moved(&self, answer: MovedReply) -> Result<Option<RefreshOutcome>> {
        let of = (self.context, self.on_behalf_of, self.grant);
        let (failure, end) = match moved_endpoint::look(of, self.plan, &answer).await? {
            Moved::Elsewhere => {
                self.settle().await?;
                return Ok(None);
            }
            Moved::NotYet(why) => {
                let end = RefreshOutcome::later(why.clone());
                (RequestFailure::gone(why), end)
            }
            Moved::Gone(why) => (
                RequestFailure::moved(why.clone()),
                RefreshOutcome::Moved(why),
            ),
        };
        let of = provider_state::client_of(self.grant);
        self.by().failed(&of, &failure).await;
        self.unspent(end).await
    }

    async fn unknown(&self, kind: UnknownKind, now: Moment) -> Result<Option<RefreshOutcome>> {
        let noted = note_unknown(self.by(), self.attempt, (kind, now)).await?;
        Ok(noted.then_some(RefreshOutcome::Uncertain {
            kind,
            resend_in: Duration::ZERO,
        }))
    }

    /// What was sent has been answered: nothing is unknown any more, whatever came before it.
    async fn let_go(&self) -> Result<()> {
        self.journal.settle();
        let store = &self.context.store;
        store.release(&self.grant.id, self.attempt).await.map(drop)
    }

    pub(super) async fn unspent(&self, end: RefreshOutcome) -> Result<Option<RefreshOutcome>> {
        self.settle().await?;
        Ok(Some(end))
    }

    /// The claim goes before its journal does; in between the journal must not be taken for one that is forgotten.
    async fn settle(&self) -> Result<()> {
        self.journal.settle();
        settle_unsent(self.context, self.grant, self.attempt, self.number).await
    }
}
