//! Incidents: one record each, kept once, told once.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    model::{
        AccessToken, AttemptId, Connection, ConnectionName, Drift, Event, Grant, GrantType,
        Incident, IncidentId, ReauthorizeReason, Record, Scope, StepUps, SuspendReason,
        UnknownKind,
    },
    oauth::classify::Refused,
    refresh::{Context, OnBehalfOf, decide},
    store::{NewIncident, Result},
};

/// A person must sign in again. The record quotes what the provider said, if it said anything.
pub(crate) async fn reauthorize(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    attempt: &AttemptId,
    (reason, said): (ReauthorizeReason, Option<&str>),
) -> Result<()> {
    let now = context.seams.clock.now().wall;
    let mut record = reauthorize_record(on_behalf_of, grant, reason, (now, now), attempt.as_str());
    if let Some(said) = said {
        record.detail = format!("{}; it said: {said}", record.detail);
    }
    keep(context, grant, record).await
}

/// The record, with what was told when it was kept: that quotes the provider, and names the server that it moved to.
pub(crate) async fn as_kept(context: &Context, record: Record) -> Result<Record> {
    let kept = context.store.incidents().await?.into_iter();
    let mut same = kept.map(|incident| incident.record).filter(|kept| {
        (&kept.connection, kept.event, &kept.reason)
            == (&record.connection, record.event, &record.reason)
    });
    Ok(match same.next() {
        Some(kept) => Record {
            detail: kept.detail,
            action: kept.action,
            ..record
        },
        None => record,
    })
}

/// A refresh was sent and its answer lost. What another process has found out meanwhile ends the incident at once.
pub(crate) async fn uncertain(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    attempt: &AttemptId,
    kind: UnknownKind,
) -> Result<()> {
    let now = context.seams.clock.now().wall;
    let record = uncertain_record(on_behalf_of, grant, kind, now, attempt.as_str());
    keep(context, grant, record).await?;
    open(context).await.map(drop)
}

/// The incidents that are not over. One of a lost answer whose outcome is known by now is ended here: the
/// process that found that out may have died before it could end it, or it was recorded too late.
pub(crate) async fn open(context: &Context) -> Result<Vec<Incident>> {
    let mut open = Vec::new();
    for incident in context.store.incidents().await? {
        if incident.record.event != Event::Uncertain || is_uncertain(context, &incident).await? {
            open.push(incident);
            continue;
        }
        let now = context.seams.clock.now().wall;
        if let Err(error) = context.store.end_incident(&incident.id, now).await {
            tracing::debug!(%error, "an incident that is over can't be ended");
        }
    }
    Ok(open)
}

async fn is_uncertain(context: &Context, incident: &Incident) -> Result<bool> {
    let grant = grant_of(context, incident).await?;
    let claim = grant.and_then(|(_, grant)| grant.claim);
    Ok(claim.is_some_and(|claim| claim.is_uncertain()))
}

/// The connection that an incident is of, and its grant.
async fn grant_of(context: &Context, incident: &Incident) -> Result<Option<(Connection, Grant)>> {
    let Ok(name) = ConnectionName::parse(&incident.record.connection) else {
        return Ok(None);
    };
    let Some(connection) = context.store.connection(&name).await? else {
        return Ok(None);
    };
    let Some(id) = &connection.grant else {
        return Ok(None);
    };
    let grant = context.store.grant(id).await?;
    Ok(grant.map(|grant| (connection, grant)))
}

/// How long after now the owner is to be notified of an incident that is open; none if it is over by now.
pub(crate) async fn notify_in(context: &Context, incident: &Incident) -> Result<Option<Duration>> {
    if incident.record.event != Event::Uncertain {
        return Ok(Some(Duration::ZERO));
    }
    let Some((connection, grant)) = grant_of(context, incident).await? else {
        return Ok(None);
    };
    let Some(claim) = &grant.claim else {
        return Ok(None);
    };
    let now = context.seams.clock.now();
    let rules = context
        .recovery(connection.provider.as_deref(), &grant)
        .await;
    let left = grant.access.as_ref().map(|token| token.left(now));
    Ok(decide::notify_after(
        claim,
        rules,
        left.unwrap_or_default(),
        now,
    ))
}

pub(crate) fn uncertain_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    kind: UnknownKind,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    Record {
        event: Event::Uncertain,
        connection: on_behalf_of.connection.to_string(),
        principal: on_behalf_of.principal.to_string(),
        task: None,
        reason: kind.as_str().to_owned(),
        detail:
            "a refresh was sent and its answer was lost; whether the provider acted is not known"
                .to_owned(),
        since: now,
        expires_at: ends(grant),
        scope: None,
        action: format!(
            "nothing yet: authkeeper asks again as the provider's rule allows; see authkeeper status {}",
            on_behalf_of.connection
        ),
        link: None,
        trace_id: trace_id.to_owned(),
        ts: now,
    }
}

pub(crate) fn reauthorize_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    reason: ReauthorizeReason,
    (since, now): (Timestamp, Timestamp),
    trace_id: &str,
) -> Record {
    Record {
        event: Event::ReauthorizationRequired,
        connection: on_behalf_of.connection.to_string(),
        principal: on_behalf_of.principal.to_string(),
        task: None,
        reason: reason.as_str().to_owned(),
        detail: detail(grant, reason),
        since,
        expires_at: ends(grant),
        scope: None,
        action: action(on_behalf_of, grant, reason),
        link: None,
        trace_id: trace_id.to_owned(),
        ts: now,
    }
}

/// Where two servers are asked it is said which of them is meant.
fn detail(grant: &Grant, reason: ReauthorizeReason) -> String {
    match grant.grant_material.identity_provider() {
        Some(idp) => format!(
            "at the identity provider ({}): {}",
            idp.token_url,
            reason.sentence()
        ),
        None => reason.sentence().to_owned(),
    }
}

fn ends(grant: &Grant) -> Option<Timestamp> {
    grant.access.as_ref().and_then(AccessToken::expires_at)
}

fn action(on_behalf_of: &OnBehalfOf, grant: &Grant, reason: ReauthorizeReason) -> String {
    match reason {
        ReauthorizeReason::AnswerUnread => format!(
            "authkeeper doctor --reread {} after an upgrade or with tokens_in set (docs/configuration.md), else {}",
            on_behalf_of.connection,
            mend(on_behalf_of, grant)
        ),
        _ => mend(on_behalf_of, grant),
    }
}

/// What a person does: sign in, or bring another key.
fn mend(on_behalf_of: &OnBehalfOf, grant: &Grant) -> String {
    match grant.grant_type {
        GrantType::ApiKey => format!(
            "authkeeper rotate {} --key-file FILE",
            on_behalf_of.connection
        ),
        GrantType::IdJag => {
            let file = grant
                .grant_material
                .identity_provider()
                .map(|idp| idp.subject.path());
            let file = file.map(|file| file.display().to_string());
            format!(
                "put a new token of the identity provider into {}, then authkeeper reauthorize {}",
                file.unwrap_or_default(),
                on_behalf_of.connection
            )
        }
        _ => format!("authkeeper reauthorize {}", on_behalf_of.connection),
    }
}

/// The new API key was refused, and the one before it serves until its overlap ends.
pub(crate) fn fell_back_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    let until = grant.standby.as_ref().map(|standby| standby.until);
    let until = until
        .map(|until| format!(" until {until}"))
        .unwrap_or_default();
    Record {
        event: Event::RotationFailed,
        reason: "new_key_refused".to_owned(),
        detail: format!("the server refused the new API key; the one before it serves{until}"),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::KeyRefused,
            (now, now),
            trace_id,
        )
    }
}

/// The day on which the API key should be replaced is near, or past.
pub(crate) fn rotation_due_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    (by, now): (Timestamp, Timestamp),
    trace_id: &str,
) -> Record {
    Record {
        event: Event::RotationDue,
        reason: "rotate_by".to_owned(),
        detail: format!("its API key should be replaced by {by}"),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::KeyRefused,
            (now, now),
            trace_id,
        )
    }
}

/// Authority is withdrawn for now.
pub(crate) fn suspended_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    reason: SuspendReason,
    (since, now): (Timestamp, Timestamp),
    trace_id: &str,
) -> Record {
    let action = match reason {
        SuspendReason::SecondCopy => format!(
            "end the program that used it before and delete its copy, then authkeeper import {} --other-copy-retired",
            on_behalf_of.connection
        ),
        SuspendReason::Manual => format!("ask whoever suspended {}", on_behalf_of.principal),
        SuspendReason::OtherAccount => format!(
            "sign in as the account that is meant: authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        SuspendReason::TokenType => format!(
            "have the provider issue Bearer tokens to this client, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
    };
    Record {
        event: Event::AuthorityLost,
        reason: reason.as_str().to_owned(),
        detail: reason.sentence().to_owned(),
        action,
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::RefreshRefused,
            (since, now),
            trace_id,
        )
    }
}

/// The provider grants less, or otherwise, than at the sign-in. Calls go on.
pub(crate) fn narrowed_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    drift: &Drift,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    Record {
        event: Event::AuthorityNarrowed,
        reason: drift.as_str().to_owned(),
        detail: drift.sentence(),
        action: format!(
            "nothing if calls still work; else allow it at the provider, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::RefreshRefused,
            (now, now),
            trace_id,
        )
    }
}

/// The reason of the incident that follows.
pub(crate) const REJECTED: &str = "rejected";

/// The resource refused a fresh token.
pub(crate) fn rejected_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    Record {
        event: Event::AuthorityLost,
        reason: REJECTED.to_owned(),
        detail: "the server refused a token fresh from the provider; refreshing again can't help"
            .to_owned(),
        action: format!(
            "check at the provider that this account may still use the service, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::RefreshRefused,
            (now, now),
            trace_id,
        )
    }
}

/// Calls were refused for lack of a scope, and a sign-in may bring it.
pub(crate) const SCOPE_WANTED: &str = "insufficient_scope";
/// Sign-ins have not brought it.
pub(crate) const SCOPE_REFUSED: &str = "scope_refused";

/// What is wanted now, if anything.
pub(crate) fn scope_wanted_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    all: &StepUps,
    at: (Timestamp, &str),
) -> Option<Record> {
    let scope_request = all.scope_request()?;
    let detail = format!("{}; other calls go on", needs(all.wanted()));
    let scope = scope_request.scope.map(|scope| scope.as_str().to_owned());
    Some(scope_record(
        on_behalf_of,
        grant,
        (SCOPE_WANTED, detail, scope),
        at,
    ))
}

/// What was given up with the tokens of this sign-in, if anything.
pub(crate) fn scope_refused_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    all: &StepUps,
    at: (Timestamp, &str),
) -> Option<Record> {
    let scope = all.given_up_scope(grant.lineage)?;
    let named = scope.as_ref().map_or("it", Scope::as_str).to_owned();
    let detail = format!(
        "{}, and signing in again has not brought it; other calls go on",
        needs(all.given_up(grant.lineage))
    );
    let scope = scope.map(|scope| scope.as_str().to_owned());
    let record = scope_record(on_behalf_of, grant, (SCOPE_REFUSED, detail, scope), at);
    let action = format!(
        "have the provider allow {named} to this account and to client {}, then {}",
        grant.client_id, record.action
    );
    Some(Record { action, ..record })
}

fn scope_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    (reason, detail, scope): (&str, String, Option<String>),
    (now, trace_id): (Timestamp, &str),
) -> Record {
    let like = ReauthorizeReason::RefreshRefused;
    Record {
        event: Event::ScopeRequired,
        reason: reason.to_owned(),
        detail,
        scope,
        ..reauthorize_record(on_behalf_of, grant, like, (now, now), trace_id)
    }
}

/// So many operations are named; the scopes of all are in the record.
const MOST_NAMED: usize = 3;

fn needs<'a>(operations: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut said: Vec<String> = operations
        .map(|(operation, scope)| match scope {
            Some(scope) => format!("{operation} needs the scope {scope}"),
            None => format!("{operation} needs a scope that the server does not name"),
        })
        .collect();
    let more = said.len().saturating_sub(MOST_NAMED);
    said.truncate(MOST_NAMED);
    if more > 0 {
        said.push(format!("{more} more need others"));
    }
    format!("{}, which was not granted", said.join(", "))
}

/// The reason of a refusal that is not the authorization server's own.
pub(crate) const BY_IDENTITY_PROVIDER: &str = "identity_provider_refused";

/// The provider refuses our client, or what it asks for; the refresh token is unharmed.
pub(crate) async fn not_allowed(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    attempt: &AttemptId,
    (reason, refused): (&str, &Refused),
) -> Result<()> {
    let idp = grant.grant_material.identity_provider();
    let (who, client) = match idp.filter(|_| reason == BY_IDENTITY_PROVIDER) {
        Some(idp) => (
            format!("the identity provider at {}", idp.token_url),
            idp.client_id.as_str(),
        ),
        None => (grant.issuer.to_string(), grant.client_id.as_str()),
    };
    let now = context.seams.clock.now().wall;
    let times = (now, now);
    let like = reauthorize_record(
        on_behalf_of,
        grant,
        ReauthorizeReason::RefreshRefused,
        times,
        attempt.as_str(),
    );
    let record = Record {
        event: Event::AuthorityLost,
        reason: reason.to_owned(),
        detail: format!("{who} refuses our client or what it asks for; it said: {refused}"),
        action: format!(
            "check client {client} at the provider, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        ..like
    };
    keep(context, grant, record).await
}

/// Keeps an incident; the store sees to it that the same one is kept once.
pub(crate) async fn keep(context: &Context, grant: &Grant, record: Record) -> Result<()> {
    let id = IncidentId::new(context.seams.random_id());
    context
        .store
        .keep_incident(NewIncident {
            id,
            lineage: grant.lineage,
            record,
        })
        .await?;
    Ok(())
}
