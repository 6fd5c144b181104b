//! Each fact can break its claim.

use super::*;

fn good() -> StoryFacts {
    StoryFacts {
        ours: JobFacts {
            calls_answered: 400,
            calls_failed: 0,
            calls_cut_off: 3,
            pieces: 400,
            sign_ins: 1,
            renewals: 3,
            renewals_put_off: 5,
            outage_ms: 9_020,
            calls_in_outage: 60,
            calls_failed_in_outage: 0,
            answered_after_restart: 50,
            exit_code: Some(75),
            records: 1,
            notices: 1,
            answered_after_end: 0,
            token_exit_code: Some(75),
            files_searched: 20,
            keys_found: 0,
        },
        provider: ProviderFacts {
            served: 402,
            work_done: 400,
            work_sent_again: 2,
            sign_ins: 1,
            renewals: 3,
            renewals_replayed: 0,
            most_sends_of_one: 1,
            keys_outlived: 3,
            dead_keys_shown: 0,
            refused_in_outage: 5,
            access_ended: 1,
            renewals_refused: 1,
            served_after_end: 0,
            asked_after_run: 0,
            secrets_handed_out: 9,
        },
    }
}

fn broken(facts: &StoryFacts) -> Vec<&'static str> {
    let claims = verdict(facts).into_iter();
    claims
        .filter(|claim| !claim.ok)
        .map(|claim| claim.id)
        .collect()
}

#[test]
fn the_good_story_holds() {
    assert_eq!(broken(&good()), Vec::<&str>::new());
}

/// A change of one fact, and the claims that it breaks.
type ChangedFact = (fn(&mut StoryFacts), &'static [&'static str]);

#[test]
fn every_fact_on_our_side_can_break_its_claim() {
    let rows: [ChangedFact; 17] = [
        (|f| f.ours.calls_failed = 1, &["no_call_failed"]),
        (|f| f.ours.calls_answered = 399, &["no_call_failed"]),
        (|f| f.ours.calls_answered = 403, &["no_call_failed"]),
        (|f| f.ours.calls_cut_off = 1, &["no_call_failed"]),
        (|f| f.ours.renewals = 2, &["keys_outlived", "renewed_once"]),
        (|f| f.ours.renewals_put_off = 4, &["outage_unnoticed"]),
        (|f| f.ours.calls_in_outage = 0, &["outage_unnoticed"]),
        (|f| f.ours.calls_failed_in_outage = 1, &["outage_unnoticed"]),
        (|f| f.ours.sign_ins = 2, &["no_second_sign_in"]),
        (
            |f| f.ours.answered_after_restart = 0,
            &["no_second_sign_in"],
        ),
        (|f| f.ours.pieces = 399, &["no_work_twice"]),
        (|f| f.ours.exit_code = Some(0), &["end_told_once"]),
        (|f| f.ours.records = 2, &["end_told_once"]),
        (|f| f.ours.notices = 0, &["end_told_once"]),
        (
            |f| f.ours.answered_after_end = 1,
            &["silence_after_the_end"],
        ),
        (
            |f| f.ours.token_exit_code = Some(0),
            &["silence_after_the_end"],
        ),
        (|f| f.ours.keys_found = 1, &["nothing_leaked"]),
    ];
    for (number, (change, expected)) in rows.into_iter().enumerate() {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(broken(&facts), expected, "row {number}");
    }
}

#[test]
fn every_counter_of_the_provider_can_break_its_claim() {
    let rows: [ChangedFact; 16] = [
        (|f| f.provider.served = 403, &["no_call_failed"]),
        (|f| f.provider.work_sent_again = 1, &["no_call_failed"]),
        (|f| f.provider.work_done = 401, &["no_work_twice"]),
        (|f| f.provider.sign_ins = 2, &["no_second_sign_in"]),
        (|f| f.provider.renewals = 4, &["renewed_once"]),
        (|f| f.provider.renewals_replayed = 1, &["renewed_once"]),
        (|f| f.provider.most_sends_of_one = 2, &["renewed_once"]),
        (|f| f.provider.keys_outlived = 2, &["keys_outlived"]),
        (|f| f.provider.keys_outlived = 4, &["keys_outlived"]),
        (|f| f.provider.dead_keys_shown = 1, &["keys_outlived"]),
        (|f| f.provider.refused_in_outage = 0, &["outage_unnoticed"]),
        (|f| f.provider.access_ended = 2, &["end_told_once"]),
        (|f| f.provider.renewals_refused = 2, &["end_told_once"]),
        (
            |f| f.provider.served_after_end = 1,
            &["silence_after_the_end"],
        ),
        (
            |f| f.provider.asked_after_run = 1,
            &["silence_after_the_end"],
        ),
        (|f| f.provider.secrets_handed_out = 0, &["nothing_leaked"]),
    ];
    for (number, (change, expected)) in rows.into_iter().enumerate() {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(broken(&facts), expected, "row {number}");
    }
}

#[test]
fn a_story_in_which_nothing_happened_proves_nothing() {
    assert!(
        verdict(&StoryFacts::default())
            .iter()
            .all(|claim| !claim.ok)
    );
}

#[test]
fn the_table_fits_eighty_columns() {
    let claims = verdict(&good());
    let widest = |of: fn(&DemoClaim) -> &String| claims.iter().map(|claim| of(claim).len()).max();
    let columns = [
        widest(|claim| &claim.text),
        widest(|claim| &claim.ours),
        widest(|claim| &claim.provider),
    ];
    let width: usize = columns.into_iter().flatten().sum();
    assert!(width + 8 <= 80, "{columns:?}");
}

#[test]
fn the_story_without_renewals_can_fail_too() {
    let good = WithoutRefreshFacts {
        calls_answered: 100,
        calls_failed: 40,
        mixed: false,
        renewals: 0,
        served: 100,
        dead_keys_shown: 40,
        provider_renewals: 0,
        answered_after: 15,
        failed_after: 0,
        served_after: 15,
    };
    let broken = |change: fn(&mut WithoutRefreshFacts)| {
        let mut facts = good;
        change(&mut facts);
        held_verdict(&facts)
            .iter()
            .filter(|claim| !claim.ok)
            .count()
    };
    assert_eq!(broken(|_| {}), 0);
    let changes: [fn(&mut WithoutRefreshFacts); 9] = [
        |f| f.calls_answered = 99,
        |f| f.calls_failed = 39,
        |f| f.mixed = true,
        |f| f.renewals = 1,
        |f| f.served = 101,
        |f| f.dead_keys_shown = 0,
        |f| f.provider_renewals = 1,
        |f| f.failed_after = 1,
        |f| f.answered_after = 14,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(broken(change), 1, "change {number}");
    }
}
