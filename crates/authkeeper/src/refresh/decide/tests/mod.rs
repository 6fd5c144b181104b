//! The decisions, each with the edges of its rule.

mod backoff;
mod learn;
mod recovery;
mod refused;
mod serve;
mod shortfall;

use std::time::Duration;

use jiff::Timestamp;

use super::{GrantView, RecoveryRules};
use crate::model::{
    AccessToken, AttemptId, BootId, BootStamp, Claim, ClaimPhase, Generation, GrantLifecycle,
    LifetimeSource, Lineage, Moment, OwnerId, ReauthorizeReason, ReplayRule, UnknownKind,
};

const STRICT: RecoveryRules = RecoveryRules {
    replay: ReplayRule::Strict,
    quiet_period: Duration::from_secs(90),
    reserve: Duration::from_secs(30),
    exchange_limit: Duration::from_mins(2),
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Moment {
    Moment {
        wall: Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        boot: BootStamp {
            id: BootId(9),
            since: secs(1_000 + seconds),
        },
    }
}

fn token(lifetime: u64) -> AccessToken {
    AccessToken {
        secret: "a".to_owned().into(),
        lineage: Lineage(1),
        generation: Generation(4),
        issued: at(0),
        lifetime: secs(lifetime),
        lifetime_source: LifetimeSource::ExpiresIn,
        refresh_in: None,
        scope: None,
        resource: None,
        after_rejection: false,
    }
}

fn active(access: Option<&AccessToken>) -> GrantView<'_> {
    GrantView {
        lifecycle: &GrantLifecycle::Active,
        access,
        refreshable: true,
        refresh_lifetime: None,
        refresh_idle: None,
        key: None,
        jitter: 0.0,
    }
}

fn required() -> GrantLifecycle {
    GrantLifecycle::ReauthorizationRequired {
        reason: ReauthorizeReason::RefreshRefused,
        since: at(0).wall,
    }
}

fn claim(phase: ClaimPhase) -> Claim {
    Claim {
        attempt: AttemptId::new("a1"),
        number: 1,
        owner: OwnerId::new("o1"),
        since: at(0),
        phase,
    }
}

fn unknown(kind: UnknownKind) -> Claim {
    claim(ClaimPhase::Unknown { kind, since: at(0) })
}
