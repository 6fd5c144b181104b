//! What the simulation has found, told as plans that need no luck.

use std::time::Duration;

use simulation::{
    TokenCall,
    fault::{Armed, Checkpoint, Fault},
    plan::SchedulePlan,
    provider::ProviderClass,
    schedule::{RunSettings, run_plan},
};

fn holds(calls: &[(u64, TokenCall)], faults: &[(Fault, Checkpoint, u8)]) {
    let seconds = Duration::from_secs;
    let faults = faults.iter().map(|(fault, at, after)| Armed {
        fault: *fault,
        at: *at,
        after: *after,
    });
    let plan = SchedulePlan {
        class: ProviderClass::Strict,
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
        let settings = RunSettings {
            trace: true,
            ..RunSettings::of(seed)
        };
        let outcome = run_plan(&settings, &plan);
        assert_eq!(outcome.broken, None, "{}", outcome.trace.join("\n"));
    }
}

/// The store committed and did not say so; then it was put back to before. The answer must have been kept all the same.
#[test]
fn a_commit_that_was_not_told_is_kept_for_a_restore() {
    let faults = [
        (Fault::StoreUnanswered, Checkpoint::Durable, 0),
        (Fault::PutBack, Checkpoint::Removed, 0),
    ];
    holds(
        &[(30, TokenCall::MuchTime), (200, TokenCall::Plain)],
        &faults,
    );
}

/// The store was put back to when an answer had been lost. Another attempt has had its answer since.
#[test]
fn an_attempt_after_a_lost_one_counts_though_a_restore_forgot_it() {
    for (at, after) in [
        (Checkpoint::Sent, 1),
        (Checkpoint::ReceivedReply, 0),
        (Checkpoint::Durable, 0),
    ] {
        let faults = [
            (Fault::RequestLostAndReset, Checkpoint::Marked, 0),
            (Fault::PutBack, at, after),
        ];
        holds(
            &[
                (10, TokenCall::MuchTime),
                (70, TokenCall::MuchTime),
                (200, TokenCall::Plain),
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
        (Fault::SignIn, Checkpoint::Acted, 0),
        (Fault::PutBack, Checkpoint::Sent, 1),
    ];
    holds(
        &[
            (30, TokenCall::MuchTime),
            (60, TokenCall::MuchTime),
            (200, TokenCall::Plain),
        ],
        &faults,
    );
}

/// A disconnect has ended, and the answer to a request that was on its way comes after it, to a process that dies before it
/// can revoke its tokens. The next process that is asked for the connection revokes them.
#[test]
fn a_late_answer_after_a_disconnect_is_revoked_by_somebody() {
    let faults = [
        (Fault::ReplyLate, Checkpoint::Marked, 0),
        (Fault::Disconnect, Checkpoint::Acted, 0),
        (Fault::Kill, Checkpoint::Durable, 0),
    ];
    holds(
        &[(30, TokenCall::MuchTime), (200, TokenCall::Plain)],
        &faults,
    );
}

/// The claim of an attempt that had sent nothing was in the copy. The next attempt has had its reply since, under the same
/// number, and its process was killed before it could commit.
#[test]
fn a_reply_is_found_though_the_restored_store_holds_the_claim_of_the_attempt_before() {
    let faults = [
        (Fault::Stop, Checkpoint::Claimed, 0),
        (Fault::PutBack, Checkpoint::Durable, 0),
    ];
    holds(
        &[
            (19, TokenCall::MuchTime),
            (200, TokenCall::Plain),
            (400, TokenCall::Plain),
        ],
        &faults,
    );
}

/// The last request was answered with 503 when the store was put back to before the generation that it spent. The reply that
/// made that generation is kept, and must be found beside the newer one without tokens.
#[test]
fn a_kept_reply_is_found_beside_a_newer_one_without_tokens() {
    let faults = [
        (Fault::Error503, Checkpoint::Marked, 1),
        (Fault::PutBack, Checkpoint::Lost, 0),
    ];
    let calls = [
        (30, TokenCall::MuchTime),
        (280, TokenCall::MuchTime),
        (400, TokenCall::Plain),
    ];
    holds(&calls, &faults);
}

/// The journal and the store both fail while the reply is in memory. The process that holds it must not send its token again.
#[test]
fn a_reply_that_neither_journal_nor_store_took_is_kept_in_memory() {
    let faults = [
        (Fault::FileFails, Checkpoint::ReceivedReply, 0),
        (Fault::StoreFull, Checkpoint::ReceivedReply, 0),
    ];
    holds(
        &[(30, TokenCall::MuchTime), (400, TokenCall::Plain)],
        &faults,
    );
}
