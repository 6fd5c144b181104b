//! What the router asks of a scenario.

use serde_json::Value;

use crate::{
    clock::Stamp,
    fault::Arrival,
    state::SandboxState,
    wire::{Reply, Request, Watch},
};

/// A scenario as the router sees it: it hears of each request, and may change the state and the reply.
pub(crate) trait Scenario {
    /// Begins, and begins again after a reset of the state.
    fn restart(&mut self, state: &mut SandboxState);

    /// Performs the steps that are due. Called several times a second, and around each request.
    fn tick(&mut self, state: &mut SandboxState);

    /// A request is about to be served.
    fn before(&mut self, state: &SandboxState, request: &Request, arrival: &Arrival);

    /// It was served. The reply is not yet sent.
    fn after(
        &mut self,
        state: &mut SandboxState,
        request: &Request,
        arrival: &Arrival,
        reply: &mut Reply,
    );

    /// A fault answered in place of a handler.
    fn not_served(&mut self, state: &mut SandboxState, request: &Request, arrival: &Arrival);

    /// Whether the reply to a call that began at `since` is still held open.
    fn keeps_call(&self, since: Stamp, now: Stamp) -> bool;

    /// The body of a watched reply ended; `whole` if all of it was taken.
    fn body_ended(&mut self, watch: Watch, whole: bool, now: Stamp);

    /// The verdict so far, as `GET /control/verdict` gives it.
    fn verdict(&self, state: &SandboxState) -> Value;
}
