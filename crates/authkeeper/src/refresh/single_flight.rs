//! Single flight: any number of callers in this process share one refresh of a grant. The refresh runs detached, so a
//! caller that goes away cancels its own waiting and nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::refresh::{
    context::{Context, OnBehalfOf},
    decide::{Outage, Why, backoff},
    goal::Goal,
    outcome::RefreshOutcome,
    provider_state,
    transaction::{self, FlightResult},
};

use crate::{
    model::{ConnectionName, GrantId, Moment},
    platform::clock::{LONGEST_SLEEP, within},
};

impl RefreshOutcome {
    /// What a caller hears who asks while this end still stands: the same, at once, and when to ask again.
    fn asked_too_soon(self, RestTime { gone, left }: RestTime) -> Self {
        match self {
            Self::Later { why, .. } => Self::Later {
                why,
                retry_after: Some(left),
            },
            Self::Uncertain { kind, resend_in } => Self::Uncertain {
                kind,
                resend_in: resend_in.saturating_sub(gone).max(left),
            },
            end => end,
        }
    }
}

/// How much of a rest is over, and how much is left.
struct RestTime {
    gone: Duration,
    left: Duration,
}

/// What is done once a flight has brought a new generation, before those are told who wait for it.
#[async_trait]
pub(crate) trait Landing: Send + Sync {
    /// A flight on behalf of this connection has brought one.
    async fn landed(&self, connection: &ConnectionName);
}

/// A place among those who wait for a flight.
#[derive(Clone)]
pub(crate) struct Ticket(watch::Receiver<Option<RefreshOutcome>>);

impl Ticket {
    /// Whether the flight has neither landed nor come to grief.
    pub(crate) fn is_in_air(&self) -> bool {
        self.0.has_changed().is_ok() && self.0.borrow().is_none()
    }

    /// Waits for the flight. Dropping the future stops nothing.
    pub(crate) async fn landed(mut self) -> RefreshOutcome {
        let ended = self.0.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|end| end.clone())
            .unwrap_or_else(|| RefreshOutcome::later("the refresh was abandoned"))
    }
}

/// The flights of this process.
pub(crate) struct Flights {
    context: Arc<Context>,
    landing: Arc<dyn Landing>,
    lanes: Mutex<HashMap<GrantId, Lane>>,
    /// Raised while anything is in the air; a shutdown waits for zero.
    in_air: watch::Sender<usize>,
}

#[derive(Default)]
struct Lane {
    running: Option<watch::Receiver<Option<RefreshOutcome>>>,
    /// Failures that the store knows nothing of: a file that is missing, the store itself.
    failures: u32,
    /// When the first of them was.
    failing_since: Option<Moment>,
    /// Until when the last failure is the answer, so that an outage costs one request a slot and not one a caller.
    resting: Option<(Moment, Duration, RefreshOutcome)>,
}

impl Flights {
    pub(crate) fn new(context: Arc<Context>, landing: Arc<dyn Landing>) -> Arc<Self> {
        Arc::new(Self {
            context,
            landing,
            lanes: Mutex::default(),
            in_air: watch::Sender::new(0),
        })
    }

    /// Waits for the refresh of this generation, starting it if nobody has. Dropping the future stops nothing.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        on_behalf_of: &OnBehalfOf,
        goal: Goal,
        why: Why,
    ) -> RefreshOutcome {
        match self.board(on_behalf_of, goal, why) {
            Ok(ticket) => ticket.landed().await,
            Err(resting) => resting,
        }
    }

    /// Starts the refresh of this generation if nobody has, and waits for nothing.
    pub(crate) fn start(self: &Arc<Self>, on_behalf_of: &OnBehalfOf, goal: Goal, why: Why) {
        let _ = self.board(on_behalf_of, goal, why);
    }

    /// How long the last failure still stands for this grant.
    pub(crate) fn resting(&self, grant: &GrantId) -> Option<Duration> {
        let now = self.context.seams.clock.now();
        self.lanes()
            .get(grant)
            .and_then(|lane| lane.resting(now))
            .map(|(rest, _)| rest.left)
    }

    /// Waits until nothing is in the air, or for as long as `patience`.
    pub(crate) async fn drain(&self, patience: Duration) -> bool {
        let mut in_air = self.in_air.subscribe();
        let landed = in_air.wait_for(|count| *count == 0);
        within(&*self.context.seams.clock, patience, landed)
            .await
            .is_some()
    }

    #[cfg(test)]
    pub(crate) fn in_air(&self) -> usize {
        *self.in_air.borrow()
    }

    /// Somebody who must land before a shutdown, for as long as this is held.
    pub(crate) fn aboard(self: &Arc<Self>) -> Aboard {
        self.in_air.send_modify(|count| *count += 1);
        Aboard(Arc::clone(self))
    }

    /// A place on the flight that refreshes this generation, which starts if nobody has started it; or the end of the last
    /// one, while that still stands.
    pub(crate) fn board(
        self: &Arc<Self>,
        on_behalf_of: &OnBehalfOf,
        goal: Goal,
        why: Why,
    ) -> Result<Ticket, RefreshOutcome> {
        let now = self.context.seams.clock.now();
        let mut lanes = self.lanes();
        let lane = lanes.entry(goal.grant.clone()).or_default();
        // A flight that panicked has hung up without an answer.
        if let Some(running) = &lane.running
            && (running.has_changed().is_ok() || running.borrow().is_some())
        {
            return Ok(Ticket(running.clone()));
        }
        // Now and then somebody looks at the store again: another process may have ended the rest, or it may be time to
        // tell the owner.
        if let Some((rest, end)) = lane
            .resting(now)
            .filter(|(rest, _)| rest.gone < LONGEST_SLEEP)
        {
            return Err(end.asked_too_soon(rest));
        }
        let (landed, answer) = watch::channel(None);
        lane.running = Some(answer.clone());
        drop(lanes);
        self.take_off(on_behalf_of.clone(), goal, why, landed);
        Ok(Ticket(answer))
    }

    /// Detached on purpose: an exchange under way is finished, kept and committed although its callers gave up waiting. This
    /// object owns it, counts it and drains it.
    fn take_off(
        self: &Arc<Self>,
        on_behalf_of: OnBehalfOf,
        goal: Goal,
        why: Why,
        landed: watch::Sender<Option<RefreshOutcome>>,
    ) {
        let aboard = self.aboard();
        self.context.tasks.spawn(Box::pin(async move {
            let flights = &aboard.0;
            let flown = transaction::refresh(&flights.context, &on_behalf_of, &goal, why).await;
            let end = flown.end.clone();
            flights.land(&goal, flown).await;
            if matches!(end, RefreshOutcome::Fresh) {
                flights.landing.landed(&on_behalf_of.connection).await;
            }
            let _ = landed.send(Some(end));
        }));
    }

    async fn land(&self, goal: &Goal, FlightResult { end, held_back }: FlightResult) {
        // It may have found a write of another process: the callers that wait read the store again.
        self.context.store.epoch().raise();
        if matches!(
            end,
            RefreshOutcome::Fresh | RefreshOutcome::Refused | RefreshOutcome::Withdrawn
        ) {
            self.lanes().remove(&goal.grant);
            return;
        }
        let access_left = self.access_left(&goal.grant).await;
        let rests = provider_state::rest_of(&self.context, &goal.grant, goal.lineage).await;
        let now = self.context.seams.clock.now();
        let roll = self.context.seams.random_unit();
        let mut lanes = self.lanes();
        let lane = lanes.entry(goal.grant.clone()).or_default();
        lane.running = None;
        lane.resting = None;
        let retry_after = match &end {
            // Recovery has its own times and is not slowed by the backoff.
            RefreshOutcome::Uncertain { resend_in, .. } => {
                let look_again =
                    (*resend_in).clamp(Duration::from_millis(250), Duration::from_secs(5));
                lane.resting = Some((now, look_again, end));
                return;
            }
            RefreshOutcome::Later { retry_after, .. } => *retry_after,
            _ => None,
        };
        if let Some(rest) = rests {
            lane.resting = Some((now, rest, end));
            return;
        }
        // The client's rest is no rest of this grant: it may be over with the next answer to another one.
        if held_back {
            return;
        }
        let since = *lane.failing_since.get_or_insert(now);
        let outage = Outage {
            failures: lane.failures,
            lasts: now.since(since),
        };
        let rest = backoff(outage, retry_after, access_left, roll);
        lane.failures = lane.failures.saturating_add(1);
        lane.resting = Some((now, rest, end));
    }

    async fn access_left(&self, grant: &GrantId) -> Duration {
        let now = self.context.seams.clock.now();
        let grant = self.context.store.grant(grant).await.ok().flatten();
        grant
            .and_then(|grant| Some(grant.access?.left(now)))
            .unwrap_or_default()
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<GrantId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn resting(&self, now: Moment) -> Option<(RestTime, RefreshOutcome)> {
        let (since, rest, end) = self.resting.as_ref()?;
        let gone = now.since(*since);
        let left = rest.saturating_sub(gone);
        (!left.is_zero()).then(|| (RestTime { gone, left }, end.clone()))
    }
}

/// Counts a flight down even if it panics.
pub(crate) struct Aboard(Arc<Flights>);

impl Drop for Aboard {
    fn drop(&mut self) {
        self.0
            .in_air
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}
