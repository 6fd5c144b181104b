//! Keeps connections fresh ahead of time: one plan for all of them, every sleep capped, every wake a fresh look at the store
//! and at both clocks. A connection that is not looked at just now takes its name and its place in the plan, no more.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::task::{self, JoinError, JoinSet};

use crate::refresh::{
    context::{Context, OnBehalfOf},
    decide::{self, Freshness, GrantView, ServeDecision, Why},
    goal::Goal,
    outcome::RefreshOutcome,
    revoke_leftovers,
    single_flight::Flights,
};
use crate::{
    model::{ConnectionName, GrantLifecycle, Moment},
    platform::clock::LONGEST_SLEEP,
};

/// How soon a connection that can't be refreshed is looked at again: a person may have repaired it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The shortest pause between two looks at the same connection.
const SHORTEST: Duration = Duration::from_millis(10);

/// Keeps some connections fresh until it is dropped. A refresh under way when that happens goes on.
#[derive(Debug)]
pub struct RefreshScheduler {
    _plan: JoinSet<()>,
}

impl RefreshScheduler {
    pub(crate) fn start(
        context: &Arc<Context>,
        flights: &Arc<Flights>,
        connections: Vec<ConnectionName>,
    ) -> Self {
        let mut plan = JoinSet::new();
        plan.spawn(keep(Arc::clone(context), Arc::clone(flights), connections));
        plan.spawn(clear_up(Arc::clone(context)));
        Self { _plan: plan }
    }
}

/// When one of many has its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefreshTurn {
    crowd: usize,
    /// Since when, and for how long, it lets others go first.
    waits: Option<(Moment, Duration)>,
}

impl RefreshTurn {
    pub(super) fn among(crowd: usize) -> Self {
        Self { crowd, waits: None }
    }

    /// How much longer it waits for its turn; zero when that has come. It waits once for each time that it is overdue.
    fn left(&mut self, context: &Context, grant_view: GrantView<'_>, now: Moment) -> Duration {
        if self.waits.is_none() {
            let roll = context.seams.random_unit();
            let wait = decide::let_others_first(grant_view, self.crowd, now, roll);
            self.waits = wait.map(|wait| (now, wait));
        }
        let left = |(since, wait): (Moment, Duration)| wait.saturating_sub(now.since(since));
        self.waits.map(left).unwrap_or_default()
    }
}

/// When each connection is to be looked at, by the clock's ticks; named by its place in the list.
type Agenda = BinaryHeap<Reverse<(u64, usize)>>;

/// Those that are looked at just now: a look may wait for a refresh.
#[derive(Default)]
struct Looks {
    running: JoinSet<(Duration, RefreshTurn)>,
    at: HashMap<task::Id, usize>,
    /// Of those that let others go first.
    turns: HashMap<usize, RefreshTurn>,
}

async fn keep(context: Arc<Context>, flights: Arc<Flights>, connections: Vec<ConnectionName>) {
    let clock = Arc::clone(&context.seams.clock);
    let mut looks = Looks::default();
    let mut plan: Agenda = (0..connections.len()).map(|at| Reverse((0, at))).collect();
    loop {
        let ticks = clock.ticks();
        while plan.peek().is_some_and(|Reverse((when, _))| *when <= ticks) {
            looks.start(&mut plan, &connections, (&context, &flights));
        }
        let pause = plan.peek().map_or(LONGEST_SLEEP, |Reverse((when, _))| {
            Duration::from_nanos(when.saturating_sub(ticks))
        });
        tokio::select! {
            Some(done) = looks.running.join_next_with_id() => {
                plan.extend(looks.done(done).map(|(at, pause)| {
                    let pause = pause.clamp(SHORTEST, LONGEST_SLEEP).as_nanos();
                    let when = clock.ticks().saturating_add(u64::try_from(pause).unwrap_or(u64::MAX));
                    Reverse((when, at))
                }));
            }
            // Whatever the ticks say: a clock may sleep shorter than it was asked to.
            () = clock.sleep(pause) => looks.start(&mut plan, &connections, (&context, &flights)),
        }
    }
}

/// Revokes what others left behind.
async fn clear_up(context: Arc<Context>) {
    loop {
        revoke_leftovers::revoke_left(&context).await;
        context.seams.clock.sleep(LONGEST_SLEEP).await;
    }
}

/// Keeps one connection fresh for as long as it is polled.
#[cfg(feature = "test-util")]
pub(crate) async fn keep_one(
    context: Arc<Context>,
    flights: Arc<Flights>,
    connection: ConnectionName,
) {
    let mut turn = RefreshTurn::among(1);
    loop {
        let pause = look(&context, &flights, &connection, &mut turn).await;
        let pause = pause.unwrap_or(LOOK_AGAIN).clamp(SHORTEST, LONGEST_SLEEP);
        context.seams.clock.sleep(pause).await;
    }
}

impl Looks {
    /// Looks at the connection whose turn is first.
    fn start(
        &mut self,
        plan: &mut Agenda,
        connections: &[ConnectionName],
        (context, flights): (&Arc<Context>, &Arc<Flights>),
    ) {
        let Some(Reverse((_, at))) = plan.pop() else {
            return;
        };
        let Some(connection) = connections.get(at).cloned() else {
            return;
        };
        let (context, flights) = (Arc::clone(context), Arc::clone(flights));
        let turn = self.turns.remove(&at);
        let mut turn = turn.unwrap_or(RefreshTurn::among(connections.len()));
        let look = self.running.spawn(async move {
            let pause = look(&context, &flights, &connection, &mut turn).await;
            let pause = pause.unwrap_or_else(|error| {
                tracing::warn!(%connection, %error, "can't look at the connection");
                LOOK_AGAIN
            });
            (pause, turn)
        });
        self.at.insert(look.id(), at);
    }

    /// Which look is done, and how long to leave that connection alone. One that panicked is looked at again.
    fn done(
        &mut self,
        done: Result<(task::Id, (Duration, RefreshTurn)), JoinError>,
    ) -> Option<(usize, Duration)> {
        let (id, pause, turn) = match done {
            Ok((id, (pause, turn))) => (id, pause, Some(turn)),
            Err(panicked) => (panicked.id(), LOOK_AGAIN, None),
        };
        let at = self.at.remove(&id)?;
        if let Some(turn) = turn.filter(|turn| turn.waits.is_some()) {
            self.turns.insert(at, turn);
        }
        if self.at.is_empty() {
            // After the first round, in which all are looked at, the room for so many is not needed again.
            self.at.shrink_to_fit();
        }
        Some((at, pause))
    }
}

/// Looks once, refreshes if that is due, and says how long to sleep.
pub(super) async fn look(
    context: &Context,
    flights: &Arc<Flights>,
    connection: &ConnectionName,
    turn: &mut RefreshTurn,
) -> crate::store::Result<Duration> {
    let Some(known) = context.store.connection(connection).await? else {
        return Ok(LOOK_AGAIN);
    };
    let Some(id) = &known.grant else {
        return Ok(LOOK_AGAIN);
    };
    let Some(grant) = context.store.grant(id).await? else {
        return Ok(LOOK_AGAIN);
    };
    let now = context.seams.clock.now();
    let on_behalf_of = OnBehalfOf::of(&known);
    let grant_view = context.grant_view(on_behalf_of.provider.as_deref(), &grant);
    match decide::serve(grant_view, Freshness::default(), now) {
        // Nothing can be refreshed here, however due it is.
        ServeDecision::Serve if !grant_view.refreshable => Ok(LOOK_AGAIN),
        ServeDecision::Serve if grant.lifecycle != GrantLifecycle::Active => Ok(LOOK_AGAIN),
        // What was lost is looked after though the token still serves.
        ServeDecision::Serve if grant.claim.is_some() => {
            let end = flights
                .refresh(&on_behalf_of, Goal::of(&grant), Why::Recovery)
                .await;
            Ok(pause_after(&end, flights.resting(id)))
        }
        ServeDecision::Serve => {
            turn.waits = None;
            Ok(decide::until_due(grant_view, now).max(Duration::from_millis(1)))
        }
        ServeDecision::ServeAndRefresh(why) | ServeDecision::RefreshFirst(why) => {
            let wait = turn.left(context, grant_view, now);
            if !wait.is_zero() {
                return Ok(wait);
            }
            let end = flights.refresh(&on_behalf_of, Goal::of(&grant), why).await;
            Ok(pause_after(&end, flights.resting(id)))
        }
        ServeDecision::FallBack | ServeDecision::Refuse(_) => Ok(LOOK_AGAIN),
    }
}

/// How long to sleep after a flight: its grant's own rest, or what the end says (a provider's open breaker rests no grant
/// of its own), and after anything but success never less than a moment.
fn pause_after(end: &RefreshOutcome, resting: Option<Duration>) -> Duration {
    match end {
        RefreshOutcome::Fresh => Duration::ZERO,
        RefreshOutcome::Later { retry_after, .. } => {
            resting.or(*retry_after).unwrap_or_default().max(MOMENT)
        }
        _ => resting.unwrap_or_default().max(MOMENT),
    }
}

const MOMENT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_followed_at_once() {
        let later = |retry_after| RefreshOutcome::Later {
            why: "an open breaker".to_owned(),
            retry_after,
        };
        let minute = Duration::from_mins(1);
        assert_eq!(pause_after(&RefreshOutcome::Fresh, None), Duration::ZERO);
        assert_eq!(pause_after(&later(Some(minute)), None), minute);
        assert_eq!(
            pause_after(&later(Some(minute)), Some(MOMENT * 2)),
            MOMENT * 2
        );
        for end in [
            later(None),
            RefreshOutcome::Refused,
            RefreshOutcome::Withdrawn,
        ] {
            assert_eq!(pause_after(&end, None), MOMENT, "{end:?}");
        }
    }
}
