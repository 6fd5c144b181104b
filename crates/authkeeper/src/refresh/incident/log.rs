//! Writes incidents to the store and reads the open ones. The store keeps one incident per problem, so that each is
//! notified once.

use std::time::Duration;

use crate::{
    model::{
        AttemptId, Connection, ConnectionName, Event, Grant, Incident, IncidentId,
        ReauthorizeReason, Record, RegistrationSource, UnknownKind,
    },
    oauth::classify::Refused,
    refresh::{
        Context, OnBehalfOf, decide,
        incident::record::{reauthorize_record, uncertain_record},
    },
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
        action: match repair(context, grant, reason).await? {
            ClientRepair::SignIn => like.action.clone(),
            ClientRepair::NewSecret => format!(
                "check client {client} at the provider; if its secret was replaced: \
                 authkeeper rotate {} --client-secret-file FILE",
                on_behalf_of.connection
            ),
            ClientRepair::AtTheProvider => format!(
                "check client {client} at the provider, then authkeeper reauthorize {}",
                on_behalf_of.connection
            ),
        },
        ..like
    };
    keep(context, grant, record).await
}

/// What ends the refusal of a client.
enum ClientRepair {
    /// Nobody gave us the client: there is nothing to check at the provider, and a sign-in registers another.
    SignIn,
    /// It shows a secret, which may have been replaced.
    NewSecret,
    /// Somebody has to look there.
    AtTheProvider,
}

async fn repair(context: &Context, grant: &Grant, reason: &str) -> Result<ClientRepair> {
    if reason != Record::CLIENT_REFUSED {
        return Ok(ClientRepair::AtTheProvider);
    }
    let client = context
        .store
        .registration(&grant.issuer, &grant.client_id)
        .await?;
    Ok(match client {
        Some(client) if client.source == RegistrationSource::Dynamic => ClientRepair::SignIn,
        Some(client) if client.auth_method.shows_a_secret() => ClientRepair::NewSecret,
        _ => ClientRepair::AtTheProvider,
    })
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
