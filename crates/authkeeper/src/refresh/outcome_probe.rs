//! What became of a lost request, asked in ways that spend nothing: introspection of the refresh token (RFC 7662), and the
//! old access token where a rotation is known to kill it. Which conclusions are safe is decided in pure functions.

use std::time::Duration;

use http::{HeaderValue, header};

use serde_json::Value;

use crate::refresh::{
    context::{Context, OnBehalfOf},
    decide::{self, RecoveryRules},
    findings::ProbeOutcome,
};

use crate::{
    http::{HttpUrl, Request},
    model::{
        AccessToken, Claim, ClaimPhase, ClientAuthMethod, Grant, Moment, ObservationKind,
        ReplayRule, UnknownKind,
    },
    oauth::exchange_by,
};

/// Whether asking can tell anything by now. Where a replay hurts nothing it is the better question; and a request that
/// may still be on its way can be acted on after the answer.
fn may_ask(claim: &Claim, rules: RecoveryRules, access_left: Duration, now: Moment) -> bool {
    let ClaimPhase::Unknown { kind, since } = claim.phase else {
        return false;
    };
    let settled = match kind {
        UnknownKind::Crash => rules.quiet_period,
        UnknownKind::Silence => Duration::from_secs(30),
        UnknownKind::GatewayTimeout => Duration::from_secs(15),
        UnknownKind::Reset
        | UnknownKind::ServerError
        | UnknownKind::Unreadable
        | UnknownKind::UnreadTokens => Duration::from_secs(3),
    };
    // What hangs up may stand before a server that is still at it, and on a strict one a mistake costs the grant.
    let settled = match rules.replay {
        ReplayRule::Strict => settled.max(rules.quiet_period),
        _ => settled,
    };
    let again = decide::between_resends(claim, access_left).unwrap_or_default();
    rules.replay.may_harm() && now.surely_since(since) >= settled.max(again)
}

/// What follows from the answers. `refresh` is what introspection says of the refresh token, `trusted` whether it ever told
/// our client that one lives: a server may say of every refresh token that it does not. `access` is whether the old access
/// token was taken, where a rotation kills it; that it was not proves nothing, for it may have been revoked.
fn became(refresh: Option<bool>, trusted: bool, access: Option<bool>) -> ProbeOutcome {
    match (refresh, access) {
        (Some(true), _) | (_, Some(true)) => ProbeOutcome::NotActed,
        (Some(false), _) if trusted => ProbeOutcome::Spent,
        _ => ProbeOutcome::Unclear,
    }
}

/// Asks, once for each attempt, as soon as the answer can mean something.
pub(super) async fn of(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    claim: &Claim,
    rules: RecoveryRules,
    access_left: Duration,
) -> ProbeOutcome {
    if let Some(known) = context.findings.of(&claim.attempt) {
        return known;
    }
    if !may_ask(claim, rules, access_left, context.seams.clock.now()) {
        return ProbeOutcome::Unclear;
    }
    let access = old_access_lives(context, on_behalf_of, grant).await;
    let (refresh, trusted) = match access {
        Some(true) => (None, false),
        _ => introspected(context, on_behalf_of, grant).await,
    };
    let became = became(refresh, trusted, access);
    tracing::info!(connection = %on_behalf_of.connection, ?became, "asked what became of a lost request");
    context.findings.keep(&claim.attempt, became);
    became
}

/// What introspection says of the refresh token, and whether that can be believed if it is a no.
async fn introspected(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
) -> (Option<bool>, bool) {
    let active = introspect(context, on_behalf_of, grant).await;
    let client = grant.client_id.as_str();
    let observed = context.store.observed(Some(&grant.issuer)).await;
    let trusted = observed.unwrap_or_default().iter().any(|observed| {
        observed.observation.kind == ObservationKind::Introspects
            && observed.observation.detail == client
    });
    if active == Some(true) && !trusted {
        context
            .observation(
                &grant.issuer,
                ObservationKind::Introspects,
                client.to_owned(),
            )
            .await;
    }
    (active, trusted)
}

/// RFC 7662 §2.1: only a client that can prove itself may ask. None where there is no clear answer.
async fn introspect(context: &Context, on_behalf_of: &OnBehalfOf, grant: &Grant) -> Option<bool> {
    let (issuer, id) = (&grant.issuer, &grant.client_id);
    let provider = context.store.provider(issuer, id).await.ok()??;
    let certificate = grant.grant_material.certificate.is_some();
    let metadata = provider.metadata.for_client(certificate);
    let endpoint = metadata.introspection_endpoint.as_ref()?;
    let endpoint = HttpUrl::parse(endpoint).ok()?;
    let client = context.store.registration(issuer, id).await.ok()??;
    let now = context.seams.clock.now();
    if client.auth_method == ClientAuthMethod::None || decide::client_backs_off(&client, now) {
        return None;
    }
    let proof = {
        let audience = context.audience(
            grant.grant_material.audience.as_deref(),
            (issuer, on_behalf_of.provider.as_deref()),
        );
        let client = context.our_client(&provider.metadata, &client);
        client.for_audience(audience.as_deref()).proof().ok()?
    };
    let token = grant.refresh.as_ref()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the refresh token is shown to its issuer"
    )]
    let fields = [
        ("token", token.secret.expose().as_str()),
        ("token_type_hint", "refresh_token"),
    ];
    let request = proof.form(&fields);
    let reply = exchange_by(
        &*context.seams.clock,
        &*context.transport_of(grant),
        (&endpoint, on_behalf_of.reach),
        request,
    )
    .await;
    let reply = reply.ok().filter(|reply| reply.status.is_success())?;
    let answer: Value = reply.json()?;
    answer.get("active")?.as_bool()
}

/// Whether the harmless call that `check` makes still takes the old access token; none where a rotation leaves it alone, or
/// nothing can be told.
async fn old_access_lives(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
) -> Option<bool> {
    // It is never shown without its proof.
    if grant.is_bound() {
        return None;
    }
    let habits = context
        .rules
        .habits(grant.issuer.as_str(), on_behalf_of.provider.as_deref());
    let token = grant.access.as_ref().filter(|_| habits.kills_access)?;
    if token.left(context.seams.clock.now()).is_zero() {
        return None;
    }
    let url = on_behalf_of.check.as_ref()?;
    let mut request = Request::get_json();
    let value = bearer(token)?;
    request.headers.insert(header::AUTHORIZATION, value);
    let reply = exchange_by(
        &*context.seams.clock,
        &*context.transport_of(grant),
        (url, on_behalf_of.reach),
        request,
    )
    .await;
    match reply.ok()?.status {
        status if status.is_success() => Some(true),
        status if matches!(status.as_u16(), 401 | 403) => Some(false),
        _ => None,
    }
}

fn bearer(token: &AccessToken) -> Option<HeaderValue> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the access token goes to the server it was issued for"
    )]
    let text = format!("Bearer {}", token.secret.expose());
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{AttemptId, BootId, BootStamp, OwnerId};

    fn at(seconds: u64) -> Moment {
        let boot = BootStamp {
            id: BootId(1),
            since: Duration::from_secs(seconds),
        };
        let second = i64::try_from(seconds).unwrap();
        Moment {
            wall: Timestamp::from_second(second).unwrap(),
            boot,
        }
    }

    fn rules(replay: ReplayRule) -> RecoveryRules {
        RecoveryRules {
            replay,
            quiet_period: Duration::from_secs(90),
            reserve: Duration::from_secs(30),
            exchange_limit: Duration::from_mins(2),
        }
    }

    #[test]
    fn a_no_proves_something_only_of_a_server_that_has_said_yes() {
        assert_eq!(became(Some(true), false, None), ProbeOutcome::NotActed);
        assert_eq!(became(None, false, Some(true)), ProbeOutcome::NotActed);
        assert_eq!(
            became(Some(false), true, Some(true)),
            ProbeOutcome::NotActed
        );
        assert_eq!(became(Some(false), true, None), ProbeOutcome::Spent);
        assert_eq!(became(Some(false), false, None), ProbeOutcome::Unclear);
        assert_eq!(became(None, true, Some(false)), ProbeOutcome::Unclear);
    }

    #[test]
    fn it_is_asked_when_no_request_can_be_on_its_way_any_more() {
        let asked = |kind, number, replay, after| {
            let claim = Claim {
                attempt: AttemptId::new("a"),
                number,
                owner: OwnerId::new("o"),
                since: at(0),
                phase: ClaimPhase::Unknown { kind, since: at(0) },
            };
            may_ask(&claim, rules(replay), Duration::from_mins(1), at(after))
        };
        for (kind, settled) in [
            (UnknownKind::Reset, 3),
            (UnknownKind::ServerError, 3),
            (UnknownKind::Unreadable, 3),
            (UnknownKind::GatewayTimeout, 15),
            (UnknownKind::Silence, 30),
            (UnknownKind::Crash, 90),
        ] {
            let strict = (ReplayRule::Strict, settled.max(90));
            for (replay, settled) in [strict, (ReplayRule::Unknown, settled)] {
                assert!(!asked(kind, 1, replay, settled - 1), "{kind:?}");
                assert!(asked(kind, 1, replay, settled), "{kind:?}");
            }
            let grace = ReplayRule::Grace(Duration::from_secs(10));
            let two = ReplayRule::TwoGenerations;
            for replay in [ReplayRule::Harmless, two, grace, ReplayRule::Refused] {
                assert!(!asked(kind, 1, replay, 1_000), "a replay says more");
            }
        }
        assert!(!asked(UnknownKind::ServerError, 8, ReplayRule::Strict, 299));
        assert!(asked(UnknownKind::ServerError, 8, ReplayRule::Strict, 300));
    }
}
