//! What was found, in words.

use std::fmt::Write as _;

use crate::{
    action::{self, ModelAction},
    explore::{Exploration, Trace},
    flight::ModelWorld,
    scenario::ModelScenario,
    state::{FlightStep, Lifecycle, ModelState},
};

pub const HEADER: &str = "scenario                      states  depth  seconds  result";

/// One row of the table.
pub fn line(scenario: &ModelScenario, found: &Exploration, seconds: f64) -> String {
    let result = match &found.broken {
        Some(trace) => format!("BROKEN: {}", trace.broken),
        None if found.whole => "holds".to_owned(),
        None => "holds as far as it was explored".to_owned(),
    };
    let (name, states, depth) = (scenario.name, found.states, found.depth);
    format!("{name:<26} {states:>9}  {depth:>5}  {seconds:>7.1}  {result}")
}

/// A trace, one line an event.
pub fn trace(scenario: &ModelScenario, trace: &Trace) -> String {
    let world = ModelWorld::of(scenario);
    let mut text = String::new();
    let mut state = Some(scenario.start());
    for action in &trace.actions {
        tell(&mut text, state.as_ref(), *action);
        state = state.and_then(|state| action::apply(&state, &world, *action).ok());
    }
    if !trace.calm.is_empty() {
        text.push_str("    and then, though nothing goes wrong any more:\n");
    }
    state = state.map(|state| crate::calm::begin(&state));
    for action in &trace.calm {
        tell(&mut text, state.as_ref(), *action);
        state = state.and_then(|state| action::apply(&state, &world, *action).ok());
    }
    text
}

fn tell(text: &mut String, state: Option<&ModelState>, action: ModelAction) {
    let what = match (action, state) {
        (ModelAction::Step(process), Some(state)) => {
            let step = state.processes[usize::from(process)].map(|process| process.step);
            format!("process {process} {}", step.map_or("?", next_of))
        }
        _ => action.to_string(),
    };
    let row = state.map(row).unwrap_or_default();
    let _ = writeln!(text, "    {what:<52} {row}");
}

/// What a process does next.
fn next_of(step: FlightStep) -> &'static str {
    match step {
        FlightStep::Idle => "rests",
        FlightStep::Connected(_) => "makes room and claims",
        FlightStep::Claimed(_) => "marks its journal \"sending\"",
        FlightStep::Marked(_) => "checks the deadline",
        FlightStep::Cleared(_) => "writes the request",
        FlightStep::Waiting(..) => "reads the reply",
        FlightStep::Received(..) => "makes the reply durable",
        FlightStep::Durable(..) => "reads what it says and commits",
        FlightStep::Trying(..) => "commits a candidate",
        FlightStep::Committed(..) => "keeps the answer and removes the journal",
    }
}

/// The row before the event.
fn row(state: &ModelState) -> String {
    let row = &state.row;
    let claim = match row.claim {
        None => "idle".to_owned(),
        Some(claim) if claim.unknown.is_some() => format!("unknown {}", claim.attempt),
        Some(claim) => format!("claimed {}", claim.attempt),
    };
    let lifecycle = match row.lifecycle {
        Lifecycle::Active => "active",
        Lifecycle::Lost { .. } => "lost",
        Lifecycle::Suspended => "suspended",
        Lifecycle::Revoked => "revoked",
    };
    let token = row.token.map_or("-".to_owned(), |token| {
        format!("T{}.{}", token.family, token.index)
    });
    format!(
        "[L{} G{} {token} {lifecycle} {claim}, t={}]",
        row.lineage, row.generation, state.now
    )
}
