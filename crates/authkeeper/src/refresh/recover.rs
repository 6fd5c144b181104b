//! Recovery: what follows from the claim, the journal and the kept replies of an earlier attempt.

use std::{cmp::Reverse, time::Duration};

use crate::{
    model::{
        AttemptId, Claim, ClaimPhase, Event, Grant, Moment, OwnerState, ReauthorizeReason,
        UnknownKind,
    },
    refresh::{
        conclude::Conclusion,
        context::{Context, GrantContext},
        decide::{self, Investigation, JournalState, RecoveryRules, Why},
        findings::ProbeOutcome,
        incident,
        journal::Journal,
        orphaned_journals::{self, Orphaned},
        outcome::RefreshOutcome,
        outcome_probe,
        plan::RefreshPlan,
        reply_archive::ArchivedReply,
        steps::{
            keep_reply, note_unknown, owner_state, spend_of, spends, take_from_archive,
            unknown_kind,
        },
    },
    store::Result,
};

pub(super) enum NextStep {
    Attempt {
        number: u32,
        seen: Option<AttemptId>,
    },
    LookAgain,
    Wait,
    Done(RefreshOutcome),
}

/// A store that was put back from a copy has forgotten what was committed since, and would spend a token that is spent.
/// The last answer is still beside it: the grant goes on from there.
pub(super) async fn bring_forward(of: GrantContext<'_>, forgotten: &[Orphaned]) -> Result<bool> {
    let GrantContext { context, grant, .. } = of;
    let kept = context.reply_archive.last(&grant.id).into_iter();
    // One that a sign-in outran is the last of its lineage if the sign-in is what was forgotten.
    let late = context.reply_archive.late(&grant.id, grant.lineage);
    let in_journals = orphaned_journals::answers(context, forgotten);
    let known = kept.chain(late).chain(in_journals);
    let newer = known
        .filter(|answer| answer.lineage == grant.lineage && answer.generation > grant.generation);
    let mut newest_first: Vec<ArchivedReply> = newer.collect();
    newest_first.sort_by_key(|answer| Reverse(answer.generation));
    // The newest reply may bring no tokens. What follows from it is seen once the grant stands where it was sent.
    for reply in newest_first {
        if take_from_archive(of, &reply, reply.generation).await? {
            tracing::error!(
                connection = %of.on_behalf_of.connection, forgotten = grant.generation.0, known = reply.generation.0,
                "the store went back in time; a kept reply of the provider brought it forward"
            );
            return Ok(true);
        }
    }
    Ok(false)
}

/// Commits an answer that could not be read when it came, if it can be now: after an upgrade, or with another setting.
pub(crate) async fn reread(of: GrantContext<'_>) -> Result<bool> {
    let GrantContext { context, grant, .. } = of;
    if is_sent_again(context, grant.claim.as_ref()) {
        return Ok(false);
    }
    for unread in context.reply_archive.unread(&grant.id, grant.lineage) {
        if unread.generation <= grant.generation {
            unread.remove();
            continue;
        }
        if take_from_archive(of, &unread, unread.generation).await? {
            unread.remove();
            tracing::warn!(
                connection = %of.on_behalf_of.connection, generation = unread.generation.0,
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

/// Whether an attempt that the store has forgotten may stand in the place of this claim.
pub(super) fn nobody_is_at(claim: Option<&Claim>) -> bool {
    claim.is_none_or(|claim| matches!(claim.phase, ClaimPhase::Unknown { .. }))
}

/// What is there of an attempt beside its claim.
struct Evidence {
    owner: OwnerState,
    journal: Option<Journal>,
    state: JournalState,
}

/// None if the claim has moved on since it was read. The order matters: a dead owner changes neither its journal nor its
/// claim any more, so both are looked at after its lock. An owner that commits and exits in between was not lost.
async fn left_by(context: &Context, grant: &Grant, claim: &Claim) -> Result<Option<Evidence>> {
    let owner = owner_state(context, claim);
    let journal = Journal::open(&context.journals, &grant.id, &claim.attempt);
    let state = journal.as_ref().map_or(JournalState::Missing, |journal| {
        let unkept = context.unkept_replies.get(&grant.id, &claim.attempt);
        match unkept {
            Some(_) => JournalState::Reply,
            None => journal.state(&context.sealer),
        }
    });
    if owner == OwnerState::Dead {
        let current = context.grants().grant(&grant.id).await?;
        if current.and_then(|current| current.claim).as_ref() != Some(claim) {
            return Ok(None);
        }
    }
    Ok(Some(Evidence {
        owner,
        journal,
        state,
    }))
}

/// Reads the claim of an attempt and does what [`decide::investigate`] says.
pub(super) async fn look_into(of: GrantContext<'_>, claim: &Claim, why: Why) -> Result<NextStep> {
    let GrantContext { context, grant, .. } = of;
    let now = context.seams.clock.now();
    let Some(left) = left_by(context, grant, claim).await? else {
        return Ok(NextStep::LookAgain);
    };
    let rules = context
        .recovery(of.on_behalf_of.provider.as_deref(), grant)
        .await;
    // A token that the resource refuses is not worth sparing.
    let spared = grant.access.as_ref().filter(|_| why != Why::Rejected);
    let access_left = spared.map(|token| token.left(now)).unwrap_or_default();
    let became = became(of, (claim, left.state), rules, access_left).await;
    let seen = decide::investigate(
        claim,
        left.owner,
        left.state,
        became.applied_to(rules),
        access_left,
        now,
    );
    let seen = became.hurries(seen);
    tracing::debug!(
        connection = %of.on_behalf_of.connection, attempt = %claim.attempt, ?seen, "looked into a claim"
    );
    let resends = matches!(seen, Investigation::ResendAfter(_) | Investigation::Resend);
    if resends
        && spends(grant)
        && let Some(reason) = hopeless(claim, became, rules)
    {
        return spent(of, (claim, left.journal), reason).await;
    }
    follow(of, (claim, left.journal), seen, now).await
}

/// What the provider made of the request, where asking can tell.
async fn became(
    of: GrantContext<'_>,
    (claim, state): (&Claim, JournalState),
    rules: RecoveryRules,
    access_left: Duration,
) -> ProbeOutcome {
    // Of an identity provider's token the authorization server knows nothing.
    let elsewhere = of.grant.grant_material.identity_provider().is_some();
    if state == JournalState::Reply || !spends(of.grant) || elsewhere {
        return ProbeOutcome::Unclear;
    }
    let GrantContext {
        context,
        on_behalf_of,
        grant,
    } = of;
    outcome_probe::of(context, on_behalf_of, grant, claim, rules, access_left).await
}

/// Does what the investigation of a claim says.
async fn follow(
    of: GrantContext<'_>,
    (claim, journal): (&Claim, Option<Journal>),
    seen: Investigation,
    now: Moment,
) -> Result<NextStep> {
    let store = &of.context.store;
    match seen {
        Investigation::OwnerAtWork => Ok(NextStep::Wait),
        // Nothing was spent, so nothing can have been lost: the request is simply made again.
        Investigation::MarkUnknown(_) | Investigation::ResendAfter(_) | Investigation::Resend
            if !spends(of.grant) =>
        {
            journal.iter().for_each(Journal::settle);
            store.release(&of.grant.id, &claim.attempt).await?;
            journal.into_iter().for_each(Journal::remove);
            Ok(NextStep::LookAgain)
        }
        Investigation::Release => {
            // A resend that never left leaves the attempt before it as unknown as it was.
            if claim.number <= 1 {
                store.release(&of.grant.id, &claim.attempt).await?;
            } else {
                note_unknown(of, &claim.attempt, (UnknownKind::Crash, now)).await?;
            }
            journal.into_iter().for_each(Journal::remove);
            Ok(NextStep::LookAgain)
        }
        Investigation::AdoptReply => adopt(of, claim, journal).await,
        Investigation::MarkUnknown(kind) => {
            // From now on: the sender may have died just now, and its request may still be on its way.
            note_unknown(of, &claim.attempt, (kind, now)).await?;
            Ok(NextStep::LookAgain)
        }
        Investigation::ResendAfter(resend_in) => {
            let kind = unknown_kind(claim);
            retell_unknown(of, claim).await?;
            Ok(NextStep::Done(RefreshOutcome::Uncertain {
                kind,
                resend_in,
            }))
        }
        Investigation::Resend if is_given_up(of, claim, now).await? => {
            let reason = ReauthorizeReason::UnknownOutcome;
            give_up(of, (claim, journal.as_ref()), reason).await?;
            journal.into_iter().for_each(Journal::remove);
            Ok(NextStep::LookAgain)
        }
        Investigation::Resend => Ok(NextStep::Attempt {
            number: claim.number.saturating_add(1),
            seen: Some(claim.attempt.clone()),
        }),
    }
}

async fn is_given_up(of: GrantContext<'_>, claim: &Claim, now: Moment) -> Result<bool> {
    if !decide::is_given_up(claim, None, now) {
        return Ok(false);
    }
    let open = of.context.store.incidents().await?;
    let mut told = open
        .iter()
        .map(|incident| &incident.record)
        .filter(|record| {
            record.event == Event::Uncertain
                && record.connection == of.on_behalf_of.connection.as_str()
        });
    let told = told.next().map(|record| record.since);
    Ok(decide::is_given_up(claim, told, now))
}

/// Why a resend could only do harm, if it could.
fn hopeless(
    claim: &Claim,
    became: ProbeOutcome,
    rules: RecoveryRules,
) -> Option<ReauthorizeReason> {
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
    of: GrantContext<'_>,
    (claim, journal): (&Claim, Option<Journal>),
    reason: ReauthorizeReason,
) -> Result<NextStep> {
    let Some(journal) = journal else {
        give_up(of, (claim, None), reason).await?;
        return Ok(NextStep::LookAgain);
    };
    let plan = RefreshPlan::load(of.context, of.grant).await?;
    let conclusion = Conclusion::of_claim(of, &plan, (claim, &journal));
    let end = conclusion.refuse(reason, None).await?;
    journal.remove();
    Ok(end.map_or(NextStep::LookAgain, NextStep::Done))
}

/// A day of resends brought no answer: a person is asked. The token is kept, and probed like one that was refused.
/// The claim goes before its journal does; in between the journal must not be taken for one that is forgotten.
async fn give_up(
    of: GrantContext<'_>,
    (claim, journal): (&Claim, Option<&Journal>),
    reason: ReauthorizeReason,
) -> Result<()> {
    let GrantContext {
        context,
        on_behalf_of,
        grant,
    } = of;
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

/// Commits the answer that an attempt left in its journal.
async fn adopt(of: GrantContext<'_>, claim: &Claim, journal: Option<Journal>) -> Result<NextStep> {
    let GrantContext { context, grant, .. } = of;
    let Some(journal) = journal else {
        return Ok(NextStep::LookAgain);
    };
    let stored = match context.unkept_replies.get(&grant.id, &claim.attempt) {
        Some(unkept) => {
            let attempt = (&claim.attempt, &journal);
            keep_reply((context, grant), attempt, &unkept).await;
            unkept
        }
        None => match journal.reply(&context.sealer) {
            Some(stored) => stored,
            None => return Ok(NextStep::LookAgain),
        },
    };
    let plan = RefreshPlan::load(context, grant).await?;
    let conclusion = Conclusion::of_claim(of, &plan, (claim, &journal));
    let end = match grant.grant_material.identity_provider() {
        Some(idp) => conclusion.draw_vouched(idp, stored).await?,
        None => conclusion.draw(stored).await?,
    };
    Ok(end.map_or(NextStep::LookAgain, NextStep::Done))
}

/// The process that marked the claim may have died, or lost the store, before it could keep the incident.
async fn retell_unknown(of: GrantContext<'_>, claim: &Claim) -> Result<()> {
    let GrantContext {
        context,
        on_behalf_of,
        grant,
    } = of;
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
