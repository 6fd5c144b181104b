//! From the model's small numbers to the library's own types, so that its decisions are asked and not restated.

use std::time::Duration;

use authkeeper::{
    model::{
        AccessToken, AttemptId, BootId, BootStamp, Claim, ClaimPhase, Generation, GrantLifecycle,
        LifetimeSource, Lineage, Moment, OwnerId, OwnerState, ReplayRule, SuspendReason,
    },
    refresh::decide::{
        self, Freshness, GrantView, Investigation, JournalState, RecoveryRules, ServeDecision,
    },
};
use jiff::Timestamp;

use crate::{
    design::Design,
    state::{self, Lifecycle, ModelGrant, ModelState, Tick, Written},
};

/// One step of the clock: longer than the quiet period and than [`decide::COMMIT_PATIENCE`].
pub const TICK: Duration = Duration::from_secs(100);
/// An access token serves at one tick, is due at two, has ended at three.
pub const LIFETIME: Duration = Duration::from_secs(260);
/// How long an answer is listened for.
pub const EXCHANGE_LIMIT: Duration = Duration::from_mins(2);
/// Between the claim and the first byte.
pub const SEND_DEADLINE: Duration = Duration::from_secs(2);

const QUIET_PERIOD: Duration = Duration::from_secs(90);
const RESERVE: Duration = Duration::from_secs(30);

/// So many ticks as a duration.
pub fn ticks(count: Tick) -> Duration {
    TICK * u32::from(count)
}

/// A tick as both clocks tell it.
pub fn moment(now: Tick) -> Moment {
    let since = ticks(now);
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Moment {
        wall: Timestamp::from_second(1_700_000_000 + seconds).unwrap_or_default(),
        boot: BootStamp {
            id: BootId(1),
            since: Duration::from_secs(1_000) + since,
        },
    }
}

fn lifecycle(of: Lifecycle) -> GrantLifecycle {
    let begin = moment(0).wall;
    match of {
        Lifecycle::Active => GrantLifecycle::Active,
        Lifecycle::Lost { reason, since } => GrantLifecycle::ReauthorizationRequired {
            reason,
            since: moment(since).wall,
        },
        Lifecycle::Suspended => GrantLifecycle::Suspended {
            reason: SuspendReason::SecondCopy,
            since: begin,
        },
        Lifecycle::Revoked => GrantLifecycle::Revoked { since: begin },
    }
}

fn access(row: &ModelGrant) -> AccessToken {
    AccessToken {
        secret: String::new().into(),
        lineage: Lineage(u64::from(row.lineage)),
        generation: Generation(u64::from(row.access.generation)),
        issued: moment(row.access.issued),
        lifetime: LIFETIME,
        lifetime_source: LifetimeSource::ExpiresIn,
        refresh_in: None,
        scope: None,
        resource: None,
        after_rejection: row.access.after_rejection,
    }
}

/// [`decide::serve`], asked about this row.
pub fn serve(state: &ModelState) -> ServeDecision {
    let row = &state.row;
    let (lifecycle, access) = (lifecycle(row.lifecycle), access(row));
    let standing = GrantView {
        lifecycle: &lifecycle,
        access: Some(&access),
        refreshable: row.token.is_some(),
        refresh_lifetime: None,
        refresh_idle: None,
        key: None,
        jitter: 0.0,
    };
    let ask = Freshness {
        min_ttl: None,
        rejected: state
            .rejected
            .map(|generation| Generation(u64::from(generation))),
    };
    decide::serve(standing, ask, moment(state.now))
}

/// [`decide::probe_due`], asked about this row.
pub fn probe_due(state: &ModelState) -> bool {
    let probed = state.row.probed.map(|probed| moment(probed).wall);
    decide::probe_due(&lifecycle(state.row.lifecycle), probed, moment(state.now))
}

/// [`decide::investigate`], asked by a process about the claim it met.
pub fn investigate(
    state: &ModelState,
    design: Design,
    rule: ReplayRule,
    (process, claim): (u8, state::Claim),
) -> Investigation {
    let now = moment(state.now);
    // A claim of its own that a new flight meets was left behind by one that has ended.
    let owner = if state.is_alive(claim.owner) && claim.owner.process != process {
        OwnerState::Alive
    } else {
        OwnerState::Dead
    };
    let journal = state.journals[usize::from(claim.attempt)];
    let journal = journal_state(journal.map(|journal| journal.written));
    let rules = RecoveryRules {
        replay: rule,
        quiet_period: if design.quiet_period {
            QUIET_PERIOD
        } else {
            Duration::ZERO
        },
        reserve: RESERVE,
        exchange_limit: EXCHANGE_LIMIT,
    };
    let spared = state.rejected.is_none();
    let access_left = access(&state.row).left(now);
    let access_left = if spared { access_left } else { Duration::ZERO };
    decide::investigate(&real(claim), owner, journal, rules, access_left, now)
}

fn real(claim: state::Claim) -> Claim {
    Claim {
        attempt: AttemptId::new(claim.attempt.to_string()),
        number: u32::from(claim.number),
        owner: OwnerId::new(format!("{}.{}", claim.owner.process, claim.owner.life)),
        since: moment(claim.since),
        phase: match claim.unknown {
            None => ClaimPhase::Spending,
            Some((kind, since)) => ClaimPhase::Unknown {
                kind,
                since: moment(since),
            },
        },
    }
}

/// How far a journal says that its attempt came.
pub fn journal_state(written: Option<Written>) -> JournalState {
    match written {
        None => JournalState::Missing,
        Some(Written::Intent) => JournalState::Intent,
        Some(Written::Sending) => JournalState::Sending,
        Some(Written::Reply(_)) => JournalState::Reply,
    }
}
