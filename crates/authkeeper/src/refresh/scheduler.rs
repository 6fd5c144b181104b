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
    Tools, Whose,
    decide::{self, Ask, Standing, Verdict, Why},
    revoke_leftovers,
    single_flight::{End, Flights},
    transaction::Goal,
};
use crate::{
    model::{ConnectionName, GrantLifecycle, Moment},
    platform::clock::LONGEST_SLEEP,
};

/// How soon a connection that can't be refreshed is looked at again: a person may have mended it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The shortest pause between two looks at the same connection.
const SHORTEST: Duration = Duration::from_millis(10);

/// Keeps some connections fresh until it is dropped. A refresh under way when that happens goes on.
#[derive(Debug)]
pub struct Keeper {
    _plan: JoinSet<()>,
}

impl Keeper {
    pub(crate) fn start(
        tools: &Arc<Tools>,
        flights: &Arc<Flights>,
        connections: Vec<ConnectionName>,
    ) -> Self {
        let mut plan = JoinSet::new();
        plan.spawn(keep(Arc::clone(tools), Arc::clone(flights), connections));
        plan.spawn(clear_up(Arc::clone(tools)));
        Self { _plan: plan }
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

/// When each connection is to be looked at, by the clock's ticks; named by its place in the list.
type Plan = BinaryHeap<Reverse<(u64, usize)>>;

/// Those that are looked at just now: a look may wait for a refresh.
#[derive(Default)]
struct Looks {
    running: JoinSet<(Duration, Turn)>,
    at: HashMap<task::Id, usize>,
    /// Of those that let others go first.
    turns: HashMap<usize, Turn>,
}

async fn keep(tools: Arc<Tools>, flights: Arc<Flights>, connections: Vec<ConnectionName>) {
    let clock = Arc::clone(&tools.seams.clock);
    let mut looks = Looks::default();
    let mut plan: Plan = (0..connections.len()).map(|at| Reverse((0, at))).collect();
    loop {
        let ticks = clock.ticks();
        while plan.peek().is_some_and(|Reverse((when, _))| *when <= ticks) {
            looks.start(&mut plan, &connections, (&tools, &flights));
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
            () = clock.sleep(pause) => looks.start(&mut plan, &connections, (&tools, &flights)),
        }
    }
}

/// Revokes what others left behind.
async fn clear_up(tools: Arc<Tools>) {
    loop {
        revoke_leftovers::revoke_left(&tools).await;
        tools.seams.clock.sleep(LONGEST_SLEEP).await;
    }
}

/// Keeps one connection fresh for as long as it is polled.
#[cfg(feature = "simulation")]
pub(crate) async fn keep_one(tools: Arc<Tools>, flights: Arc<Flights>, connection: ConnectionName) {
    let mut turn = Turn::among(1);
    loop {
        let pause = look(&tools, &flights, &connection, &mut turn).await;
        let pause = pause.unwrap_or(LOOK_AGAIN).clamp(SHORTEST, LONGEST_SLEEP);
        tools.seams.clock.sleep(pause).await;
    }
}

impl Looks {
    /// Looks at the connection whose turn is first.
    fn start(
        &mut self,
        plan: &mut Plan,
        connections: &[ConnectionName],
        (tools, flights): (&Arc<Tools>, &Arc<Flights>),
    ) {
        let Some(Reverse((_, at))) = plan.pop() else {
            return;
        };
        let Some(connection) = connections.get(at).cloned() else {
            return;
        };
        let (tools, flights) = (Arc::clone(tools), Arc::clone(flights));
        let turn = self.turns.remove(&at);
        let mut turn = turn.unwrap_or(Turn::among(connections.len()));
        let look = self.running.spawn(async move {
            let pause = look(&tools, &flights, &connection, &mut turn).await;
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
        done: Result<(task::Id, (Duration, Turn)), JoinError>,
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
