//! The refresh loop of one flight: reads the grant, recovers an earlier attempt or makes a new one, and waits for other
//! processes. Safety rests on the claim and the journal, never on a lock.

use std::{sync::Arc, time::Duration};

use crate::{
    model::GrantLifecycle,
    refresh::{
        attempt::Attempt,
        context::{Context, GrantContext, OnBehalfOf},
        decide::Why,
        goal::Goal,
        orphaned_journals,
        outcome::RefreshOutcome,
        provider_state::{Admitted, HalfOpenTrial},
        recover::{NextStep, bring_forward, look_into, nobody_is_at, reread},
        steps::in_quarantine,
    },
    store::Result,
};

/// How often another process's progress is looked at: soon at first, then less often.
const POLL_FIRST: Duration = Duration::from_millis(10);

const POLL_LAST: Duration = Duration::from_millis(250);

/// How many attempts of one flight may come to nothing (too late to send, or overtaken) before it gives up for now.
const MOST_ATTEMPTS: u32 = 5;

/// How a flight ended, and whether that was because nothing is sent after earlier failures.
pub(crate) struct FlightResult {
    pub(crate) end: RefreshOutcome,
    pub(crate) held_back: bool,
}

/// Brings the grant past `goal`, by this process or another.
pub(crate) async fn refresh(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    goal: &Goal,
    why: Why,
) -> FlightResult {
    let mut pass = FlightPass::default();
    let end = pursue((context, on_behalf_of), goal, why, &mut pass).await;
    if let Some(trial) = pass.trial {
        trial.end(context).await;
    }
    FlightResult {
        end: end.unwrap_or_else(|error| RefreshOutcome::Store(Arc::new(error))),
        held_back: pass.held_back,
    }
}

/// What a flight was let through with.
#[derive(Default)]
struct FlightPass {
    trial: Option<HalfOpenTrial>,
    held_back: bool,
}

async fn pursue(
    (context, on_behalf_of): (&Context, &OnBehalfOf),
    goal: &Goal,
    why: Why,
    pass: &mut FlightPass,
) -> Result<RefreshOutcome> {
    let began = context.seams.clock.now();
    let mut poll = POLL_FIRST;
    let mut attempts = 0;
    loop {
        let Some(grant) = context.grants().grant(&goal.grant).await? else {
            return Ok(RefreshOutcome::Withdrawn);
        };
        if goal.reached_by(&grant) {
            return Ok(RefreshOutcome::Fresh);
        }
        let of = GrantContext {
            context,
            on_behalf_of,
            grant: &grant,
        };
        let step = next_step(of, why).await?;
        match held_back(of, step, pass).await {
            NextStep::Attempt { .. } if attempts == MOST_ATTEMPTS => {
                let why = "the store is too slow to refresh safely";
                return Ok(RefreshOutcome::later(why));
            }
            NextStep::Attempt { number, seen } => {
                attempts += 1;
                let trial = pass.trial.as_ref();
                let attempt = Attempt::new(of, why, (number, seen), trial);
                if let Some(end) = attempt.run().await? {
                    return Ok(end);
                }
            }
            NextStep::LookAgain => {}
            NextStep::Wait => {
                let waited = context.seams.clock.now().since(began);
                if waited > context.rules.exchange_limit {
                    let why = "another process is still refreshing";
                    return Ok(RefreshOutcome::later(why));
                }
                context.seams.clock.sleep(poll).await;
                poll = (poll * 2).min(POLL_LAST);
            }
            NextStep::Done(end) => return Ok(end),
        }
    }
}

/// The next step for a grant as the store holds it now. Kept replies and journals come first: they may hold a newer
/// generation than the store, or the claim of an attempt that the store has lost.
async fn next_step(of: GrantContext<'_>, why: Why) -> Result<NextStep> {
    let GrantContext { context, grant, .. } = of;
    context.unkept_replies.drop_outdated(grant);
    let forgotten = orphaned_journals::of(context, grant);
    if bring_forward(of, &forgotten).await? || reread(of).await? {
        return Ok(NextStep::Done(RefreshOutcome::Fresh));
    }
    if let Some(end) = ended(&grant.lifecycle)
        && !(why == Why::Probe && in_quarantine(grant))
    {
        return Ok(NextStep::Done(end));
    }
    if nobody_is_at(grant.claim.as_ref())
        && orphaned_journals::claim_back(context, of.on_behalf_of, grant, forgotten).await?
    {
        return Ok(NextStep::LookAgain);
    }
    match &grant.claim {
        None => Ok(NextStep::Attempt {
            number: 1,
            seen: None,
        }),
        Some(claim) => look_into(of, claim, why).await,
    }
}

/// An attempt waits, or is given up for now, where the failures before it say so. While another process finds out whether
/// the provider answers again, only those wait who have no token.
async fn held_back(of: GrantContext<'_>, step: NextStep, pass: &mut FlightPass) -> NextStep {
    let NextStep::Attempt { number, .. } = step else {
        return step;
    };
    let admitted = of.admit(number > 1, &mut pass.trial).await;
    pass.held_back = !matches!(admitted, Admitted::Yes);
    let now = of.context.seams.clock.now();
    let access = of.grant.access.as_ref();
    match admitted {
        Admitted::Yes => step,
        Admitted::No(end) => NextStep::Done(end),
        Admitted::AfterTrial(end) if access.is_some_and(|token| !token.left(now).is_zero()) => {
            NextStep::Done(end)
        }
        Admitted::AfterTrial(_) => NextStep::Wait,
    }
}

fn ended(lifecycle: &GrantLifecycle) -> Option<RefreshOutcome> {
    match lifecycle {
        GrantLifecycle::Active => None,
        GrantLifecycle::ReauthorizationRequired { .. } => Some(RefreshOutcome::Refused),
        GrantLifecycle::Suspended { .. } | GrantLifecycle::Revoked { .. } => {
            Some(RefreshOutcome::Withdrawn)
        }
    }
}
