//! What the simulation has found, told as plans that need no luck.

use std::time::Duration;

use simulation::{
    Call,
    fault::{Armed, Fault, Step},
    plan::Plan,
    provider::Class,
    schedule::{Settings, run_plan},
};

fn holds(calls: &[(u64, Call)], faults: &[(Fault, Step, u8)]) {
    let seconds = Duration::from_secs;
    let faults = faults.iter().map(|(fault, at, after)| Armed {
        fault: *fault,
        at: *at,
        after: *after,
    });
    let plan = Plan {
        class: Class::Strict,
        lifetime: seconds(300),
        processes: 2,
        keepers: false,
        calls: calls
            .iter()
            .map(|(at, call)| (seconds(*at), *call))
            .collect(),
        faults: faults.collect(),
        copy: Some(seconds(20)),
        horizon: seconds(600),
    };
    for seed in 0..20 {
        let settings = Settings {
            trace: true,
            ..Settings::of(seed)
        };
        let outcome = run_plan(&settings, &plan);
        assert_eq!(outcome.broken, None, "{}", outcome.trace.join("\n"));
    }
}

/// The store committed and did not say so; then it was put back to before. The answer must have been kept all the same.
#[test]
fn a_commit_that_was_not_told_is_kept_for_a_restore() {
    let faults = [
        (Fault::StoreUnanswered, Step::Durable, 0),
        (Fault::PutBack, Step::Removed, 0),
    ];
    holds(&[(30, Call::MuchTime), (200, Call::Plain)], &faults);
}

/// The store was put back to when an answer had been lost. Another attempt has had its answer since.
#[test]
fn an_attempt_after_a_lost_one_counts_though_a_restore_forgot_it() {
    for (at, after) in [(Step::Sent, 1), (Step::Received, 0), (Step::Durable, 0)] {
        let faults = [
            (Fault::RequestLostAndReset, Step::Marked, 0),
            (Fault::PutBack, at, after),
        ];
        holds(
            &[
                (10, Call::MuchTime),
                (70, Call::MuchTime),
                (200, Call::Plain),
            ],
            &faults,
        );
    }
}

/// A sign-in overtook a refresh, whose answer was set aside; then the store was put back to before the sign-in. What was set
/// aside is newer than what the store holds.
#[test]
fn an_answer_that_was_set_aside_brings_a_restored_store_forward() {
    let faults = [
        (Fault::SignIn, Step::Acted, 0),
        (Fault::PutBack, Step::Sent, 1),
    ];
    holds(
        &[
            (30, Call::MuchTime),
            (60, Call::MuchTime),
            (200, Call::Plain),
        ],
        &faults,
    );
}

/// A disconnect has ended, and the answer to a request that was on its way comes after it, to a process that dies before it
/// can revoke what came. Whoever asks next for the connection that is gone sees to it.
#[test]
fn a_late_answer_after_a_disconnect_is_revoked_by_somebody() {
    let faults = [
        (Fault::ReplyLate, Step::Marked, 0),
        (Fault::Disconnect, Step::Acted, 0),
        (Fault::Kill, Step::Durable, 0),
    ];
    holds(&[(30, Call::MuchTime), (200, Call::Plain)], &faults);
}

/// The claim of an attempt that had sent nothing was in the copy. The next attempt has had its reply since, under the same
/// number, and its process was killed before it could commit.
#[test]
fn a_reply_is_found_though_the_restored_store_holds_the_claim_of_the_attempt_before() {
    let faults = [
        (Fault::Stop, Step::Claimed, 0),
        (Fault::PutBack, Step::Durable, 0),
    ];
    holds(
        &[(19, Call::MuchTime), (200, Call::Plain), (400, Call::Plain)],
        &faults,
    );
}

/// The journal and the store both fail while the reply is in memory. The process that holds it must not send its token again.
#[test]
fn a_reply_that_neither_journal_nor_store_took_is_kept_in_memory() {
    let faults = [
        (Fault::FileFails, Step::Received, 0),
        (Fault::StoreFull, Step::Received, 0),
    ];
    holds(&[(30, Call::MuchTime), (400, Call::Plain)], &faults);
}
