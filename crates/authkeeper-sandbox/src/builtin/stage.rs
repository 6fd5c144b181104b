//! A built-in scenario under way: what is held back, what strikes, which streams are open.

use std::time::Duration;

use super::{
    BuiltIn, Revision,
    evidence::{Evidence, Seen, What},
    plan::{Hold, Plan, Strike, When},
};
use crate::{action::Action, clock::Stamp, tally::Mood, wire::Watch, world::World};

/// So much later than the token's end an answer leaves.
const AFTER_THE_END: Duration = Duration::from_millis(300);
/// Of several clients at once, each waits so much longer than the one before.
const STAGGER: Duration = Duration::from_millis(1_500);

/// The only event with an id on the first stream.
pub(crate) const FIRST_EVENT: &str = "1-0";

/// The state of it.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) scenario: BuiltIn,
    pub(crate) plan: Plan,
    pub(crate) revision: Revision,
    pub(crate) evidence: Evidence,
    /// How many times the client was started, less one.
    pub(crate) run: usize,
    /// Nobody signs in any more.
    pub(crate) person_gone: bool,
    /// Answers held in this run.
    held: usize,
    left: Vec<Strike>,
    streams: Vec<Stream>,
}

/// A stream on which the server speaks unasked.
#[derive(Clone, Copy, Debug)]
struct Stream {
    opened: Stamp,
    ended: Option<Stamp>,
}

/// Without a stream, a call is kept for so long.
const NO_STREAM: Duration = Duration::from_secs(3);
/// After the end of a stream, a client has so long to open another.
const REOPENED: Duration = Duration::from_secs(6);
/// After that, so long to hear what comes on it.
const HEARD: Duration = Duration::from_millis(700);
/// However long a stream lives.
const LONGEST: Duration = Duration::from_mins(1);

impl Stage {
    pub(crate) fn new(scenario: BuiltIn, plan: Plan, revision: Revision) -> Self {
        Self {
            scenario,
            left: plan.strikes.clone(),
            plan,
            revision,
            evidence: Evidence::default(),
            run: 0,
            person_gone: false,
            held: 0,
            streams: Vec::new(),
        }
    }

    pub(crate) fn see(&mut self, at: Stamp, what: What) {
        let run = self.run;
        self.evidence.add(Seen { at, run, what });
    }

    pub(crate) fn next_run(&mut self) {
        self.run += 1;
        self.held = 0;
    }

    /// How long the answer to this method waits, if the token that was shown lives for so long.
    pub(crate) fn hold(&mut self, method: &str, left: Duration) -> Duration {
        let longer = match self.plan.hold {
            Hold::First(count) if self.held < count => Duration::ZERO,
            Hold::Answer(held) if held == method && self.held == 0 => Duration::ZERO,
            Hold::Staggered if method == "tools/list" && self.run > 0 => {
                STAGGER * u32::try_from(self.held).unwrap_or_default()
            }
            _ => return Duration::ZERO,
        };
        self.held += 1;
        left + AFTER_THE_END + longer
    }

    /// What strikes now; each once.
    fn strikes(&mut self, served: Option<&str>, faults: u64) -> Vec<Strike> {
        let is_now = |strike: &Strike| match strike.when {
            When::Served(method) => served == Some(method),
            When::Struck(count) => faults >= count,
        };
        let (now, later) = self.left.drain(..).partition(is_now);
        self.left = later;
        now
    }

    /// A stream begins: which one it is, from 1.
    pub(crate) fn stream_opens(&mut self, now: Stamp) -> usize {
        self.streams.push(Stream {
            opened: now,
            ended: None,
        });
        self.streams.len()
    }

    pub(crate) fn stream_ends(&mut self, number: usize, now: Stamp) {
        let stream = number
            .checked_sub(1)
            .and_then(|index| self.streams.get_mut(index));
        if let Some(stream) = stream {
            stream.ended.get_or_insert(now);
        }
    }

    /// Whether a call that began then is still kept, so that what happens to the stream happens while the client is there.
    pub(crate) fn keeps_call(&self, since: Stamp, now: Stamp) -> bool {
        let waited = |from: Stamp, limit: Duration| now.since(from) < limit;
        match self.streams.as_slice() {
            [] => waited(since, NO_STREAM),
            [one] => match one.ended {
                None => waited(since, LONGEST),
                Some(ended) => waited(ended, REOPENED),
            },
            [_, again, ..] => waited(again.opened, HEARD),
        }
    }
}

impl Stage {
    /// For how long nothing has come since the client called the tool; none if it has not.
    pub(crate) fn quiet_for(&self, now: Stamp) -> Option<Duration> {
        self.evidence.mcp().find(|mcp| mcp.is("tools/call"))?;
        let last = self.evidence.all().last()?;
        Some(now.since(last.at))
    }
}

impl World {
    /// Whether a call that began then is still kept.
    pub(crate) fn keeps_call(&self, since: Stamp) -> bool {
        let stage = self.stage.as_ref();
        stage.is_some_and(|stage| stage.keeps_call(since, self.now()))
    }

    /// The last byte was taken, or nobody is there to take it.
    pub(crate) fn body_ended(&mut self, watch: Watch, whole: bool) {
        let now = self.now();
        let Some(stage) = &mut self.stage else {
            return;
        };
        match watch {
            Watch::Stream(number) => stage.stream_ends(number, now),
            Watch::Answer => stage.see(now, What::AnswerEnded { whole }),
        }
    }

    /// Does what the scenario has planned for this moment.
    pub(crate) fn strike(&mut self, served: Option<&str>) {
        let (now, faults) = (self.now(), self.tally.faults_struck);
        let Some(stage) = &mut self.stage else {
            return;
        };
        for strike in stage.strikes(served, faults) {
            self.carry_out_strike(strike, now);
        }
    }

    fn carry_out_strike(&mut self, strike: Strike, now: Stamp) {
        if let Some(stage) = &mut self.stage {
            stage.person_gone |= strike.person_gone;
            stage.see(now, What::Struck);
        }
        for words in strike.words {
            let done = words.parse().and_then(|action: Action| self.act(action));
            if let Err(error) = done {
                self.say(Mood::Bad, format!("scenario: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(hold: Hold) -> Stage {
        let scenario = BuiltIn::all()[0];
        let plan = Plan {
            hold,
            ..Plan::default()
        };
        Stage::new(scenario, plan, Revision::Handshake)
    }

    #[test]
    fn an_answer_waits_until_after_the_tokens_end() {
        let left = Duration::from_secs(2);
        let mut first = stage(Hold::First(2));
        assert!(first.hold("initialize", left) > left);
        assert!(first.hold("tools/list", left) > left);
        assert_eq!(first.hold("tools/call", left), Duration::ZERO);
        let mut one = stage(Hold::Answer("tools/list"));
        assert_eq!(one.hold("initialize", left), Duration::ZERO);
        assert!(one.hold("tools/list", left) > left);
        assert_eq!(one.hold("tools/list", left), Duration::ZERO);
    }

    #[test]
    fn of_two_clients_the_second_waits_longer() {
        let mut stage = stage(Hold::Staggered);
        assert_eq!(stage.hold("tools/list", Duration::ZERO), Duration::ZERO);
        stage.next_run();
        let first = stage.hold("tools/list", Duration::ZERO);
        assert!(stage.hold("tools/list", Duration::ZERO) > first + Duration::from_secs(1));
    }

    #[test]
    fn a_call_is_kept_until_the_stream_is_there_again() {
        let mut stage = stage(Hold::Nothing);
        let at = |seconds| Stamp::default().plus(Duration::from_secs(seconds));
        assert!(stage.keeps_call(at(0), at(2)) && !stage.keeps_call(at(0), at(3)));
        assert_eq!(stage.stream_opens(at(2)), 1);
        assert!(stage.keeps_call(at(0), at(9)));
        stage.stream_ends(1, at(10));
        assert!(stage.keeps_call(at(0), at(15)) && !stage.keeps_call(at(0), at(16)));
        stage.stream_opens(at(12));
        assert!(stage.keeps_call(at(0), at(12)) && !stage.keeps_call(at(0), at(13)));
    }
}
