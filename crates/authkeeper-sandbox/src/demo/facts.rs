//! Gathers the facts that the claims are judged by.

use std::collections::BTreeSet;

use super::{
    claims::{JobFacts, ProviderFacts, StoryFacts, WithoutRefreshFacts},
    job_log::{JobCall, JobLog},
    scene::DemoScene,
    traces,
};
use crate::counters::Counters;

/// What can only be noted when it happens. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Moments {
    pub(super) outage: (i64, i64),
    pub(super) killed: Option<i64>,
    pub(super) cut_off: u64,
    /// When the access ended, and how many calls had been served by then.
    pub(super) ended: Option<(i64, u64)>,
    pub(super) run: Option<i32>,
    pub(super) records: u64,
    pub(super) notices: u64,
    /// What the provider had been asked in all when the run had ended.
    pub(super) asked: Option<u64>,
    pub(super) token: Option<i32>,
}

/// Requests for a new key that got no proper answer: all but the sign-in and those that were judged.
pub(super) fn turned_away(counters: &Counters) -> u64 {
    let judged = counters.sign_ins + counters.refreshes_accepted + counters.refreshes_refused;
    counters.token_requests.saturating_sub(judged)
}

/// Everything that was ever asked with a key or for one.
pub(super) fn asked(counters: &Counters) -> u64 {
    counters.token_requests + counters.api_ok + counters.unauthorized + counters.forbidden
}

pub(super) fn answered_since(scene: &DemoScene, since: Option<i64>) -> u64 {
    answered_from(&scene.log, since.unwrap_or(i64::MAX))
}

fn answered_from(log: &JobLog, from: i64) -> u64 {
    log.count(|call| call.begun >= from && call.is_done())
}

pub(super) fn gather(scene: &mut DemoScene, moments: &Moments) -> StoryFacts {
    scene.read_log();
    let counters = scene.counters();
    let secrets = scene.control().issued();
    let (files, found) = traces::search(scene.workspace.path(), &secrets);
    let renewals = traces::renewals(&scene.workspace.path().join("home"));
    StoryFacts {
        ours: JobFacts {
            sign_ins: scene.workspace.times("connect"),
            files_searched: files,
            keys_found: found,
            ..ours(&scene.log, moments, renewals)
        },
        provider: ProviderFacts {
            served: scene.served(),
            ..provider(&counters, moments, secrets.len() as u64)
        },
    }
}

fn ours(log: &JobLog, moments: &Moments, renewals: traces::Renewals) -> JobFacts {
    let (from, until) = moments.outage;
    let during = |call: &JobCall| call.begun >= from && call.begun < until;
    let done = log.calls.iter().filter(|call| call.is_done());
    let pieces: BTreeSet<u32> = done.map(|call| call.piece).collect();
    let ended = moments.ended.map_or(i64::MAX, |(at, _)| at);
    JobFacts {
        calls_answered: log.count(JobCall::is_done),
        calls_failed: log.count(JobCall::is_failed) + log.count(|call| stopped_early(call, ended)),
        calls_cut_off: moments.cut_off,
        pieces: pieces.len() as u64,
        sign_ins: 0,
        renewals: renewals.done,
        renewals_put_off: renewals.put_off,
        outage_ms: u64::try_from(until - from).unwrap_or_default(),
        calls_in_outage: log.count(during),
        calls_failed_in_outage: log.count(|call| during(call) && call.is_failed()),
        answered_after_restart: answered_from(log, moments.killed.unwrap_or(i64::MAX)),
        exit_code: moments.run,
        records: moments.records,
        notices: moments.notices,
        answered_after_end: answered_from(log, ended),
        token_exit_code: moments.token,
        files_searched: 0,
        keys_found: 0,
    }
}

/// Told that access is over while it was not.
fn stopped_early(call: &JobCall, ended: i64) -> bool {
    let before = call.end.as_ref().is_some_and(|(at, _)| *at < ended);
    call.is_ended() && before
}

fn provider(counters: &Counters, moments: &Moments, secrets: u64) -> ProviderFacts {
    let served_then = moments.ended.map_or(0, |(_, served)| served);
    ProviderFacts {
        served: 0,
        work_done: counters.work_done,
        work_sent_again: counters.work_duplicates,
        sign_ins: counters.sign_ins,
        renewals: counters.refreshes_accepted,
        renewals_replayed: counters.refreshes_replayed,
        most_sends_of_one: counters.most_sends_of_one_refresh_token,
        keys_outlived: counters.access_tokens_outlived,
        dead_keys_shown: counters.expired_tokens_presented,
        refused_in_outage: turned_away(counters),
        access_ended: counters.grants_killed,
        renewals_refused: counters.refreshes_refused,
        served_after_end: counters.api_ok - served_then.min(counters.api_ok),
        asked_after_run: asked(counters).abs_diff(moments.asked.unwrap_or(0)),
        secrets_handed_out: secrets,
    }
}

/// The same for the job that held its key.
pub(super) fn gather_held(scene: &mut DemoScene) -> WithoutRefreshFacts {
    scene.read_log();
    let counters = scene.counters();
    let log = &scene.log;
    let ends = |which: fn(&JobCall) -> bool| {
        let meant = log.calls.iter().filter(move |call| which(call));
        meant.filter_map(|call| call.end.as_ref().map(|(at, _)| *at))
    };
    let last_good = ends(JobCall::is_done).max();
    let first_bad = ends(JobCall::is_failed).min();
    WithoutRefreshFacts {
        calls_answered: log.count(JobCall::is_done),
        calls_failed: log.count(JobCall::is_failed),
        mixed: last_good
            .zip(first_bad)
            .is_some_and(|(good, bad)| bad < good),
        renewals: traces::renewals(&scene.workspace.path().join("home")).done,
        served: scene.served(),
        dead_keys_shown: counters.expired_tokens_presented,
        provider_renewals: counters.refreshes_accepted,
        ..WithoutRefreshFacts::default()
    }
}

/// And what it did through authkeeper after that.
pub(super) fn gather_after(
    scene: &mut DemoScene,
    held: WithoutRefreshFacts,
) -> WithoutRefreshFacts {
    scene.read_log();
    let log = &scene.log;
    WithoutRefreshFacts {
        answered_after: log.count(JobCall::is_done) - held.calls_answered,
        failed_after: log.count(JobCall::is_failed) - held.calls_failed,
        served_after: scene.served() - held.served,
        ..held
    }
}
