//! The plan of a built-in scenario, as data.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{overrides::TEST_TOOL, profile::Profile};

/// What the sandbox does in a scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScenarioPlan {
    pub(crate) profile: Profile,
    /// Faults that apply from the start.
    pub(crate) faults: &'static [&'static str],
    pub(crate) hold: HeldReply,
    pub(crate) strikes: Vec<PlannedStep>,
    /// The test tool answers with an event stream that outlives the access token.
    pub(crate) long_answer: bool,
    /// The server offers a stream of its own, which ends with its access token.
    pub(crate) streams: bool,
    /// How long the tool takes.
    pub(crate) tool_takes: Duration,
    pub(crate) errand: ClientTask,
}

/// Which replies wait until the access token that was presented has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HeldReply {
    #[default]
    Nothing,
    /// The first replies of a run.
    First(usize),
    /// The reply to this method, once a run.
    Answer(&'static str),
    /// The replies to `tools/list`, each later than the one before. Not in the first run.
    Staggered,
}

/// Actions that are performed once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedStep {
    pub(crate) when: Trigger,
    /// The actions in their text form.
    pub(crate) words: &'static [&'static str],
    /// From then on the person denies every sign-in.
    pub(crate) person_gone: bool,
}

/// When a step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A request of this method was served.
    Served(&'static str),
    /// This many faults have struck.
    Struck(u64),
}

/// What the client is asked to do. A driver that was written for the suite can ignore it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientTask {
    /// How many calls of the test tool.
    pub(crate) calls: usize,
    pub(crate) manner: CallOrder,
    /// The client holds the server's own stream open.
    pub(crate) listen: bool,
    /// The client ends its session.
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

/// The pause between two calls, if one failed.
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
