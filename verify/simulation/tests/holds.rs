//! The quick run: what must hold does, every fault strikes at every step, and a seed tells the same story twice.

use simulation::{
    campaign::{self, Campaign},
    fault::Fault,
    schedule::{self, RunSettings},
};

/// As many as a run of all tests has time for; `CONTRIBUTING.md` says how to run more.
const QUICK: u64 = 1_200;

#[test]
fn what_must_hold_does_and_every_fault_strikes_at_every_step() {
    let campaign = Campaign::of(QUICK);
    let found = campaign::run(&campaign);
    assert!(found.broken.is_empty(), "{}", found.report(&campaign, 0.0));
    let missing = found.coverage.missing();
    assert!(
        missing.is_empty(),
        "never struck: {missing:?}\n{}",
        found.coverage.table()
    );
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in [3, 77, 400] {
        let told = || {
            let mut settings = RunSettings::of(seed);
            settings.trace = true;
            schedule::run(&settings)
        };
        let (one, two) = (told(), told());
        assert!(one.trace.len() > 10);
        assert_eq!(one.trace, two.trace);
        let mut settings = RunSettings::of(seed);
        settings.trace = false;
        assert_eq!(
            schedule::run(&settings).steps,
            one.steps,
            "listening changes nothing"
        );
    }
}

#[test]
fn every_fault_has_a_word_of_its_own() {
    for fault in Fault::ALL {
        assert_eq!(Fault::parse(fault.word()), Some(fault));
    }
}
