//! Keeps connections fresh ahead of time: one thin loop a connection, every sleep capped, every wake a fresh look at the
//! store and at both clocks.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    Tools, Whose,
    claim::Goal,
    decide::{self, Ask, Standing, Verdict, Why},
    flight::{End, Flights},
};
use crate::{
    clock::LONGEST_SLEEP,
    model::{ConnectionName, GrantLifecycle, Moment},
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
        let crowd = connections.len();
        for connection in connections {
            let (tools, flights) = (Arc::clone(tools), Arc::clone(flights));
            loops.spawn(keep(tools, flights, connection, Turn::among(crowd)));
        }
        Self { _loops: loops }
    }
}

/// When one of many has its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    crowd: usize,
    /// Since when, and for how long, it lets others go first.
    waits: Option<(Moment, Duration)>,
}

impl Turn {
    pub(super) fn among(crowd: usize) -> Self {
        Self { crowd, waits: None }
    }

    /// How much longer it waits for its turn; zero when that has come. It waits once for each time that it is overdue.
    fn left(&mut self, tools: &Tools, standing: Standing<'_>, now: Moment) -> Duration {
        if self.waits.is_none() {
            let roll = tools.seams.random_unit();
            let wait = decide::let_others_first(standing, self.crowd, now, roll);
            self.waits = wait.map(|wait| (now, wait));
        }
        let left = |(since, wait): (Moment, Duration)| wait.saturating_sub(now.since(since));
        self.waits.map(left).unwrap_or_default()
    }
}

/// Keeps one connection fresh for as long as it is polled.
#[cfg(feature = "simulation")]
pub(crate) async fn keep_one(tools: Arc<Tools>, flights: Arc<Flights>, connection: ConnectionName) {
    keep(tools, flights, connection, Turn::among(1)).await;
}

async fn keep(
    tools: Arc<Tools>,
    flights: Arc<Flights>,
    connection: ConnectionName,
    mut turn: Turn,
) {
    loop {
        let pause = match look(&tools, &flights, &connection, &mut turn).await {
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
    turn: &mut Turn,
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
    let standing = tools.standing(whose.provider.as_deref(), &grant);
    match decide::serve(standing, Ask::default(), now) {
        // Nothing can be refreshed here, however due it is.
        Verdict::Serve if !standing.refreshable => Ok(LOOK_AGAIN),
        Verdict::Serve if grant.lifecycle != GrantLifecycle::Active => Ok(LOOK_AGAIN),
        // What was lost is looked after though the token still serves.
        Verdict::Serve if grant.claim.is_some() => {
            let end = flights
                .refresh(&whose, Goal::of(&grant), Why::Recovery)
                .await;
            Ok(pause_after(&end, flights.resting(id)))
        }
        Verdict::Serve => {
            turn.waits = None;
            Ok(decide::until_due(standing, now).max(Duration::from_millis(1)))
        }
        Verdict::ServeAndRefresh(why) | Verdict::RefreshFirst(why) => {
            let wait = turn.left(tools, standing, now);
            if !wait.is_zero() {
                return Ok(wait);
            }
            let end = flights.refresh(&whose, Goal::of(&grant), why).await;
            Ok(pause_after(&end, flights.resting(id)))
        }
        Verdict::FallBack | Verdict::Refuse(_) => Ok(LOOK_AGAIN),
    }
}

/// How long to sleep after a flight: its grant's own rest, or what the end says (a provider's open breaker rests no grant
/// of its own), and after anything but success never less than a moment.
fn pause_after(end: &End, resting: Option<Duration>) -> Duration {
    match end {
        End::Fresh => Duration::ZERO,
        End::Later { retry_after, .. } => resting.or(*retry_after).unwrap_or_default().max(MOMENT),
        _ => resting.unwrap_or_default().max(MOMENT),
    }
}

const MOMENT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_followed_at_once() {
        let later = |retry_after| End::Later {
            why: "an open breaker".to_owned(),
            retry_after,
        };
        let minute = Duration::from_mins(1);
        assert_eq!(pause_after(&End::Fresh, None), Duration::ZERO);
        assert_eq!(pause_after(&later(Some(minute)), None), minute);
        assert_eq!(
            pause_after(&later(Some(minute)), Some(MOMENT * 2)),
            MOMENT * 2
        );
        for end in [later(None), End::Refused, End::Withdrawn] {
            assert_eq!(pause_after(&end, None), MOMENT, "{end:?}");
        }
    }
}
