//! Decides a refresh request. Pure: it is the core of every profile.

use std::time::Duration;

use crate::{
    answers::TokenEndpointRefusal,
    clock::SandboxTime,
    profile::{Disabled, ForeignResource, Habits, Replay},
    settings::Rules,
    store::{AccountState, GrantEntry, RefreshTokenEntry, TokenResponseBody},
};

/// The refresh request.
#[derive(Clone, Debug)]
pub(crate) struct RefreshParams<'a> {
    pub(crate) client: &'a str,
    pub(crate) token: &'a str,
    pub(crate) scope: Option<Vec<String>>,
    pub(crate) resource: Option<&'a str>,
    /// Whether the resource belongs to this server.
    pub(crate) resource_known: bool,
    pub(crate) now: SandboxTime,
}

/// The refresh token that was presented, and its grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PresentedToken<'a> {
    pub(crate) token: &'a RefreshTokenEntry,
    pub(crate) grant: &'a GrantEntry,
    pub(crate) owner: AccountState,
    /// The grant's current refresh token.
    pub(crate) current: Option<&'a RefreshTokenEntry>,
}

/// The decision about a refresh request.
#[derive(Clone, Debug)]
pub(crate) enum RefreshDecision {
    /// Issue new tokens; `rotate` also replaces the refresh token.
    Issue {
        rotate: bool,
    },
    /// Send the identical answer again.
    Again(Box<TokenResponseBody>),
    Refuse(TokenEndpointRefusal),
    /// Refuse, and spend the refresh token.
    RefuseAndSpend(TokenEndpointRefusal),
    /// Refuse, and end the grant.
    RefuseAndKill(TokenEndpointRefusal, &'static str),
}

pub(crate) fn judge(
    known: PresentedToken<'_>,
    wish: &RefreshParams<'_>,
    rules: &Rules,
) -> RefreshDecision {
    let habits = rules.profile.habits();
    let verdict = sound(known, wish, rules)
        .and_then(|()| spent(known, wish, rules, habits))
        .and_then(|()| in_scope(known, wish, habits))
        .and_then(|()| owner(known, habits))
        .and_then(|()| killed_by_replay(known, habits))
        .and_then(|()| resource(known, wish, habits));
    match verdict {
        Err(verdict) => verdict,
        Ok(()) => RefreshDecision::Issue {
            rotate: habits.rotates,
        },
    }
}

fn refuse<T>(refusal: TokenEndpointRefusal) -> Result<T, RefreshDecision> {
    Err(RefreshDecision::Refuse(refusal))
}

fn sound(
    known: PresentedToken<'_>,
    wish: &RefreshParams<'_>,
    rules: &Rules,
) -> Result<(), RefreshDecision> {
    if known.grant.client != wish.client {
        if rules.profile.habits().burns_on_error {
            return Err(RefreshDecision::RefuseAndSpend(
                TokenEndpointRefusal::OtherClient,
            ));
        }
        return refuse(TokenEndpointRefusal::OtherClient);
    }
    if known.grant.dead.is_some() {
        return refuse(TokenEndpointRefusal::Revoked);
    }
    if is_over(known, wish.now, rules) {
        return refuse(TokenEndpointRefusal::Expired);
    }
    Ok(())
}

/// Refresh lifetimes below this do not end early.
const SHORTEST_CUT: Duration = Duration::from_mins(2);

fn is_over(known: PresentedToken<'_>, now: SandboxTime, rules: &Rules) -> bool {
    let habits = rules.profile.habits();
    let over = |since: SandboxTime, limit: Option<Duration>| {
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

/// Decides a spent token.
fn spent(
    known: PresentedToken<'_>,
    wish: &RefreshParams<'_>,
    rules: &Rules,
    habits: &Habits,
) -> Result<(), RefreshDecision> {
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
            Err(RefreshDecision::Again(Box::new(answer)))
        }
        (Replay::SameAnswerInWindow, _) => Err(RefreshDecision::RefuseAndKill(
            TokenEndpointRefusal::Replayed,
            "a spent refresh token came back outside the grace window",
        )),
        (Replay::SameAnswerUntilSuccessorUsed, Some(answer)) => {
            Err(RefreshDecision::Again(Box::new(answer)))
        }
        (Replay::NewPairUntilSuccessorUsed, _)
            if known.grant.previous.as_deref() == Some(wish.token) =>
        {
            Ok(())
        }
        _ => refuse(TokenEndpointRefusal::Replayed),
    }
}

fn in_scope(
    known: PresentedToken<'_>,
    wish: &RefreshParams<'_>,
    habits: &Habits,
) -> Result<(), RefreshDecision> {
    let wanted = wish.scope.iter().flatten();
    let mut missing = wanted.filter(|word| !known.token.scope.contains(word));
    match missing.next() {
        None => Ok(()),
        Some(word) if habits.burns_on_error => Err(RefreshDecision::RefuseAndSpend(
            TokenEndpointRefusal::Scope(word.clone()),
        )),
        Some(word) => refuse(TokenEndpointRefusal::Scope(word.clone())),
    }
}

fn owner(known: PresentedToken<'_>, habits: &Habits) -> Result<(), RefreshDecision> {
    match known.owner {
        AccountState::Enabled => Ok(()),
        AccountState::Deleted => refuse(TokenEndpointRefusal::UserDeleted),
        AccountState::Disabled => match habits.disabled {
            Disabled::RefusedEverywhere | Disabled::RefusedAtRefresh => {
                refuse(TokenEndpointRefusal::UserDisabled)
            }
            Disabled::Unnoticed => Ok(()),
        },
    }
}

fn killed_by_replay(known: PresentedToken<'_>, habits: &Habits) -> Result<(), RefreshDecision> {
    if known.token.spent.is_some() && habits.replay == Replay::KillsGrant {
        return Err(RefreshDecision::RefuseAndKill(
            TokenEndpointRefusal::Replayed,
            "a spent refresh token was used again",
        ));
    }
    Ok(())
}

fn resource(
    known: PresentedToken<'_>,
    wish: &RefreshParams<'_>,
    habits: &Habits,
) -> Result<(), RefreshDecision> {
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
    let refusal = TokenEndpointRefusal::Target(wanted.to_owned());
    match habits.foreign_resource {
        ForeignResource::Ignored => Ok(()),
        ForeignResource::RefusedIfBound if bound.is_none() => Ok(()),
        ForeignResource::RefusedTooLate => Err(RefreshDecision::RefuseAndSpend(refusal)),
        _ if habits.burns_on_error => Err(RefreshDecision::RefuseAndSpend(refusal)),
        ForeignResource::Refused | ForeignResource::RefusedIfBound => refuse(refusal),
    }
}
