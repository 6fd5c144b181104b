//! What came of it.

use std::fmt;

use authkeeper_sandbox::Counters;

use super::Plan;
use super::client::Failed;
use super::memory::{Growth, Memory};
use super::truth::Truth;

/// What came of a soak.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    calls: u64,
    struck: u64,
    excused: u64,
    /// What failed though somebody could have succeeded: the answers.
    pub avoidable: Vec<String>,
    /// Each bridge's size.
    pub growth: Vec<Growth>,
    hopeless: f64,
    counters: Counters,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        (calls, struck): (u64, u64),
        (failed, truth): (&[Failed], &Truth),
        memory: &Memory,
        counters: Counters,
    ) -> Self {
        let (excused, avoidable): (Vec<&Failed>, Vec<&Failed>) =
            failed.iter().partition(|call| truth.excuses(call));
        let told = |call: &&Failed| {
            let (from, took) = (call.from, call.to - call.from);
            format!("at {from:.3}, {took:.3} s: {}", call.answer)
        };
        Self {
            plan,
            calls,
            struck,
            excused: excused.len() as u64,
            avoidable: avoidable.iter().map(told).collect(),
            growth: memory.growth(),
            hopeless: truth.hopeless(),
            counters,
        }
    }

    /// Whether nothing failed that need not have, nothing grew, and there was something to see.
    pub fn holds(&self) -> bool {
        let flat = self.growth.iter().all(|growth| growth.is_flat());
        let one_sign_in = self.counters.sign_ins == 1;
        self.avoidable.is_empty() && flat && one_sign_in && self.calls > 0 && self.struck > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, seed) = (self.plan.time.as_secs(), self.plan.seed);
        writeln!(f, "seed {seed}, {time} s, {} faults", self.struck)?;
        let (calls, excused) = (self.calls, self.excused);
        let avoidable = self.avoidable.len();
        writeln!(
            f,
            "{calls} calls: {avoidable} failed; {excused} more in {:.1} s in which nobody could have succeeded",
            self.hopeless
        )?;
        for answer in self.avoidable.iter().take(20) {
            writeln!(f, "  {answer}")?;
        }
        let counters = &self.counters;
        writeln!(
            f,
            "the sandbox counted {} sign-in, {} refreshes, {} sent again, {} expired tokens shown, {} tool calls",
            counters.sign_ins,
            counters.refreshes_accepted,
            counters.refreshes_replayed,
            counters.expired_tokens_presented,
            counters.tool_calls,
        )?;
        for (number, growth) in self.growth.iter().enumerate() {
            let word = if growth.is_flat() { "flat" } else { "GROWS" };
            let Growth { early, late } = growth;
            writeln!(f, "bridge {number}: {early} KiB, later {late} KiB: {word}")?;
        }
        Ok(())
    }
}
