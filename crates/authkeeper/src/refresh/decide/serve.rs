//! Whether a token may be handed out, and whether a refresh is due.

use std::time::Duration;

use crate::model::{
    AccessToken, Generation, GrantLifecycle, Moment, ReauthorizeReason, StandbyKey, SuspendReason,
};

/// The largest share of the waiting time by which a refresh may come early.
pub const MAX_JITTER: f64 = 0.05;

/// How long after a forced refresh another one is refused: a fresh token that gets a 401 is rejected, not expired.
pub const FORCED_COOLDOWN: Duration = Duration::from_mins(1);

/// What a caller wants of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// It should live at least this much longer.
    pub min_ttl: Option<Duration>,
    /// The generation that just got a 401.
    pub rejected: Option<Generation>,
}

/// Why a refresh is wanted. Fixed words, kept in the decision log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The proactive time has come.
    Due,
    /// There is no access token, or it has ended.
    Expired,
    /// A caller asked for more time than is left.
    MinTtl,
    /// The resource refused this generation with 401.
    Rejected,
    /// An earlier attempt's answer was lost.
    Recovery,
    /// A person wants to see that it works.
    Proof,
    /// A refused token is tried again, rarely: an account that was disabled may be enabled again.
    Probe,
}

impl Why {
    /// The fixed word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Expired => "expired",
            Self::MinTtl => "min_ttl",
            Self::Rejected => "rejected_401",
            Self::Recovery => "recovery",
            Self::Proof => "proof",
            Self::Probe => "probe",
        }
    }
}

/// Why no token is handed out, however long one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A person must sign in again.
    Reauthorize(ReauthorizeReason),
    /// Authority is withdrawn.
    Suspended(SuspendReason),
    /// Disconnected.
    Revoked,
    /// A fresh token was refused by the resource.
    Rejected,
}

/// The answer to "may I have a token?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeDecision {
    /// Hand out the current one.
    Serve,
    /// Hand out the current one and refresh behind the caller's back.
    ServeAndRefresh(Why),
    /// The caller waits for one refresh.
    RefreshFirst(Why),
    /// The API key was refused; the one before it may serve again.
    FallBack,
    /// There is none to hand out.
    Refuse(Refusal),
}

impl ServeDecision {
    /// The fixed word kept in the decision log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::ServeAndRefresh(_) => "serve_and_refresh",
            Self::RefreshFirst(_) => "refresh_first",
            Self::FallBack => "fall_back",
            Self::Refuse(_) => "refuse",
        }
    }
}

/// What the store says of a grant, as far as serving goes.
#[derive(Clone, Copy, Debug)]
pub struct GrantView<'a> {
    /// Whether the grant may be used.
    pub lifecycle: &'a GrantLifecycle,
    /// The current access token.
    pub access: Option<&'a AccessToken>,
    /// Whether new tokens can be had without a person.
    pub refreshable: bool,
    /// How long the refresh token was good when the access token was issued, where the provider says so.
    pub refresh_lifetime: Option<Duration>,
    /// How long the refresh token lives unused, where that is known.
    pub refresh_idle: Option<Duration>,
    /// For an API key: the key before it, if there is one.
    pub key: Option<Option<&'a StandbyKey>>,
    /// This connection's stable jitter, from 0 to [`MAX_JITTER`].
    pub jitter: f64,
}

/// How long after it was issued a token is due for refresh: `(1 − j) · min(0.75 L, L − m)` with `m = min(120 s, L/4)`.
///
/// A token of one hour is refreshed after about 45 minutes, one of five seconds after 3.75 s.
pub fn due_after(lifetime: Duration, jitter: f64) -> Duration {
    let margin = Duration::from_mins(2).min(lifetime / 4);
    let latest = lifetime.mul_f64(0.75).min(lifetime.saturating_sub(margin));
    latest.mul_f64(1.0 - jitter.clamp(0.0, MAX_JITTER))
}

/// How long after it was issued a grant's token is due: earlier if its issuer asks for that, or if the refresh token
/// beside it ends before, for an unused one would be lost. Each use puts off an idle limit; where a refresh does not put
/// off an end, it is not asked for again and again.
fn due_of(grant_view: GrantView<'_>, token: &AccessToken) -> Duration {
    let jitter = grant_view.jitter;
    let due = due_after(token.lifetime, jitter);
    let asked = token
        .refresh_in
        .map(|wait| wait.mul_f64(1.0 - jitter.clamp(0.0, MAX_JITTER)));
    let ends = grant_view
        .refresh_lifetime
        .map(|lifetime| due_after(lifetime, jitter).max(due / 4));
    let idle = grant_view
        .refresh_idle
        .map(|limit| due_after(limit, jitter));
    let earlier = [asked, ends, idle].into_iter().flatten().min();
    due.min(earlier.unwrap_or(due))
}

/// Whether a token may be handed out, and whether to refresh. Rules 1 to 3.
pub fn serve(grant_view: GrantView<'_>, ask: Freshness, now: Moment) -> ServeDecision {
    match grant_view.lifecycle {
        GrantLifecycle::Revoked { .. } => return ServeDecision::Refuse(Refusal::Revoked),
        GrantLifecycle::Suspended { reason, .. } => {
            return ServeDecision::Refuse(Refusal::Suspended(*reason));
        }
        GrantLifecycle::Active | GrantLifecycle::ReauthorizationRequired { .. } => {}
    }
    let Some(token) = grant_view.access.filter(|token| !token.left(now).is_zero()) else {
        return refresh_or_refuse(grant_view, Why::Expired);
    };
    if ask
        .rejected
        .is_some_and(|generation| token.generation <= generation)
    {
        return after_rejection(grant_view, token, now);
    }
    while_valid(grant_view, token, ask, now)
}

/// How long a look at the store is believed. Within this time what another process has written may go unseen.
pub const BELIEVED_FOR: Duration = Duration::from_millis(50);

/// For how long a plain ask may be given the same token again without a look at the grant, as long as nothing was written
/// and no clock jumped; none if it may not. Where a call has more to do than to serve (a refresh to start, a lost answer to
/// look after, a warning to give), one must come by again soon.
pub fn repeats_for(grant_view: GrantView<'_>, more_to_do: bool, now: Moment) -> Option<Duration> {
    let token = grant_view.access?;
    if *grant_view.lifecycle != GrantLifecycle::Active {
        return None;
    }
    let soon = BELIEVED_FOR.min(token.left(now));
    match serve(grant_view, Freshness::default(), now) {
        ServeDecision::Serve if more_to_do => Some(soon),
        ServeDecision::Serve if grant_view.refreshable => {
            Some(until_due(grant_view, now).min(token.left(now)))
        }
        ServeDecision::Serve => Some(token.left(now)),
        ServeDecision::ServeAndRefresh(_) => Some(soon),
        ServeDecision::RefreshFirst(_) | ServeDecision::FallBack | ServeDecision::Refuse(_) => None,
    }
}

/// Rule 2: while the token is valid nobody waits, unless `min_ttl` asks for more than is left and a new one could give.
fn while_valid(
    grant_view: GrantView<'_>,
    token: &AccessToken,
    ask: Freshness,
    now: Moment,
) -> ServeDecision {
    if !grant_view.refreshable || *grant_view.lifecycle != GrantLifecycle::Active {
        return ServeDecision::Serve;
    }
    let short = ask.min_ttl.is_some_and(|wanted| token.left(now) < wanted);
    let attainable = ask
        .min_ttl
        .is_some_and(|wanted| wanted <= token.usable_lifetime());
    if short && attainable && token.age(now) >= young(token) {
        return ServeDecision::RefreshFirst(Why::MinTtl);
    }
    if token.age(now) >= due_of(grant_view, token) {
        return ServeDecision::ServeAndRefresh(Why::Due);
    }
    ServeDecision::Serve
}

/// So young a token is not replaced for more time: its successor would have hardly more, and each ask would spend one.
pub(super) fn young(token: &AccessToken) -> Duration {
    (token.lifetime / 20).min(Duration::from_secs(10))
}

/// Rule 3: one forced refresh a generation; a token that was itself fetched after a 401 is rejected, not expired.
fn after_rejection(grant_view: GrantView<'_>, token: &AccessToken, now: Moment) -> ServeDecision {
    if let Some(standby) = grant_view.key {
        return if standby.is_some_and(|standby| standby.may_serve(now.wall)) {
            ServeDecision::FallBack
        } else {
            ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::KeyRefused))
        };
    }
    if token.after_rejection && token.age(now) < FORCED_COOLDOWN {
        return ServeDecision::Refuse(Refusal::Rejected);
    }
    refresh_or_refuse(grant_view, Why::Rejected)
}

fn refresh_or_refuse(grant_view: GrantView<'_>, why: Why) -> ServeDecision {
    match grant_view.lifecycle {
        GrantLifecycle::ReauthorizationRequired { reason, .. } => {
            ServeDecision::Refuse(Refusal::Reauthorize(*reason))
        }
        _ if grant_view.refreshable => ServeDecision::RefreshFirst(why),
        _ if why == Why::Rejected => ServeDecision::Refuse(Refusal::Rejected),
        _ => ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::NoRefreshToken)),
    }
}

/// How long a keeper of this token may sleep before it looks again. Zero when a refresh is due now.
pub fn until_due(grant_view: GrantView<'_>, now: Moment) -> Duration {
    grant_view.access.map_or(Duration::ZERO, |token| {
        due_of(grant_view, token).saturating_sub(token.age(now))
    })
}

/// So late a refresh was not only looked at late: the machine slept, or nobody was there to look.
const OVERDUE: Duration = Duration::from_secs(45);

/// So many may ask a provider at the same moment.
const NO_CROWD: usize = 8;

/// How far apart the refreshes of a crowd are on average.
const APART: Duration = Duration::from_millis(50);

/// How long a keeper lets others go first whose refresh is long overdue: after a suspend, a leap of a clock or a restart
/// all are due at once. `crowd` is how many it looks after, `roll` a random number from 0 to 1. A living token waits for
/// half of what is left of it at most; a caller that needs one at once refreshes it itself.
pub fn let_others_first(
    grant_view: GrantView<'_>,
    crowd: usize,
    now: Moment,
    roll: f64,
) -> Option<Duration> {
    let overdue = grant_view
        .access
        .is_none_or(|token| token.age(now).saturating_sub(due_of(grant_view, token)) >= OVERDUE);
    if !overdue || crowd <= NO_CROWD {
        return None;
    }
    let left = grant_view.access.map(|token| token.left(now));
    let most = match left {
        Some(left) if !left.is_zero() => (left / 2).min(Duration::from_mins(2)),
        _ => Duration::from_secs(10),
    };
    let window = APART.saturating_mul(u32::try_from(crowd).unwrap_or(u32::MAX));
    Some(window.min(most).mul_f64(roll.clamp(0.0, 1.0)))
}
