//! What came of a trial.

use std::collections::BTreeMap;
use std::fmt;

use super::step::Step;

/// Where a grant stands: which sign-in, which generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which sign-in.
    pub lineage: u64,
    /// Which generation.
    pub generation: u64,
}

/// A grant that needed a person.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Where the store stood.
    pub place: Place,
    /// What was said.
    pub reason: String,
    /// Whether an answer was lost at this very place, and the provider answers no replay: nothing could have saved it.
    pub unavoidable: bool,
}

/// What came of a trial.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed that repeats it.
    pub seed: u64,
    /// How often each fault struck at each step.
    pub coverage: BTreeMap<(&'static str, Step), u64>,
    /// The grants that were lost.
    pub losses: Vec<Loss>,
    /// Faults that left an answer nowhere.
    pub answers_lost: u64,
    /// Grants whose resend nobody waited for.
    pub given_up: u64,
    /// Answers that lost a race and took over.
    pub taken_over: u64,
    /// Spent tokens that came to the provider.
    pub replays: u64,
    /// Refreshes that the provider answered.
    pub refreshes: u64,
    /// Tokens that were printed.
    pub tokens: u64,
    /// What happened when, as the harness and the sandbox saw it.
    pub trace: Vec<(f64, String)>,
    /// Whether the connection was refreshed again after the faults had stopped.
    pub settled: bool,
}

impl Report {
    /// The grants that need not have been lost.
    pub fn avoidable(&self) -> usize {
        self.losses.iter().filter(|loss| !loss.unavoidable).count()
    }

    /// How many faults struck.
    pub fn strikes(&self) -> u64 {
        self.coverage.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} refreshes, {} tokens printed, {} answers lost, {} taken over, {} replays, {} losses ({} avoidable), {} given up, settled: {}",
            self.seed,
            self.refreshes,
            self.tokens,
            self.answers_lost,
            self.taken_over,
            self.replays,
            self.losses.len(),
            self.avoidable(),
            self.given_up,
            self.settled,
        )?;
        for ((fault, step), count) in &self.coverage {
            writeln!(f, "  {fault:<16} × {step:<10} {count}")?;
        }
        for loss in &self.losses {
            writeln!(f, "  lost: {loss:?}")?;
        }
        Ok(())
    }
}

impl Report {
    /// The whole story, for a trial that failed.
    pub fn story(&self) -> String {
        let began = self.trace.first().map_or(0.0, |(at, _)| *at);
        let line = |(at, what): &(f64, String)| format!("{:8.3} {what}\n", at - began);
        let lines: String = self.trace.iter().map(line).collect();
        format!("{self}{lines}")
    }
}
