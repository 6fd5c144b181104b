//! What to do, decided in pure functions: no async, no input or output, no clock, no store.
//!
//! Every rule of the life cycle that is a decision is here; everything else in [`crate::refresh`] carries decisions out.

use std::{cmp::Ordering, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    AccessToken, Claim, ClaimPhase, ClientRegistration, Event, Failing, Generation, GrantLifecycle,
    Lineage, Moment, OwnerState, ReauthorizeReason, ReplayRule, Said, StandbyKey, SuspendReason,
    UnknownKind,
};

/// The largest share of the waiting time by which a refresh may come early.
pub const MAX_JITTER: f64 = 0.05;

/// How long after a forced refresh another one is refused: a fresh token that gets a 401 is rejected, not expired.
pub const FORCED_COOLDOWN: Duration = Duration::from_mins(1);

/// After how many failures in a row at one provider its other grants wait too.
pub const BREAKER_AFTER: u32 = 3;

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
fn young(token: &AccessToken) -> Duration {
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

/// How long a refused refresh token is left alone before it is tried again.
const PROBE_AFTER: SignedDuration = SignedDuration::from_hours(6);

/// Whether a refused refresh token should be tried once more. The wire does not tell an account that is disabled for a day
/// from one that is gone, and a token that is dead costs nothing by being refused again.
pub fn probe_due(lifecycle: &GrantLifecycle, probed: Option<Timestamp>, now: Moment) -> bool {
    let GrantLifecycle::ReauthorizationRequired { reason, since } = lifecycle else {
        return false;
    };
    let refused = matches!(
        reason,
        ReauthorizeReason::RefreshRefused
            | ReauthorizeReason::UnknownOutcome
            | ReauthorizeReason::RefusedWithoutCode
            | ReauthorizeReason::RefusedRepeatedly
    );
    // A wall clock that was put back must not put the next try off for as long.
    let near = |moment: Timestamp| now.wall.duration_since(moment).abs() < PROBE_AFTER;
    refused && !near(*since) && !probed.is_some_and(near)
}

/// Whether a refusal in words that nobody knows has lasted so long that a person is asked, and shown the words. `since` is
/// when the provider said the same for the first time.
pub fn is_lasting_refusal(since: Moment, patience: Duration, now: Moment) -> bool {
    now.surely_since(since) >= patience
}

/// How often in a row a provider may refuse without a reason before it is believed.
pub const MOST_SUSPECTS: u32 = 3;

/// How long a provider must have refused without a reason before it is believed: a firewall's blip is shorter.
pub const SUSPECTED_FOR: Duration = Duration::from_mins(1);

/// How long a client that was refused with every secret it has is left alone, for all its grants: each try would show a
/// refresh token to a provider that burns it for a wrong secret.
pub const CLIENT_REST: SignedDuration = SignedDuration::from_secs(60);

/// Whether our client was refused just now.
pub fn client_rests(client: &ClientRegistration, now: Moment) -> bool {
    client
        .refused
        .is_some_and(|refused| now.wall.duration_since(refused).abs() < CLIENT_REST)
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
/// half of what is left of it at most; whoever needs one at once refreshes it himself.
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

/// What the attempt's journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// There is none: nothing can be said.
    Missing,
    /// Room was made; the request had not been started.
    Intent,
    /// The request was about to be written, or was.
    Sending,
    /// The answer is there.
    Reply,
    /// It is over, and nothing was spent.
    Settled,
}

/// The waits of recovery, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryRules {
    /// What the provider does with a replay.
    pub replay: ReplayRule,
    /// How long after a crash a request may still be queued at the provider.
    pub quiet_period: Duration,
    /// How much of the access token's life is kept for resending to a strict provider.
    pub reserve: Duration,
    /// How long an answer is listened for.
    pub exchange_limit: Duration,
}

/// The rule that holds once it was seen that a replay was refused. What was learned makes us more careful and never less: a
/// resend that worked proves no grace.
pub fn learned(replay: ReplayRule, was_refused: bool) -> ReplayRule {
    match replay {
        ReplayRule::Harmless | ReplayRule::Grace(_) | ReplayRule::TwoGenerations if was_refused => {
            ReplayRule::Strict
        }
        rule => rule,
    }
}

/// Whether the refusal of a resend shows that the rule by which it was sent is wrong. `before` is the attempt that it took
/// over from; one that came when a grace was over shows nothing.
pub fn disproves(replay: ReplayRule, before: &Claim, now: Moment) -> bool {
    match replay {
        ReplayRule::Harmless => true,
        ReplayRule::TwoGenerations => before.number <= 1,
        ReplayRule::Grace(window) => before.number <= 1 && now.since(before.since) < window,
        // A refusal is what the rule promises.
        ReplayRule::Refused | ReplayRule::Strict | ReplayRule::Unknown => false,
    }
}

/// How long what was seen of early ends counts, and how often it must have been seen.
const EARLY_ENDS_COUNT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
const MOST_EARLY_ENDS: usize = 3;

/// No lifetime is believed to be shorter for having been seen.
const SHORTEST_LEARNED: Duration = Duration::from_mins(1);

/// Whether a token that got a 401 at this age ended early, so that the next ones may too.
pub fn ended_early(token: &AccessToken, now: Moment) -> bool {
    // A fresh one that was itself fetched after a 401 is refused for another reason than its age.
    let fresh = token.after_rejection && token.age(now) < FORCED_COOLDOWN;
    !fresh && token.age(now) < token.usable_lifetime().mul_f64(0.9)
}

/// How long tokens are believed to live by the ages at which they got a 401, and when: the middle one, if that was seen
/// often enough of late. Rule 1.
pub fn learned_lifetime(ends: &[(Duration, Timestamp)], now: Timestamp) -> Option<Duration> {
    let counts = |at: &Timestamp| now.duration_since(*at) <= EARLY_ENDS_COUNT_FOR;
    let recent = ends.iter().filter(|(_, at)| counts(at));
    let mut ages: Vec<Duration> = recent.map(|(age, _)| *age).collect();
    if ages.len() < MOST_EARLY_ENDS {
        return None;
    }
    ages.sort_unstable();
    ages.get(ages.len() / 2)
        .map(|age| (*age).max(SHORTEST_LEARNED))
}

/// How long after its claim a living owner is left alone with an answer that it has not committed.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// What to do about somebody's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Investigation {
    /// Its owner is at it: wait for the outcome.
    OwnerAtWork,
    /// Nothing was sent: the claim may be given back.
    Release,
    /// The answer is in the journal: commit it.
    AdoptReply,
    /// The request was sent and its sender died: from now on the outcome is unknown.
    MarkUnknown(UnknownKind),
    /// The outcome is unknown; the same token may be sent again after this long.
    ResendAfter(Duration),
    /// The same token may be sent again now.
    Resend,
}

/// Reads a claim together with what is known of its owner and its journal. Rule 6.
pub fn investigate(
    claim: &Claim,
    owner: OwnerState,
    journal: JournalState,
    rules: RecoveryRules,
    access_left: Duration,
    now: Moment,
) -> Investigation {
    match (claim.phase, owner, journal) {
        // Its owner lives and could not commit what came. Whoever commits first wins; nothing is spent by it.
        (ClaimPhase::Spending, OwnerState::Alive, JournalState::Reply)
            if now.surely_since(claim.since) >= COMMIT_PATIENCE =>
        {
            Investigation::AdoptReply
        }
        // Its owner lives, and was done with it in a store that was put back since.
        (ClaimPhase::Spending, OwnerState::Alive, JournalState::Missing)
            if now.surely_since(claim.since) >= rules.exchange_limit + COMMIT_PATIENCE =>
        {
            Investigation::MarkUnknown(UnknownKind::Crash)
        }
        // It could not give its claim back. Nothing was spent.
        (ClaimPhase::Spending, OwnerState::Alive, JournalState::Settled)
            if now.surely_since(claim.since) >= COMMIT_PATIENCE =>
        {
            Investigation::Release
        }
        (ClaimPhase::Spending, OwnerState::Alive, _) => Investigation::OwnerAtWork,
        (_, _, JournalState::Reply) => Investigation::AdoptReply,
        (ClaimPhase::Spending, OwnerState::Dead, JournalState::Intent | JournalState::Settled) => {
            Investigation::Release
        }
        (ClaimPhase::Spending, OwnerState::Dead, _) => {
            Investigation::MarkUnknown(UnknownKind::Crash)
        }
        (ClaimPhase::Unknown { kind, since }, _, _) => {
            let wait = resend_wait(rules, kind, claim.number, access_left);
            let left = wait.saturating_sub(now.surely_since(since));
            if left.is_zero() {
                Investigation::Resend
            } else {
                Investigation::ResendAfter(left)
            }
        }
    }
}

/// What to do about a journal of which the store knows no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphan {
    /// It says nothing of what is current.
    Leave,
    /// Nobody needs it any more.
    Remove,
    /// It may hold the better answer to what was spent last: kept as one that lost a race.
    SetAside,
    /// The current token was sent, or is being sent: its claim belongs into the store.
    ClaimBack,
    /// It made a later generation than the store knows of.
    BringForward,
}

/// Reads a journal that no claim names: a store that was put back from a copy has forgotten the claim, and the request is
/// under way, or was answered, all the same. `spent` is what the attempt spends, `current` where the store stands.
pub fn orphan(
    spent: (Lineage, Generation),
    owner: OwnerState,
    journal: JournalState,
    current: (Lineage, Generation),
) -> Orphan {
    let dead = owner == OwnerState::Dead;
    match (spent.cmp(&current), journal) {
        _ if spent.0 > current.0 => Orphan::Leave,
        _ if spent.0 < current.0 && dead => Orphan::Remove,
        (Ordering::Greater, JournalState::Reply) => Orphan::BringForward,
        (Ordering::Equal, JournalState::Sending | JournalState::Reply) => Orphan::ClaimBack,
        (Ordering::Less, JournalState::Reply) if dead => Orphan::SetAside,
        (Ordering::Less, _) | (Ordering::Equal, JournalState::Intent | JournalState::Settled)
            if dead =>
        {
            Orphan::Remove
        }
        _ => Orphan::Leave,
    }
}

/// Whether another attempt at the same token may have sent it: both give back, and look again. An attempt of a lower number
/// is one that this attempt, or one before it, took over from.
pub fn is_contested(mine: u32, other: u32, journal: JournalState) -> bool {
    other >= mine && matches!(journal, JournalState::Sending | JournalState::Reply)
}

/// How long a lost answer is asked for again before a person is.
const PATIENCE: Duration = Duration::from_hours(24);

/// Whether a lost answer has been asked for again for a day, counted in the waits between the resends: a clock that
/// leaps, or a night in which nobody asked, gives nothing up. What is given up is in quarantine, and probed as such.
///
/// The waits are counted as those after the last loss are; where the losses before were of another kind that may be too much.
/// `told` is when the first of them was told, where that is known: a day must have gone since then too.
pub fn is_given_up(claim: &Claim, told: Option<Timestamp>, now: Moment) -> bool {
    let ClaimPhase::Unknown { kind, .. } = claim.phase else {
        return false;
    };
    let waited: Duration = (2..=claim.number.min(1_000))
        .map(|number| further_resend(kind, number, Duration::ZERO))
        .sum();
    let gone = |told: Timestamp| now.wall.duration_since(told).unsigned_abs();
    waited >= PATIENCE && told.is_none_or(|told| gone(told) >= PATIENCE)
}

/// Whether what came for the token is kept and nobody can read it, so that the token is spent for sure, and sending it again
/// can only be refused or punished. A person is asked while the access token still serves.
pub fn is_unread(claim: &Claim, replay: ReplayRule) -> bool {
    let ClaimPhase::Unknown { kind, .. } = claim.phase else {
        return false;
    };
    let answered_again = match replay {
        ReplayRule::Harmless | ReplayRule::Grace(_) | ReplayRule::TwoGenerations => true,
        ReplayRule::Refused | ReplayRule::Strict | ReplayRule::Unknown => false,
    };
    kind == UnknownKind::UnreadTokens && !answered_again
}

/// When the provider is asked again after a lost answer; none where that is late in the token's life, or nothing was lost.
pub fn asked_again_in(
    claim: &Claim,
    rules: RecoveryRules,
    access_left: Duration,
    now: Moment,
) -> Option<Duration> {
    let ClaimPhase::Unknown { kind, since } = claim.phase else {
        return None;
    };
    let wait = resend_wait(rules, kind, claim.number, access_left);
    (wait < FOREVER).then(|| wait.saturating_sub(now.surely_since(since)))
}

/// What is asked for again this soon after a loss has healed, or has not, before anybody is notified.
const HEALS_WITHIN: Duration = Duration::from_secs(10);

/// How long after now the owner is to be notified of a lost answer, if all stays as it is; none if nothing is lost. Rule 11:
/// nobody is woken for what the first resend heals. Due is what that resend has not healed, and a token that has ended
/// without a successor, for then calls fail.
pub fn notify_after(
    claim: &Claim,
    rules: RecoveryRules,
    access_left: Duration,
    now: Moment,
) -> Option<Duration> {
    let healing = match (claim.number, claim.phase) {
        (0 | 1, ClaimPhase::Spending) => return None,
        (0 | 1, ClaimPhase::Unknown { kind, since }) => {
            let wait = resend_wait(rules, kind, claim.number, access_left);
            let soon = if wait < HEALS_WITHIN {
                HEALS_WITHIN
            } else {
                Duration::ZERO
            };
            soon.saturating_sub(now.surely_since(since))
        }
        // The first resend is on its way.
        (2, ClaimPhase::Spending) => {
            let since = now.surely_since(claim.since);
            rules.exchange_limit.saturating_sub(since)
        }
        _ => return Some(Duration::ZERO),
    };
    Some(healing.max(access_left))
}

/// How long after an answer was lost the same refresh token may be sent again. The first resend follows the provider's
/// rule; further ones keep a growing distance.
fn resend_wait(
    rules: RecoveryRules,
    kind: UnknownKind,
    number: u32,
    access_left: Duration,
) -> Duration {
    let base = first_resend_wait(rules, kind, access_left);
    if number <= 1 {
        return base;
    }
    // After silence, or a crash, only a replay that may do harm is a reason to keep the longer distance.
    let kind = if rules.replay.may_harm() {
        kind
    } else {
        UnknownKind::Reset
    };
    base.max(further_resend(kind, number, access_left))
}

/// How long after an answer was lost again the provider is left alone, however it is asked.
pub fn between_resends(claim: &Claim, access_left: Duration) -> Option<Duration> {
    match claim.phase {
        ClaimPhase::Unknown { kind, .. } if claim.number > 1 => {
            Some(further_resend(kind, claim.number, access_left))
        }
        _ => None,
    }
}

/// A server that answers with an error, or hangs up, most likely did not act and may be well again at any moment. The
/// distance doubles while a token lives; once it has ended, calls wait for the server to be well again, and it doubles with
/// every fourth resend, so that it stays at about a third of the time that it has lasted. After silence more may be lost by
/// asking than by waiting.
fn further_resend(kind: UnknownKind, number: u32, access_left: Duration) -> Duration {
    let (doublings, step, most) = match kind {
        UnknownKind::Silence | UnknownKind::Crash | UnknownKind::UnreadTokens => {
            (number, Duration::from_secs(15), Duration::from_hours(1))
        }
        UnknownKind::Reset
        | UnknownKind::ServerError
        | UnknownKind::Unreadable
        | UnknownKind::GatewayTimeout => {
            let wanted = access_left.is_zero();
            let doublings = if wanted { 1 + number / 4 } else { number };
            (
                doublings,
                Duration::from_millis(1500),
                Duration::from_mins(5),
            )
        }
    };
    step.saturating_mul(1 << doublings.min(12)).min(most)
}

/// Where a replay harms nothing, a lost answer is asked for again this soon, even after a crash: the dead sender's request
/// may still be queued at the provider, and does no harm there.
const SOON: Duration = Duration::from_secs(2);

fn first_resend_wait(rules: RecoveryRules, kind: UnknownKind, access_left: Duration) -> Duration {
    let quiet = if kind == UnknownKind::Crash {
        rules.quiet_period
    } else {
        Duration::ZERO
    };
    match rules.replay {
        ReplayRule::Harmless => Duration::from_secs(1),
        ReplayRule::Grace(window) => (window / 3).min(SOON),
        ReplayRule::Refused => SOON,
        // What is still queued would take the place of the successor that a resend brings, so it is waited out while that
        // costs nobody a token.
        ReplayRule::TwoGenerations if access_left.is_zero() => SOON,
        ReplayRule::TwoGenerations => quiet.max(SOON),
        ReplayRule::Strict => quiet
            .max(Duration::from_secs(3))
            .max(late(rules, access_left)),
        ReplayRule::Unknown => quiet.max(by_kind(kind, access_left)),
    }
}

/// A replay may kill the living access token too, so it waits until little of it is left.
fn late(rules: RecoveryRules, access_left: Duration) -> Duration {
    if access_left <= rules.reserve {
        Duration::ZERO
    } else {
        FOREVER
    }
}

/// An unknown provider. After a reset or a 500 it most likely did not act; after silence it may have.
fn by_kind(kind: UnknownKind, access_left: Duration) -> Duration {
    match kind {
        UnknownKind::Reset | UnknownKind::ServerError | UnknownKind::Unreadable => {
            Duration::from_secs(3)
        }
        UnknownKind::GatewayTimeout => Duration::from_secs(15),
        UnknownKind::Silence | UnknownKind::Crash | UnknownKind::UnreadTokens => {
            if access_left < Duration::from_hours(1) {
                Duration::from_secs(3)
            } else {
                FOREVER
            }
        }
    }
}

/// "Not yet": asked again at the next look, when less of the access token is left.
const FOREVER: Duration = Duration::from_hours(8760);

/// For how long a grant, or a provider, has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// How often in a row.
    pub failures: u32,
    /// Since the first of them.
    pub lasts: Duration,
}

/// How long to wait after a failure that surely did nothing: exponential with full jitter, capped, never shorter than
/// `Retry-After`, tighter as the access token's end comes near. Once that is past, callers hear at once that there is no
/// token, and the provider is asked the less often the longer it has been out. `roll` is a random number from 0 to 1.
/// Rule 8.
pub fn backoff(
    outage: Outage,
    retry_after: Option<Duration>,
    access_left: Duration,
    roll: f64,
) -> Duration {
    let cap = Duration::from_secs(1)
        .saturating_mul(1_u32 << outage.failures.min(9))
        .min(Duration::from_mins(5));
    let near = if access_left.is_zero() {
        outage.lasts / 8
    } else {
        access_left / 4
    };
    let near = near.max(Duration::from_secs(1));
    let jittered = cap.min(near).mul_f64(roll.clamp(0.0, 1.0));
    let asked = retry_after.unwrap_or_default().min(Duration::from_hours(1));
    jittered.max(Duration::from_millis(250)).max(asked)
}

/// How long every token request may fail before its owner is told, once calls fail with them.
pub const CALLS_FAIL_AFTER: Duration = Duration::from_mins(1);

/// Which incident the failed token requests of a client are: none while they may heal by themselves. While the access
/// token lives they have `after` for that, and one failure is never enough; once it has ended, calls fail too.
pub fn incident_of(
    failing: &Failing,
    access_left: Duration,
    after: Duration,
    now: Moment,
) -> Option<Event> {
    if let Said::Moved(_) = failing.said {
        return Some(Event::TokenEndpointMoved);
    }
    let lasts = now.surely_since(failing.since);
    let due = if access_left.is_zero() {
        lasts >= after.min(CALLS_FAIL_AFTER)
    } else {
        failing.times > 1 && lasts >= after
    };
    due.then_some(Event::ProviderFailing)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
