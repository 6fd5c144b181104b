//! Recovery of a lost reply: who may send the same refresh token again, and when.

use std::{cmp::Ordering, time::Duration};

use jiff::Timestamp;

use crate::model::{
    Claim, ClaimPhase, Generation, Lineage, Moment, OwnerState, ReplayRule, UnknownKind,
};

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
        // The owner lives and could not commit the reply. The first commit wins, and committing spends nothing.
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

/// Whether an attempt that a restored store has forgotten takes the place of the claim that it holds; each is given by its
/// number and its journal. The higher number is the later attempt. Two attempts have the same number where the earlier one
/// gave its claim back because it had sent nothing, so a reply belongs to the later one.
pub fn takes_over(
    (number, journal): (u32, JournalState),
    (held_number, held_journal): (u32, JournalState),
) -> bool {
    let answered = journal == JournalState::Reply && held_journal != JournalState::Reply;
    number > held_number || (number == held_number && answered)
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
/// nobody is woken for what resends heal while the token lives. Due is a token that has ended without a successor, for then
/// calls fail, and a resend that met silence too.
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
        // A resend is on its way.
        (_, ClaimPhase::Spending) => {
            let since = now.surely_since(claim.since);
            rules.exchange_limit.saturating_sub(since)
        }
        (_, ClaimPhase::Unknown { kind, .. }) if most_likely_unheard(kind) => Duration::ZERO,
        (_, ClaimPhase::Unknown { .. }) => return Some(Duration::ZERO),
    };
    Some(healing.max(access_left))
}

/// How long after an answer was lost the same refresh token may be sent again. The first resend follows the provider's
/// rule; further ones keep a growing distance.
pub(super) fn resend_wait(
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

/// A server that answers with an error, or hangs up, most likely did not act and may be well again at any moment.
fn most_likely_unheard(kind: UnknownKind) -> bool {
    match kind {
        UnknownKind::Silence | UnknownKind::Crash | UnknownKind::UnreadTokens => false,
        UnknownKind::Reset
        | UnknownKind::ServerError
        | UnknownKind::Unreadable
        | UnknownKind::GatewayTimeout => true,
    }
}

/// The distance doubles while a token lives. Once it has ended, calls wait for the server to be well again, and it doubles with
/// every fourth resend, so that it stays at about a third of the time that it has lasted. After silence more may be lost by
/// asking than by waiting.
fn further_resend(kind: UnknownKind, number: u32, access_left: Duration) -> Duration {
    let (doublings, step, most) = if most_likely_unheard(kind) {
        let wanted = access_left.is_zero();
        let doublings = if wanted { 1 + number / 4 } else { number };
        (
            doublings,
            Duration::from_millis(1500),
            Duration::from_mins(5),
        )
    } else {
        (number, Duration::from_secs(15), Duration::from_hours(1))
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
