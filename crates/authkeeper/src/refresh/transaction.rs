//! The transaction itself: connect, make room, claim, check the deadline, send, keep the answer, commit, and only then
//! let anyone see it. Safety rests on the claim and the journal, never on a lock.

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
        provider_state::{Admitted, Trial},
        recover::{Step, bring_forward, look_into, nobody_is_at, reread},
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
pub(crate) struct Flown {
    pub(crate) end: RefreshOutcome,
    pub(crate) held_back: bool,
}

/// Brings the grant past `goal`, whoever does it.
pub(crate) async fn refresh(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    goal: &Goal,
    why: Why,
) -> Flown {
    let mut pass = Pass::default();
    let end = pursue((context, on_behalf_of), goal, why, &mut pass).await;
    if let Some(trial) = pass.trial {
        trial.end(context).await;
    }
    Flown {
        end: end.unwrap_or_else(|error| RefreshOutcome::Store(Arc::new(error))),
        held_back: pass.held_back,
    }
}

/// What a flight was let through with.
#[derive(Default)]
struct Pass {
    trial: Option<Trial>,
    held_back: bool,
}

async fn pursue(
    (context, on_behalf_of): (&Context, &OnBehalfOf),
    goal: &Goal,
    why: Why,
    pass: &mut Pass,
) -> Result<RefreshOutcome> {
    let began = context.seams.clock.now();
    let mut poll = POLL_FIRST;
    let mut attempts = 0;
    loop {
        let Some(grant) = context.store.grant(&goal.grant).await? else {
            return Ok(RefreshOutcome::Withdrawn);
        };
        if goal.reached_by(&grant) {
            return Ok(RefreshOutcome::Fresh);
        }
        let forgotten = orphaned_journals::of(context, &grant);
        if bring_forward(context, on_behalf_of, &grant, &forgotten).await?
            || reread(context, on_behalf_of, &grant).await?
        {
            return Ok(RefreshOutcome::Fresh);
        }
        if let Some(end) = ended(&grant.lifecycle)
            && !(why == Why::Probe && in_quarantine(&grant))
        {
            return Ok(end);
        }
        let put_back = nobody_is_at(grant.claim.as_ref())
            && orphaned_journals::claim_back(context, on_behalf_of, &grant, forgotten).await?;
        let step = match &grant.claim {
            _ if put_back => Step::LookAgain,
            None => Step::Attempt {
                number: 1,
                seen: None,
            },
            Some(claim) => look_into(context, on_behalf_of, &grant, claim, why).await?,
        };
        let by = GrantContext {
            context,
            on_behalf_of,
            grant: &grant,
        };
        match held_back(by, step, pass).await {
            Step::Attempt { .. } if attempts == MOST_ATTEMPTS => {
                let why = "the store is too slow to refresh safely".to_owned();
                return Ok(RefreshOutcome::Later {
                    why,
                    retry_after: None,
                });
            }
            Step::Attempt { number, seen } => {
                attempts += 1;
                let attempt = Attempt {
                    context,
                    on_behalf_of,
                    grant: &grant,
                    why,
                    number,
                    seen,
                    trial: pass.trial.as_ref(),
                };
                if let Some(end) = attempt.run().await? {
                    return Ok(end);
                }
            }
            Step::LookAgain => {}
            Step::Wait => {
                let waited = context.seams.clock.now().since(began);
                if waited > context.rules.exchange_limit {
                    let why = "another process is still refreshing".to_owned();
                    return Ok(RefreshOutcome::Later {
                        why,
                        retry_after: None,
                    });
                }
                context.seams.clock.sleep(poll).await;
                poll = (poll * 2).min(POLL_LAST);
            }
            Step::RefreshOutcome(end) => return Ok(end),
        }
    }
}

/// An attempt waits, or is given up for now, where the failures before it say so. While another process finds out whether
/// the provider answers again, only those wait who have no token.
async fn held_back(by: GrantContext<'_>, step: Step, pass: &mut Pass) -> Step {
    let Step::Attempt { number, .. } = step else {
        return step;
    };
    let admitted = by.admit(number > 1, &mut pass.trial).await;
    pass.held_back = !matches!(admitted, Admitted::Yes);
    let now = by.context.seams.clock.now();
    let access = by.grant.access.as_ref();
    match admitted {
        Admitted::Yes => step,
        Admitted::No(end) => Step::RefreshOutcome(end),
        Admitted::AfterTrial(end) if access.is_some_and(|token| !token.left(now).is_zero()) => {
            Step::RefreshOutcome(end)
        }
        Admitted::AfterTrial(_) => Step::Wait,
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
