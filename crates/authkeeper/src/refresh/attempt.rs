//! One attempt: connect, make room, claim, check the deadline, send, keep the reply.

use std::{path::Path, time::Duration};

use crate::{
    http::{Exchange, Reply},
    model::{
        AttemptId, Claim, ClaimPhase, Grant, GrantChange, IdentityProvider, Moment, OwnerId,
        UnknownKind,
    },
    oauth::{classify, id_jag},
    platform::{
        clock::within,
        failpoint::{self, FaultPoint},
    },
    refresh::{
        circuit_breaker::RequestFailure,
        client_refusals,
        conclude::Conclusion,
        context::{Context, GrantContext, OnBehalfOf},
        decide::{self, Why},
        decision_log::Decision,
        journal::{Journal, StoredReply},
        orphaned_journals,
        outcome::RefreshOutcome,
        plan::RefreshPlan,
        provider_state::{self, HalfOpenTrial},
        steps::{
            blocking, in_quarantine, is_same, keep_reply, lost_unspent, note_unknown,
            settle_unsent, spend_of, spends,
        },
        token_request::{self, PreparedRequest},
    },
    store::{Result, unusable},
};

/// One attempt to spend the current generation.
pub(super) struct Attempt<'a> {
    context: &'a Context,
    on_behalf_of: &'a OnBehalfOf,
    grant: &'a Grant,
    why: Why,
    number: u32,
    /// The attempt of unknown outcome that this one takes over from.
    seen: Option<AttemptId>,
    /// The trial that it is, after a rest of the provider.
    trial: Option<&'a HalfOpenTrial>,
}

/// What came of sending.
enum SendOutcome {
    /// A reply to a request that showed this secret of our client's, and when that left.
    Answered(Option<u64>, Reply, Moment),
    /// No whole reply.
    Lost(UnknownKind, Moment),
    /// Nothing left that can have been acted on.
    Unspent(Option<RefreshOutcome>),
}

/// A request, and the connection that it is about to leave on.
type Ready = (PreparedRequest, Box<dyn Exchange>);

impl<'a> Attempt<'a> {
    /// Attempt `number` at the current generation. It takes over from the attempt `seen`, if that is given.
    pub(super) fn new(
        of: GrantContext<'a>,
        why: Why,
        (number, seen): (u32, Option<AttemptId>),
        trial: Option<&'a HalfOpenTrial>,
    ) -> Self {
        Self {
            context: of.context,
            on_behalf_of: of.on_behalf_of,
            grant: of.grant,
            why,
            number,
            seen,
            trial,
        }
    }

    /// None means that the state has moved on: look again.
    pub(super) async fn run(&self) -> Result<Option<RefreshOutcome>> {
        let plan = RefreshPlan::load(self.context, self.grant).await?;
        if decide::client_backs_off(&plan.registration, self.context.seams.clock.now()) {
            let client = (&self.grant.issuer, &self.grant.client_id);
            let said = client_refusals::said(self.context, client).await;
            let end = RefreshOutcome::Client(said);
            self.log_held_back(&end);
            return Ok(Some(end));
        }
        let ready = match self.connect(&plan).await {
            Ok(ready) => ready,
            Err(end) => {
                self.log(None, &end, None, None);
                return Ok(Some(end));
            }
        };
        let Some((claim, journal)) = self.permission().await? else {
            return Ok(None);
        };
        match self.send(&plan, &claim, ready).await {
            SendOutcome::Answered(secret, reply, issued) => {
                let shown = (&plan, secret);
                self.answered(shown, &claim.attempt, journal, reply, issued)
                    .await
            }
            SendOutcome::Lost(kind, issued) => {
                let end = self.lost(&claim.attempt, journal, kind).await?;
                if let Some(end) = &end {
                    self.log(Some(&claim.attempt), end, Some(issued), None);
                }
                Ok(end)
            }
            SendOutcome::Unspent(end) => {
                self.give_back(&claim.attempt, journal).await?;
                Ok(end)
            }
        }
    }

    /// Prepares the request and connects, before anything is claimed.
    async fn connect(&self, plan: &RefreshPlan) -> std::result::Result<Ready, RefreshOutcome> {
        let (context, on_behalf_of) = (self.context, self.on_behalf_of);
        let leg = token_request::first(context, on_behalf_of, self.grant, plan).await?;
        let connected = leg.connect(context).await;
        match connected {
            Ok(exchange) => Ok((leg, exchange)),
            Err(error) => {
                let failure = match error.remedy() {
                    Some(_) => RequestFailure::unconnected(error.to_string()),
                    None => RequestFailure::of(error.to_string()),
                };
                self.failed(&failure).await;
                Err(RefreshOutcome::unconnected(&error))
            }
        }
    }

    /// Claims the generation and marks the journal as sending. None if the token must not be sent now; then the claim is
    /// given back and the journal is gone.
    async fn permission(&self) -> Result<Option<(Claim, Journal)>> {
        let mut claim = self.claim()?;
        let journal = self.journal(&claim).await?;
        // A slow disk takes nothing from the time to send.
        claim.since = self.context.seams.clock.now();
        let Some(claimed) = self.take_or_clean_up(&claim, &journal).await? else {
            journal.remove();
            return Ok(None);
        };
        failpoint::pass(FaultPoint::Claimed);
        // The process that held the claim before may have kept a failure.
        if self.is_replaced(&claimed) || self.by().rests(self.number > 1, self.trial).await {
            self.give_back(&claim.attempt, journal).await?;
            return Ok(None);
        }
        blocking(&*self.context.tasks, {
            let journal = journal.clone();
            move || journal.mark_sending()
        })
        .await?;
        // Recovery that looks for senders finds this attempt, or the one before it.
        self.forget_seen();
        // The clock is looked at last.
        if self.is_contested(&claim) || self.is_late(&claim) {
            self.give_back(&claim.attempt, journal).await?;
            return Ok(None);
        }
        Ok(Some((claim, journal)))
    }

    /// Sends. A server that refuses only because it wants a number of its own in the proof is asked once more, within the
    /// attempt, while there is time: nothing was spent (RFC 9449 §8).
    async fn send(&self, plan: &RefreshPlan, claim: &Claim, (leg, exchange): Ready) -> SendOutcome {
        let first = self.send_once(&leg, exchange).await;
        match &first {
            SendOutcome::Answered(_, reply, _) if leg.wants_nonce(reply) => {}
            _ => return first,
        }
        let (context, on_behalf_of) = (self.context, self.on_behalf_of);
        // A client assertion is good for one request: all of it is built again.
        let again = async {
            let leg = token_request::first(context, on_behalf_of, self.grant, plan).await?;
            let connected = leg.connect(context).await;
            let exchange = connected.map_err(|error| RefreshOutcome::unconnected(&error))?;
            Ok((leg, exchange))
        };
        let (leg, exchange) = match again.await {
            Ok(ready) => ready,
            Err(end) => return SendOutcome::Unspent(Some(end)),
        };
        if self.is_late(claim) {
            return SendOutcome::Unspent(None);
        }
        let second = self.send_once(&leg, exchange).await;
        if let SendOutcome::Answered(_, reply, _) = &second {
            leg.wants_nonce(reply);
        }
        second
    }

    async fn send_once(&self, leg: &PreparedRequest, exchange: Box<dyn Exchange>) -> SendOutcome {
        let clock = &*self.context.seams.clock;
        let limit = self.context.rules.exchange_limit;
        let issued = clock.now();
        let request = match leg.ready() {
            Ok(request) => request,
            Err(unusable) => return SendOutcome::Unspent(Some(token_request::unusable(unusable))),
        };
        match within(clock, limit, exchange.send(request)).await {
            Some(Ok(reply)) => {
                self.context.hear(&leg.endpoint, &reply);
                SendOutcome::Answered(leg.secret, reply, issued)
            }
            Some(Err(error)) => SendOutcome::Lost(classify::lost(&error), issued),
            None => SendOutcome::Lost(UnknownKind::Silence, issued),
        }
    }

    fn by(&self) -> GrantContext<'_> {
        GrantContext {
            context: self.context,
            on_behalf_of: self.on_behalf_of,
            grant: self.grant,
        }
    }

    /// Keeps a failure of the server that is asked first.
    async fn failed(&self, failure: &RequestFailure) {
        let of = provider_state::first_asked(self.grant);
        self.by().failed(&of, failure).await;
    }

    fn owner(&self) -> Result<OwnerId> {
        let owner = self.context.liveness.mine(&self.context.seams);
        owner.map_err(|error| unusable(Path::new("owners"), &error))
    }

    fn claim(&self) -> Result<Claim> {
        Ok(Claim {
            attempt: AttemptId::new(self.context.seams.random_id()),
            number: self.number,
            owner: self.owner()?,
            since: self.context.seams.clock.now(),
            phase: ClaimPhase::Spending,
        })
    }

    async fn journal(&self, claim: &Claim) -> Result<Journal> {
        let (journals, spend, claim) = (
            self.context.journals.clone(),
            spend_of(self.grant),
            claim.clone(),
        );
        let reach = self.on_behalf_of.reach;
        let prepare = move || Journal::prepare(&journals, (&spend, &claim), reach);
        blocking(&*self.context.tasks, prepare).await
    }

    /// The grant with the claim, if it could be claimed. An error does not say whether the claim was written. Unless it may
    /// have been, the journal goes: a full disk must not be filled further by each try.
    async fn take_or_clean_up(&self, claim: &Claim, journal: &Journal) -> Result<Option<Grant>> {
        let grants = self.context.grants();
        let change = self.claiming(claim);
        let taken = grants.change(&self.grant.id, change).await;
        if taken.is_err()
            && let Ok(grant) = grants.grant(&self.grant.id).await
        {
            let holds = grant.and_then(|grant| grant.claim);
            if holds.is_none_or(|held| held.attempt != claim.attempt) {
                journal.clone().remove();
            }
        }
        let taken = taken?;
        let claimed = taken.record.filter(|_| taken.applied);
        Ok(claimed.map(|record| record.grant))
    }

    fn claiming(&self, claim: &Claim) -> GrantChange {
        let (spend, claim) = (spend_of(self.grant), claim.clone());
        match &self.seen {
            None if in_quarantine(self.grant) => {
                let now = self.context.seams.clock.now().wall;
                GrantChange::Probe(spend, claim, now)
            }
            None => GrantChange::Claim(spend, claim),
            Some(seen) => GrantChange::TakeOver(spend, seen.clone(), claim),
        }
    }

    /// The attempt that this one took over from is over; its sender is dead and left no answer.
    fn forget_seen(&self) {
        let journal = self
            .seen
            .as_ref()
            .and_then(|seen| Journal::open(&self.context.journals, &self.grant.id, seen));
        journal.into_iter().for_each(Journal::remove);
    }

    /// Whether the token that would be sent had been replaced before it was claimed: one that comes without an access token,
    /// and an identity provider's, are replaced within a generation. From the claim on nobody but its holder does that.
    fn is_replaced(&self, claimed: &Grant) -> bool {
        !is_same(claimed.refresh.as_ref(), self.grant.refresh.as_ref())
    }

    /// The process may have been stopped between the claim and now; then someone may have looked into the claim.
    fn is_late(&self, claim: &Claim) -> bool {
        self.context.seams.clock.now().since(claim.since) > self.context.rules.send_deadline
    }

    /// Whether another process is sending the same token, under a claim that the store was made to forget. Both have said
    /// that they send before they look, so that one of them sees the other.
    fn is_contested(&self, claim: &Claim) -> bool {
        spends(self.grant) && orphaned_journals::contest(self.context, self.grant, claim)
    }

    /// Surely nothing was sent: a first attempt is as if it had not been; a resend is as unknown as before.
    async fn give_back(&self, attempt: &AttemptId, journal: Journal) -> Result<()> {
        journal.settle();
        settle_unsent(self.context, self.grant, attempt, self.number).await?;
        journal.remove();
        Ok(())
    }

    /// None if another process has settled the claim meanwhile.
    async fn lost(
        &self,
        attempt: &AttemptId,
        journal: Journal,
        kind: UnknownKind,
    ) -> Result<Option<RefreshOutcome>> {
        self.failed(&RequestFailure::lost(kind, spends(self.grant)))
            .await;
        if !spends(self.grant) {
            journal.settle();
            self.context
                .grants()
                .release(&self.grant.id, attempt)
                .await?;
            journal.remove();
            return Ok(Some(lost_unspent(kind)));
        }
        let lost = (kind, self.context.seams.clock.now());
        let noted = note_unknown(self.by(), attempt, lost).await?;
        Ok(noted.then_some(RefreshOutcome::Uncertain {
            kind,
            resend_in: Duration::ZERO,
        }))
    }

    async fn answered(
        &self,
        (plan, secret): (&RefreshPlan, Option<u64>),
        attempt: &AttemptId,
        journal: Journal,
        reply: Reply,
        issued: Moment,
    ) -> Result<Option<RefreshOutcome>> {
        failpoint::pass(FaultPoint::ReplyReceived);
        let after_rejection = self.why == Why::Rejected;
        let stored = self
            .keep((attempt, &journal), reply, issued, after_rejection)
            .await;
        failpoint::pass(FaultPoint::ReplyDurable);
        let skew = classify::skew_seconds(&stored.reply, self.context.seams.clock.now().wall);
        let conclusion = Conclusion {
            context: self.context,
            on_behalf_of: self.on_behalf_of,
            grant: self.grant,
            plan,
            journal: &journal,
            attempt,
            number: self.number,
            secret,
        };
        let end = match self.grant.grant_material.identity_provider() {
            Some(idp) => self.vouched(conclusion, idp, stored).await?,
            None => conclusion.draw(stored).await?,
        };
        if let Some(end) = &end {
            self.log(Some(attempt), end, Some(issued), skew);
        }
        Ok(end)
    }

    /// The identity provider has answered. What it brought is kept before the authorization server is asked; from then on
    /// nothing is spent by this attempt, and what went before it is of no matter.
    async fn vouched(
        &self,
        conclusion: Conclusion<'_>,
        idp: &IdentityProvider,
        stored: StoredReply,
    ) -> Result<Option<RefreshOutcome>> {
        let Ok(assertion) = id_jag::read(idp, &stored.reply, stored.issued) else {
            return conclusion.draw_first_leg(idp, &stored).await;
        };
        let renewed = id_jag::renewed(idp, &stored.reply);
        if !conclusion.keep_subject(renewed.as_ref()).await? {
            return conclusion.close(Ok(None));
        }
        let rest = Grant {
            refresh: None,
            ..self.grant.clone()
        };
        let plan = conclusion.plan;
        let conclusion = Conclusion {
            grant: &rest,
            number: 1,
            ..conclusion
        };
        let sent = token_request::show_assertion(conclusion.by(), plan, &assertion);
        let (secret, (reply, issued)) = match sent.await {
            Ok(sent) => sent,
            Err(end) => {
                if let RefreshOutcome::Later { why, .. } = &end {
                    let failure = RequestFailure::of(why.clone());
                    let of = provider_state::client_of(&rest);
                    conclusion.by().failed(&of, &failure).await;
                }
                return conclusion.close(conclusion.unspent(end).await);
            }
        };
        let reply = id_jag::combined(reply, renewed.as_ref());
        // Only what can be committed takes the place of the first answer.
        let stored = if token_request::brings_tokens(&reply, issued) {
            self.keep(
                (conclusion.attempt, conclusion.journal),
                reply,
                issued,
                stored.after_rejection,
            )
            .await
        } else {
            StoredReply {
                reply,
                issued,
                after_rejection: stored.after_rejection,
            }
        };
        Conclusion {
            secret,
            ..conclusion
        }
        .draw(stored)
        .await
    }

    /// Durable on this machine before anyone reads it.
    async fn keep(
        &self,
        (attempt, journal): (&AttemptId, &Journal),
        reply: Reply,
        issued: Moment,
        after_rejection: bool,
    ) -> StoredReply {
        let stored = StoredReply {
            reply,
            issued,
            after_rejection,
        };
        let of = (self.context, self.grant);
        keep_reply(of, (attempt, journal), &stored).await;
        stored
    }

    fn log(
        &self,
        attempt: Option<&AttemptId>,
        end: &RefreshOutcome,
        issued: Option<Moment>,
        skew: Option<i64>,
    ) {
        let now = self.context.seams.clock.now();
        let latency = issued.map(|issued| now.since(issued));
        let line = Decision {
            latency_ms: latency.and_then(|latency| u64::try_from(latency.as_millis()).ok()),
            skew_s: skew,
            trace_id: attempt.map(ToString::to_string),
            ..self.line("refresh", end, now)
        };
        self.context.log.append(now, &line);
    }

    /// Nothing was sent, because of what the provider said to another attempt.
    fn log_held_back(&self, end: &RefreshOutcome) {
        let now = self.context.seams.clock.now();
        self.context
            .log
            .append(now, &self.line("hold_back", end, now));
    }

    fn line(&self, decision: &'static str, end: &RefreshOutcome, now: Moment) -> Decision {
        let access = self.grant.access.as_ref();
        let left = access.map(|token| token.left(now)).unwrap_or_default();
        Decision {
            ts: now.wall,
            connection: self.on_behalf_of.connection.to_string(),
            principal: self.on_behalf_of.principal.to_string(),
            lineage: self.grant.lineage.0,
            generation: self.grant.generation.0,
            seconds_left: left.as_secs_f64(),
            decision,
            why: Some(self.why.as_str()),
            outcome: Some(end.as_str().to_owned()),
            latency_ms: None,
            skew_s: None,
            trace_id: None,
        }
    }
}
