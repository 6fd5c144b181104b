//! A built-in scenario that plays: replies held back, planned steps, open streams.

use std::time::Duration;

use serde_json::Value;

use super::{
    observe::{RequestBefore, message, refresh_sent},
    plan::{HeldReply, PlannedStep, ScenarioPlan, Trigger},
    scenario::BuiltIn,
};
use crate::{
    action::Action,
    clock::SandboxTime,
    events::Mood,
    fault::{Arrival, Endpoint},
    overrides::Overrides,
    revision::Revision,
    scenarios::judge::{
        self, ClientEnd, JudgedRun, ScenarioCheck,
        evidence::{Evidence, EvidenceEntry, Observed},
    },
    state::SandboxState,
    wire::{HttpReply, HttpRequest, WatchedBody},
};

/// A held reply leaves this long after the access token has ended.
const AFTER_THE_END: Duration = Duration::from_millis(300);
/// Of several clients at once, each waits this much longer than the one before.
const STAGGER: Duration = Duration::from_millis(1_500);

/// A built-in scenario that plays.
#[derive(Clone, Debug)]
pub(crate) struct BuiltInRun {
    scenario: BuiltIn,
    plan: ScenarioPlan,
    revision: Revision,
    evidence: Evidence,
    /// What was known of the request that is being served.
    before: RequestBefore,
    /// How many times the client was started, less one.
    run: usize,
    /// Replies held in this run.
    held: usize,
    left: Vec<PlannedStep>,
    streams: Vec<OpenedStream>,
}

/// A stream that the MCP server opened.
#[derive(Clone, Copy, Debug)]
struct OpenedStream {
    opened: SandboxTime,
    ended: Option<SandboxTime>,
}

/// Without a stream, a call is held open this long.
const NO_STREAM: Duration = Duration::from_secs(3);
/// After the end of a stream, a client has this long to open another.
const REOPENED: Duration = Duration::from_secs(6);
/// After that, it has this long to receive the next event.
const HEARD: Duration = Duration::from_millis(700);
/// The longest a call waits for an open stream.
const LONGEST: Duration = Duration::from_mins(1);

impl BuiltInRun {
    pub(crate) fn new(scenario: BuiltIn, revision: Revision) -> Self {
        let plan = scenario.plan();
        Self {
            scenario,
            left: plan.strikes.clone(),
            plan,
            revision,
            evidence: Evidence::default(),
            before: RequestBefore::default(),
            run: 0,
            held: 0,
            streams: Vec::new(),
        }
    }

    /// Begins, with nothing seen yet.
    pub(crate) fn restart(&mut self, state: &mut SandboxState) {
        *self = Self::new(self.scenario, self.revision);
        state.overrides = Some(Overrides {
            scenario: self.scenario.name(),
            revision: self.revision,
            deny_sign_ins: false,
            offers_stream: self.plan.streams,
            streams_opened: 0,
            long_answer: self.plan.long_answer,
            tool_takes: self.plan.tool_takes,
        });
    }

    /// The checks so far. `ends` is how the client's processes ended, if known.
    pub(crate) fn checks(&self, state: &SandboxState, ends: &[ClientEnd]) -> Vec<ScenarioCheck> {
        let case = JudgedRun {
            evidence: &self.evidence,
            ends,
            calls: self.plan.errand.calls,
            revision: self.revision,
            resource: format!("{}/mcp", state.base),
            now: state.now(),
        };
        judge::judged(self.scenario.judge(), &case)
    }

    fn see(&mut self, at: SandboxTime, what: Observed) {
        let run = self.run;
        self.evidence.add(EvidenceEntry { at, run, what });
    }

    /// The client is started once more.
    pub(crate) fn next_run(&mut self) {
        self.run += 1;
        self.held = 0;
    }

    /// How long the reply to this method waits, if the access token that was presented lives for `left`.
    fn hold(&mut self, method: &str, left: Duration) -> Duration {
        let longer = match self.plan.hold {
            HeldReply::First(count) if self.held < count => Duration::ZERO,
            HeldReply::Answer(held) if held == method && self.held == 0 => Duration::ZERO,
            HeldReply::Staggered if method == "tools/list" && self.run > 0 => {
                STAGGER * u32::try_from(self.held).unwrap_or_default()
            }
            _ => return Duration::ZERO,
        };
        self.held += 1;
        left + AFTER_THE_END + longer
    }

    /// A stream was opened.
    fn stream_opens(&mut self, now: SandboxTime) {
        self.streams.push(OpenedStream {
            opened: now,
            ended: None,
        });
    }

    fn stream_ends(&mut self, number: usize, now: SandboxTime) {
        let stream = number
            .checked_sub(1)
            .and_then(|index| self.streams.get_mut(index));
        if let Some(stream) = stream {
            stream.ended.get_or_insert(now);
        }
    }

    /// Whether a call that began at `since` is still held open, so that its client is there when the stream ends and is
    /// opened again.
    pub(crate) fn keeps_call(&self, since: SandboxTime, now: SandboxTime) -> bool {
        let waited = |from: SandboxTime, limit: Duration| now.since(from) < limit;
        match self.streams.as_slice() {
            [] => waited(since, NO_STREAM),
            [one] => match one.ended {
                None => waited(since, LONGEST),
                Some(ended) => waited(ended, REOPENED),
            },
            [_, again, ..] => waited(again.opened, HEARD),
        }
    }

    /// How long ago the last request came; none before the client called the tool.
    pub(crate) fn quiet_for(&self, now: SandboxTime) -> Option<Duration> {
        self.evidence.mcp().find(|mcp| mcp.is("tools/call"))?;
        let last = self.evidence.all().last()?;
        Some(now.since(last.at))
    }

    /// The body of a watched reply ended; `whole` if all of it was taken.
    pub(crate) fn body_ended(&mut self, watch: WatchedBody, whole: bool, now: SandboxTime) {
        match watch {
            WatchedBody::Stream(number) => self.stream_ends(number, now),
            WatchedBody::Answer => self.see(now, Observed::AnswerEnded { whole }),
        }
    }

    /// A request is about to be served.
    pub(crate) fn before(
        &mut self,
        state: &SandboxState,
        request: &HttpRequest,
        arrival: &Arrival,
    ) {
        self.before = RequestBefore::of(state, &self.evidence, request, arrival);
    }

    /// It was served: its reply is held back if planned, and what happened is kept as evidence.
    pub(crate) fn after(
        &mut self,
        state: &mut SandboxState,
        request: &HttpRequest,
        arrival: &Arrival,
        reply: &mut HttpReply,
    ) {
        let before = std::mem::take(&mut self.before);
        let served = message(request);
        let now = state.now();
        if arrival.endpoint == Endpoint::Mcp {
            self.hold_back(served.as_ref(), before.ends, now, reply);
        }
        for what in before.seen(state, request, arrival, reply) {
            if matches!(what, Observed::StreamOpened { .. }) {
                self.stream_opens(now);
            }
            self.see(now, what);
        }
        let method = served
            .as_ref()
            .and_then(|message| message["method"].as_str());
        self.strike(state, method.filter(|_| reply.status == 200));
    }

    /// A fault answered in place of a handler.
    pub(crate) fn not_served(
        &mut self,
        state: &mut SandboxState,
        request: &HttpRequest,
        arrival: &Arrival,
    ) {
        if arrival.endpoint != Endpoint::Refresh {
            return;
        }
        let sent = refresh_sent(state, &self.evidence, request);
        self.see(state.now(), Observed::Refresh(sent));
        self.strike(state, None);
    }

    /// Holds the reply back until the access token that was presented has ended, if the plan says so.
    fn hold_back(
        &mut self,
        message: Option<&Value>,
        ends: Option<SandboxTime>,
        now: SandboxTime,
        reply: &mut HttpReply,
    ) {
        let message = message.filter(|message| !message["id"].is_null() && reply.status == 200);
        let method = message.and_then(|message| message["method"].as_str());
        let (Some(method), Some(ends)) = (method, ends) else {
            return;
        };
        if reply.staged.is_none() {
            reply.delay += self.hold(method, ends.since(now));
        }
    }

    /// Performs the planned steps that are due, each once. `served` is the method that was just served.
    fn strike(&mut self, state: &mut SandboxState, served: Option<&str>) {
        let (now, faults) = (state.now(), state.counters.faults_struck);
        for strike in self.strikes(served, faults) {
            self.carry_out(state, strike, now);
        }
    }

    fn strikes(&mut self, served: Option<&str>, faults: u64) -> Vec<PlannedStep> {
        let is_now = |strike: &PlannedStep| match strike.when {
            Trigger::Served(method) => served == Some(method),
            Trigger::Struck(count) => faults >= count,
        };
        let (now, later) = self.left.drain(..).partition(is_now);
        self.left = later;
        now
    }

    fn carry_out(&mut self, state: &mut SandboxState, strike: PlannedStep, now: SandboxTime) {
        if let Some(overrides) = &mut state.overrides {
            overrides.deny_sign_ins |= strike.person_gone;
        }
        self.see(now, Observed::Struck);
        for words in strike.words {
            let done = words.parse().and_then(|action: Action| state.act(action));
            if let Err(error) = done {
                state.say(Mood::Bad, format!("scenario: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(hold: HeldReply) -> BuiltInRun {
        let scenario = BuiltIn::all()[0];
        let mut run = BuiltInRun::new(scenario, Revision::Handshake);
        run.plan = ScenarioPlan {
            hold,
            ..ScenarioPlan::default()
        };
        run
    }

    #[test]
    fn an_answer_waits_until_after_the_tokens_end() {
        let left = Duration::from_secs(2);
        let mut first = holding(HeldReply::First(2));
        assert!(first.hold("initialize", left) > left);
        assert!(first.hold("tools/list", left) > left);
        assert_eq!(first.hold("tools/call", left), Duration::ZERO);
        let mut one = holding(HeldReply::Answer("tools/list"));
        assert_eq!(one.hold("initialize", left), Duration::ZERO);
        assert!(one.hold("tools/list", left) > left);
        assert_eq!(one.hold("tools/list", left), Duration::ZERO);
    }

    #[test]
    fn of_two_clients_the_second_waits_longer() {
        let mut run = holding(HeldReply::Staggered);
        assert_eq!(run.hold("tools/list", Duration::ZERO), Duration::ZERO);
        run.next_run();
        let first = run.hold("tools/list", Duration::ZERO);
        assert!(run.hold("tools/list", Duration::ZERO) > first + Duration::from_secs(1));
    }

    #[test]
    fn a_call_is_kept_until_the_stream_is_there_again() {
        let mut run = holding(HeldReply::Nothing);
        let at = |seconds| SandboxTime::default().plus(Duration::from_secs(seconds));
        assert!(run.keeps_call(at(0), at(2)) && !run.keeps_call(at(0), at(3)));
        run.stream_opens(at(2));
        assert!(run.keeps_call(at(0), at(9)));
        run.stream_ends(1, at(10));
        assert!(run.keeps_call(at(0), at(15)) && !run.keeps_call(at(0), at(16)));
        run.stream_opens(at(12));
        assert!(run.keeps_call(at(0), at(12)) && !run.keeps_call(at(0), at(13)));
    }
}
