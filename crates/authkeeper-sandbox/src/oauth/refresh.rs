//! What becomes of a refresh token that is presented: the heart of every profile, decided without acting.

use std::time::Duration;

use crate::{
    answers::Refusal,
    clock::Stamp,
    profile::{Disabled, ForeignResource, Habits, Replay},
    settings::Rules,
    store::{Answer, Grant, RefreshToken, UserState},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) client: &'a str,
    pub(crate) token: &'a str,
    pub(crate) scope: Option<Vec<String>>,
    pub(crate) resource: Option<&'a str>,
    /// Whether the resource is one of this server's.
    pub(crate) resource_known: bool,
    pub(crate) now: Stamp,
}

/// What is known of the token and of whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) token: &'a RefreshToken,
    pub(crate) grant: &'a Grant,
    pub(crate) owner: UserState,
    /// The refresh token in force, if there is one.
    pub(crate) current: Option<&'a RefreshToken>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// New tokens; whether the refresh token is replaced.
    Issue {
        rotate: bool,
    },
    /// The identical answer again.
    Again(Box<Answer>),
    Refuse(Refusal),
    /// Refuse, and the refresh token is spent for nothing.
    RefuseAndSpend(Refusal),
    /// Refuse, and the grant dies.
    RefuseAndKill(Refusal, &'static str),
}

pub(crate) fn judge(known: Known<'_>, wish: &Wish<'_>, rules: &Rules) -> Verdict {
    let habits = rules.profile.habits();
    let verdict = sound(known, wish, rules)
        .and_then(|()| spent(known, wish, rules, habits))
        .and_then(|()| in_scope(known, wish, habits))
        .and_then(|()| owner(known, habits))
        .and_then(|()| killed_by_replay(known, habits))
        .and_then(|()| resource(known, wish, habits));
    match verdict {
        Err(verdict) => verdict,
        Ok(()) => Verdict::Issue {
            rotate: habits.rotates,
        },
    }
}

fn refuse<T>(refusal: Refusal) -> Result<T, Verdict> {
    Err(Verdict::Refuse(refusal))
}

fn sound(known: Known<'_>, wish: &Wish<'_>, rules: &Rules) -> Result<(), Verdict> {
    if known.grant.client != wish.client {
        if rules.profile.habits().burns_on_error {
            return Err(Verdict::RefuseAndSpend(Refusal::OtherClient));
        }
        return refuse(Refusal::OtherClient);
    }
    if known.grant.dead.is_some() {
        return refuse(Refusal::Revoked);
    }
    if is_over(known, wish.now, rules) {
        return refuse(Refusal::Expired);
    }
    Ok(())
}

/// The least refresh lifetime of the server whose tokens end early; shorter ones are left alone.
const SHORTEST_CUT: Duration = Duration::from_mins(2);

fn is_over(known: Known<'_>, now: Stamp, rules: &Rules) -> bool {
    let habits = rules.profile.habits();
    let over = |since: Stamp, limit: Option<Duration>| {
        limit.is_some_and(|limit| now.since(since) >= limit)
    };
    let cut = |limit: Duration| match limit {
        limit if limit >= SHORTEST_CUT => {
            limit.saturating_sub(Duration::from_secs(habits.ends_early))
        }
        limit => limit,
    };
    let begins = if habits.refresh_counts_from_access_end {
        known.token.access_ends
    } else {
        known.token.issued
    };
    over(begins, rules.refresh_ttl.map(cut))
        || over(known.token.used, rules.idle)
        || over(known.grant.since, rules.absolute)
        || (habits.refresh_ends_with_access && now >= known.token.access_ends)
}

/// A spent token, in every profile but those that look at other things first.
fn spent(known: Known<'_>, wish: &Wish<'_>, rules: &Rules, habits: &Habits) -> Result<(), Verdict> {
    let Some(since) = known.token.spent else {
        return Ok(());
    };
    let successor_unused = known.current.is_some_and(|current| {
        current.generation == known.token.generation + 1 && current.spent.is_none()
    });
    let again = known.token.answer.clone().filter(|_| successor_unused);
    match (habits.replay, again) {
        (Replay::KillsGrant, _) => Ok(()),
        (Replay::SameAnswerInWindow, Some(answer)) if wish.now.since(since) <= rules.grace => {
            Err(Verdict::Again(Box::new(answer)))
        }
        (Replay::SameAnswerInWindow, _) => Err(Verdict::RefuseAndKill(
            Refusal::Replayed,
            "a spent refresh token came back outside the grace window",
        )),
        (Replay::SameAnswerUntilSuccessorUsed, Some(answer)) => {
            Err(Verdict::Again(Box::new(answer)))
        }
        (Replay::NewPairUntilSuccessorUsed, _)
            if known.grant.previous.as_deref() == Some(wish.token) =>
        {
            Ok(())
        }
        _ => refuse(Refusal::Replayed),
    }
}

fn in_scope(known: Known<'_>, wish: &Wish<'_>, habits: &Habits) -> Result<(), Verdict> {
    let wanted = wish.scope.iter().flatten();
    let mut missing = wanted.filter(|word| !known.token.scope.contains(word));
    match missing.next() {
        None => Ok(()),
        Some(word) if habits.burns_on_error => {
            Err(Verdict::RefuseAndSpend(Refusal::Scope(word.clone())))
        }
        Some(word) => refuse(Refusal::Scope(word.clone())),
    }
}

fn owner(known: Known<'_>, habits: &Habits) -> Result<(), Verdict> {
    match known.owner {
        UserState::Enabled => Ok(()),
        UserState::Deleted => refuse(Refusal::UserDeleted),
        UserState::Disabled => match habits.disabled {
            Disabled::RefusedEverywhere | Disabled::RefusedAtRefresh => {
                refuse(Refusal::UserDisabled)
            }
            Disabled::Unnoticed => Ok(()),
        },
    }
}

fn killed_by_replay(known: Known<'_>, habits: &Habits) -> Result<(), Verdict> {
    if known.token.spent.is_some() && habits.replay == Replay::KillsGrant {
        return Err(Verdict::RefuseAndKill(
            Refusal::Replayed,
            "a spent refresh token was used again",
        ));
    }
    Ok(())
}

fn resource(known: Known<'_>, wish: &Wish<'_>, habits: &Habits) -> Result<(), Verdict> {
    let Some(wanted) = wish.resource else {
        return Ok(());
    };
    let bound = known.grant.resource.as_deref();
    let foreign = match bound {
        Some(bound) => bound != wanted,
        None => !wish.resource_known,
    };
    if !foreign {
        return Ok(());
    }
    let refusal = Refusal::Target(wanted.to_owned());
    match habits.foreign_resource {
        ForeignResource::Ignored => Ok(()),
        ForeignResource::RefusedIfBound if bound.is_none() => Ok(()),
        ForeignResource::RefusedTooLate => Err(Verdict::RefuseAndSpend(refusal)),
        _ if habits.burns_on_error => Err(Verdict::RefuseAndSpend(refusal)),
        ForeignResource::Refused | ForeignResource::RefusedIfBound => refuse(refusal),
    }
}
