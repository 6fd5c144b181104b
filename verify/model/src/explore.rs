//! Breadth first through every order of events, so that the first trace that breaks something is a shortest one.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{
    action::{self, ModelAction},
    calm::Calm,
    flight::ModelWorld,
    invariant::InvariantBroken,
    scenario::ModelScenario,
    state::ModelState,
};

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// Different states.
    pub states: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// The first thing that does not hold.
    pub broken: Option<Trace>,
    /// Whether every state within the budget was seen.
    pub whole: bool,
}

/// How something breaks.
#[derive(Clone, Debug)]
pub struct Trace {
    pub broken: InvariantBroken,
    /// What happens.
    pub actions: Vec<ModelAction>,
    /// What happens then though nothing goes wrong any more.
    pub calm: Vec<ModelAction>,
}

/// A state in 64 bits; a thousandth of a thousandth of a chance in millions of states that two are mistaken for one.
pub fn fingerprint(state: &ModelState) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// The way back from each state.
struct Ways {
    steps: Vec<(u32, Option<ModelAction>)>,
}

impl Ways {
    fn to(&self, mut at: u32) -> Vec<ModelAction> {
        let mut actions = Vec::new();
        while let Some((before, Some(action))) = self.steps.get(at as usize) {
            actions.push(*action);
            at = *before;
        }
        actions.reverse();
        actions
    }

    fn add(&mut self, before: u32, action: Option<ModelAction>) -> u32 {
        self.steps.push((before, action));
        u32::try_from(self.steps.len() - 1).unwrap_or(u32::MAX)
    }
}

/// Explores until something breaks, everything was seen, or there were this many states.
pub fn explore(scenario: &ModelScenario, most: usize) -> Exploration {
    let world = ModelWorld::of(scenario);
    let mut known = HashSet::new();
    let mut ways = Ways { steps: Vec::new() };
    let mut calm = Calm::default();
    let start = scenario.start();
    known.insert(fingerprint(&start));
    let mut layer = vec![(start, ways.add(0, None))];
    let mut depth = 0;
    let mut broken = None;
    while !layer.is_empty() && known.len() < most && broken.is_none() {
        depth += 1;
        let mut next = Vec::new();
        for (state, at) in &layer {
            if let Err(trace) = expand((state, *at), &world, (&mut known, &mut ways), &mut next) {
                broken = Some(trace);
                break;
            }
            if let Err((what, then)) = calm.check(state, &world) {
                broken = Some(Trace {
                    broken: what,
                    actions: ways.to(*at),
                    calm: then,
                });
                break;
            }
        }
        layer = next;
    }
    Exploration {
        states: known.len(),
        depth,
        whole: layer.is_empty() && broken.is_none(),
        broken,
    }
}

fn expand(
    (state, at): (&ModelState, u32),
    world: &ModelWorld,
    (known, ways): (&mut HashSet<u64>, &mut Ways),
    next: &mut Vec<(ModelState, u32)>,
) -> Result<(), Trace> {
    for action in action::possible(state, world) {
        let after = action::apply(state, world, action).map_err(|broken| {
            let mut actions = ways.to(at);
            actions.push(action);
            Trace {
                broken,
                actions,
                calm: Vec::new(),
            }
        })?;
        if known.insert(fingerprint(&after)) {
            next.push((after, ways.add(at, Some(action))));
        }
    }
    Ok(())
}
