//! A success is checked too: an answer is compared with what the sign-in was for before anyone sees its tokens. None is
//! thrown away: tokens that must not be handed out are kept, and the grant is suspended in the same step.

use std::time::Duration;

use crate::refresh::{
    client_refusals,
    context::{Context, OnBehalfOf},
    decide, incident,
    journal::StoredReply,
};
use crate::{
    model::{AccessToken, Drift, Event, Generation, Grant, Incident, Lineage, SuspendReason},
    oauth::{grant::flow_of, token::TokenAnswer},
    store::{Refreshed, Result, Spend},
};

/// An answer that can be committed, and how it differs from what was granted.
pub(super) struct VerifiedReply {
    pub(super) refreshed: Refreshed,
    pub(super) drifts: Vec<Drift>,
}

/// Makes of an answer what is committed as this generation.
pub(super) fn check(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    answer: TokenAnswer,
    (generation, stored): (Generation, &StoredReply),
    learned: Option<Duration>,
) -> VerifiedReply {
    let habits = context
        .rules
        .habits(grant.issuer.as_str(), on_behalf_of.provider.as_deref());
    let bound = grant.is_bound();
    let unusable = answer.unusable_type(bound).map(str::to_owned);
    warn_of_certificate(context, (on_behalf_of, grant), &answer);
    let tokens = answer.into_token_set(stored.issued, habits.default_lifetime);
    let mut tokens = flow_of(grant.grant_type).reply(tokens);
    tokens.believe(habits.lifetime);
    let mut drifts = grant.subject_binding.drifts(&tokens.subject_binding);
    let has_account = grant.grant_type.has_account();
    drifts.retain(|drift| has_account || *drift != Drift::OtherAccount);
    let hold = hold(&drifts, unusable.as_deref());
    if let Some(reason) = hold {
        tracing::error!(
            connection = %on_behalf_of.connection, reason = reason.as_str(), unusable,
            "the provider's tokens are kept and not handed out"
        );
    }
    let mut access = tokens.access(grant.lineage, generation, on_behalf_of.resource.clone());
    access.after_rejection = stored.after_rejection;
    if let Some(learned) = learned.filter(|learned| *learned < access.lifetime) {
        // It comes sooner, and nothing else: what the issuer says is what is served, and what a resend spares.
        let due = decide::due_after(learned, 0.0);
        access.refresh_in = Some(access.refresh_in.map_or(due, |told| told.min(due)));
    }
    access.scope = access.scope.or_else(|| scope_before(grant, grant.lineage));
    let refreshed = Refreshed {
        spend: Spend {
            grant: grant.id.clone(),
            lineage: grant.lineage,
            generation: grant.generation,
        },
        access,
        refresh: tokens.refresh_token,
        subject_binding: grant
            .subject_binding
            .clone()
            .learned(&tokens.subject_binding),
        hold: hold.map(|reason| (reason, context.seams.clock.now().wall)),
    };
    VerifiedReply { refreshed, drifts }
}

/// A certificate that was replaced during the refresh heals at the next one: the resource refuses the token, which is
/// refreshed again. What does not heal shows here and in `doctor`.
fn warn_of_certificate(
    context: &Context,
    (on_behalf_of, grant): (&OnBehalfOf, &Grant),
    answer: &TokenAnswer,
) {
    let own = grant.grant_material.certificate.as_ref();
    if context.is_of_another(answer.bound_certificate().as_deref(), own) {
        tracing::warn!(
            connection = %on_behalf_of.connection,
            "the provider's token is bound to another client certificate than the connection's"
        );
    }
}

/// RFC 6749 §5.1: a scope that is left out is as it was.
fn scope_before(grant: &Grant, lineage: Lineage) -> Option<crate::model::Scope> {
    let same = |token: &&AccessToken| token.lineage == lineage;
    grant.access.as_ref().filter(same)?.scope.clone()
}

/// Why an answer's tokens must not be handed out, if they must not.
fn hold(drifts: &[Drift], unusable: Option<&str>) -> Option<SuspendReason> {
    if drifts.contains(&Drift::OtherAccount) {
        return Some(SuspendReason::OtherAccount);
    }
    unusable.map(|_| SuspendReason::TokenType)
}

/// What was told of a connection is over with an accepted refresh, but for what is still so; what is new is told.
pub(super) async fn tell(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    checked: (&[Drift], Option<SuspendReason>),
    proved: bool,
) -> Result<()> {
    let (drifts, hold) = checked;
    let now = context.seams.clock.now().wall;
    let mut client_was_refused = false;
    for incident in context.store.incidents().await? {
        let mine = incident.record.connection == on_behalf_of.connection.as_str();
        client_was_refused |= mine && incident.record.is_client_refused();
        if mine && proved && !is_still_so(&incident, drifts, hold) {
            context.store.end_incident(&incident.id, now).await?;
        }
    }
    if client_was_refused {
        client_refusals::end(context, (&grant.issuer, &grant.client_id)).await?;
    }
    let trace_id = context.seams.random_id();
    for drift in drifts.iter().filter(|drift| **drift != Drift::OtherAccount) {
        let record = incident::narrowed_record(on_behalf_of, grant, drift, now, &trace_id);
        incident::keep(context, grant, record).await?;
    }
    if let Some(reason) = hold {
        let record = incident::suspended_record(on_behalf_of, grant, reason, (now, now), &trace_id);
        incident::keep(context, grant, record).await?;
    }
    Ok(())
}

fn is_still_so(incident: &Incident, drifts: &[Drift], hold: Option<SuspendReason>) -> bool {
    let reason = incident.record.reason.as_str();
    match incident.record.event {
        Event::AuthorityNarrowed => drifts.iter().any(|drift| drift.as_str() == reason),
        Event::AuthorityLost => hold.is_some_and(|hold| hold.as_str() == reason),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{IncidentId, Record};

    #[test]
    fn another_account_weighs_more_than_a_type() {
        let narrowed = Drift::AudienceChanged;
        assert_eq!(hold(&[], None), None);
        assert_eq!(
            hold(std::slice::from_ref(&narrowed), None),
            None,
            "told, and kept going"
        );
        assert_eq!(
            hold(&[narrowed], Some("mac")),
            Some(SuspendReason::TokenType)
        );
        let other = [Drift::OtherAccount];
        assert_eq!(hold(&other, Some("mac")), Some(SuspendReason::OtherAccount));
    }

    #[test]
    fn only_what_is_not_so_any_more_is_over() {
        let open = |event: Event, reason: &str| Incident {
            id: IncidentId::new("t"),
            record: Record {
                event,
                reason: reason.to_owned(),
                connection: "c".to_owned(),
                principal: "p".to_owned(),
                task: None,
                detail: String::new(),
                since: Timestamp::UNIX_EPOCH,
                expires_at: None,
                scope: None,
                action: String::new(),
                link: None,
                trace_id: String::new(),
                ts: Timestamp::UNIX_EPOCH,
            },
            notified: false,
        };
        let narrowed = [Drift::AudienceChanged];
        let other = Some(SuspendReason::OtherAccount);
        let (lost, less) = (Event::AuthorityLost, Event::AuthorityNarrowed);
        assert!(is_still_so(
            &open(less, "audience_changed"),
            &narrowed,
            None
        ));
        assert!(!is_still_so(&open(less, "scope_narrowed"), &narrowed, None));
        assert!(!is_still_so(&open(less, "audience_changed"), &[], other));
        assert!(is_still_so(&open(lost, "other_account"), &[], other));
        assert!(!is_still_so(&open(lost, "token_type"), &[], other));
        assert!(!is_still_so(&open(lost, "other_account"), &[], None));
        assert!(!is_still_so(
            &open(Event::Uncertain, "reset"),
            &narrowed,
            other
        ));
    }
}
