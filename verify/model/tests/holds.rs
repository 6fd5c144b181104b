//! With every rule in place every invariant holds, in every order of events within the budgets.

use model::{design::Design, explore::explore, report, scenario};

const MOST_STATES: usize = 3_000_000;

#[track_caller]
fn holds(name: &str, design: Design) {
    let scenario = scenario::named(name).map(|scenario| scenario.under(design));
    let found = scenario.map(|scenario| (scenario, explore(&scenario, MOST_STATES)));
    let (whole, states) = found
        .as_ref()
        .map_or((false, 0), |(_, found)| (found.whole, found.states));
    let broken = found.and_then(|(scenario, found)| Some((scenario, found.broken?)));
    let told = broken.map(|(scenario, trace)| report::trace(&scenario, &trace));
    assert_eq!(
        told,
        None,
        "{name}\n{}",
        told.as_deref().unwrap_or_default()
    );
    assert!(whole, "{name}: not explored to the end");
    assert!(states > 1_000, "{name}: {states} states say nothing");
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            holds($name, Design::WHOLE);
        })*

        #[test]
        fn every_scenario_has_a_test() {
            let tested = [$($name),*];
            assert!(scenario::all().iter().all(|scenario| tested.contains(&scenario.name)));
        }
    };
}

scenarios! {
    strict: "strict",
    rule_unknown: "strict, rule unknown",
    single_use: "single-use",
    single_use_unknown: "single-use, rule unknown",
    grace: "grace",
    two_generations: "two generations",
    dies_with_access: "dies with access",
    no_rotation: "no rotation",
    two_crashes: "strict, two crashes",
    three_processes: "strict, three processes",
    odd_answers: "odd answers, strict",
    odd_answers_unknown: "odd answers, rule unknown",
    odd_answers_grace: "odd answers, grace",
    sign_in: "sign-in",
    disconnect: "disconnect",
    suspend: "suspend",
    outage: "outage",
    disabled: "account disabled",
    restore: "restore",
    restore_and_sign_in: "restore and sign-in",
    restore_with_neighbours: "restore with neighbours",
}
