//! The transaction itself: connect, make room, claim, check the deadline, send, keep the answer, commit, and only then
//! let anyone see it. Safety rests on the claim and the journal, never on a lock.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::sync::oneshot;

use crate::refresh::{
    Context, OnBehalfOf,
    circuit_breaker::Failure,
    decide::{self, Investigation, JournalState, RecoveryRules, Why},
    decision_log::Decision,
    incident,
    journal::{Journal, StoredReply},
    moved_endpoint::{self, Answer, Moved},
    orphaned_journals::{self, Orphaned},
    outcome_probe::{self, Became},
    provider_state::{self, Admitted, By, Trial},
    reply_archive::ArchivedReply,
    single_flight::RefreshOutcome,
    token_request::{self, Leg},
    verify_response::{self, Checked},
};
use crate::{
    http::{Exchange, HttpUrl, Reply},
    model::{
        AttemptId, Claim, ClaimPhase, ClientRegistration, Drift, Event, FailingOf, Generation,
        Grant, GrantId, GrantLifecycle, IdentityProvider, Lineage, Moment, ObservationKind,
        OwnerId, OwnerState, Provider, ReauthorizeReason, RefreshToken, SuspendReason, UnknownKind,
    },
    oauth::{
        GUESS,
        classify::{self, Outcome, Refused},
        id_jag, moved, revoke,
        token::TokenAnswer,
    },
    platform::{
        clock::within,
        failpoint::{self, FaultPoint},
        tasks::Tasks,
    },
    store::{Committed, Refreshed, Result, Spend, StoreError, unusable},
};

/// Which generation a caller wants to see replaced.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) grant: GrantId,
    pub(crate) lineage: Lineage,
    pub(crate) generation: Generation,
}

impl Goal {
    pub(crate) fn of(grant: &Grant) -> Self {
        Self {
            grant: grant.id.clone(),
            lineage: grant.lineage,
            generation: grant.generation,
        }
    }

    fn reached_by(&self, grant: &Grant) -> bool {
        grant.lineage != self.lineage || grant.generation > self.generation
    }
}

/// How often another process's progress is looked at: soon at first, then less often.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_LAST: Duration = Duration::from_millis(250);

/// Stands for the words of refusals that have none.
const NO_REASON: &str = "refused without a reason";

/// How many attempts of one flight may come to nothing (too late to send, or overtaken) before it gives up for now.
const MOST_ATTEMPTS: u32 = 5;

/// How a flight ended, and whether that was because nothing is sent after earlier failures.
pub(crate) struct Flown {
    pub(crate) end: RefreshOutcome,
    pub(crate) held_back: bool,
}

/// Brings the grant past `goal`, whoever does it.
pub(crate) async fn refresh(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    goal: &Goal,
    why: Why,
) -> Flown {
    let mut pass = Pass::default();
    let end = pursue((context, on_behalf_of), goal, why, &mut pass).await;
    if let Some(trial) = pass.trial {
        trial.end(context).await;
    }
    Flown {
        end: end.unwrap_or_else(|error| RefreshOutcome::Store(Arc::new(error))),
        held_back: pass.held_back,
    }
}

/// What a flight was let through with.
#[derive(Default)]
struct Pass {
    trial: Option<Trial>,
    held_back: bool,
}

async fn pursue(
    (context, on_behalf_of): (&Context, &OnBehalfOf),
    goal: &Goal,
    why: Why,
    pass: &mut Pass,
) -> Result<RefreshOutcome> {
    let began = context.seams.clock.now();
    let mut poll = POLL_FIRST;
    let mut attempts = 0;
    loop {
        let Some(grant) = context.store.grant(&goal.grant).await? else {
            return Ok(RefreshOutcome::Withdrawn);
        };
        if goal.reached_by(&grant) {
            return Ok(RefreshOutcome::Fresh);
        }
        let forgotten = orphaned_journals::of(context, &grant);
        if bring_forward(context, on_behalf_of, &grant, &forgotten).await?
            || reread(context, on_behalf_of, &grant).await?
        {
            return Ok(RefreshOutcome::Fresh);
        }
        if let Some(end) = ended(&grant.lifecycle)
            && !(why == Why::Probe && in_quarantine(&grant))
        {
            return Ok(end);
        }
        let put_back = nobody_is_at(grant.claim.as_ref())
            && orphaned_journals::claim_back(context, on_behalf_of, &grant, forgotten).await?;
        let step = match &grant.claim {
            _ if put_back => Step::LookAgain,
            None => Step::Attempt {
                number: 1,
                seen: None,
            },
            Some(claim) => look_into(context, on_behalf_of, &grant, claim, why).await?,
        };
        let by = By {
            context,
            on_behalf_of,
            grant: &grant,
        };
        match held_back(by, step, pass).await {
            Step::Attempt { .. } if attempts == MOST_ATTEMPTS => {
                let why = "the store is too slow to refresh safely".to_owned();
                return Ok(RefreshOutcome::Later {
                    why,
                    retry_after: None,
                });
            }
            Step::Attempt { number, seen } => {
                attempts += 1;
                let attempt = Attempt {
                    context,
                    on_behalf_of,
                    grant: &grant,
                    why,
                    number,
                    seen,
                    trial: pass.trial.as_ref(),
                };
                if let Some(end) = attempt.run().await? {
                    return Ok(end);
                }
            }
            Step::LookAgain => {}
            Step::Wait => {
                let waited = context.seams.clock.now().since(began);
                if waited > context.rules.exchange_limit {
                    let why = "another process is still refreshing".to_owned();
                    return Ok(RefreshOutcome::Later {
                        why,
                        retry_after: None,
                    });
                }
                context.seams.clock.sleep(poll).await;
                poll = (poll * 2).min(POLL_LAST);
            }
            Step::RefreshOutcome(end) => return Ok(end),
        }
    }
}

/// A store that was put back from a copy has forgotten what was committed since, and would spend a token that is spent.
/// The last answer is still beside it: the grant goes on from there.
async fn bring_forward(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    forgotten: &[Orphaned],
) -> Result<bool> {
    let kept = context.reply_archive.last(&grant.id).into_iter();
    // One that a sign-in outran is the last of its lineage if the sign-in is what was forgotten.
    let late = context.reply_archive.late(&grant.id, grant.lineage);
    let in_journals = orphaned_journals::answers(context, forgotten);
    let known = kept.chain(late).chain(in_journals);
    let newer = known
        .filter(|answer| answer.lineage == grant.lineage && answer.generation > grant.generation);
    let Some(last) = newer.max_by_key(|answer| answer.generation) else {
        return Ok(false);
    };
    let obtained = take_from_archive(context, on_behalf_of, grant, &last, last.generation).await?;
    if obtained {
        tracing::error!(
            connection = %on_behalf_of.connection, forgotten = grant.generation.0, known = last.generation.0,
            "the store went back in time; the last answer of the provider brought it forward"
        );
    }
    Ok(obtained)
}

/// Commits an answer that could not be read when it came, if it can be now: after an upgrade, or with another setting.
pub(crate) async fn reread(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
) -> Result<bool> {
    if is_sent_again(context, grant.claim.as_ref()) {
        return Ok(false);
    }
    for unread in context.reply_archive.unread(&grant.id, grant.lineage) {
        if unread.generation <= grant.generation {
            unread.remove();
            continue;
        }
        if take_from_archive(context, on_behalf_of, grant, &unread, unread.generation).await? {
            unread.remove();
            tracing::warn!(
                connection = %on_behalf_of.connection, generation = unread.generation.0,
                "an answer that could not be read before is adopted"
            );
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the token may be on its way to the provider once more, so that what came for it the first time could die of
/// that at any moment.
fn is_sent_again(context: &Context, claim: Option<&Claim>) -> bool {
    let Some(claim) = claim else {
        return false;
    };
    match claim.phase {
        ClaimPhase::Spending => true,
        ClaimPhase::Unknown { since, .. } => {
            let waited = context.seams.clock.now().surely_since(since);
            claim.number > 1 && waited < context.rules.quiet_period
        }
    }
}

/// Commits an answer that was kept, as this generation.
async fn take_from_archive(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    archived: &ArchivedReply,
    generation: Generation,
) -> Result<bool> {
    let stored = &archived.stored;
    // An identity provider's own access token is for nobody else.
    if grant.grant_material.identity_provider().is_some() && !id_jag::is_combined(&stored.reply) {
        return Ok(false);
    }
    let outcome = context.outcome(on_behalf_of.provider.as_deref(), grant, &stored.reply);
    let Outcome::Accepted(answer) = outcome else {
        return Ok(false);
    };
    let learned = context.learned_lifetime(on_behalf_of, grant).await;
    let at = (generation, stored);
    let checked = verify_response::check(context, on_behalf_of, grant, answer, at, learned);
    let hold = checked.refreshed.hold.map(|(reason, _)| reason);
    let committed = context.store.commit_refresh(checked.refreshed).await?;
    if committed == Committed::Yes {
        let proved = !stored.after_rejection;
        verify_response::tell(
            context,
            on_behalf_of,
            grant,
            (&checked.drifts, hold),
            proved,
        )
        .await?;
    }
    Ok(committed == Committed::Yes)
}

fn ended(lifecycle: &GrantLifecycle) -> Option<RefreshOutcome> {
    match lifecycle {
        GrantLifecycle::Active => None,
        GrantLifecycle::ReauthorizationRequired { .. } => Some(RefreshOutcome::Refused),
        GrantLifecycle::Suspended { .. } | GrantLifecycle::Revoked { .. } => {
            Some(RefreshOutcome::Withdrawn)
        }
    }
}

enum Step {
    Attempt {
        number: u32,
        seen: Option<AttemptId>,
    },
    LookAgain,
    Wait,
    RefreshOutcome(RefreshOutcome),
}

/// An attempt waits, or is given up for now, where the failures before it say so. While another process finds out whether
/// the provider answers again, only those wait who have no token.
async fn held_back(by: By<'_>, step: Step, pass: &mut Pass) -> Step {
    let Step::Attempt { number, .. } = step else {
        return step;
    };
    let admitted = by.admit(number > 1, &mut pass.trial).await;
    pass.held_back = !matches!(admitted, Admitted::Yes);
    let now = by.context.seams.clock.now();
    let access = by.grant.access.as_ref();
    match admitted {
        Admitted::Yes => step,
        Admitted::No(end) => Step::RefreshOutcome(end),
        Admitted::AfterTrial(end) if access.is_some_and(|token| !token.left(now).is_zero()) => {
            Step::RefreshOutcome(end)
        }
        Admitted::AfterTrial(_) => Step::Wait,
    }
}

/// Whether an attempt that the store has forgotten may stand in the place of this claim.
fn nobody_is_at(claim: Option<&Claim>) -> bool {
    claim.is_none_or(|claim| matches!(claim.phase, ClaimPhase::Unknown { .. }))
}

/// What is there of an attempt beside its claim.
struct Left {
    owner: OwnerState,
    journal: Option<Journal>,
    state: JournalState,
}

/// None if the claim has moved on since it was read. The order matters: a dead owner changes neither its journal nor its
/// claim any more, so both are looked at after its lock. An owner that commits and exits in between was not lost.
async fn left_by(context: &Context, grant: &Grant, claim: &Claim) -> Result<Option<Left>> {
    let owner = owner_state(context, claim);
    let journal = Journal::open(&context.journals, &grant.id, &claim.attempt);
    let state = journal.as_ref().map_or(JournalState::Missing, |journal| {
        journal.state(&context.sealer)
    });
    if owner == OwnerState::Dead {
        let current = context.store.grant(&grant.id).await?;
        if current.and_then(|current| current.claim).as_ref() != Some(claim) {
            return Ok(None);
        }
    }
    Ok(Some(Left {
        owner,
        journal,
        state,
    }))
}

/// Reads somebody's claim and does what [`decide::investigate`] says.
async fn look_into(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    claim: &Claim,
    why: Why,
) -> Result<Step> {
    let now = context.seams.clock.now();
    let Some(Left {
        owner,
        journal,
        state,
    }) = left_by(context, grant, claim).await?
    else {
        return Ok(Step::LookAgain);
    };
    let rules = context
        .recovery(on_behalf_of.provider.as_deref(), grant)
        .await;
    // A token that the resource refuses is not worth sparing.
    let spared = grant.access.as_ref().filter(|_| why != Why::Rejected);
    let access_left = spared.map(|token| token.left(now)).unwrap_or_default();
    // Of an identity provider's token the authorization server knows nothing.
    let elsewhere = grant.grant_material.identity_provider().is_some();
    let became = if state == JournalState::Reply || !spends(grant) || elsewhere {
        Became::Unclear
    } else {
        outcome_probe::of(context, on_behalf_of, grant, claim, rules, access_left).await
    };
    let seen = decide::investigate(
        claim,
        owner,
        state,
        became.applied_to(rules),
        access_left,
        now,
    );
    let seen = became.hurries(seen);
    tracing::debug!(connection = %on_behalf_of.connection, attempt = %claim.attempt, ?seen, "looked into a claim");
    let resends = matches!(seen, Investigation::ResendAfter(_) | Investigation::Resend);
    if resends
        && spends(grant)
        && let Some(reason) = hopeless(claim, became, rules)
    {
        return spent(context, on_behalf_of, grant, (claim, journal), reason).await;
    }
    match seen {
        Investigation::OwnerAtWork => Ok(Step::Wait),
        // Nothing was spent, so nothing can have been lost: it is simply asked for again.
        Investigation::MarkUnknown(_) | Investigation::ResendAfter(_) | Investigation::Resend
            if !spends(grant) =>
        {
            journal.iter().for_each(Journal::settle);
            context.store.release(&grant.id, &claim.attempt).await?;
            journal.into_iter().for_each(Journal::remove);
            Ok(Step::LookAgain)
        }
        Investigation::Release => {
            // A resend that never left leaves the attempt before it as unknown as it was.
            if claim.number <= 1 {
                context.store.release(&grant.id, &claim.attempt).await?;
            } else {
                let lost = (UnknownKind::Crash, now);
                note_unknown(context, on_behalf_of, grant, &claim.attempt, lost).await?;
            }
            journal.into_iter().for_each(Journal::remove);
            Ok(Step::LookAgain)
        }
        Investigation::AdoptReply => adopt(context, on_behalf_of, grant, claim, journal).await,
        Investigation::MarkUnknown(kind) => {
            // From now on: the sender may have died just now, and its request may still be on its way.
            note_unknown(context, on_behalf_of, grant, &claim.attempt, (kind, now)).await?;
            Ok(Step::LookAgain)
        }
        Investigation::ResendAfter(resend_in) => {
            let kind = unknown_kind(claim);
            retell_unknown(context, on_behalf_of, grant, claim).await?;
            Ok(Step::RefreshOutcome(RefreshOutcome::Uncertain {
                kind,
                resend_in,
            }))
        }
        Investigation::Resend if is_given_up(context, on_behalf_of, claim, now).await? => {
            let reason = ReauthorizeReason::UnknownOutcome;
            give_up(
                context,
                on_behalf_of,
                grant,
                (claim, journal.as_ref()),
                reason,
            )
            .await?;
            journal.into_iter().for_each(Journal::remove);
            Ok(Step::LookAgain)
        }
        Investigation::Resend => Ok(Step::Attempt {
            number: claim.number.saturating_add(1),
            seen: Some(claim.attempt.clone()),
        }),
    }
}

async fn is_given_up(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    claim: &Claim,
    now: Moment,
) -> Result<bool> {
    if !decide::is_given_up(claim, None, now) {
        return Ok(false);
    }
    let open = context.store.incidents().await?;
    let mut told = open
        .iter()
        .map(|incident| &incident.record)
        .filter(|record| {
            record.event == Event::Uncertain
                && record.connection == on_behalf_of.connection.as_str()
        });
    let told = told.next().map(|record| record.since);
    Ok(decide::is_given_up(claim, told, now))
}

/// Why a resend could only do harm, if it could.
fn hopeless(claim: &Claim, became: Became, rules: RecoveryRules) -> Option<ReauthorizeReason> {
    if decide::is_unread(claim, rules.replay) {
        return Some(ReauthorizeReason::AnswerUnread);
    }
    became
        .is_hopeless(rules.replay)
        .then_some(ReauthorizeReason::UnknownOutcome)
}

/// The token is spent and its successor was lost, or can't be read: if no answer that lost a race helps, a person is asked
/// at once, while the access token still serves.
async fn spent(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    (claim, journal): (&Claim, Option<Journal>),
    reason: ReauthorizeReason,
) -> Result<Step> {
    let Some(journal) = journal else {
        give_up(context, on_behalf_of, grant, (claim, None), reason).await?;
        return Ok(Step::LookAgain);
    };
    let plan = Plan::load(context, grant).await?;
    let conclusion = Conclusion::of_claim((context, on_behalf_of, grant), &plan, (claim, &journal));
    let end = conclusion.refuse(reason, None).await?;
    journal.remove();
    Ok(end.map_or(Step::LookAgain, Step::RefreshOutcome))
}

/// A day of resends brought no answer: a person is asked. The token is kept, and probed like one that was refused.
/// The claim goes before its journal does; in between the journal must not be taken for one that is forgotten.
async fn give_up(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    (claim, journal): (&Claim, Option<&Journal>),
    reason: ReauthorizeReason,
) -> Result<()> {
    journal.into_iter().for_each(Journal::settle);
    let at = context.seams.clock.now().wall;
    let spend = spend_of(grant);
    let store = &context.store;
    if store
        .commit_refusal(&spend, &claim.attempt, reason, at)
        .await?
    {
        store.end_incidents(&on_behalf_of.connection, at).await?;
        incident::reauthorize(context, on_behalf_of, grant, &claim.attempt, (reason, None)).await?;
    }
    Ok(())
}

/// Whether an attempt uses something up. What is issued anew does not, and a token in quarantine was refused already.
fn spends(grant: &Grant) -> bool {
    !grant.is_issued_again() && !in_quarantine(grant)
}

fn in_quarantine(grant: &Grant) -> bool {
    matches!(
        grant.lifecycle,
        GrantLifecycle::ReauthorizationRequired { .. }
    )
}

/// A claim of this very process that a new flight meets was left behind by a flight that has ended: there is only one
/// flight a grant.
pub(super) fn owner_state(context: &Context, claim: &Claim) -> OwnerState {
    match context.owners.mine(&context.seams) {
        Ok(mine) if mine == claim.owner => OwnerState::Dead,
        _ => context.owners.state(&claim.owner),
    }
}

fn unknown_kind(claim: &Claim) -> UnknownKind {
    match claim.phase {
        ClaimPhase::Unknown { kind, .. } => kind,
        ClaimPhase::Spending => UnknownKind::Crash,
    }
}

/// Commits the answer that an attempt left in its journal.
async fn adopt(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    claim: &Claim,
    journal: Option<Journal>,
) -> Result<Step> {
    let Some(journal) = journal else {
        return Ok(Step::LookAgain);
    };
    let Some(stored) = journal.reply(&context.sealer) else {
        return Ok(Step::LookAgain);
    };
    let plan = Plan::load(context, grant).await?;
    let conclusion = Conclusion::of_claim((context, on_behalf_of, grant), &plan, (claim, &journal));
    let end = match grant.grant_material.identity_provider() {
        Some(idp) => conclusion.draw_vouched(idp, stored).await?,
        None => conclusion.draw(stored).await?,
    };
    Ok(end.map_or(Step::LookAgain, Step::RefreshOutcome))
}

/// The process that marked the claim may have died, or lost the store, before it could keep the incident.
async fn retell_unknown(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    claim: &Claim,
) -> Result<()> {
    let told = context
        .store
        .is_open(&on_behalf_of.connection, Event::Uncertain);
    if told.await? {
        return Ok(());
    }
    incident::uncertain(
        context,
        on_behalf_of,
        grant,
        &claim.attempt,
        unknown_kind(claim),
    )
    .await
}

/// Marks an attempt's outcome as unknown, and records that if it was this call that marked it. False if the claim has
/// moved on: then the outcome is known, nothing is recorded, and the caller looks again.
pub(super) async fn note_unknown(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    attempt: &AttemptId,
    (kind, since): (UnknownKind, Moment),
) -> Result<bool> {
    let store = &context.store;
    if store.mark_unknown(&grant.id, attempt, kind, since).await? {
        tracing::warn!(connection = %on_behalf_of.connection, kind = kind.as_str(), "a refresh's answer was lost");
        incident::uncertain(context, on_behalf_of, grant, attempt, kind).await?;
        return Ok(true);
    }
    let current = store.grant(&grant.id).await?;
    let claim = current.and_then(|current| current.claim);
    Ok(claim.is_some_and(|claim| claim.attempt == *attempt))
}

/// Where and as whom a grant is refreshed.
pub(super) struct Plan {
    pub(super) endpoint: HttpUrl,
    pub(super) provider: Provider,
    pub(super) registration: ClientRegistration,
}

impl Plan {
    async fn load(context: &Context, grant: &Grant) -> Result<Self> {
        let damaged = |detail: &str| StoreError::Damaged {
            place: "the store".to_owned(),
            detail: format!("{detail} of {} is missing", grant.issuer),
        };
        let provider = context
            .store
            .provider(&grant.issuer, &grant.client_id)
            .await?;
        let provider = provider.ok_or_else(|| damaged("the metadata"))?;
        let registration = context
            .store
            .registration(&grant.issuer, &grant.client_id)
            .await?;
        let registration = registration.ok_or_else(|| damaged("the client"))?;
        let own = &provider.metadata.quirks.refresh_endpoint;
        let own = own.as_ref().filter(|_| !grant.grant_type.is_issued_again());
        let endpoint = own.or(provider.metadata.token_endpoint.as_ref());
        let endpoint = endpoint.map(|endpoint| HttpUrl::parse(endpoint));
        let endpoint = endpoint.and_then(std::result::Result::ok);
        let endpoint = endpoint.ok_or_else(|| damaged("the token endpoint"))?;
        Ok(Self {
            endpoint,
            provider,
            registration,
        })
    }
}

/// What came of sending.
enum Sent {
    /// A reply to a request that showed this secret of our client's, and when that left.
    Answered(Option<u64>, Reply, Moment),
    /// No whole reply.
    Lost(UnknownKind, Moment),
    /// Nothing left that can have been acted on.
    Unspent(Option<RefreshOutcome>),
}

/// One attempt to spend the current generation.
struct Attempt<'a> {
    context: &'a Context,
    on_behalf_of: &'a OnBehalfOf,
    grant: &'a Grant,
    why: Why,
    number: u32,
    /// The attempt of unknown outcome that this one takes over from.
    seen: Option<AttemptId>,
    /// The trial that it is, after a rest of the provider.
    trial: Option<&'a Trial>,
}

impl Attempt<'_> {
    /// None means that the state has moved on: look again.
    async fn run(&self) -> Result<Option<RefreshOutcome>> {
        let plan = Plan::load(self.context, self.grant).await?;
        if decide::client_rests(&plan.registration, self.context.seams.clock.now()) {
            return Ok(Some(RefreshOutcome::Client(Refused::just_now())));
        }
        let leg =
            match token_request::first(self.context, self.on_behalf_of, self.grant, &plan).await {
                Ok(leg) => leg,
                Err(end) => {
                    self.log(None, &end, None, None);
                    return Ok(Some(end));
                }
            };
        let connected = self
            .context
            .transport
            .connect(&leg.endpoint, leg.reach)
            .await;
        let exchange = match connected {
            Ok(exchange) => exchange,
            Err(error) => {
                let failure = Failure::of(error.to_string());
                self.failed(&failure).await;
                let end = RefreshOutcome::Later {
                    why: error.to_string(),
                    retry_after: None,
                };
                self.log(None, &end, None, None);
                return Ok(Some(end));
            }
        };
        let mut claim = self.claim()?;
        let journal = self.journal(&claim).await?;
        // A slow disk takes nothing from the time to send.
        claim.since = self.context.seams.clock.now();
        if !self.take_or_clean_up(&claim, &journal).await? {
            journal.remove();
            return Ok(None);
        }
        failpoint::pass(FaultPoint::Claimed);
        if self.is_replaced().await? {
            self.give_back(&claim.attempt, journal).await?;
            return Ok(None);
        }
        // Who held the claim before may have kept a failure.
        if self.by().rests(self.number > 1, self.trial).await {
            self.give_back(&claim.attempt, journal).await?;
            return Ok(None);
        }
        blocking(&*self.context.tasks, {
            let journal = journal.clone();
            move || journal.mark_sending()
        })
        .await?;
        // Whoever looks for those that send finds this attempt, or the one before it.
        self.forget_seen();
        // The clock is looked at last.
        if self.is_contested(&claim) || self.is_late(&claim) {
            self.give_back(&claim.attempt, journal).await?;
            return Ok(None);
        }
        match self.send(&plan, &claim, (leg, exchange)).await {
            Sent::Answered(secret, reply, issued) => {
                let shown = (&plan, secret);
                self.answered(shown, &claim.attempt, journal, reply, issued)
                    .await
            }
            Sent::Lost(kind, issued) => {
                let end = self.lost(&claim.attempt, journal, kind).await?;
                if let Some(end) = &end {
                    self.log(Some(&claim.attempt), end, Some(issued), None);
                }
                Ok(end)
            }
            Sent::Unspent(end) => {
                self.give_back(&claim.attempt, journal).await?;
                Ok(end)
            }
        }
    }

    /// Sends. A server that refuses only because it wants a number of its own in the proof is asked once more, within the
    /// attempt, while there is time: nothing was spent (RFC 9449 §8).
    async fn send(
        &self,
        plan: &Plan,
        claim: &Claim,
        (leg, exchange): (Leg, Box<dyn Exchange>),
    ) -> Sent {
        let first = self.send_once(&leg, exchange).await;
        match &first {
            Sent::Answered(_, reply, _) if leg.wants_nonce(reply) => {}
            _ => return first,
        }
        let (context, on_behalf_of) = (self.context, self.on_behalf_of);
        // What proves our client is good once: it is all made anew.
        let again = async {
            let leg = token_request::first(context, on_behalf_of, self.grant, plan).await?;
            let connected = context.transport.connect(&leg.endpoint, leg.reach).await;
            let exchange = connected.map_err(|error| RefreshOutcome::Later {
                why: error.to_string(),
                retry_after: None,
            })?;
            Ok((leg, exchange))
        };
        let (leg, exchange) = match again.await {
            Ok(ready) => ready,
            Err(end) => return Sent::Unspent(Some(end)),
        };
        if self.is_late(claim) {
            return Sent::Unspent(None);
        }
        let second = self.send_once(&leg, exchange).await;
        if let Sent::Answered(_, reply, _) = &second {
            leg.wants_nonce(reply);
        }
        second
    }

    async fn send_once(&self, leg: &Leg, exchange: Box<dyn Exchange>) -> Sent {
        let clock = &*self.context.seams.clock;
        let limit = self.context.rules.exchange_limit;
        let issued = clock.now();
        let request = match leg.ready() {
            Ok(request) => request,
            Err(unusable) => return Sent::Unspent(Some(token_request::unusable(unusable))),
        };
        match within(clock, limit, exchange.send(request)).await {
            Some(Ok(reply)) => {
                self.context.hear(&leg.endpoint, &reply);
                Sent::Answered(leg.secret, reply, issued)
            }
            Some(Err(error)) => Sent::Lost(classify::lost(&error), issued),
            None => Sent::Lost(UnknownKind::Silence, issued),
        }
    }

    fn by(&self) -> By<'_> {
        By {
            context: self.context,
            on_behalf_of: self.on_behalf_of,
            grant: self.grant,
        }
    }

    /// Keeps a failure of the server that is asked first.
    async fn failed(&self, failure: &Failure) {
        let of = provider_state::first_asked(self.grant);
        self.by().failed(&of, failure).await;
    }

    fn owner(&self) -> Result<OwnerId> {
        let owner = self.context.owners.mine(&self.context.seams);
        owner.map_err(|error| StoreError::Unusable {
            place: "owners/".to_owned(),
            detail: error.to_string(),
        })
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

    /// An error does not say whether the claim was written. Unless it may have been, the journal goes: a full disk must
    /// not be filled further by each try.
    async fn take_or_clean_up(&self, claim: &Claim, journal: &Journal) -> Result<bool> {
        let taken = self.take(claim).await;
        if taken.is_err()
            && let Ok(grant) = self.context.store.grant(&self.grant.id).await
        {
            let holds = grant.and_then(|grant| grant.claim);
            if holds.is_none_or(|held| held.attempt != claim.attempt) {
                journal.clone().remove();
            }
        }
        taken
    }

    /// The attempt that this one took over from is over; its sender is dead and left no answer.
    fn forget_seen(&self) {
        let journal = self
            .seen
            .as_ref()
            .and_then(|seen| Journal::open(&self.context.journals, &self.grant.id, seen));
        journal.into_iter().for_each(Journal::remove);
    }

    async fn take(&self, claim: &Claim) -> Result<bool> {
        let spend = spend_of(self.grant);
        match &self.seen {
            None if in_quarantine(self.grant) => {
                let now = self.context.seams.clock.now().wall;
                self.context.store.claim_probe(&spend, claim, now).await
            }
            None => self.context.store.claim(&spend, claim).await,
            Some(seen) => self.context.store.take_over(&spend, seen, claim).await,
        }
    }

    /// Whether the token that would be sent has been replaced since it was read: one that comes without an access token,
    /// and an identity provider's, are replaced within a generation. From the claim on nobody but its holder does that.
    async fn is_replaced(&self) -> Result<bool> {
        let current = self.context.store.grant(&self.grant.id).await?;
        let current = current.and_then(|grant| grant.refresh);
        Ok(!is_same(current.as_ref(), self.grant.refresh.as_ref()))
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
        self.failed(&Failure::lost(kind, spends(self.grant))).await;
        if !spends(self.grant) {
            journal.settle();
            self.context.store.release(&self.grant.id, attempt).await?;
            journal.remove();
            return Ok(Some(lost_unspent(kind)));
        }
        let lost = (kind, self.context.seams.clock.now());
        let noted =
            note_unknown(self.context, self.on_behalf_of, self.grant, attempt, lost).await?;
        Ok(noted.then_some(RefreshOutcome::Uncertain {
            kind,
            resend_in: Duration::ZERO,
        }))
    }

    async fn answered(
        &self,
        (plan, secret): (&Plan, Option<u64>),
        attempt: &AttemptId,
        journal: Journal,
        reply: Reply,
        issued: Moment,
    ) -> Result<Option<RefreshOutcome>> {
        failpoint::pass(FaultPoint::ReplyReceived);
        let after_rejection = self.why == Why::Rejected;
        let stored = self.keep(&journal, reply, issued, after_rejection).await;
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
        let (context, on_behalf_of, plan) = (self.context, self.on_behalf_of, conclusion.plan);
        let conclusion = Conclusion {
            grant: &rest,
            number: 1,
            ..conclusion
        };
        let sent = async {
            let make = || token_request::second(context, on_behalf_of, &rest, plan, &assertion);
            let leg = make()?;
            let first = token_request::send(context, &leg).await?;
            if !leg.wants_nonce(&first.0) {
                return Ok((leg.secret, first));
            }
            let leg = make()?;
            let second = token_request::send(context, &leg).await?;
            // What it wants now is known to the next attempt.
            leg.wants_nonce(&second.0);
            Ok((leg.secret, second))
        };
        let (secret, (reply, issued)) = match sent.await {
            Ok(sent) => sent,
            Err(end) => {
                if let RefreshOutcome::Later { why, .. } = &end {
                    let failure = Failure::of(why.clone());
                    let of = provider_state::client_of(&rest);
                    conclusion.by().failed(&of, &failure).await;
                }
                return conclusion.close(conclusion.unspent(end).await);
            }
        };
        let reply = id_jag::combined(reply, renewed.as_ref());
        // Only what can be committed takes the place of the first answer.
        let stored = if token_request::brings_tokens(&reply, issued) {
            self.keep(conclusion.journal, reply, issued, stored.after_rejection)
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

    /// Durable on this machine before anyone reads it. If even the room made beforehand fails, the answer goes on to
    /// the store all the same.
    async fn keep(
        &self,
        journal: &Journal,
        reply: Reply,
        issued: Moment,
        after_rejection: bool,
    ) -> StoredReply {
        let stored = StoredReply {
            reply,
            issued,
            after_rejection,
        };
        let work = {
            let (journal, sealer, stored) =
                (journal.clone(), self.context.sealer.clone(), stored.clone());
            move || journal.keep_reply(&sealer, &stored)
        };
        if let Err(error) = blocking(&*self.context.tasks, work).await {
            tracing::error!(%error, "an answer can't be kept in its journal");
        }
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
        let left = self
            .grant
            .access
            .as_ref()
            .map(|token| token.left(now))
            .unwrap_or_default();
        let latency = issued.map(|issued| now.since(issued));
        self.context.log.append(
            now,
            &Decision {
                ts: now.wall,
                connection: self.on_behalf_of.connection.to_string(),
                principal: self.on_behalf_of.principal.to_string(),
                lineage: self.grant.lineage.0,
                generation: self.grant.generation.0,
                seconds_left: left.as_secs_f64(),
                decision: "refresh",
                why: Some(self.why.as_str()),
                outcome: Some(end.as_str().to_owned()),
                latency_ms: latency.and_then(|latency| u64::try_from(latency.as_millis()).ok()),
                skew_s: skew,
                trace_id: attempt.map(ToString::to_string),
            },
        );
    }
}

fn lost_unspent(kind: UnknownKind) -> RefreshOutcome {
    RefreshOutcome::Later {
        why: format!("no whole answer came ({})", kind.as_str()),
        retry_after: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
fn is_same(one: Option<&RefreshToken>, other: Option<&RefreshToken>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.secret.expose() == other.secret.expose(),
        (one, other) => one.is_none() && other.is_none(),
    }
}

fn spend_of(grant: &Grant) -> Spend {
    Spend {
        grant: grant.id.clone(),
        lineage: grant.lineage,
        generation: grant.generation,
    }
}

async fn settle_unsent(
    context: &Context,
    grant: &Grant,
    attempt: &AttemptId,
    number: u32,
) -> Result<()> {
    if number <= 1 {
        context.store.release(&grant.id, attempt).await?;
        return Ok(());
    }
    let kind = grant
        .claim
        .as_ref()
        .map_or(UnknownKind::Crash, unknown_kind);
    let now = context.seams.clock.now();
    context
        .store
        .mark_unknown(&grant.id, attempt, kind, now)
        .await?;
    Ok(())
}

/// What follows from an answer.
struct Conclusion<'a> {
    context: &'a Context,
    on_behalf_of: &'a OnBehalfOf,
    grant: &'a Grant,
    plan: &'a Plan,
    journal: &'a Journal,
    attempt: &'a AttemptId,
    number: u32,
    /// Which of our client's secrets was shown, where that is known.
    secret: Option<u64>,
}

impl<'a> Conclusion<'a> {
    /// Of an attempt that another process made.
    fn of_claim(
        (context, on_behalf_of, grant): (&'a Context, &'a OnBehalfOf, &'a Grant),
        plan: &'a Plan,
        (claim, journal): (&'a Claim, &'a Journal),
    ) -> Self {
        Self {
            context,
            on_behalf_of,
            grant,
            plan,
            journal,
            attempt: &claim.attempt,
            number: claim.number,
            secret: None,
        }
    }

    /// None means: look again. The attempt did not hold the claim any more, or another secret is left to show.
    async fn draw(&self, stored: StoredReply) -> Result<Option<RefreshOutcome>> {
        self.close(self.follow(stored).await)
    }

    fn close(&self, end: Result<Option<RefreshOutcome>>) -> Result<Option<RefreshOutcome>> {
        failpoint::pass(FaultPoint::Committed);
        // An error leaves the journal: whoever looks into the claim next draws from the answer in it. Else what follows is
        // in the store now: left here, the answer would be drawn from again and again. That something was sent still counts
        // where it is not known what came of it.
        match &end {
            Ok(Some(RefreshOutcome::Uncertain { .. })) => self.journal.drop_reply(),
            Ok(_) => self.journal.clone().remove(),
            Err(_) => {}
        }
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

    fn by(&self) -> By<'_> {
        By {
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
            Outcome::Moved { status, target } => self.moved(Answer { status, target }).await,
            Outcome::Unknown(kind) if !spends(self.grant) => self.unspent(lost_unspent(kind)).await,
            Outcome::Unknown(kind) => self.unknown(kind, now).await,
            Outcome::Accepted(_) => self.unknown(UnknownKind::Unreadable, now).await,
        }
    }

    /// Whether a refusal that names nothing can only mean the refresh token: the request held nothing else, or was accepted
    /// before in this lineage. `LemonLDAP::NG` says `invalid_request` of a dead refresh token.
    fn is_about_the_token(&self, refused: &Refused) -> bool {
        if !spends(self.grant) || !refused.names_nothing() {
            return false;
        }
        let last = self.context.reply_archive.last(&self.grant.id);
        let accepted = last.is_some_and(|last| last.lineage == self.grant.lineage);
        accepted || self.on_behalf_of.resource.is_none()
    }

    /// Whether the provider has refused in the same words for so long that they are believed to be about the grant.
    async fn has_lasted(&self, refused: &Refused) -> Result<bool> {
        if !spends(self.grant) {
            return Ok(false);
        }
        let (context, now) = (self.context, self.context.seams.clock.now());
        let words = refused.to_string();
        let noted = context.store.note_refusal(&self.grant.id, &words, now);
        let since = noted.await?;
        Ok(decide::is_lasting_refusal(
            since,
            context.rules.refused_for,
            now,
        ))
    }

    /// A person is asked, and shown the words.
    async fn refuse_in_words(&self, refused: &Refused) -> Result<Option<RefreshOutcome>> {
        let said = refused.to_string();
        self.refuse(ReauthorizeReason::RefusedRepeatedly, Some(&said))
            .await
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
    async fn moved(&self, answer: Answer) -> Result<Option<RefreshOutcome>> {
        let of = (self.context, self.on_behalf_of, self.grant);
        let (failure, end) = match moved_endpoint::look(of, self.plan, &answer).await? {
            Moved::Elsewhere => {
                self.settle().await?;
                return Ok(None);
            }
            Moved::NotYet(why) => {
                let end = RefreshOutcome::Later {
                    why: why.clone(),
                    retry_after: None,
                };
                (Failure::gone(why), end)
            }
            Moved::Gone(why) => (Failure::moved(why.clone()), RefreshOutcome::Moved(why)),
        };
        let of = provider_state::client_of(self.grant);
        self.by().failed(&of, &failure).await;
        self.unspent(end).await
    }

    async fn unknown(&self, kind: UnknownKind, now: Moment) -> Result<Option<RefreshOutcome>> {
        let (context, on_behalf_of, grant) = (self.context, self.on_behalf_of, self.grant);
        let noted = note_unknown(context, on_behalf_of, grant, self.attempt, (kind, now)).await?;
        Ok(noted.then_some(RefreshOutcome::Uncertain {
            kind,
            resend_in: Duration::ZERO,
        }))
    }

    /// Draws from what an identity provider answered, or from what came of it at the authorization server, if that is what
    /// was kept.
    async fn draw_vouched(
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
    async fn draw_first_leg(
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

    /// What was sent has been answered: nothing is unknown any more, whatever came before it.
    async fn let_go(&self) -> Result<()> {
        self.journal.settle();
        let store = &self.context.store;
        store.release(&self.grant.id, self.attempt).await.map(drop)
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
                let failure = Failure::moved(why.clone());
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
    async fn keep_subject(&self, renewed: Option<&RefreshToken>) -> Result<bool> {
        let (Some(refresh), Some(shown)) = (renewed, &self.grant.refresh) else {
            return Ok(true);
        };
        let spend = spend_of(self.grant);
        let by = (self.attempt, &shown.secret);
        self.context.store.keep_subject(&spend, by, refresh).await
    }

    /// A refusal without a reason, three times in a row, is believed: some servers give none.
    async fn suspect(&self, why: String) -> Result<Option<RefreshOutcome>> {
        let count = self.context.store.count_suspect(&self.grant.id).await?;
        // Beside an attempt whose answer was lost it is most likely that attempt which spent the token.
        let now = self.context.seams.clock.now();
        let since = self
            .context
            .store
            .note_refusal(&self.grant.id, NO_REASON, now);
        let lasts = now.surely_since(since.await?) >= decide::SUSPECTED_FOR;
        let believed = self.number > 1 || (lasts && count >= decide::MOST_SUSPECTS);
        if believed && spends(self.grant) {
            tracing::warn!(connection = %self.on_behalf_of.connection, count, why, "refused without a reason");
            let reason = ReauthorizeReason::RefusedWithoutCode;
            return self.refuse(reason, Some(&why)).await;
        }
        self.unspent(RefreshOutcome::Later {
            why: format!("{why}; {GUESS}"),
            retry_after: None,
        })
        .await
    }

    /// While a secret is replaced two are good: the next in order is tried. The refresh token is untouched.
    async fn client_refused(
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
        store.refuse_registration(issuer, client, now.wall).await?;
        self.not_allowed("client_refused", &refused).await?;
        self.unspent(RefreshOutcome::Client(refused)).await
    }

    /// Nobody is told by the provider that its own client is refused: we tell.
    async fn not_allowed(&self, reason: &str, refused: &Refused) -> Result<()> {
        incident::not_allowed(
            self.context,
            self.on_behalf_of,
            self.grant,
            self.attempt,
            (reason, refused),
        )
        .await
    }

    async fn unspent(&self, end: RefreshOutcome) -> Result<Option<RefreshOutcome>> {
        self.settle().await?;
        Ok(Some(end))
    }

    /// The claim goes before its journal does; in between the journal must not be taken for one that is forgotten.
    async fn settle(&self) -> Result<()> {
        self.journal.settle();
        settle_unsent(self.context, self.grant, self.attempt, self.number).await
    }

    async fn accept(&self, answer: TokenAnswer, stored: &StoredReply) -> Result<RefreshOutcome> {
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
        let Checked { refreshed, drifts } = verify_response::check(
            self.context,
            self.on_behalf_of,
            self.grant,
            answer,
            at,
            learned,
        );
        match self.commit(&refreshed).await? {
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
                self.set_aside(&refreshed, stored).await?;
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
            let (issuer, id) = (&registration.issuer, &registration.client_id);
            if let Err(error) = self.context.store.accept_registration(issuer, id).await {
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
            tracing::warn!(%error, "what an accepted refresh means for troubles can't be kept");
        }
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
            tracing::warn!(%error, "troubles that are over can't be ended");
        }
    }

    /// The store may be busy or full for a moment. The answer is safe in the journal, so giving up loses nothing.
    async fn commit(&self, refreshed: &Refreshed) -> Result<Committed> {
        let mut pause = Duration::from_millis(50);
        for _ in 0..5 {
            match self.context.store.commit_refresh(refreshed.clone()).await {
                Err(error) => tracing::warn!(%error, "a new generation can't be committed yet"),
                done => return done,
            }
            self.context.seams.clock.sleep(pause).await;
            pause *= 2;
        }
        self.context.store.commit_refresh(refreshed.clone()).await
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
        let done = revoke::revoke(&*self.context.transport, reach, provider, client, &late).await;
        tracing::info!(connection = %self.on_behalf_of.connection, ?done, "revoked a late answer");
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
                && take_from_archive(
                    self.context,
                    self.on_behalf_of,
                    self.grant,
                    &candidate,
                    next,
                )
                .await?
            {
                tracing::warn!(connection = %self.on_behalf_of.connection, "an answer that lost a race takes over");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An answer that another one outran is kept. It may be that very answer: whoever adopted it was faster, or the store
    /// did not say that it had committed it. Then it is the one that a store which goes back in time must find.
    async fn set_aside(&self, refreshed: &Refreshed, stored: &StoredReply) -> Result<()> {
        let id = &self.grant.id;
        let current = self.context.store.grant(id).await?;
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

    /// `said` is what the provider said.
    async fn refuse(
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
            .store
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
}

/// File work that waits for the disk, off the async threads. It is done whether or not anyone still waits for it.
pub(crate) async fn blocking<T: Send + 'static>(
    tasks: &dyn Tasks,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (tell, done) = oneshot::channel();
    tasks.spawn_blocking(Box::new(move || {
        let _ = tell.send(work());
    }));
    done.await.unwrap_or_else(|_hung_up| {
        Err(StoreError::Unusable {
            place: "spill/".to_owned(),
            detail: "the work was given up".to_owned(),
        })
    })
}
