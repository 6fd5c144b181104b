//! Journals of which the store knows no claim: it was put back from a copy, and has forgotten who sent what since. What they
//! say counts all the same.

use crate::refresh::{
    context::{Context, OnBehalfOf},
    decide::{self, JournalState, Orphan},
    journal::Journal,
    reply_archive::ArchivedReply,
    steps::owner_state,
};
use crate::{
    model::{Claim, Generation, Grant, Lineage},
    store::{Result, Spend},
};

/// Such a journal, and what is to be done about it.
pub(super) struct Orphaned {
    journal: Journal,
    spend: Spend,
    claim: Claim,
    state: JournalState,
    verdict: Orphan,
}

impl Orphaned {
    /// The later attempt weighs more; of two with the same number, the one that was answered.
    fn weight(&self) -> (u32, bool) {
        (self.claim.number, self.state == JournalState::Reply)
    }

    /// What its answer made, or would make.
    fn makes(&self) -> (Lineage, Generation) {
        (self.spend.lineage, self.spend.generation.next())
    }
}

/// The answers of later generations than the store knows of.
pub(super) fn answers(context: &Context, all: &[Orphaned]) -> Vec<ArchivedReply> {
    let later = all
        .iter()
        .filter(|found| found.verdict == Orphan::BringForward);
    let answer = |found: &Orphaned| {
        let stored = found.journal.reply(&context.sealer)?;
        Some(ArchivedReply::in_journal(found.makes(), stored))
    };
    later.filter_map(answer).collect()
}

/// Puts the claim of an attempt back that has sent the current token, and clears away what nobody needs any more. True if
/// there is such an attempt. A claim that is there and lost is one of an earlier attempt: the later one takes over.
pub(super) async fn claim_back(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    all: Vec<Orphaned>,
) -> Result<bool> {
    let mut sent: Option<Orphaned> = None;
    for found in all {
        match found.verdict {
            Orphan::Leave | Orphan::BringForward => {}
            Orphan::Remove => found.journal.remove(),
            Orphan::SetAside => set_aside(context, grant, found),
            Orphan::ClaimBack => {
                let before = sent.take();
                let last = before.into_iter().chain([found]);
                sent = last.max_by_key(Orphaned::weight);
            }
        }
    }
    let Some(Orphaned {
        journal,
        spend,
        claim,
        state,
        ..
    }) = sent
    else {
        return Ok(false);
    };
    let claimed = match &grant.claim {
        None => context.grants().claim(&spend, &claim).await?,
        Some(held) if !takes_over(context, grant, held, (&claim, state)) => false,
        Some(held) => {
            let store = &context.store;
            store.take_over(&spend, &held.attempt, &claim).await?
        }
    };
    // Its owner may have settled it, and given its claim back, since it was read here.
    if claimed && journal.state(&context.sealer) == JournalState::Settled {
        context
            .grants()
            .release(&spend.grant, &claim.attempt)
            .await?;
        return Ok(false);
    }
    if claimed {
        tracing::error!(
            connection = %on_behalf_of.connection, attempt = %claim.attempt, ?state,
            "the store went back in time; a claim that it had forgotten is put back"
        );
    }
    Ok(claimed)
}

/// Whether the forgotten claim comes after the one that the store holds.
fn takes_over(
    context: &Context,
    grant: &Grant,
    held: &Claim,
    (claim, state): (&Claim, JournalState),
) -> bool {
    let journal = Journal::open(&context.journals, &grant.id, &held.attempt);
    let held_state = journal.map_or(JournalState::Missing, |journal| {
        journal.state(&context.sealer)
    });
    decide::takes_over((claim.number, state), (held.number, held_state))
}

/// Whether anybody else says that this token was sent, or has had the answer to it.
pub(super) fn contest(context: &Context, grant: &Grant, mine: &Claim) -> bool {
    let current = (grant.lineage, grant.generation);
    let kept = context.reply_archive.last(&grant.id);
    if kept.is_some_and(|kept| kept.lineage == current.0 && kept.generation > current.1) {
        return true;
    }
    of(context, grant).iter().any(|found| {
        (found.spend.lineage, found.spend.generation) == current
            && found.claim.attempt != mine.attempt
            && decide::is_contested(mine.number, found.claim.number, found.state)
    })
}

fn set_aside(context: &Context, grant: &Grant, found: Orphaned) {
    if let Some(stored) = found.journal.reply(&context.sealer) {
        let at = found.makes();
        let kept = (&found.claim.attempt, &stored);
        if context
            .reply_archive
            .set_aside(&grant.id, at, kept)
            .is_err()
        {
            return;
        }
    }
    found.journal.remove();
}

/// The journals of a grant but the one that its claim names.
pub(super) fn of(context: &Context, grant: &Grant) -> Vec<Orphaned> {
    let journals = Journal::all_of(&context.journals, &grant.id).into_iter();
    let read = |journal: Journal| {
        let (spend, claim) = journal.on_behalf_of()?;
        let named = grant.claim.as_ref().map(|named| &named.attempt);
        if named == Some(&claim.attempt) {
            return None;
        }
        // In this order: a dead owner writes no more, a living one may.
        let owner = owner_state(context, &claim);
        let state = journal.state(&context.sealer);
        let spent = (spend.lineage, spend.generation);
        let current = (grant.lineage, grant.generation);
        let verdict = decide::orphan(spent, owner, state, current);
        Some(Orphaned {
            journal,
            spend,
            claim,
            state,
            verdict,
        })
    };
    journals.filter_map(read).collect()
}
