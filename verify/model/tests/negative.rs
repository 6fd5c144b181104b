//! A checker that finds nothing may be blind: each rule is taken away once, and that must be seen.

use model::{
    design::Design,
    explore::explore,
    invariant::InvariantBroken::{
        self, Abandoned, AnsweredSentAgain, HeldFamilyKilled, LeftUnrevoked, LostForNothing,
        ReleasedTooEarly, SentBeforeSettled, SignInUndone, SpentTokenSent, Unreachable, Unresolved,
        WentBack,
    },
    report, scenario,
};

const MOST_STATES: usize = 3_000_000;

/// The trace is printed when another invariant breaks than was expected.
#[track_caller]
fn breaks(name: &str, without: Design, expected: &[InvariantBroken]) {
    let scenario = scenario::named(name).map(|scenario| scenario.under(without));
    let trace = scenario.and_then(|scenario| {
        let trace = explore(&scenario, MOST_STATES).broken?;
        Some((trace.broken, report::trace(&scenario, &trace)))
    });
    assert!(trace.is_some(), "{name}: the checker is blind to this rule");
    let seen = trace.filter(|(broken, _)| !expected.contains(broken));
    let other = seen.map(|(broken, told)| format!("{broken}\n{told}"));
    assert!(other.is_none(), "{name}: {}", other.unwrap_or_default());
}

#[test]
fn a_lock_in_the_place_of_the_claim() {
    let without = Design {
        claim: false,
        // That rule would put claims back.
        orphans: false,
        ..Design::WHOLE
    };
    breaks(
        "strict",
        without,
        &[SentBeforeSettled, HeldFamilyKilled, SpentTokenSent],
    );
}

#[test]
fn no_journal() {
    let without = Design {
        journal: false,
        ..Design::WHOLE
    };
    breaks("strict", without, &[Unreachable, LostForNothing]);
}

#[test]
fn a_commit_that_does_not_compare_the_generation() {
    let without = Design {
        generation_compared: false,
        ..Design::WHOLE
    };
    breaks("strict", without, &[WentBack, SpentTokenSent, Unreachable]);
}

#[test]
fn a_quiet_period_shorter_than_the_queue() {
    let without = Design {
        quiet_period: false,
        ..Design::WHOLE
    };
    breaks("strict", without, &[SentBeforeSettled, HeldFamilyKilled]);
}

#[test]
fn a_token_released_before_it_is_durable() {
    let without = Design {
        durable_first: false,
        ..Design::WHOLE
    };
    breaks("strict", without, &[ReleasedTooEarly]);
}

#[test]
fn a_sign_in_that_compares_the_generation() {
    let without = Design {
        sign_in_by_lineage: false,
        ..Design::WHOLE
    };
    breaks("sign-in", without, &[SignInUndone]);
}

#[test]
fn tokens_that_cannot_be_read_and_give_the_claim_back() {
    let without = Design {
        unread_spends: false,
        ..Design::WHOLE
    };
    for name in ["odd answers, strict", "odd answers, rule unknown"] {
        breaks(name, without, &[AnsweredSentAgain]);
    }
}

#[test]
fn an_answer_adopted_while_its_token_is_sent_again() {
    let without = Design {
        rereads_alone: false,
        ..Design::WHOLE
    };
    breaks(
        "odd answers, strict",
        without,
        &[SpentTokenSent, HeldFamilyKilled],
    );
}

#[test]
fn an_error_field_that_hides_the_tokens_beside_it() {
    let without = Design {
        tokens_win: false,
        ..Design::WHOLE
    };
    breaks(
        "odd answers, strict",
        without,
        &[Unreachable, AnsweredSentAgain],
    );
}

#[test]
fn a_token_replaced_within_its_generation_that_a_sender_does_not_look_at() {
    let without = Design {
        looks_again: false,
        ..Design::WHOLE
    };
    breaks(
        "odd answers, strict",
        without,
        &[AnsweredSentAgain, SpentTokenSent],
    );
}

// What the model found in the code, one by one: with the rest repaired it must still be seen.

#[test]
fn a_quiet_period_that_begins_with_the_claim() {
    let without = Design {
        quiet_from_notice: false,
        ..Design::WHOLE
    };
    breaks("strict", without, &[SentBeforeSettled]);
}

#[test]
fn a_candidate_older_than_what_the_store_holds() {
    let without = Design {
        newer_candidates: false,
        ..Design::WHOLE
    };
    breaks(
        "account disabled",
        without,
        &[SpentTokenSent, LostForNothing, Unreachable],
    );
}

#[test]
fn journals_that_the_store_forgot() {
    let without = Design {
        orphans: false,
        ..Design::WHOLE
    };
    breaks(
        "restore",
        without,
        &[SentBeforeSettled, SpentTokenSent, HeldFamilyKilled],
    );
}

#[test]
fn a_lineage_that_is_used_twice() {
    let without = Design {
        fresh_lineage: false,
        ..Design::WHOLE
    };
    breaks("restore and sign-in", without, &[SignInUndone]);
}

#[test]
fn a_late_answer_left_in_its_journal() {
    let without = Design {
        leaves_nothing: false,
        ..Design::WHOLE
    };
    breaks("disconnect", without, &[LeftUnrevoked]);
}

#[test]
fn a_refusal_that_leaves_its_claim() {
    let without = Design {
        refusal_settles: false,
        ..Design::WHOLE
    };
    breaks("suspend", without, &[Abandoned, Unresolved]);
}

#[test]
fn a_kept_answer_replaced_by_an_older_one() {
    let without = Design {
        keeps_newest: false,
        ..Design::WHOLE
    };
    breaks("restore", without, &[Unreachable, SpentTokenSent]);
}

// And what no rule here makes safe.

#[test]
fn a_store_put_back_under_working_processes() {
    let broken = [SentBeforeSettled, SpentTokenSent, HeldFamilyKilled];
    breaks("restore under way", Design::WHOLE, &broken);
}
