//! Scenarios: planned faults and actions, and a verdict at the end.

mod built_in;
mod judge;
mod script;

use serde_json::{Value, json};

use self::{built_in::BuiltInRun, script::ScriptRun};
pub use self::{
    built_in::{BuiltIn, Runs},
    judge::{CheckStatus, ClientEnd, ScenarioCheck, ScenarioVerdict, SpecReference},
    script::{ExpectationResult, ScenarioError, ScenarioFile},
};
use crate::{
    clock::SandboxTime,
    fault::Arrival,
    revision::Revision,
    router::ScenarioHooks,
    state::SandboxState,
    wire::{HttpReply, HttpRequest, WatchedBody},
};

/// The scenario that plays in a sandbox.
#[derive(Debug)]
pub(crate) enum Playing {
    Nothing,
    File(ScriptRun),
    BuiltIn(Box<BuiltInRun>),
}

impl Playing {
    pub(crate) fn file(file: ScenarioFile) -> Self {
        Self::File(ScriptRun::new(file))
    }

    pub(crate) fn built_in(scenario: BuiltIn, revision: Revision) -> Self {
        Self::BuiltIn(Box::new(BuiltInRun::new(scenario, revision)))
    }

    /// The built-in scenario that plays.
    pub(crate) fn run(&self) -> Option<&BuiltInRun> {
        match self {
            Self::BuiltIn(run) => Some(run),
            Self::Nothing | Self::File(_) => None,
        }
    }

    pub(crate) fn run_mut(&mut self) -> Option<&mut BuiltInRun> {
        match self {
            Self::BuiltIn(run) => Some(run),
            Self::Nothing | Self::File(_) => None,
        }
    }

    /// The expectations of a scenario file, compared with the counters so far.
    pub(crate) fn findings(&self, state: &SandboxState) -> Option<Vec<ExpectationResult>> {
        match self {
            Self::File(run) => Some(run.verdict(state)),
            Self::Nothing | Self::BuiltIn(_) => None,
        }
    }
}

impl ScenarioHooks for Playing {
    fn restart(&mut self, state: &mut SandboxState) {
        match self {
            Self::Nothing => {}
            Self::File(run) => run.restart(state.now()),
            Self::BuiltIn(run) => run.restart(state),
        }
    }

    fn tick(&mut self, state: &mut SandboxState) {
        if let Self::File(run) = self {
            run.tick(state);
        }
    }

    fn before(&mut self, state: &SandboxState, request: &HttpRequest, arrival: &Arrival) {
        if let Some(run) = self.run_mut() {
            run.before(state, request, arrival);
        }
    }

    fn after(
        &mut self,
        state: &mut SandboxState,
        request: &HttpRequest,
        arrival: &Arrival,
        reply: &mut HttpReply,
    ) {
        if let Some(run) = self.run_mut() {
            run.after(state, request, arrival, reply);
        }
    }

    fn not_served(&mut self, state: &mut SandboxState, request: &HttpRequest, arrival: &Arrival) {
        if let Some(run) = self.run_mut() {
            run.not_served(state, request, arrival);
        }
    }

    fn keeps_call(&self, since: SandboxTime, now: SandboxTime) -> bool {
        self.run().is_some_and(|run| run.keeps_call(since, now))
    }

    fn body_ended(&mut self, watch: WatchedBody, whole: bool, now: SandboxTime) {
        if let Some(run) = self.run_mut() {
            run.body_ended(watch, whole, now);
        }
    }

    fn verdict(&self, state: &SandboxState) -> Value {
        match self.run() {
            Some(run) => json!(run.checks(state, &[])),
            None => json!(self.findings(state)),
        }
    }
}
