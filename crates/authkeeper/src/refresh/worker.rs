//! Keeps connections fresh ahead of time: one thin loop a connection, every sleep capped, every wake a fresh look at the
//! store and at both clocks.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    Tools, Whose,
    claim::Goal,
    decide::{self, Ask, Verdict, Why},
    flight::Flights,
    standing,
};
use crate::{
    clock::LONGEST_SLEEP,
    model::{ConnectionName, GrantLifecycle},
};

/// How soon a connection that can't be refreshed is looked at again: a person may have mended it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Keeps some connections fresh until it is dropped. A refresh under way when that happens goes on.
#[derive(Debug)]
pub struct Keeper {
    _loops: JoinSet<()>,
}

impl Keeper {
    pub(crate) fn start(
        tools: &Arc<Tools>,
        flights: &Arc<Flights>,
        connections: Vec<ConnectionName>,
    ) -> Self {
        let mut loops = JoinSet::new();
        for connection in connections {
            loops.spawn(keep(Arc::clone(tools), Arc::clone(flights), connection));
        }
        Self { _loops: loops }
    }
}

async fn keep(tools: Arc<Tools>, flights: Arc<Flights>, connection: ConnectionName) {
    loop {
        let pause = match look(&tools, &flights, &connection).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%connection, %error, "can't look at the connection");
                LOOK_AGAIN
            }
        };
        tools
            .seams
            .clock
            .sleep(pause.clamp(Duration::from_millis(10), LONGEST_SLEEP))
            .await;
    }
}

/// Looks once, refreshes if that is due, and says how long to sleep.
pub(super) async fn look(
    tools: &Tools,
    flights: &Arc<Flights>,
    connection: &ConnectionName,
) -> crate::store::Result<Duration> {
    let Some(known) = tools.store.connection(connection).await? else {
        return Ok(LOOK_AGAIN);
    };
    let Some(id) = &known.grant else {
        return Ok(LOOK_AGAIN);
    };
    let Some(grant) = tools.store.grant(id).await? else {
        return Ok(LOOK_AGAIN);
    };
    let now = tools.seams.clock.now();
    let whose = Whose::of(&known);
    match decide::serve(standing(&grant), Ask::default(), now) {
        // Nothing can be refreshed here, however due it is.
        Verdict::Serve if !standing(&grant).refreshable => Ok(LOOK_AGAIN),
        Verdict::Serve if grant.lifecycle != GrantLifecycle::Active => Ok(LOOK_AGAIN),
        // What was lost is looked after though the token still serves.
        Verdict::Serve if grant.claim.is_some() => {
            flights
                .refresh(&whose, Goal::of(&grant), Why::Recovery)
                .await;
            Ok(flights.resting(id).unwrap_or_default())
        }
        Verdict::Serve => {
            Ok(decide::until_due(standing(&grant), now).max(Duration::from_millis(1)))
        }
        Verdict::ServeAndRefresh(why) | Verdict::RefreshFirst(why) => {
            flights.refresh(&whose, Goal::of(&grant), why).await;
            Ok(flights.resting(id).unwrap_or_default())
        }
        Verdict::Refuse(_) => Ok(LOOK_AGAIN),
    }
}
