//! What a seed stands for: a provider, some processes, who asks when, and what goes wrong.

use std::time::Duration;

use crate::{
    fault::{Armed, Checkpoint, Fault},
    provider::ProviderClass,
    random::Dice,
    world::TokenCall,
};

/// How many faults one schedule has at most.
const MOST_FAULTS: usize = 3;

/// Whose answer is lost, and soon noticed.
const LOSSES: [Fault; 4] = [
    Fault::RequestLostAndReset,
    Fault::ReplyLostAndReset,
    Fault::Error500,
    Fault::Error502,
];

#[derive(Clone, Debug)]
pub struct SchedulePlan {
    pub class: ProviderClass,
    /// Of an access token.
    pub lifetime: Duration,
    pub processes: usize,
    /// Whether each process keeps its connection fresh by itself.
    pub keepers: bool,
    pub calls: Vec<(Duration, TokenCall)>,
    pub faults: Vec<Armed>,
    /// When a copy of the store is taken.
    pub copy: Option<Duration>,
    /// For how long things go wrong.
    pub horizon: Duration,
}

impl SchedulePlan {
    /// What this seed stands for, if these are the faults. The seeds go through all cells of fault and step in turn, each
    /// with a few more faults and everything else by chance.
    pub fn draw(seed: u64, faults: &[Fault]) -> Self {
        let dice = &mut Dice::new(seed);
        let class = dice
            .pick(&ProviderClass::ALL)
            .unwrap_or(ProviderClass::Strict);
        // A process that lost a reply must be there to ask again.
        let keepers = dice.percent(25);
        let lifetime = dice.pick(&[60, 300, 3600]).unwrap_or(300);
        let lifetime = Duration::from_secs(lifetime);
        let horizon = lifetime.min(Duration::from_mins(15)) * 2;
        let faults = draw_faults(seed, dice, faults);
        let put_back = |armed: &Armed| matches!(armed.fault, Fault::PutBack | Fault::PutAllBack);
        let copy = faults.iter().any(put_back);
        Self {
            class,
            lifetime,
            processes: 1 + dice.below(3),
            keepers: keepers || faults.first().copied().is_some_and(after_a_loss),
            calls: draw_calls(dice, horizon),
            copy: copy.then(|| dice.between(Duration::ZERO, horizon / 2)),
            faults,
            horizon,
        }
    }

    pub fn describe(&self) -> String {
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|armed| {
                format!(
                    "{} at {} after {}",
                    armed.fault,
                    armed.at.word(),
                    armed.after
                )
            })
            .collect();
        format!(
            "{:?}, access tokens of {} s, {} processes{}, {} calls; {}",
            self.class,
            self.lifetime.as_secs(),
            self.processes,
            if self.keepers { " with keepers" } else { "" },
            self.calls.len(),
            faults.join(", "),
        )
    }
}

fn after_a_loss(armed: Armed) -> bool {
    matches!(armed.at, Checkpoint::Lost | Checkpoint::TakenOver)
}

fn cells(from: &[Fault]) -> Vec<Armed> {
    let of = |fault: &Fault| {
        let fault = *fault;
        let steps = fault.steps().iter();
        steps.map(move |at| Armed {
            fault,
            at: *at,
            after: 0,
        })
    };
    from.iter().flat_map(of).collect()
}

fn draw_faults(seed: u64, dice: &mut Dice, from: &[Fault]) -> Vec<Armed> {
    let cells = cells(from);
    let turn = usize::try_from(seed).unwrap_or_default() % cells.len().max(1);
    let mut faults: Vec<Armed> = cells.get(turn).copied().into_iter().collect();
    if faults.first().copied().is_some_and(after_a_loss) {
        let losses = from.iter().filter(|fault| LOSSES.contains(fault));
        let losses: Vec<Fault> = losses.copied().collect();
        faults.extend(dice.pick(&losses).map(|fault| Armed {
            fault,
            at: Checkpoint::Marked,
            after: 0,
        }));
    }
    for _ in 0..dice.below(MOST_FAULTS) {
        let Some(fault) = dice.pick(from) else {
            break;
        };
        let Some(at) = dice.pick(fault.steps()) else {
            break;
        };
        let after = if dice.percent(70) {
            0
        } else {
            1 + dice.below(2)
        };
        let after = u8::try_from(after).unwrap_or_default();
        if faults.iter().all(|known| go_together(known.fault, fault)) {
            faults.push(Armed { fault, at, after });
        }
    }
    faults
}

/// What no rule makes safe is not drawn: see 010.
fn go_together(one: Fault, other: Fault) -> bool {
    let both = |a: &[Fault], b: &[Fault]| {
        (a.contains(&one) && b.contains(&other)) || (a.contains(&other) && b.contains(&one))
    };
    // A wall clock that leaps during a reboot shortens a wait that only the wall clock can measure.
    let clocks = [Fault::WallForward, Fault::WallBack];
    // The kept answer is not synced: one lost at a power cut, or that could not be written, is not there for a restore.
    let restores = [Fault::PutBack, Fault::PutAllBack];
    let losses = [Fault::PowerCut, Fault::FileFails];
    // A refresh token that came alone is kept within its generation, which a restored store can't be told to have left.
    let within = [Fault::RefreshAlone];
    !both(&clocks, &[Fault::PowerCut]) && !both(&restores, &losses) && !both(&restores, &within)
}

/// Callers come in bursts: that is when they meet.
fn draw_calls(dice: &mut Dice, horizon: Duration) -> Vec<(Duration, TokenCall)> {
    let mut calls = vec![];
    for _ in 0..2 + dice.below(3) {
        let burst = dice.between(Duration::ZERO, horizon);
        for _ in 0..=dice.below(3) {
            let call = match dice.below(10) {
                0..3 => TokenCall::Plain,
                3..9 => TokenCall::MuchTime,
                _ => TokenCall::Rejected,
            };
            calls.push((burst + dice.millis(0, 400), call));
        }
    }
    calls
}
