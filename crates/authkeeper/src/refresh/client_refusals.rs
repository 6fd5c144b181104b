//! A client that its provider refused. What the provider said is kept beside the store's mark, and each connection whose grant
//! lives on the client has an incident of its own: all of them fail alike. The provider's taking the client again ends it for
//! all of them.

use crate::{
    model::{
        AttemptId, ClientId, Connection, ConnectionName, Failing, FailingOf, Grant, GrantLifecycle,
        Issuer, Moment, Record, Said,
    },
    oauth::classify::Refused,
    refresh::{
        context::{Context, OnBehalfOf},
        incident, provider_state,
    },
    store::Result,
};

/// Our client at an issuer.
pub(crate) type Client<'a> = (&'a Issuer, &'a ClientId);

fn of((issuer, id): Client<'_>) -> FailingOf {
    FailingOf::Refusals(issuer.clone(), id.clone())
}

/// Notes that the provider refused our client in these words, with an incident for each connection that uses it but
/// `asking`, whose own is kept where it asked.
pub(crate) async fn note(
    context: &Context,
    client: Client<'_>,
    (refused, by): (&Refused, &AttemptId),
    asking: Option<&ConnectionName>,
) -> Result<()> {
    let now = context.seams.clock.now();
    // The words come first: the mark is never seen without them.
    provider_state::change(context, &of(client), |seen| {
        Some((one_more(seen, refused, now), None))
    })
    .await?;
    let store = &context.store;
    store
        .refuse_registration(client.0, client.1, now.wall)
        .await?;
    for (connection, grant) in users(context, client).await? {
        if lives(&grant) && Some(&connection.name) != asking {
            let on_behalf_of = OnBehalfOf::of(&connection);
            let why = (Record::CLIENT_REFUSED, refused);
            incident::not_allowed(context, &on_behalf_of, &grant, by, why).await?;
        }
    }
    Ok(())
}

/// What the provider said when it refused our client the last time.
pub(crate) async fn said(context: &Context, client: Client<'_>) -> Refused {
    match provider_state::read(context, &of(client)).await {
        Some(Failing {
            said: Said::Refused { code, description },
            ..
        }) => Refused { code, description },
        _ => Refused::without_words(),
    }
}

/// The provider takes our client: what was told of its refusal is over for every connection that uses it. The mark goes
/// last, so that what is interrupted here is done again.
pub(crate) async fn end(context: &Context, client: Client<'_>) -> Result<()> {
    let now = context.seams.clock.now().wall;
    let users = users(context, client).await?;
    for kept in context.store.incidents().await? {
        let mut names = users.iter().map(|(connection, _)| connection.name.as_str());
        let of_it = kept.record.is_client_refused();
        if of_it && names.any(|name| name == kept.record.connection) {
            context.store.end_incident(&kept.id, now).await?;
        }
    }
    provider_state::answered(context, &of(client)).await;
    context.store.accept_registration(client.0, client.1).await
}

/// The same, where a refusal is known.
pub(crate) async fn end_if_known(context: &Context, client: Client<'_>) -> Result<()> {
    match context.store.failing(&of(client)).await? {
        Some(_) => end(context, client).await,
        None => Ok(()),
    }
}

/// Whether a grant that works lives on our client: the next refresh tells whether the provider knows it.
pub(crate) async fn is_in_use(context: &Context, client: Client<'_>) -> Result<bool> {
    let users = users(context, client).await?;
    Ok(users.iter().any(|(_, grant)| lives(grant)))
}

/// The connections whose grants live on our client. It is the grant's client that counts: a refresh token is bound to it.
async fn users(context: &Context, (issuer, id): Client<'_>) -> Result<Vec<(Connection, Grant)>> {
    let mut users = Vec::new();
    for connection in context.store.connections().await? {
        let Some(grant) = &connection.grant else {
            continue;
        };
        let grant = context.store.grant(grant).await?;
        let on_it = |grant: &Grant| grant.issuer == *issuer && grant.client_id == *id;
        users.extend(grant.filter(on_it).map(|grant| (connection, grant)));
    }
    Ok(users)
}

/// One that is over, or that nothing refreshes, does not need its client any more.
fn lives(grant: &Grant) -> bool {
    grant.lifecycle == GrantLifecycle::Active && grant.is_refreshable()
}

fn one_more(seen: Option<&Failing>, refused: &Refused, now: Moment) -> Failing {
    let times = seen.map_or(0, |seen| seen.times).saturating_add(1);
    Failing {
        since: seen.map_or(now, |seen| seen.since),
        times,
        failures: times,
        said: Said::Refused {
            code: refused.code.clone(),
            description: refused.description.clone(),
        },
        rest: None,
        lineage: None,
        told: vec![],
    }
}
