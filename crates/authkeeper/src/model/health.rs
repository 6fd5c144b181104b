//! The health of a connection: whether calls over it work, why not, and whose move it is. Every surface renders this.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use super::{
    ConnectionName, Event, Failing, GrantLifecycle, GrantType, Incident, ReauthorizeReason, Record,
    Said, SuspendReason,
};

/// Whether calls work. The later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Calls work.
    Ok,
    /// Calls work; there is something to know.
    Notice,
    /// Calls work until [`Health::works_until`], then they fail, unless somebody acts before that.
    AtRisk,
    /// Calls fail now.
    Down,
    /// Nobody is signed in, or it is disconnected: it is not meant to work.
    Off,
}

impl HealthState {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Notice => "notice",
            Self::AtRisk => "at_risk",
            Self::Down => "down",
            Self::Off => "off",
        }
    }
}

/// Who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoseMove {
    /// Nobody.
    Nobody,
    /// authkeeper asks again by itself.
    Authkeeper,
    /// The provider must answer again; authkeeper keeps asking.
    Provider,
    /// The person in whose name calls are made.
    Person,
    /// Who manages the client, the account's permissions or this installation.
    Operator,
}

impl WhoseMove {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Authkeeper => "authkeeper",
            Self::Provider => "provider",
            Self::Person => "person",
            Self::Operator => "operator",
        }
    }
}

/// Why a connection is not simply ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthCause {
    /// The first sign-in is not done.
    Pending,
    /// It is disconnected.
    Revoked,
    /// Authority is withdrawn.
    Suspended(SuspendReason),
    /// The grant is over.
    GrantOver(ReauthorizeReason),
    /// The provider refuses our client.
    ClientRefused,
    /// The provider refuses what is asked for.
    RequestRefused,
    /// The token endpoint is not where it was.
    TokenEndpointMoved,
    /// The server refuses a token fresh from the provider.
    TokenRejected,
    /// The provider gives no token now.
    ProviderUnavailable,
    /// An answer was lost; whether the provider acted is not known.
    Uncertain,
    /// The server wants a scope that was not granted.
    ScopeRequired,
    /// The provider grants less, or otherwise, than at the sign-in.
    AuthorityNarrowed,
    /// A new API key was refused, and the one before it serves.
    RotationFailed,
    /// An API key should be replaced soon.
    RotationDue,
}

impl HealthCause {
    /// The fixed word; of a grant that is over or suspended, its reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Revoked => "revoked",
            Self::Suspended(reason) => reason.as_str(),
            Self::GrantOver(reason) => reason.as_str(),
            Self::ClientRefused => "client_refused",
            Self::RequestRefused => "request_refused",
            Self::TokenEndpointMoved => "token_endpoint_moved",
            Self::TokenRejected => "token_rejected",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::Uncertain => "uncertain",
            Self::ScopeRequired => "scope_required",
            Self::AuthorityNarrowed => "authority_narrowed",
            Self::RotationFailed => "rotation_failed",
            Self::RotationDue => "rotation_due",
        }
    }

    /// The cause that an incident tells of; none for the test of the notification channels.
    pub fn of_record(record: &Record) -> Option<Self> {
        Some(match (record.event, record.reason.as_str()) {
            (Event::ReauthorizationRequired, reason) => {
                Self::GrantOver(ReauthorizeReason::parse(reason)?)
            }
            (Event::AuthorityLost, Record::CLIENT_REFUSED) => Self::ClientRefused,
            (Event::AuthorityLost, "rejected") => Self::TokenRejected,
            (Event::AuthorityLost, reason) => {
                SuspendReason::parse(reason).map_or(Self::RequestRefused, Self::Suspended)
            }
            (Event::TokenEndpointMoved, _) => Self::TokenEndpointMoved,
            (Event::ProviderFailing, _) => Self::ProviderUnavailable,
            (Event::ScopeRequired, _) => Self::ScopeRequired,
            (Event::AuthorityNarrowed, _) => Self::AuthorityNarrowed,
            (Event::RotationFailed, _) => Self::RotationFailed,
            (Event::RotationDue, _) => Self::RotationDue,
            (Event::Uncertain, _) => Self::Uncertain,
            (Event::Test, _) => return None,
        })
    }

    /// One sentence for a person, without a full stop.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Pending => "nobody has signed in yet",
            Self::Revoked => {
                "it was disconnected, but the provider did not confirm that it revoked the grant"
            }
            Self::Suspended(reason) => reason.sentence(),
            Self::GrantOver(reason) => reason.sentence(),
            Self::ClientRefused => "the provider refuses authkeeper's client",
            Self::RequestRefused => "the provider refuses the refresh",
            Self::TokenEndpointMoved => "the provider's token endpoint has moved",
            Self::TokenRejected => "the server refuses a token fresh from the provider",
            Self::ProviderUnavailable => "the provider gives no token now",
            Self::Uncertain => {
                "an answer of the provider was lost, and whether it acted is not known"
            }
            Self::ScopeRequired => "a call was refused for lack of a scope",
            Self::AuthorityNarrowed => "the provider grants less than at the sign-in",
            Self::RotationFailed => "the new API key was refused, and the one before it serves",
            Self::RotationDue => "the API key should be replaced soon",
        }
    }

    /// Who has to do something about it.
    pub const fn whose_move(self) -> WhoseMove {
        match self {
            Self::Pending
            | Self::Suspended(_)
            | Self::GrantOver(_)
            | Self::ScopeRequired
            | Self::AuthorityNarrowed
            | Self::RotationFailed
            | Self::RotationDue => WhoseMove::Person,
            Self::Revoked
            | Self::ClientRefused
            | Self::RequestRefused
            | Self::TokenEndpointMoved
            | Self::TokenRejected => WhoseMove::Operator,
            Self::ProviderUnavailable => WhoseMove::Provider,
            Self::Uncertain => WhoseMove::Authkeeper,
        }
    }

    /// Whether calls work while it holds, with a token that is still good or without one.
    pub const fn state(self, has_token: bool) -> HealthState {
        match self.effect() {
            Effect::Off => HealthState::Off,
            Effect::WhenTokenEnds if has_token => HealthState::AtRisk,
            Effect::WhenTokenEnds | Effect::Now => HealthState::Down,
            Effect::None => HealthState::Notice,
        }
    }

    /// Each of them, with each of its reasons.
    pub fn all() -> Vec<Self> {
        let suspended = SuspendReason::ALL.map(Self::Suspended);
        let over = ReauthorizeReason::ALL.map(Self::GrantOver);
        let others = [
            Self::ClientRefused,
            Self::RequestRefused,
            Self::TokenEndpointMoved,
            Self::TokenRejected,
            Self::ProviderUnavailable,
            Self::Uncertain,
            Self::ScopeRequired,
            Self::AuthorityNarrowed,
            Self::RotationFailed,
            Self::RotationDue,
        ];
        let first = [Self::Pending, Self::Revoked];
        let all = first.into_iter().chain(suspended).chain(over).chain(others);
        all.collect()
    }

    const fn effect(self) -> Effect {
        match self {
            Self::Pending | Self::Revoked => Effect::Off,
            Self::Suspended(_)
            | Self::TokenRejected
            | Self::GrantOver(
                ReauthorizeReason::KeyRefused | ReauthorizeReason::AuthorizationServerChanged,
            ) => Effect::Now,
            Self::GrantOver(_)
            | Self::ClientRefused
            | Self::RequestRefused
            | Self::TokenEndpointMoved
            | Self::ProviderUnavailable
            | Self::Uncertain => Effect::WhenTokenEnds,
            Self::ScopeRequired
            | Self::AuthorityNarrowed
            | Self::RotationFailed
            | Self::RotationDue => Effect::None,
        }
    }
}

/// When calls fail for a cause.
#[derive(Clone, Copy)]
enum Effect {
    Off,
    Now,
    WhenTokenEnds,
    None,
}

impl Serialize for HealthCause {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// The health of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether calls work.
    pub state: HealthState,
    /// Why not, or what there is to know.
    pub cause: Option<HealthCause>,
    /// The same as a sentence for a person, without a full stop. It quotes the provider where that said something.
    pub detail: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Who has to do something.
    pub whose_move: WhoseMove,
    /// What they do about it.
    pub action: Option<String>,
    /// When authkeeper asks the provider again, if it knows.
    pub next_attempt: Option<Timestamp>,
    /// Until when calls still work, if they are about to fail.
    pub works_until: Option<Timestamp>,
}

impl Health {
    /// Calls work, and there is nothing to know.
    pub const OK: Self = Self {
        state: HealthState::Ok,
        cause: None,
        detail: None,
        since: None,
        whose_move: WhoseMove::Nobody,
        action: None,
        next_attempt: None,
        works_until: None,
    };

    /// Whether it needs somebody: what a monitor alerts about. Not what authkeeper is about to heal while calls still work.
    pub fn needs_attention(&self) -> bool {
        match self.state {
            HealthState::Ok | HealthState::Notice => false,
            HealthState::AtRisk => {
                matches!(self.whose_move, WhoseMove::Person | WhoseMove::Operator)
            }
            HealthState::Down | HealthState::Off => true,
        }
    }
}

/// What the health of a connection is judged by.
#[derive(Clone, Copy, Debug)]
pub struct HealthFacts<'a> {
    /// The connection's name.
    pub name: &'a ConnectionName,
    /// Whether its grant may be used; none if there is no grant.
    pub lifecycle: Option<&'a GrantLifecycle>,
    /// How the grant was given.
    pub grant_type: Option<GrantType>,
    /// Whether new tokens can be had without a person.
    pub refreshable: bool,
    /// How long the access token may still be presented; zero if there is none.
    pub left: Duration,
    /// Since when an answer has been missing.
    pub uncertain_since: Option<Timestamp>,
    /// When the provider is asked again for that answer.
    pub asked_again_in: Option<Duration>,
    /// Token requests of its grant or its client that fail in a row.
    pub failing: Option<&'a Failing>,
    /// How long none is sent.
    pub rests_for: Option<Duration>,
    /// Its incidents that are not over.
    pub incidents: &'a [Incident],
    /// Now.
    pub now: Timestamp,
}

/// A cause that holds, with its incident if there is one.
struct Finding<'a> {
    cause: HealthCause,
    since: Option<Timestamp>,
    record: Option<&'a Record>,
}

/// The health of a connection: its worst cause. Where several are as bad, the one whose end would not end the others.
pub fn health(facts: &HealthFacts<'_>) -> Health {
    worst(&causes(facts))
}

/// Every cause that holds, judged by itself; the deepest first.
pub fn causes(facts: &HealthFacts<'_>) -> Vec<Health> {
    let works = !facts.left.is_zero();
    let judge = |finding: &Finding<'_>| judged(facts, finding.cause.state(works), finding);
    findings(facts).iter().map(judge).collect()
}

/// The worst of them, among equals the first; ok if there is none.
pub fn worst(causes: &[Health]) -> Health {
    let mut worst = &Health::OK;
    for cause in causes {
        if cause.state > worst.state {
            worst = cause;
        }
    }
    worst.clone()
}

fn judged(facts: &HealthFacts<'_>, state: HealthState, finding: &Finding<'_>) -> Health {
    let cause = finding.cause;
    let asked_again = match cause {
        HealthCause::Uncertain => facts.asked_again_in,
        HealthCause::ProviderUnavailable => facts.rests_for,
        _ => None,
    };
    Health {
        state,
        cause: Some(cause),
        detail: Some(detail(facts, finding)),
        since: finding.since,
        whose_move: cause.whose_move(),
        action: action(facts, finding),
        next_attempt: asked_again.and_then(|wait| after(facts.now, wait)),
        works_until: (state == HealthState::AtRisk)
            .then(|| after(facts.now, facts.left))
            .flatten(),
    }
}

/// Every cause that holds, the deepest first.
fn findings<'a>(facts: &HealthFacts<'a>) -> Vec<Finding<'a>> {
    let mut found = Vec::new();
    found.extend(of_lifecycle(facts));
    found.extend(facts.incidents.iter().filter_map(of_incident));
    found.extend(of_failing(facts));
    if facts.uncertain_since.is_some() {
        let told = record_of(facts, |record| record.event == Event::Uncertain);
        found.push(Finding {
            cause: HealthCause::Uncertain,
            since: facts.uncertain_since,
            record: told,
        });
    }
    found
}

fn of_lifecycle<'a>(facts: &HealthFacts<'a>) -> Option<Finding<'a>> {
    let (cause, since) = match facts.lifecycle {
        None => (HealthCause::Pending, None),
        Some(GrantLifecycle::Revoked { since }) => (HealthCause::Revoked, Some(*since)),
        Some(GrantLifecycle::Suspended { reason, since }) => {
            (HealthCause::Suspended(*reason), Some(*since))
        }
        Some(GrantLifecycle::ReauthorizationRequired { reason, since }) => {
            (HealthCause::GrantOver(*reason), Some(*since))
        }
        Some(GrantLifecycle::Active) if facts.left.is_zero() && !facts.refreshable => (
            HealthCause::GrantOver(ReauthorizeReason::NoRefreshToken),
            None,
        ),
        Some(GrantLifecycle::Active) => return None,
    };
    let record = record_of(facts, |record| record.reason == cause.as_str());
    let since = since.or(record.map(|record| record.since));
    Some(Finding {
        cause,
        since,
        record,
    })
}

/// What an incident says that nothing else does.
fn of_incident(incident: &Incident) -> Option<Finding<'_>> {
    let record = &incident.record;
    let cause = HealthCause::of_record(record)?;
    // The lifecycle or the claim says so, and for as long as it holds.
    if matches!(cause, HealthCause::Suspended(_) | HealthCause::Uncertain) {
        return None;
    }
    Some(Finding {
        cause,
        since: Some(record.since),
        record: Some(record),
    })
}

/// Requests that fail are no news while the token lives, until an incident tells of them.
fn of_failing<'a>(facts: &HealthFacts<'a>) -> Option<Finding<'a>> {
    let failing = facts.failing.filter(|_| facts.left.is_zero())?;
    let cause = match &failing.said {
        Said::Unavailable(_) | Said::Gone(_) => HealthCause::ProviderUnavailable,
        Said::Moved(_) => HealthCause::TokenEndpointMoved,
        Said::Refused { .. } => HealthCause::RequestRefused,
    };
    Some(Finding {
        cause,
        since: Some(failing.since.wall),
        record: None,
    })
}

fn record_of<'a>(facts: &HealthFacts<'a>, is_it: impl Fn(&Record) -> bool) -> Option<&'a Record> {
    let mut records = facts.incidents.iter().map(|incident| &incident.record);
    records.find(|record| is_it(record))
}

fn detail(facts: &HealthFacts<'_>, finding: &Finding<'_>) -> String {
    if let Some(record) = finding.record {
        return record.detail.clone();
    }
    let sentence = finding.cause.sentence();
    let of_requests = matches!(
        finding.cause,
        HealthCause::RequestRefused | HealthCause::ProviderUnavailable
    );
    match facts.failing.filter(|_| of_requests) {
        Some(failing) => format!("{sentence}: {}", failing.said.words()),
        None => sentence.to_owned(),
    }
}

fn action(facts: &HealthFacts<'_>, finding: &Finding<'_>) -> Option<String> {
    let name = facts.name;
    let again = restoring_command(name.as_str(), facts.grant_type);
    match finding.cause {
        HealthCause::Revoked => Some(format!("authkeeper disconnect {name}")),
        HealthCause::Suspended(SuspendReason::SecondCopy) => {
            Some(format!("authkeeper import {name} --other-copy-retired"))
        }
        HealthCause::ProviderUnavailable | HealthCause::Uncertain => None,
        // The key's file is for the person to choose.
        HealthCause::GrantOver(ReauthorizeReason::KeyRefused) => Some(again),
        cause => match finding.record {
            Some(record) => Some(record.action.clone()),
            None if cause == HealthCause::Suspended(SuspendReason::Manual) => None,
            None => Some(again),
        },
    }
}

/// The command that replaces an ended credential: `rotate` for a key, `reauthorize` for everything else.
pub fn restoring_command(name: &str, grant_type: Option<GrantType>) -> String {
    match grant_type {
        Some(grant_type) if grant_type.is_key() => format!("authkeeper rotate {name}"),
        _ => format!("authkeeper reauthorize {name}"),
    }
}

fn after(now: Timestamp, wait: Duration) -> Option<Timestamp> {
    now.checked_add(SignedDuration::try_from(wait).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootId, BootStamp, IncidentId, Moment, Rest};

    const NOW: i64 = 1_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn incident(event: Event, reason: &str) -> Incident {
        Incident {
            id: IncidentId::new("i"),
            record: Record {
                event,
                connection: "notion".to_owned(),
                principal: "local".to_owned(),
                task: None,
                reason: reason.to_owned(),
                detail: "it was told".to_owned(),
                since: at(NOW - 60),
                expires_at: None,
                scope: None,
                action: "authkeeper act".to_owned(),
                link: None,
                trace_id: "t".to_owned(),
                ts: at(NOW - 60),
            },
            notified: false,
        }
    }

    fn over(reason: ReauthorizeReason) -> GrantLifecycle {
        GrantLifecycle::ReauthorizationRequired {
            reason,
            since: at(NOW - 60),
        }
    }

    /// An active grant with this much left.
    struct Scene {
        lifecycle: Option<GrantLifecycle>,
        left: u64,
        refreshable: bool,
        uncertain: bool,
        failing: Option<Failing>,
        incidents: Vec<Incident>,
    }

    fn scene(left: u64) -> Scene {
        Scene {
            lifecycle: Some(GrantLifecycle::Active),
            left,
            refreshable: true,
            uncertain: false,
            failing: None,
            incidents: Vec::new(),
        }
    }

    impl Scene {
        fn health(&self) -> Health {
            let name = ConnectionName::parse("notion").unwrap();
            health(&HealthFacts {
                name: &name,
                lifecycle: self.lifecycle.as_ref(),
                grant_type: Some(GrantType::AuthorizationCode),
                refreshable: self.refreshable,
                left: Duration::from_secs(self.left),
                uncertain_since: self.uncertain.then(|| at(NOW - 5)),
                asked_again_in: self.uncertain.then(|| Duration::from_secs(89)),
                failing: self.failing.as_ref(),
                rests_for: self.failing.as_ref().map(|_| Duration::from_secs(30)),
                incidents: &self.incidents,
                now: at(NOW),
            })
        }

        fn judged(&self) -> (HealthState, Option<&'static str>, WhoseMove) {
            let health = self.health();
            let word = health.cause.map(HealthCause::as_str);
            (health.state, word, health.whose_move)
        }
    }

    fn failing(said: Said) -> Failing {
        let since = Moment {
            wall: at(NOW - 20),
            boot: BootStamp {
                id: BootId(1),
                since: Duration::from_secs(1),
            },
        };
        Failing {
            since,
            times: 3,
            failures: 3,
            said,
            rest: None::<Rest>,
            lineage: None,
            told: Vec::new(),
        }
    }

    #[test]
    fn a_grant_that_can_be_refreshed_is_ok_whether_its_token_lives_or_not() {
        for left in [0, 60] {
            let health = scene(left).health();
            assert_eq!(health.state, HealthState::Ok, "{left}");
            assert_eq!((health.cause, health.action), (None, None));
            assert_eq!(health.whose_move, WhoseMove::Nobody);
        }
    }

    #[test]
    fn what_ends_the_grant_is_a_risk_while_its_token_lives_and_down_afterwards() {
        use ReauthorizeReason::{KeyRefused, NoRefreshToken, RefreshRefused};
        let (person, down) = (WhoseMove::Person, HealthState::Down);
        let grant_over = |reason, left| Scene {
            lifecycle: Some(over(reason)),
            ..scene(left)
        };
        let refused = Some("refresh_refused");
        let alive = grant_over(RefreshRefused, 4);
        assert_eq!(alive.judged(), (HealthState::AtRisk, refused, person));
        assert_eq!(alive.health().works_until, Some(at(NOW + 4)));
        let ended = grant_over(RefreshRefused, 0);
        assert_eq!(ended.judged(), (down, refused, person));
        assert_eq!(ended.health().works_until, None);
        let key = grant_over(KeyRefused, 60);
        assert_eq!(key.judged(), (down, Some("key_refused"), person));
        let without = Scene {
            refreshable: false,
            ..scene(0)
        };
        let word = Some(NoRefreshToken.as_str());
        assert_eq!(without.judged(), (down, word, person));
        let alive = Scene {
            refreshable: false,
            ..scene(60)
        };
        assert_eq!(alive.judged().0, HealthState::Ok);
    }

    #[test]
    fn a_connection_that_is_not_meant_to_work_is_off_and_a_suspended_one_is_down() {
        let of = |lifecycle: Option<GrantLifecycle>| {
            let scene = Scene {
                lifecycle,
                ..scene(60)
            };
            (scene.judged(), scene.health().action)
        };
        let (pending, action) = of(None);
        assert_eq!(
            pending,
            (HealthState::Off, Some("pending"), WhoseMove::Person)
        );
        assert_eq!(action.as_deref(), Some("authkeeper reauthorize notion"));
        let since = at(NOW - 60);
        let (revoked, action) = of(Some(GrantLifecycle::Revoked { since }));
        assert_eq!(
            revoked,
            (HealthState::Off, Some("revoked"), WhoseMove::Operator)
        );
        assert_eq!(action.as_deref(), Some("authkeeper disconnect notion"));
        for (reason, action) in [
            (SuspendReason::Manual, None),
            (
                SuspendReason::SecondCopy,
                Some("authkeeper import notion --other-copy-retired"),
            ),
            (
                SuspendReason::OtherAccount,
                Some("authkeeper reauthorize notion"),
            ),
        ] {
            let (suspended, told) = of(Some(GrantLifecycle::Suspended { reason, since }));
            let word = Some(reason.as_str());
            assert_eq!(suspended, (HealthState::Down, word, WhoseMove::Person));
            assert_eq!(told.as_deref(), action);
        }
    }

    #[test]
    fn each_incident_is_a_cause_with_its_own_words() {
        let (risk, notice) = (HealthState::AtRisk, HealthState::Notice);
        let (operator, person) = (WhoseMove::Operator, WhoseMove::Person);
        for (event, reason, expected) in [
            (
                Event::AuthorityLost,
                "client_refused",
                (risk, "client_refused", operator),
            ),
            (
                Event::AuthorityLost,
                "request_refused",
                (risk, "request_refused", operator),
            ),
            (
                Event::AuthorityLost,
                "rejected",
                (HealthState::Down, "token_rejected", operator),
            ),
            (
                Event::TokenEndpointMoved,
                "token_endpoint_moved",
                (risk, "token_endpoint_moved", operator),
            ),
            (
                Event::ProviderFailing,
                "token_requests_fail",
                (risk, "provider_unavailable", WhoseMove::Provider),
            ),
            (
                Event::ScopeRequired,
                "insufficient_scope",
                (notice, "scope_required", person),
            ),
            (
                Event::AuthorityNarrowed,
                "scope",
                (notice, "authority_narrowed", person),
            ),
            (
                Event::RotationDue,
                "rotation_due",
                (notice, "rotation_due", person),
            ),
            (
                Event::RotationFailed,
                "rotation_failed",
                (notice, "rotation_failed", person),
            ),
        ] {
            let scene = Scene {
                incidents: vec![incident(event, reason)],
                ..scene(60)
            };
            let (state, word, whose_move) = scene.judged();
            assert_eq!((state, word.unwrap(), whose_move), expected);
            let health = scene.health();
            assert_eq!(health.detail.as_deref(), Some("it was told"), "{reason}");
            assert_eq!(health.since, Some(at(NOW - 60)));
            let acts = whose_move != WhoseMove::Provider;
            assert_eq!(health.action.is_some(), acts, "{reason}");
        }
        // The test of the channels is none, and that a grant is suspended its lifecycle says.
        for (event, reason) in [
            (Event::Test, "test"),
            (Event::AuthorityLost, "other_account"),
        ] {
            let scene = Scene {
                incidents: vec![incident(event, reason)],
                ..scene(60)
            };
            assert_eq!(scene.judged().0, HealthState::Ok, "{reason}");
        }
    }

    #[test]
    fn requests_that_fail_are_no_news_before_the_token_ends_or_an_incident_tells_of_them() {
        let of = |left, said| Scene {
            failing: Some(failing(said)),
            ..scene(left)
        };
        let gone = || Said::Gone("connection refused".to_owned());
        assert_eq!(of(60, gone()).judged().0, HealthState::Ok);
        let down = of(0, gone()).health();
        assert_eq!(down.state, HealthState::Down);
        assert_eq!(down.cause, Some(HealthCause::ProviderUnavailable));
        assert_eq!(down.next_attempt, Some(at(NOW + 30)));
        assert!(down.detail.unwrap().ends_with("connection refused"));
        let moved = of(0, Said::Moved("to https://b.example".to_owned()));
        assert_eq!(moved.judged().1, Some("token_endpoint_moved"));
    }

    #[test]
    fn a_lost_answer_is_authkeepers_move_and_says_when_it_asks() {
        for (left, state) in [(4, HealthState::AtRisk), (0, HealthState::Down)] {
            let scene = Scene {
                uncertain: true,
                ..scene(left)
            };
            assert_eq!(
                scene.judged(),
                (state, Some("uncertain"), WhoseMove::Authkeeper)
            );
            let health = scene.health();
            assert_eq!(health.next_attempt, Some(at(NOW + 89)));
            assert_eq!(health.needs_attention(), left == 0);
        }
    }

    #[test]
    fn the_worst_cause_is_told_and_among_equals_the_deepest() {
        let both = Scene {
            lifecycle: Some(over(ReauthorizeReason::RefreshRefused)),
            uncertain: true,
            incidents: vec![
                incident(Event::ScopeRequired, "insufficient_scope"),
                incident(Event::AuthorityLost, "rejected"),
            ],
            ..scene(60)
        };
        assert_eq!(both.judged().1, Some("token_rejected"), "calls fail now");
        let ended = Scene { left: 0, ..both };
        assert_eq!(ended.judged().1, Some("refresh_refused"));
    }
}
