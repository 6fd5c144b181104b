//! A built-in scenario: its name, its plan and its judge.

use std::time::Duration;

use serde_json::Value;

use super::plan::ScenarioPlan;
use crate::{
    fault::Fault,
    revision::Revision,
    scenarios::judge::{JudgedRun, ScenarioCheck},
    settings::{Rules, SandboxSettings},
};

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
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    pub(super) wants: &'static str,
    /// Set where it makes sense in one revision only.
    pub(super) only: Option<Revision>,
    pub(super) runs: Runs,
    pub(super) plan: fn() -> ScenarioPlan,
    pub(super) judge: fn(&JudgedRun<'_>) -> Vec<ScenarioCheck>,
}

/// The default lifetime of access tokens in a built-in scenario: long enough for a client to start.
const TTL: Duration = Duration::from_secs(4);

impl BuiltIn {
    pub(super) fn plan(&self) -> ScenarioPlan {
        (self.plan)()
    }

    pub(super) fn judge(&self) -> fn(&JudgedRun<'_>) -> Vec<ScenarioCheck> {
        self.judge
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the sandbox does.
    pub fn does(&self) -> &'static str {
        self.does
    }

    /// What it expects of the client.
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

    /// The name for a client (`MCP_CONFORMANCE_SCENARIO`). Drivers that were written for the suite take the prefix `auth/`
    /// for a sign-in.
    pub fn suite_name(&self) -> String {
        format!("auth/{}", self.name)
    }

    /// The task for a client (`MCP_CONFORMANCE_CONTEXT`).
    pub fn context(&self) -> Value {
        let mut context = (self.plan)().errand.context();
        context["name"] = self.suite_name().into();
        context
    }

    /// The settings of a sandbox for it.
    pub fn settings(&self, port: u16, ttl: Option<Duration>) -> SandboxSettings {
        let plan = (self.plan)();
        let faults = plan.faults.iter().filter_map(|fault| fault.parse().ok());
        SandboxSettings {
            port,
            rules: Rules {
                profile: plan.profile,
                ttl: ttl.unwrap_or(TTL),
                auto_approve: true,
                ..Rules::default()
            },
            faults: faults.collect::<Vec<Fault>>(),
            ..SandboxSettings::default()
        }
    }
}
