//! The hooks by which the router calls a scenario.

use serde_json::Value;

use crate::{
    clock::SandboxTime,
    fault::Arrival,
    state::SandboxState,
    wire::{HttpReply, HttpRequest, WatchedBody},
};

/// A scenario as the router sees it: it hears of each request, and may change the state and the reply.
pub(crate) trait ScenarioHooks {
    /// Begins, and begins again after a reset of the state.
    fn restart(&mut self, state: &mut SandboxState);

    /// Performs the steps that are due. Called several times a second, and around each request.
    fn tick(&mut self, state: &mut SandboxState);

    /// A request is about to be served.
    fn before(&mut self, state: &SandboxState, request: &HttpRequest, arrival: &Arrival);

    /// It was served. The reply is not yet sent.
    fn after(
        &mut self,
        state: &mut SandboxState,
        request: &HttpRequest,
        arrival: &Arrival,
        reply: &mut HttpReply,
    );

    /// A fault answered in place of a handler.
    fn not_served(&mut self, state: &mut SandboxState, request: &HttpRequest, arrival: &Arrival);

    /// Whether the reply to a call that began at `since` is still held open.
    fn keeps_call(&self, since: SandboxTime, now: SandboxTime) -> bool;

    /// The body of a watched reply ended; `whole` if all of it was taken.
    fn body_ended(&mut self, watch: WatchedBody, whole: bool, now: SandboxTime);

    /// The verdict so far, as `GET /control/verdict` gives it.
    fn verdict(&self, state: &SandboxState) -> Value;
}
