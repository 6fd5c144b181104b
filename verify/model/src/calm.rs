//! Nothing goes wrong any more: everything that is under way ends, and then the grant must stand as well as it can.

use std::collections::HashSet;

use authkeeper::model::UnknownKind;

use crate::{
    action::{self, ModelAction},
    explore::fingerprint,
    flight::{self, ModelWorld},
    invariant::{self, InvariantBroken},
    scenario::Budget,
    state::{FlightStep, ModelState, WireMessage},
};

/// So many leaps of the clock outlast every wait there is.
const LEAPS: u8 = 4;
/// No way to rest is longer.
const LONGEST: usize = 400;

/// The states from which rest is known to be reached in order.
#[derive(Default)]
pub struct Calm {
    known: HashSet<u64>,
}

impl Calm {
    /// Follows one fair schedule without faults to its end. On failure, the way that was followed.
    pub fn check(
        &mut self,
        from: &ModelState,
        world: &ModelWorld,
    ) -> Result<(), (InvariantBroken, Vec<ModelAction>)> {
        let mut state = begin(from);
        let (mut way, mut passed) = (Vec::new(), Vec::new());
        while way.len() < LONGEST {
            let here = fingerprint(&state);
            if self.known.contains(&here) {
                self.known.extend(passed);
                return Ok(());
            }
            if passed.contains(&here) {
                return Err((InvariantBroken::Unresolved, way));
            }
            passed.push(here);
            let Some((action, next)) = next(&state, world, &way)? else {
                self.known.extend(passed);
                return invariant::at_rest(&state, world).map_err(|broken| (broken, way));
            };
            way.push(action);
            state = next;
        }
        Err((InvariantBroken::Unresolved, way))
    }
}

/// The same state with nothing left that may go wrong.
pub fn begin(from: &ModelState) -> ModelState {
    let left = Budget {
        leaps: LEAPS,
        ..Budget::default()
    };
    ModelState {
        left,
        copied: None,
        ..*from
    }
}

type Next = Option<(ModelAction, ModelState)>;

/// The first thing that changes anything.
fn next(
    state: &ModelState,
    world: &ModelWorld,
    way: &[ModelAction],
) -> Result<Next, (InvariantBroken, Vec<ModelAction>)> {
    for action in in_order(state) {
        let after = action::apply(state, world, action).map_err(|broken| {
            let way = way.iter().copied().chain([action]).collect();
            (broken, way)
        })?;
        if after != *state {
            return Ok(Some((action, after)));
        }
    }
    Ok(None)
}

fn in_order(state: &ModelState) -> Vec<ModelAction> {
    let mut all = Vec::with_capacity(16);
    if !state.provider.up {
        all.push(ModelAction::Return);
    }
    if !state.provider.enabled {
        all.push(ModelAction::Enable);
    }
    for (message, attempt) in state.air.iter().zip(0_u8..) {
        if matches!(message, Some(WireMessage::Request { .. })) {
            all.push(ModelAction::Deliver(attempt));
        }
    }
    for (process, id) in state.processes.iter().zip(0_u8..) {
        let Some(process) = process else { continue };
        match process.step {
            _ if !process.alive => all.push(ModelAction::Restart(id)),
            FlightStep::Waiting(run, _) if state.air[usize::from(run.attempt)].is_none() => {
                all.push(ModelAction::Lost(id, UnknownKind::Reset));
            }
            _ if flight::can_step(state, process) => all.push(ModelAction::Step(id)),
            _ => {}
        }
    }
    if state.leaving {
        all.push(ModelAction::Forget);
    }
    if state.signing.is_some() {
        all.push(ModelAction::EndSignIn);
    }
    let processes = state.processes.iter().zip(0_u8..);
    let idle = processes.filter(|(process, _)| {
        process.is_some_and(|process| process.alive && process.step == FlightStep::Idle)
    });
    all.extend(idle.map(|(_, id)| ModelAction::Look(id)));
    if state.left.leaps > 0 {
        all.push(ModelAction::Leap);
    }
    all
}
