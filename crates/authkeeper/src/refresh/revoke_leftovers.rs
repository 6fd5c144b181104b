//! Good tokens that nobody wants any more: answers to a refresh whose grant was disconnected while it was on its way, left in
//! the journal of a process that died, or lost its store, before it could revoke them.

use crate::refresh::{context::Context, journal::Journal, steps::owner_state};
use crate::{
    http::Reach,
    model::{Grant, GrantLifecycle, OwnerState},
    oauth::{
        classify::{Outcome, classify},
        revoke::{self, Revocation},
    },
    store::Result,
};

/// Revokes what dead processes left. What a provider can't be told now is left for the next look.
pub(crate) async fn revoke_left(context: &Context) {
    for journal in Journal::all(&context.journals) {
        if let Err(error) = look_at(context, journal).await {
            tracing::warn!(%error, "can't look for tokens to revoke");
            return;
        }
    }
}

async fn look_at(context: &Context, journal: Journal) -> Result<()> {
    let Some((spend, claim)) = journal.on_behalf_of() else {
        return Ok(());
    };
    if owner_state(context, &claim) != OwnerState::Dead {
        return Ok(());
    }
    let Some(grant) = context.store.grant(&spend.grant).await? else {
        return Ok(());
    };
    if !matches!(grant.lifecycle, GrantLifecycle::Revoked { .. }) {
        return Ok(());
    }
    let Some(left) = tokens_in(context, &journal, &grant) else {
        // One that can't be read may be read with another key.
        if !journal.is_answered() || journal.reply(&context.sealer).is_some() {
            journal.remove();
        }
        return Ok(());
    };
    let done = revoke(context, journal.reach(), &left).await?;
    tracing::info!(grant = %grant.id, ?done, "revoking an answer that came after the disconnect");
    if !matches!(done, Revocation::Failed(_)) {
        journal.remove();
    }
    Ok(())
}

/// What a process was given, as the grant that it would have made.
pub(crate) fn tokens_in(context: &Context, journal: &Journal, grant: &Grant) -> Option<Grant> {
    let stored = journal.reply(&context.sealer)?;
    let Outcome::Accepted(answer) = classify(&stored.reply, stored.issued.wall) else {
        return None;
    };
    let tokens = answer.into_token_set(stored.issued, None);
    let access = tokens.access(grant.lineage, grant.generation.next(), None);
    Some(Grant {
        access: Some(access),
        refresh: tokens.refresh_token,
        ..grant.clone()
    })
}

async fn revoke(context: &Context, reach: Reach, left: &Grant) -> Result<Revocation> {
    let of = (&left.issuer, &left.client_id);
    let provider = context.store.provider(of.0, of.1).await?;
    let registration = context.store.registration(of.0, of.1).await?;
    let (Some(provider), Some(registration)) = (provider, registration) else {
        return Ok(Revocation::NotOffered);
    };
    let audience = context.audience(left.grant_material.audience.as_deref(), (of.0, None));
    let client = context.our_client(&provider.metadata, &registration);
    let client = client.for_audience(audience.as_deref());
    let transport = context.transport_of(left);
    Ok(revoke::revoke(&*transport, reach, &provider, client, left).await)
}
