//! The demo's claims: pure functions of what the job and authkeeper logged and of what the sandbox counted.

use serde::Serialize;

/// How many keys the job has to outlive.
pub(super) const OUTLIVED: u64 = 3;

/// What was seen and counted in the whole story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct StoryFacts {
    pub(super) ours: JobFacts,
    pub(super) provider: ProviderFacts,
}

/// Our side: the job's log, authkeeper's decision log, what the commands printed and returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct JobFacts {
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
pub(super) struct ProviderFacts {
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

/// A claim of the demo, with the evidence of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DemoClaim {
    /// A fixed word.
    pub id: &'static str,
    /// The claim, in words.
    #[serde(rename = "claim")]
    pub text: String,
    /// What the job's log and authkeeper's decision log say.
    pub ours: String,
    /// What the sandbox counted.
    pub provider: String,
    /// Whether the claim holds.
    pub ok: bool,
}

fn claim(id: &'static str, text: &str, ours: String, provider: String, ok: bool) -> DemoClaim {
    DemoClaim {
        id,
        text: text.to_owned(),
        ours,
        provider,
        ok,
    }
}

/// The claims of the whole story.
pub(super) fn verdict(facts: &StoryFacts) -> Vec<DemoClaim> {
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
fn no_call_failed(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn keys_outlived(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn renewed_once(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn outage_unnoticed(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn no_second_sign_in(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn no_work_twice(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn end_told_once(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn silence_after_the_end(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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

fn nothing_leaked(StoryFacts { ours, provider }: &StoryFacts) -> DemoClaim {
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
pub(super) struct WithoutRefreshFacts {
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
pub(super) fn held_verdict(facts: &WithoutRefreshFacts) -> Vec<DemoClaim> {
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
mod tests;
