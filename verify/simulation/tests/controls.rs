//! What is broken on purpose is noticed: each control breaks what the real code stands on.

use simulation::{
    campaign::{self, Campaign},
    fault::Fault,
    schedule::Controls,
};

/// The words for what broke, of this many schedules with these faults.
fn broken(schedules: u64, faults: &[Fault], controls: Controls) -> Vec<&'static str> {
    let found = campaign::run(&Campaign {
        faults: faults.to_vec(),
        controls,
        ..Campaign::of(schedules)
    });
    found.broken.into_keys().collect()
}

fn assert_broken(schedules: u64, faults: &[Fault], controls: Controls, expected: &[&str]) {
    let found = broken(schedules, faults, controls);
    let as_expected = found.iter().any(|word| expected.contains(word));
    assert!(as_expected, "expected one of {expected:?}, found {found:?}");
}

#[test]
fn journals_that_are_lost_lose_tokens() {
    let controls = Controls {
        journals_are_lost: true,
        ..Controls::default()
    };
    assert_broken(
        60,
        &[Fault::Kill],
        controls,
        &["unreachable", "lost for nothing"],
    );
}

#[test]
fn a_sync_that_lies_loses_tokens() {
    let controls = Controls {
        sync_lies: true,
        ..Controls::default()
    };
    assert_broken(60, &[Fault::PowerCut], controls, &["unreachable"]);
}

#[test]
fn without_a_quiet_period_a_queued_request_is_sent_again() {
    let controls = Controls {
        no_quiet_period: true,
        ..Controls::default()
    };
    assert_broken(100, &[Fault::Kill], controls, &["sent before settled"]);
}

#[test]
fn tokens_that_are_overlooked_are_sent_for_again() {
    let controls = Controls {
        tokens_are_overlooked: true,
        ..Controls::default()
    };
    let expected = ["sent before settled", "held family killed"];
    assert_broken(60, &[Fault::OddTokens], controls, &expected);
    let expected = ["answered token sent"];
    assert_broken(60, &[Fault::UnreadTokens], controls, &expected);
}

#[test]
fn two_stores_spend_one_token_twice() {
    let controls = Controls {
        two_stores: true,
        ..Controls::default()
    };
    let expected = [
        "sent before settled",
        "held family killed",
        "spent token sent",
    ];
    assert_broken(60, &[Fault::DropCallers], controls, &expected);
}

#[test]
fn locks_that_do_not_hold_let_a_living_sender_be_taken_for_dead() {
    let controls = Controls {
        locks_do_not_hold: true,
        ..Controls::default()
    };
    let expected = ["sent before settled", "held family killed"];
    assert_broken(
        100,
        &[Fault::RequestLate, Fault::ReplyLate],
        controls,
        &expected,
    );
}
