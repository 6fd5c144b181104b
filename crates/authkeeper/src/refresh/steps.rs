//! Steps that several parts of the refresh transaction share.

use tokio::sync::oneshot;

use crate::{
    model::{
        AttemptId, Claim, ClaimPhase, Generation, Grant, GrantChange, GrantLifecycle, Moment,
        OwnerState, RefreshToken, UnknownKind,
    },
    oauth::{classify::Outcome, id_jag},
    platform::tasks::Tasks,
    refresh::{
        context::{Context, GrantContext},
        incident,
        journal::{Journal, StoredReply},
        outcome::RefreshOutcome,
        reply_archive::ArchivedReply,
        verify_response,
    },
    store::{Committed, Result, Spend, StoreError},
};

pub(super) fn spend_of(grant: &Grant) -> Spend {
    Spend {
        grant: grant.id.clone(),
        lineage: grant.lineage,
        generation: grant.generation,
    }
}

#[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
pub(super) fn is_same(one: Option<&RefreshToken>, other: Option<&RefreshToken>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.secret.expose() == other.secret.expose(),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Whether an attempt spends a token. A grant that is issued again without one spends nothing, and a token in quarantine was
/// refused already.
pub(super) fn spends(grant: &Grant) -> bool {
    !grant.is_issued_again() && !in_quarantine(grant)
}

pub(super) fn in_quarantine(grant: &Grant) -> bool {
    matches!(
        grant.lifecycle,
        GrantLifecycle::ReauthorizationRequired { .. }
    )
}

/// A claim of this very process that a new flight meets was left behind by a flight that has ended: there is only one
/// flight a grant.
pub(super) fn owner_state(context: &Context, claim: &Claim) -> OwnerState {
    match context.liveness.mine(&context.seams) {
        Ok(mine) if mine == claim.owner => OwnerState::Dead,
        _ => context.liveness.state(&claim.owner),
    }
}

pub(super) fn unknown_kind(claim: &Claim) -> UnknownKind {
    match claim.phase {
        ClaimPhase::Unknown { kind, .. } => kind,
        ClaimPhase::Spending => UnknownKind::Crash,
    }
}

pub(super) fn lost_unspent(kind: UnknownKind) -> RefreshOutcome {
    RefreshOutcome::later(format!("no whole answer came ({})", kind.as_str()))
}

pub(super) async fn settle_unsent(
    context: &Context,
    grant: &Grant,
    attempt: &AttemptId,
    number: u32,
) -> Result<()> {
    if number <= 1 {
        context.grants().release(&grant.id, attempt).await?;
        return Ok(());
    }
    let kind = grant
        .claim
        .as_ref()
        .map_or(UnknownKind::Crash, unknown_kind);
    let now = context.seams.clock.now();
    context
        .grants()
        .mark_unknown(&grant.id, attempt, kind, now)
        .await?;
    Ok(())
}

/// Marks an attempt's outcome as unknown, and records that if it was this call that marked it. False if the claim has
/// moved on: then the outcome is known, nothing is recorded, and the caller looks again.
pub(super) async fn note_unknown(
    of: GrantContext<'_>,
    attempt: &AttemptId,
    (kind, since): (UnknownKind, Moment),
) -> Result<bool> {
    let GrantContext {
        context,
        on_behalf_of,
        grant,
    } = of;
    let mark = GrantChange::MarkUnknown(attempt.clone(), kind, since);
    let marked = context.grants().change(&grant.id, mark).await?;
    if marked.applied {
        tracing::warn!(connection = %on_behalf_of.connection, kind = kind.as_str(), "a refresh's answer was lost");
        incident::uncertain(context, on_behalf_of, grant, attempt, kind).await?;
        return Ok(true);
    }
    let claim = marked.record.and_then(|record| record.grant.claim);
    Ok(claim.is_some_and(|claim| claim.attempt == *attempt))
}

/// Commits an answer that was kept, as this generation.
pub(super) async fn take_from_archive(
    of: GrantContext<'_>,
    archived: &ArchivedReply,
    generation: Generation,
) -> Result<bool> {
    let GrantContext {
        context,
        on_behalf_of,
        grant,
    } = of;
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
    let committed = context.grants().commit_refresh(checked.refreshed).await?;
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

/// Makes a reply durable in the journal of its attempt. If the file fails, the reply stays in memory, and the store gets it
/// all the same.
pub(super) async fn keep_reply(
    (context, grant): (&Context, &Grant),
    (attempt, journal): (&AttemptId, &Journal),
    stored: &StoredReply,
) {
    let work = {
        let (journal, sealer, stored) = (journal.clone(), context.sealer.clone(), stored.clone());
        move || journal.keep_reply(&sealer, &stored)
    };
    match blocking(&*context.tasks, work).await {
        Ok(()) => context.unkept_replies.remove(&grant.id, attempt),
        Err(error) => {
            tracing::error!(%error, "the journal can't take a reply, which stays in memory");
            context.unkept_replies.put(grant, attempt, stored.clone());
        }
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
