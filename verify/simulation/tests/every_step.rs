//! The plain ways of a refresh, cut off at every single step: each await point of every task, each event.

use std::time::Duration;

use simulation::{
    TokenCall,
    fault::{Armed, Checkpoint, Fault},
    plan::SchedulePlan,
    provider::ProviderClass,
    schedule::{RunSettings, ScheduleOutcome, run_struck},
};

fn plan(class: ProviderClass, processes: usize, calls: &[TokenCall]) -> SchedulePlan {
    let at = |(number, call): (u64, &TokenCall)| (Duration::from_millis(number * 7), *call);
    SchedulePlan {
        class,
        lifetime: Duration::from_mins(5),
        processes,
        keepers: false,
        calls: (0..).zip(calls).map(at).collect(),
        faults: vec![],
        copy: None,
        horizon: Duration::from_secs(30),
    }
}

/// Strikes at each step in turn, and hands over what came of it.
fn at_every_step(plan: &SchedulePlan, fault: Fault, judge: impl Fn(&ScheduleOutcome)) {
    let settings = RunSettings {
        trace: true,
        ..RunSettings::of(1)
    };
    let whole = run_struck(&settings, plan, None);
    assert!(whole.noisy_steps > 20, "{}", whole.trace.join("\n"));
    for step in 1..=whole.noisy_steps {
        let outcome = run_struck(&settings, plan, Some((step, fault)));
        let told = || outcome.trace.join("\n");
        assert_eq!(outcome.broken, None, "struck at step {step}\n{}", told());
        judge(&outcome);
    }
}

fn works(outcome: &ScheduleOutcome) {
    let works = outcome.coverage.ends("schedule: works");
    assert_eq!(works, 1, "{}", outcome.trace.join("\n"));
}

#[test]
fn a_caller_dropped_at_any_await_point_loses_no_rotation() {
    let ways: [&[TokenCall]; 3] = [
        &[TokenCall::MuchTime],
        &[TokenCall::Rejected],
        &[TokenCall::MuchTime, TokenCall::Rejected, TokenCall::Plain],
    ];
    for class in [
        ProviderClass::Strict,
        ProviderClass::StrictUnknown,
        ProviderClass::TwoGenerations,
    ] {
        for calls in ways {
            at_every_step(&plan(class, 1, calls), Fault::DropCallers, works);
        }
    }
}

#[test]
fn a_process_killed_at_any_step_loses_only_what_the_provider_takes() {
    for class in ProviderClass::ALL {
        let plan = plan(class, 2, &[TokenCall::MuchTime, TokenCall::MuchTime]);
        at_every_step(&plan, Fault::Kill, |outcome| {
            // A provider that answers a second request forgives every kill.
            if class.answers_replays() {
                works(outcome);
            }
        });
    }
}

/// Tokens that came are there, whatever came beside them and wherever the process that read them dies.
#[test]
fn a_process_killed_at_any_step_of_an_odd_answer_loses_no_token_that_can_be_read() {
    for class in [ProviderClass::Strict, ProviderClass::StrictUnknown] {
        for odd in [Fault::OddTokens, Fault::UnreadTokens, Fault::RefreshAlone] {
            let mut plan = plan(class, 2, &[TokenCall::MuchTime, TokenCall::MuchTime]);
            plan.faults = vec![Armed {
                fault: odd,
                at: Checkpoint::Marked,
                after: 0,
            }];
            at_every_step(&plan, Fault::Kill, |_outcome| {});
            if odd != Fault::UnreadTokens {
                at_every_step(&plan, Fault::DropCallers, works);
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_synced() {
    for class in [ProviderClass::Strict, ProviderClass::Grace] {
        let plan = plan(class, 2, &[TokenCall::MuchTime]);
        at_every_step(&plan, Fault::PowerCut, |_outcome| {});
    }
}
