//! The router: takes a request, applies the faults, calls the handler and tells the scenario. Nothing here waits.

mod arrival;
mod fault_replies;
mod scenario;

use std::time::Duration;

use serde_json::{Value, json};

use self::arrival::arrival;
pub(crate) use self::scenario::ScenarioHooks;
use crate::{
    action::{Action, ActionError},
    clock::SandboxTime,
    control,
    events::Mood,
    fault::{Arrival, Endpoint, FaultKind},
    oauth, page, resource,
    state::SandboxState,
    wire::{HttpReply, HttpRequest, WatchedBody},
};

/// The state, its handlers and the scenario that plays.
#[derive(Debug)]
pub(crate) struct Router<S> {
    pub(crate) state: SandboxState,
    pub(crate) scenario: S,
}

/// What the faults decide about a request before it is served.
#[derive(Debug)]
pub(crate) enum FaultDecision {
    /// The request is served after a delay.
    Served { after: Duration },
    /// It is answered without being served.
    Answered(Box<HttpReply>),
    /// Its socket is cut.
    Cut,
}

impl<S: ScenarioHooks> Router<S> {
    /// Starts the scenario.
    pub(crate) fn new(mut state: SandboxState, mut scenario: S) -> Self {
        scenario.restart(&mut state);
        Self { state, scenario }
    }

    /// Performs the steps of the scenario that are due.
    pub(crate) fn tick(&mut self) {
        self.scenario.tick(&mut self.state);
        self.restart_after_reset();
    }

    /// Performs an action and returns its result.
    pub(crate) fn act(&mut self, action: Action) -> Result<Value, ActionError> {
        let done = self.state.act(action);
        self.restart_after_reset();
        done
    }

    fn restart_after_reset(&mut self) {
        if self.state.take_reset() {
            self.scenario.restart(&mut self.state);
        }
    }

    /// Answers a request to `/control`; none if it is none.
    pub(crate) fn control(&mut self, request: &HttpRequest) -> Option<HttpReply> {
        let path = control::path(request)?;
        self.tick();
        let Self { state, scenario } = self;
        let reply = control::serve(state, request, path, &|state| scenario.verdict(state));
        self.restart_after_reset();
        Some(reply)
    }

    /// Applies the faults that strike a request before it is served.
    pub(crate) fn admit(&mut self, request: &HttpRequest) -> FaultDecision {
        let Some(arrival) = arrival(&self.state, request) else {
            return FaultDecision::Served {
                after: Duration::ZERO,
            };
        };
        let cuts = |kind: &FaultKind| match kind {
            FaultKind::Outage => Some("outage"),
            FaultKind::Cut => Some("socket cut before the request was read"),
            _ => None,
        };
        if let Some(what) = self.state.faults.take(&arrival, cuts) {
            self.fault_struck(request, &arrival, what);
            return FaultDecision::Cut;
        }
        let instead = fault_replies::instead_of_serving;
        if let Some(reply) = self.state.faults.take(&arrival, instead) {
            let what = format!("answered with {}, nothing done", reply.status);
            self.fault_struck(request, &arrival, &what);
            return FaultDecision::Answered(Box::new(reply));
        }
        let after = self.fault_delay(&arrival, |kind| match kind {
            FaultKind::Slow(time) => Some(*time),
            _ => None,
        });
        FaultDecision::Served { after }
    }

    /// A fault answered instead of a handler.
    fn fault_struck(&mut self, request: &HttpRequest, arrival: &Arrival, what: &str) {
        self.count_fault(request, what);
        self.scenario.not_served(&mut self.state, request, arrival);
        self.restart_after_reset();
    }

    fn count_fault(&mut self, request: &HttpRequest, what: &str) {
        self.state.counters.faults_struck += 1;
        self.state
            .say(Mood::Warn, format!("fault at {}: {what}", request.path));
    }

    fn fault_delay(
        &mut self,
        arrival: &Arrival,
        of: impl Fn(&FaultKind) -> Option<Duration>,
    ) -> Duration {
        let delay = self.state.faults.take(arrival, of);
        self.state.counters.faults_struck += u64::from(delay.is_some());
        delay.unwrap_or_default()
    }

    /// Serves a request, and applies the faults that strike its reply.
    pub(crate) fn serve(&mut self, request: &HttpRequest) -> HttpReply {
        self.tick();
        let arrival = arrival(&self.state, request);
        let mut reply = match &arrival {
            Some(arrival) => self.serve_endpoint(request, arrival),
            None if request.path == "/" => page::home(),
            None => HttpReply::json(404, &json!({"error": "not_found"})),
        };
        self.tick();
        if let Some(date) = self.state.clock.date() {
            reply = reply.with("date", date);
        }
        reply
    }

    fn serve_endpoint(&mut self, request: &HttpRequest, arrival: &Arrival) -> HttpReply {
        self.scenario.before(&self.state, request, arrival);
        let reply = dispatch(&mut self.state, request, arrival);
        let mut reply = self.apply_reply_faults(request, arrival, reply);
        self.scenario
            .after(&mut self.state, request, arrival, &mut reply);
        self.restart_after_reset();
        reply
    }

    fn apply_reply_faults(
        &mut self,
        request: &HttpRequest,
        arrival: &Arrival,
        mut reply: HttpReply,
    ) -> HttpReply {
        reply.delay += self.fault_delay(arrival, |kind| match kind {
            FaultKind::SlowAnswer(time) => Some(*time),
            _ => None,
        });
        let damages = |kind: &FaultKind| fault_replies::damages(kind).then(|| kind.clone());
        if let Some(kind) = self.state.faults.take(arrival, damages) {
            self.count_fault(request, &format!("done, and then: {kind}"));
            reply = fault_replies::damaged(reply, &kind);
        }
        reply
    }

    /// Whether the reply to a call that began then is still held open.
    pub(crate) fn keeps_call(&self, since: SandboxTime) -> bool {
        self.scenario.keeps_call(since, self.state.now())
    }

    /// The last byte of a watched reply was taken (`whole`), or its reader is gone.
    pub(crate) fn body_ended(&mut self, watch: WatchedBody, whole: bool) {
        let now = self.state.now();
        self.scenario.body_ended(watch, whole, now);
    }
}

fn dispatch(state: &mut SandboxState, request: &HttpRequest, arrival: &Arrival) -> HttpReply {
    match arrival.endpoint {
        Endpoint::Metadata => oauth::metadata::serve(state, request),
        Endpoint::Authorize => oauth::authorize::serve(state, request),
        Endpoint::Device => oauth::device::serve(state, request),
        Endpoint::Register => oauth::register::serve(state, request),
        Endpoint::Revoke => oauth::inspect::revoke(state, request),
        Endpoint::Introspect => oauth::inspect::introspect(state, request),
        Endpoint::Userinfo => resource::userinfo(state, request, arrival),
        Endpoint::Mcp => resource::mcp::serve(state, request, arrival),
        Endpoint::Api => resource::api::serve(state, request, arrival),
        Endpoint::Token
        | Endpoint::Code
        | Endpoint::Refresh
        | Endpoint::ClientCredentials
        | Endpoint::DeviceCode => oauth::token::serve(state, request),
    }
}
