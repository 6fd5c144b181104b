//! Which fault struck at which step, counted.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::fault::{Checkpoint, Fault};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    struck: BTreeMap<(Fault, Checkpoint), u64>,
    passed: BTreeMap<Checkpoint, u64>,
    ends: BTreeMap<String, u64>,
}

impl Coverage {
    pub fn struck(&mut self, fault: Fault, step: Checkpoint) {
        *self.struck.entry((fault, step)).or_default() += 1;
    }

    pub fn passed(&mut self, step: Checkpoint) {
        *self.passed.entry(step).or_default() += 1;
    }

    /// How a caller's question, or a schedule, ended.
    pub fn ended(&mut self, how: &str) {
        if let Some(count) = self.ends.get_mut(how) {
            *count += 1;
        } else {
            self.ends.insert(how.to_owned(), 1);
        }
    }

    /// How often something ended like this.
    pub fn ends(&self, how: &str) -> u64 {
        self.ends.get(how).copied().unwrap_or_default()
    }

    pub fn count(&self, fault: Fault, step: Checkpoint) -> u64 {
        self.struck.get(&(fault, step)).copied().unwrap_or_default()
    }

    pub fn add(&mut self, other: Self) {
        for (cell, count) in other.struck {
            *self.struck.entry(cell).or_default() += count;
        }
        for (step, count) in other.passed {
            *self.passed.entry(step).or_default() += count;
        }
        for (how, count) in other.ends {
            *self.ends.entry(how).or_default() += count;
        }
    }

    /// The cells that can be struck and were not.
    pub fn missing(&self) -> Vec<(Fault, Checkpoint)> {
        let cells = Fault::ALL
            .into_iter()
            .flat_map(|fault| fault.steps().iter().map(move |step| (fault, *step)));
        cells
            .filter(|(fault, step)| self.count(*fault, *step) == 0)
            .collect()
    }

    /// The table: a fault a line, a step a column.
    pub fn table(&self) -> String {
        let mut out = format!("{:<20}", "");
        for step in Checkpoint::ALL {
            let _ = write!(out, "{:>11}", step.word());
        }
        let _ = write!(out, "\n{:<20}", "(passed)");
        for step in Checkpoint::ALL {
            let count = self.passed.get(&step).copied().unwrap_or_default();
            let _ = write!(out, "{count:>11}");
        }
        for fault in Fault::ALL {
            let _ = write!(out, "\n{:<20}", fault.word());
            for step in Checkpoint::ALL {
                let cell = if fault.steps().contains(&step) {
                    self.count(fault, step).to_string()
                } else {
                    "-".to_owned()
                };
                let _ = write!(out, "{cell:>11}");
            }
        }
        out.push_str("\n\nends:\n");
        for (how, count) in &self.ends {
            let _ = writeln!(out, "{count:>12}  {how}");
        }
        out
    }
}
