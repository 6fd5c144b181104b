//! What is explored: a provider, some processes, and how much may go wrong.

use authkeeper::model::ReplayRule;

use crate::{design::Design, provider::RotationClass, state::ModelState};

/// How often each fault and each of a person's acts may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Steps of the clock.
    pub ticks: u8,
    /// Leaps of more than six hours.
    pub leaps: u8,
    /// Processes killed in the middle of an attempt.
    pub kills: u8,
    /// Requests or replies lost, with the sender alive.
    pub losses: u8,
    /// Answers with tokens and something odd.
    pub odd: u8,
    /// Upgrades, after which such answers can be read.
    pub upgrades: u8,
    /// 401s from the resource.
    pub rejections: u8,
    pub sign_ins: u8,
    pub disconnects: u8,
    pub suspensions: u8,
    /// Outages of the provider.
    pub outages: u8,
    /// Times the account is disabled.
    pub disablings: u8,
    /// The store put back from a copy, its neighbours as they are.
    pub restores: u8,
    /// The store put back with what lay beside it.
    pub rewinds: u8,
    /// Whether it is put back while processes are at work.
    pub busy: bool,
}

/// One exploration.
#[derive(Clone, Copy, Debug)]
pub struct ModelScenario {
    pub name: &'static str,
    pub class: RotationClass,
    pub rule: ReplayRule,
    pub processes: usize,
    pub budget: Budget,
    pub design: Design,
}

impl ModelScenario {
    const fn new(
        name: &'static str,
        class: RotationClass,
        rule: ReplayRule,
        budget: Budget,
    ) -> Self {
        Self {
            name,
            class,
            rule,
            processes: 2,
            budget,
            design: Design::WHOLE,
        }
    }

    /// The same under other rules.
    #[must_use]
    pub fn under(self, design: Design) -> Self {
        Self { design, ..self }
    }

    /// One more of each thing that may go wrong at all.
    #[must_use]
    pub fn deeper(self) -> Self {
        let more = |count: u8| count + u8::from(count > 0);
        let budget = Budget {
            ticks: more(self.budget.ticks),
            kills: more(self.budget.kills),
            losses: more(self.budget.losses),
            rejections: more(self.budget.rejections),
            ..self.budget
        };
        Self { budget, ..self }
    }

    pub fn start(&self) -> ModelState {
        ModelState::start(self.processes, self.budget)
    }
}

const NOTHING: Budget = Budget {
    ticks: 0,
    leaps: 0,
    kills: 0,
    losses: 0,
    odd: 0,
    upgrades: 0,
    rejections: 0,
    sign_ins: 0,
    disconnects: 0,
    suspensions: 0,
    outages: 0,
    disablings: 0,
    restores: 0,
    rewinds: 0,
    busy: false,
};

/// One crash, one loss, and time until the access token has ended.
const CRASHES: Budget = Budget {
    ticks: 3,
    kills: 1,
    losses: 1,
    rejections: 1,
    ..NOTHING
};

/// An answer in an odd shape, that may be read later, and a crash.
const ODD: Budget = Budget {
    ticks: 3,
    kills: 1,
    odd: 1,
    upgrades: 1,
    rejections: 1,
    ..NOTHING
};

/// What may cross a person's act.
const RACES: Budget = Budget {
    ticks: 1,
    kills: 1,
    rejections: 2,
    ..NOTHING
};

/// What may cross a restore.
const RESTORES: Budget = Budget {
    kills: 1,
    rejections: 2,
    ticks: 1,
    restores: 1,
    ..NOTHING
};

/// Everything that is explored.
pub fn all() -> Vec<ModelScenario> {
    let providers = providers().into_iter();
    let all = providers.chain(odd_answers()).chain(people());
    all.chain(stores()).collect()
}

/// What is known not to hold, and why is in 009.
pub fn limits() -> Vec<ModelScenario> {
    let busy = Budget {
        busy: true,
        rejections: 1,
        ..RESTORES
    };
    let name = "restore under way";
    let strict = ReplayRule::Strict;
    vec![ModelScenario::new(
        name,
        RotationClass::Strict,
        strict,
        busy,
    )]
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<ModelScenario> {
    let scenarios = all().into_iter().chain(limits());
    scenarios.into_iter().find(|scenario| scenario.name == name)
}

/// Crashes and losses at each kind of provider.
fn providers() -> Vec<ModelScenario> {
    use RotationClass::{DiesWithAccess, Grace, NoRotation, SingleUse, Strict, TwoGenerations};
    let known =
        |name, class: RotationClass| ModelScenario::new(name, class, class.known_as(), CRASHES);
    let twice = Budget {
        kills: 2,
        losses: 0,
        ticks: 3,
        ..CRASHES
    };
    let three = Budget {
        ticks: 2,
        losses: 0,
        ..CRASHES
    };
    vec![
        known("strict", Strict),
        ModelScenario::new("strict, rule unknown", Strict, ReplayRule::Unknown, CRASHES),
        known("single-use", SingleUse),
        ModelScenario::new(
            "single-use, rule unknown",
            SingleUse,
            ReplayRule::Unknown,
            CRASHES,
        ),
        known("grace", Grace),
        known("two generations", TwoGenerations),
        known("dies with access", DiesWithAccess),
        known("no rotation", NoRotation),
        ModelScenario::new("strict, two crashes", Strict, ReplayRule::Strict, twice),
        ModelScenario {
            processes: 3,
            ..ModelScenario::new("strict, three processes", Strict, ReplayRule::Strict, three)
        },
    ]
}

/// Tokens that come with something odd.
fn odd_answers() -> Vec<ModelScenario> {
    let known = |name, class: RotationClass| ModelScenario::new(name, class, class.known_as(), ODD);
    let unknown = ReplayRule::Unknown;
    vec![
        known("odd answers, strict", RotationClass::Strict),
        ModelScenario::new(
            "odd answers, rule unknown",
            RotationClass::Strict,
            unknown,
            ODD,
        ),
        known("odd answers, grace", RotationClass::Grace),
    ]
}

/// A person, or the provider, acts while a refresh is under way.
fn people() -> Vec<ModelScenario> {
    let strict =
        |name, budget| ModelScenario::new(name, RotationClass::Strict, ReplayRule::Strict, budget);
    let sign_in = Budget {
        sign_ins: 2,
        ..RACES
    };
    let disconnect = Budget {
        disconnects: 1,
        sign_ins: 1,
        ..RACES
    };
    let suspend = Budget {
        suspensions: 1,
        ticks: 3,
        ..RACES
    };
    let outage = Budget {
        outages: 1,
        losses: 1,
        ticks: 2,
        ..RACES
    };
    let disabled = Budget {
        disablings: 1,
        leaps: 2,
        rejections: 1,
        ..RACES
    };
    vec![
        strict("sign-in", sign_in),
        strict("disconnect", disconnect),
        strict("suspend", suspend),
        strict("outage", outage),
        strict("account disabled", disabled),
    ]
}

/// The store goes back in time.
fn stores() -> Vec<ModelScenario> {
    let strict =
        |name, budget| ModelScenario::new(name, RotationClass::Strict, ReplayRule::Strict, budget);
    let sign_in = Budget {
        sign_ins: 2,
        kills: 0,
        ..RESTORES
    };
    let rewind = Budget {
        restores: 0,
        rewinds: 1,
        ..RESTORES
    };
    vec![
        strict("restore", RESTORES),
        strict("restore and sign-in", sign_in),
        strict("restore with neighbours", rewind),
    ]
}
