//! What happens when in a built-in scenario, as data.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{overrides::TEST_TOOL, profile::Profile};

/// What the sandbox does.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScenarioPlan {
    pub(crate) profile: Profile,
    /// Faults in force from the start.
    pub(crate) faults: &'static [&'static str],
    pub(crate) hold: HeldReply,
    pub(crate) strikes: Vec<PlannedStep>,
    /// The tool's answer is an event stream that goes on past the end of its token.
    pub(crate) long_answer: bool,
    /// A stream on which the server speaks unasked, which ends with its token.
    pub(crate) streams: bool,
    /// How long the tool takes.
    pub(crate) tool_takes: Duration,
    pub(crate) errand: ClientTask,
}

/// Which answers wait until the access token that was shown has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HeldReply {
    #[default]
    Nothing,
    /// The first so many of a run.
    First(usize),
    /// The answer to this method, once a run.
    Answer(&'static str),
    /// That to `tools/list`, and of each client later than that of the one before; not in the first run.
    Staggered,
}

/// Something that is done once, at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedStep {
    pub(crate) when: Trigger,
    /// As a scenario file has them.
    pub(crate) words: &'static [&'static str],
    /// From then on nobody signs in: the person says no.
    pub(crate) person_gone: bool,
}

/// When that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A request of this method was served; its answer is on its way.
    Served(&'static str),
    /// So many faults have struck.
    Struck(u64),
}

/// What the client is asked to do, in words that a driver of the suite can ignore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientTask {
    /// How many calls of the tool.
    pub(crate) calls: usize,
    pub(crate) manner: CallOrder,
    /// A stream is to be held open on which the server speaks unasked.
    pub(crate) listen: bool,
    /// The session is to be ended.
    pub(crate) end_session: bool,
}

/// How the calls are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallOrder {
    /// One after the other.
    #[default]
    InTurn,
    AtOnce,
    /// A call that fails is made again after a pause, until one is answered.
    UntilOneSucceeds,
}

impl Default for ClientTask {
    fn default() -> Self {
        Self {
            calls: 1,
            manner: CallOrder::default(),
            listen: false,
            end_session: false,
        }
    }
}

/// Between two calls, if one failed.
const PAUSE_SECONDS: u64 = 2;

impl ClientTask {
    pub(crate) fn context(self) -> Value {
        let call = json!({"name": TEST_TOOL, "arguments": {}});
        let mut context = json!({"toolCalls": vec![call; self.calls]});
        let wishes = [
            ("atOnce", self.manner == CallOrder::AtOnce),
            (
                "untilOneSucceeds",
                self.manner == CallOrder::UntilOneSucceeds,
            ),
            ("listen", self.listen),
            ("endSession", self.end_session),
        ];
        for (name, _) in wishes.into_iter().filter(|(_, wished)| *wished) {
            context[name] = true.into();
        }
        if self.manner == CallOrder::UntilOneSucceeds {
            context["pauseSeconds"] = PAUSE_SECONDS.into();
        }
        context
    }
}
