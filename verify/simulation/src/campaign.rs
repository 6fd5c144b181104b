//! Many schedules, one seed after the other, and what came of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    coverage::Coverage,
    fault::Fault,
    schedule::{self, Controls, RunSettings},
};

/// No more failing seeds than this are kept of a kind.
const MOST_SEEDS: usize = 5;

/// Which schedules.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub first: u64,
    pub schedules: u64,
    pub faults: Vec<Fault>,
    pub controls: Controls,
    pub jobs: usize,
    /// Stop as soon as something broke.
    pub until_broken: bool,
}

impl Campaign {
    pub fn of(schedules: u64) -> Self {
        Self {
            first: 0,
            schedules,
            faults: Fault::ALL.to_vec(),
            controls: Controls::default(),
            jobs: 1,
            until_broken: false,
        }
    }

    fn settings(&self, seed: u64) -> RunSettings {
        RunSettings {
            seed,
            faults: self.faults.clone(),
            controls: self.controls,
            trace: false,
        }
    }
}

#[derive(Debug, Default)]
pub struct Findings {
    pub schedules: u64,
    pub steps: u64,
    pub coverage: Coverage,
    /// What broke, how often, and the first seeds of it.
    pub broken: BTreeMap<&'static str, (u64, Vec<u64>)>,
}

impl Findings {
    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.coverage.add(other.coverage);
        for (word, (count, seeds)) in other.broken {
            let known = self.broken.entry(word).or_default();
            known.0 += count;
            known.1.extend(seeds);
            known.1.sort_unstable();
            known.1.truncate(MOST_SEEDS);
        }
    }

    /// For a person: the table, and how each thing that broke can be seen again.
    pub fn report(&self, campaign: &Campaign, seconds: f64) -> String {
        let mut out = self.coverage.table();
        let rate = as_float(self.schedules) / seconds.max(0.001);
        let _ = writeln!(
            out,
            "\n{} schedules, {} steps, {seconds:.1} s, {rate:.0} schedules a second",
            self.schedules, self.steps
        );
        for (word, (count, seeds)) in &self.broken {
            let _ = writeln!(out, "\nBROKEN {count} times: {word}; seeds {seeds:?}");
        }
        let first = self.broken.values().flat_map(|(_, seeds)| seeds).min();
        if let Some(seed) = first {
            let _ = write!(out, "\n{}", story(campaign, *seed));
        }
        out
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
fn as_float(count: u64) -> f64 {
    count as f64
}

/// A schedule told step by step, and the command that tells it again.
pub fn story(campaign: &Campaign, seed: u64) -> String {
    let mut settings = campaign.settings(seed);
    settings.trace = true;
    let outcome = schedule::run(&settings);
    let mut command = format!("cargo run --release -p simulation -- --trace --seed {seed}");
    if campaign.faults != Fault::ALL {
        let words: Vec<&str> = campaign.faults.iter().map(|fault| fault.word()).collect();
        let _ = write!(command, " --faults {}", words.join(","));
    }
    format!("seed {seed}: {command}\n{}\n", outcome.trace.join("\n"))
}

/// Runs them all, in as many threads as asked for.
pub fn run(campaign: &Campaign) -> Findings {
    let next = AtomicU64::new(0);
    let mut found = Findings::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..campaign.jobs.max(1))
            .map(|_| scope.spawn(|| work(campaign, &next)))
            .collect();
        for worker in workers {
            found.add(worker.join().unwrap_or_default());
        }
    });
    found
}

fn work(campaign: &Campaign, next: &AtomicU64) -> Findings {
    let mut found = Findings::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= campaign.schedules {
            return found;
        }
        let seed = campaign.first + number;
        let outcome = schedule::run(&campaign.settings(seed));
        found.schedules += 1;
        found.steps += outcome.steps;
        found.coverage.add(outcome.coverage);
        if let Some(broken) = outcome.broken {
            let known = found.broken.entry(broken.word()).or_default();
            known.0 += 1;
            if known.1.len() < MOST_SEEDS {
                known.1.push(seed);
            }
            if campaign.until_broken {
                next.store(campaign.schedules, Ordering::Relaxed);
            }
        }
    }
}
