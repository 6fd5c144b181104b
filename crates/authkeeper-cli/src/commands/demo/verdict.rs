//! What the demo claims, and whether it is true: a pure function of what was seen on our side (the job's log,
//! authkeeper's own log) and of what the provider counted.

use serde::Serialize;

/// How many keys the job has to outlive.
pub(super) const OUTLIVED: u64 = 3;

/// What was seen and counted in the whole story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Facts {
    pub(super) ours: Ours,
    pub(super) provider: Provider,
}

/// Our side: the job's log, authkeeper's decision log, what the commands printed and returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ours {
    pub(super) calls_answered: u64,
    pub(super) calls_failed: u64,
    /// Under way when the job was killed: what came of them it never saw.
    pub(super) calls_cut_off: u64,
    /// Different pieces of work that the job knows to be done.
    pub(super) pieces: u64,
    pub(super) sign_ins: u64,
    pub(super) renewals: u64,
    /// Renewals that the provider had no answer for.
    pub(super) renewals_put_off: u64,
    pub(super) outage_ms: u64,
    pub(super) calls_in_outage: u64,
    pub(super) calls_failed_in_outage: u64,
    pub(super) answered_after_restart: u64,
    pub(super) exit_code: Option<i32>,
    pub(super) records: u64,
    pub(super) notices: u64,
    pub(super) answered_after_end: u64,
    pub(super) token_exit_code: Option<i32>,
    pub(super) files_searched: u64,
    pub(super) keys_found: u64,
}

/// What the provider counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Provider {
    pub(super) served: u64,
    pub(super) work_done: u64,
    /// Pieces sent again, and not done again.
    pub(super) work_sent_again: u64,
    pub(super) sign_ins: u64,
    pub(super) renewals: u64,
    pub(super) renewals_replayed: u64,
    pub(super) most_sends_of_one: u64,
    pub(super) keys_outlived: u64,
    pub(super) dead_keys_shown: u64,
    pub(super) refused_in_outage: u64,
    pub(super) access_ended: u64,
    /// Requests for a new key that were judged and refused.
    pub(super) renewals_refused: u64,
    pub(super) served_after_end: u64,
    /// Anything at all that came in her name once the run had said that it is over.
    pub(super) asked_after_run: u64,
    pub(super) secrets_handed_out: u64,
}

/// Something the demo says, with what both sides saw of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Claim {
    /// A fixed word.
    pub(super) id: &'static str,
    #[serde(rename = "claim")]
    pub(super) text: String,
    pub(super) ours: String,
    pub(super) provider: String,
    pub(super) ok: bool,
}

fn claim(id: &'static str, text: &str, ours: String, provider: String, ok: bool) -> Claim {
    Claim {
        id,
        text: text.to_owned(),
        ours,
        provider,
        ok,
    }
}

/// The claims of the whole story.
pub(super) fn verdict(facts: &Facts) -> Vec<Claim> {
    vec![
        no_call_failed(facts),
        keys_outlived(facts),
        renewed_once(facts),
        outage_unnoticed(facts),
        no_second_sign_in(facts),
        no_work_twice(facts),
        end_told_once(facts),
        silence_after_the_end(facts),
        nothing_leaked(facts),
    ]
}

/// What the provider served and the job never saw are the calls that the kill cut off; sent again, they were known.
fn no_call_failed(Facts { ours, provider }: &Facts) -> Claim {
    let unseen = provider.served.checked_sub(ours.calls_answered);
    let explained = unseen
        .is_some_and(|unseen| unseen <= ours.calls_cut_off && unseen == provider.work_sent_again);
    let cut = match unseen {
        None | Some(0) => String::new(),
        Some(unseen) => format!(", {unseen} cut off"),
    };
    claim(
        "no_call_failed",
        "no call failed",
        format!(
            "{} calls, {} failed",
            ours.calls_answered, ours.calls_failed
        ),
        format!("{} served{cut}", provider.served),
        ours.calls_failed == 0 && ours.calls_answered > 0 && explained,
    )
}

fn keys_outlived(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "keys_outlived",
        "the job outlived its keys",
        format!("{} swapped in time", ours.renewals),
        format!(
            "{} ended, {} used late",
            provider.keys_outlived, provider.dead_keys_shown
        ),
        provider.keys_outlived >= OUTLIVED
            && ours.renewals >= provider.keys_outlived
            && provider.dead_keys_shown == 0,
    )
}

fn renewed_once(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "renewed_once",
        "each swapped exactly once",
        format!("{} swaps", ours.renewals),
        format!(
            "{} swaps, {} repeated",
            provider.renewals, provider.renewals_replayed
        ),
        provider.renewals == ours.renewals
            && ours.renewals > 0
            && provider.most_sends_of_one == 1
            && provider.renewals_replayed == 0,
    )
}

fn outage_unnoticed(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "outage_unnoticed",
        &format!("{} s outage: none failed", (ours.outage_ms + 500) / 1000),
        format!(
            "{} calls, {} failed",
            ours.calls_in_outage, ours.calls_failed_in_outage
        ),
        format!("{} requests refused", provider.refused_in_outage),
        ours.calls_in_outage > 0
            && ours.calls_failed_in_outage == 0
            && provider.refused_in_outage > 0
            && provider.refused_in_outage == ours.renewals_put_off,
    )
}

fn no_second_sign_in(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "no_second_sign_in",
        "killed: no new sign-in",
        format!(
            "{}, {} calls",
            times(ours.sign_ins, "sign-in"),
            ours.answered_after_restart
        ),
        times(provider.sign_ins, "sign-in"),
        ours.sign_ins == 1 && provider.sign_ins == 1 && ours.answered_after_restart > 0,
    )
}

fn no_work_twice(Facts { ours, provider }: &Facts) -> Claim {
    let again = match provider.work_sent_again {
        0 => String::new(),
        number => format!(", {number} known"),
    };
    claim(
        "no_work_twice",
        "no work was done twice",
        format!("{} pieces", ours.pieces),
        format!("{} done{again}", provider.work_done),
        ours.pieces > 0 && ours.pieces == provider.work_done,
    )
}

fn end_told_once(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "end_told_once",
        "the owner was told, once",
        format!(
            "exit {}, {}, {}",
            ours.exit_code
                .map_or_else(|| "?".to_owned(), |code| code.to_string()),
            times(ours.records, "record"),
            times(ours.notices, "hook")
        ),
        format!(
            "ended {}, {} refused",
            provider.access_ended, provider.renewals_refused
        ),
        ours.exit_code == Some(75)
            && ours.records == 1
            && ours.notices == 1
            && provider.access_ended == 1
            && provider.renewals_refused == 1,
    )
}

fn silence_after_the_end(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "silence_after_the_end",
        "then no call in her name",
        format!("{} answered", ours.answered_after_end),
        format!(
            "{} served, {} later",
            provider.served_after_end, provider.asked_after_run
        ),
        ours.answered_after_end == 0
            && ours.token_exit_code == Some(75)
            && provider.served_after_end == 0
            && provider.asked_after_run == 0,
    )
}

fn nothing_leaked(Facts { ours, provider }: &Facts) -> Claim {
    claim(
        "nothing_leaked",
        "no secret in any file",
        format!("{} found in {} files", ours.keys_found, ours.files_searched),
        format!("{} secrets issued", provider.secrets_handed_out),
        ours.keys_found == 0 && ours.files_searched > 0 && provider.secrets_handed_out > 0,
    )
}

fn times(number: u64, word: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {word}{s}")
}

/// What was seen of a job that renews nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct HeldFacts {
    pub(super) calls_answered: u64,
    pub(super) calls_failed: u64,
    /// The first failure came before the last answer.
    pub(super) mixed: bool,
    pub(super) renewals: u64,
    pub(super) served: u64,
    pub(super) dead_keys_shown: u64,
    pub(super) provider_renewals: u64,
    /// The same job through authkeeper, after that.
    pub(super) answered_after: u64,
    pub(super) failed_after: u64,
    pub(super) served_after: u64,
}

/// The claims of the story without renewals.
pub(super) fn held_verdict(facts: &HeldFacts) -> Vec<Claim> {
    vec![
        claim(
            "worked_while_the_key_lived",
            "worked while the key lived",
            format!("{} answered", facts.calls_answered),
            format!("{} served", facts.served),
            facts.calls_answered > 0 && facts.calls_answered == facts.served && !facts.mixed,
        ),
        claim(
            "failed_after_its_end",
            "then every call failed",
            format!("{} failed", facts.calls_failed),
            format!("{} with a dead key", facts.dead_keys_shown),
            facts.calls_failed > 0 && facts.calls_failed == facts.dead_keys_shown,
        ),
        claim(
            "nobody_renewed_it",
            "because nobody renewed the key",
            format!("{} renewals", facts.renewals),
            format!("{} renewals", facts.provider_renewals),
            facts.renewals == 0 && facts.provider_renewals == 0,
        ),
        claim(
            "a_new_key_could_be_had",
            "and one could be had",
            format!(
                "{} calls, {} failed",
                facts.answered_after, facts.failed_after
            ),
            format!("{} served", facts.served_after),
            facts.answered_after > 0
                && facts.failed_after == 0
                && facts.answered_after == facts.served_after,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            ours: Ours {
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
            provider: Provider {
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

    fn broken(facts: &Facts) -> Vec<&'static str> {
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
    type Row = (fn(&mut Facts), &'static [&'static str]);

    #[test]
    fn every_fact_on_our_side_can_break_its_claim() {
        let rows: [Row; 17] = [
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
        let rows: [Row; 16] = [
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
        assert!(verdict(&Facts::default()).iter().all(|claim| !claim.ok));
    }

    #[test]
    fn the_table_fits_eighty_columns() {
        let claims = verdict(&good());
        let widest = |of: fn(&Claim) -> &String| claims.iter().map(|claim| of(claim).len()).max();
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
        let good = HeldFacts {
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
        let broken = |change: fn(&mut HeldFacts)| {
            let mut facts = good;
            change(&mut facts);
            held_verdict(&facts)
                .iter()
                .filter(|claim| !claim.ok)
                .count()
        };
        assert_eq!(broken(|_| {}), 0);
        let changes: [fn(&mut HeldFacts); 9] = [
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
}
