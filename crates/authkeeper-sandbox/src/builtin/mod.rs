//! Built-in scenarios: how a client's refresh is put to the test, and the verdict.
//!
//! The official MCP conformance suite issues no refresh token. These scenarios take its shape, a client that is given the
//! server's URL and `MCP_CONFORMANCE_…` variables, and bring about what it leaves out: tokens that end at the wrong moment,
//! rotation, revocation, a token endpoint that is down. The client need not play along: where a token has to end between two
//! requests, the answer to the first one is held back until it has.
//!
//! ```text
//! list ─▶ plan (what happens when) ─▶ stage (it happens) ─▶ evidence (what was seen) ─▶ judge ─▶ check
//! ```
//!
//! The judge knows what reached the sandbox and how the client's process ended, never what a client says of itself.

mod check;
mod evidence;
mod judge;
mod list;
mod plan;
mod stage;
mod witness;

use std::{fmt, str::FromStr, time::Duration};

use serde_json::{Value, json};

use self::judge::Case;
pub use self::{
    check::{Check, SpecReference, Status, Verdict},
    judge::ClientEnd,
};
pub(crate) use self::{
    evidence::{Token, What},
    plan::{Plan, TOOL},
    stage::Stage,
};
use crate::{
    fault::Fault,
    settings::{Rules, Settings},
    world::World,
};

/// A revision of the MCP specification, one of each era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// 2025-11-25: a handshake, sessions, a standing stream.
    #[default]
    Handshake,
    /// 2026-07-28: every request stands for itself.
    Stateless,
}

impl Revision {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Handshake, Self::Stateless];

    /// Its date.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "2025-11-25",
            Self::Stateless => "2026-07-28",
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No revision has this date.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no revision that is served; there are 2025-11-25 and 2026-07-28")]
pub struct UnknownRevision(String);

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        let mut all = Self::ALL.into_iter();
        all.find(|revision| revision.as_str() == text)
            .ok_or_else(|| UnknownRevision(text.to_owned()))
    }
}

/// How often, and how many at once, the client is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runs {
    /// Once.
    #[default]
    Once,
    /// Once more after the access token has ended.
    Again,
    /// Once, and then two at once.
    ThenTwo,
    /// Once, and two at once after the access token has ended.
    TwoAgain,
}

impl Runs {
    /// How many clients are started at once, one number for each time.
    pub fn at_once(self) -> &'static [usize] {
        match self {
            Self::Once => &[1],
            Self::Again => &[1, 1],
            Self::ThenTwo | Self::TwoAgain => &[1, 2],
        }
    }

    /// Whether the access token has to end before the client is started again.
    pub fn waits(self) -> bool {
        matches!(self, Self::Again | Self::TwoAgain)
    }
}

/// A built-in scenario.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    name: &'static str,
    does: &'static str,
    wants: &'static str,
    /// Where it makes sense in one revision only.
    only: Option<Revision>,
    runs: Runs,
    plan: fn() -> Plan,
    judge: fn(&Case<'_>) -> Vec<Check>,
}

/// How long access tokens live in a built-in scenario unless something else is said: long enough for a client to start.
const TTL: Duration = Duration::from_secs(4);

impl BuiltIn {
    /// All of them, in the order of the documentation.
    pub fn all() -> &'static [Self] {
        &list::ALL
    }

    /// The one of this name, which may be written as the suite writes its own: `auth/NAME`.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("auth/").unwrap_or(name);
        let found = list::ALL.iter().find(|one| one.name == name);
        found.copied()
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the sandbox does.
    pub fn does(&self) -> &'static str {
        self.does
    }

    /// What it wants of the client.
    pub fn wants(&self) -> &'static str {
        self.wants
    }

    /// Whether it makes sense in this revision.
    pub fn is_of(&self, revision: Revision) -> bool {
        self.only.is_none_or(|only| only == revision)
    }

    /// How often the client is started.
    pub fn runs(&self) -> Runs {
        self.runs
    }

    /// The name as a client is told it (`MCP_CONFORMANCE_SCENARIO`): drivers written for the suite know by `auth/` that there is
    /// a sign-in.
    pub fn suite_name(&self) -> String {
        format!("auth/{}", self.name)
    }

    /// What a client is told beside it (`MCP_CONFORMANCE_CONTEXT`).
    pub fn context(&self) -> Value {
        let mut context = (self.plan)().errand.context();
        context["name"] = self.suite_name().into();
        context
    }

    /// How a sandbox is started for it.
    pub fn settings(&self, revision: Revision, port: u16, ttl: Option<Duration>) -> Settings {
        let plan = (self.plan)();
        let faults = plan.faults.iter().filter_map(|fault| fault.parse().ok());
        Settings {
            port,
            rules: Rules {
                profile: plan.profile,
                ttl: ttl.unwrap_or(TTL),
                auto_approve: true,
                ..Rules::default()
            },
            faults: faults.collect::<Vec<Fault>>(),
            builtin: Some((*self, revision)),
            ..Settings::default()
        }
    }

    pub(crate) fn stage(&self, revision: Revision) -> Stage {
        Stage::new(*self, (self.plan)(), revision)
    }
}

/// The verdict so far; nothing without a built-in scenario.
pub(crate) fn checks(world: &World, ends: &[ClientEnd]) -> Vec<Check> {
    let Some(stage) = &world.stage else {
        return Vec::new();
    };
    let case = Case {
        evidence: &stage.evidence,
        ends,
        errand: stage.plan.errand,
        revision: stage.revision,
        resource: format!("{}/mcp", world.base),
        now: world.now(),
    };
    judge::judged(stage.scenario.judge, &case)
}

/// What a reader may know of the scenario that plays.
pub(crate) fn view(world: &World) -> Value {
    world.stage.as_ref().map_or(
        Value::Null,
        |stage| json!({"scenario": stage.scenario.name, "revision": stage.revision.as_str()}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_name_and_can_be_played() {
        for one in BuiltIn::all() {
            let suite = one.suite_name();
            assert_eq!(BuiltIn::named(&suite).map(|one| one.name), Some(one.name));
            let plan = (one.plan)();
            for fault in plan.faults {
                assert!(fault.parse::<Fault>().is_ok(), "{}: {fault}", one.name);
            }
            for strike in &plan.strikes {
                for words in strike.words {
                    let action = words.parse::<crate::action::Action>();
                    assert!(action.is_ok(), "{}: {words}", one.name);
                }
            }
            assert!(one.context()["toolCalls"].is_array(), "{}", one.name);
        }
        assert!(BuiltIn::named("night.toml").is_none());
    }
}
