use jiff::Timestamp;

use super::*;
use crate::model::{AttemptId, BootId, BootStamp, LifetimeSource, Lineage, OwnerId};

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

#[test]
fn due_is_three_quarters_of_a_life() {
    assert_eq!(due_after(secs(3600), 0.0), secs(2700));
    assert_eq!(due_after(secs(5), 0.0), Duration::from_millis(3750));
    assert_eq!(due_after(secs(5), 0.05), Duration::from_micros(3_562_500));
    assert_eq!(
        due_after(secs(5), 9.0),
        due_after(secs(5), MAX_JITTER),
        "jitter is bounded"
    );
    assert_eq!(due_after(secs(0), 0.0), secs(0));
}

#[test]
fn a_fresh_token_is_served_and_left_alone() {
    let token = token(3600);
    assert_eq!(
        serve(active(Some(&token)), Freshness::default(), at(2699)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), Freshness::default(), at(2700)),
        ServeDecision::ServeAndRefresh(Why::Due)
    );
    assert_eq!(
        serve(active(Some(&token)), Freshness::default(), at(3599)),
        ServeDecision::RefreshFirst(Why::Expired)
    );
    assert_eq!(
        serve(active(None), Freshness::default(), at(0)),
        ServeDecision::RefreshFirst(Why::Expired)
    );
}

#[test]
fn an_answer_is_repeated_until_the_clocks_or_something_to_do_end_that() {
    let token = token(3600);
    let grant_view = active(Some(&token));
    let repeats = |grant_view, more, now| repeats_for(grant_view, more, at(now));
    assert_eq!(
        repeats(grant_view, false, 700),
        Some(secs(2000)),
        "until due"
    );
    assert_eq!(repeats(grant_view, true, 700), Some(BELIEVED_FOR));
    assert_eq!(repeats(grant_view, false, 2700), Some(BELIEVED_FOR), "due");
    assert_eq!(repeats(grant_view, false, 3599), None, "ended");
    let mut key = grant_view;
    key.refreshable = false;
    assert_eq!(repeats(key, false, 2700), Some(secs(899)), "until its end");
    assert_eq!(repeats(active(None), false, 0), None);
    let required = required();
    let mut refused = grant_view;
    refused.lifecycle = &required;
    assert_eq!(
        serve(refused, Freshness::default(), at(0)),
        ServeDecision::Serve
    );
    assert_eq!(repeats(refused, false, 0), None, "it is not active");
    let short = AccessToken {
        lifetime: Duration::from_millis(1050),
        ..token.clone()
    };
    let last = at(0).boot.since;
    let mut now = at(0);
    now.boot.since = last + Duration::from_millis(830);
    let left = short.left(now);
    assert!(left < BELIEVED_FOR, "{left:?}");
    assert_eq!(
        repeats_for(active(Some(&short)), true, now),
        Some(left),
        "never longer than it lives"
    );
}

#[test]
fn min_ttl_waits_only_for_what_the_provider_can_give() {
    let token = token(3600);
    let ask = |wanted| Freshness {
        min_ttl: Some(secs(wanted)),
        rejected: None,
    };
    assert_eq!(
        serve(active(Some(&token)), ask(600), at(10)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), ask(3500), at(1000)),
        ServeDecision::RefreshFirst(Why::MinTtl)
    );
    assert_eq!(
        serve(active(Some(&token)), ask(7200), at(10)),
        ServeDecision::Serve,
        "unattainable"
    );
}

#[test]
fn a_401_of_an_older_generation_is_answered_with_the_newer() {
    let token = token(3600);
    let rejected = |generation| Freshness {
        min_ttl: None,
        rejected: Some(Generation(generation)),
    };
    assert_eq!(
        serve(active(Some(&token)), rejected(3), at(10)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), rejected(4), at(10)),
        ServeDecision::RefreshFirst(Why::Rejected)
    );
}

#[test]
fn a_token_fetched_after_a_401_that_gets_one_too_is_rejected() {
    let mut token = token(3600);
    token.after_rejection = true;
    let ask = Freshness {
        min_ttl: None,
        rejected: Some(Generation(4)),
    };
    assert_eq!(
        serve(active(Some(&token)), ask, at(59)),
        ServeDecision::Refuse(Refusal::Rejected)
    );
    assert_eq!(
        serve(active(Some(&token)), ask, at(60)),
        ServeDecision::RefreshFirst(Why::Rejected),
        "after the cooldown it may be tried again"
    );
}

#[test]
fn a_dead_grant_serves_its_living_token_and_then_asks_a_person() {
    let token = token(3600);
    let lifecycle = required();
    let grant_view = GrantView {
        lifecycle: &lifecycle,
        ..active(Some(&token))
    };
    assert_eq!(
        serve(grant_view, Freshness::default(), at(3000)),
        ServeDecision::Serve
    );
    let reauthorize =
        ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::RefreshRefused));
    assert_eq!(
        serve(grant_view, Freshness::default(), at(3600)),
        reauthorize
    );
    let rejected = Freshness {
        min_ttl: None,
        rejected: Some(Generation(4)),
    };
    assert_eq!(serve(grant_view, rejected, at(10)), reauthorize);
}

#[test]
fn withdrawn_authority_serves_nothing() {
    let token = token(3600);
    let since = at(0).wall;
    let suspended = GrantLifecycle::Suspended {
        reason: SuspendReason::Manual,
        since,
    };
    let revoked = GrantLifecycle::Revoked { since };
    for (lifecycle, refusal) in [
        (&suspended, Refusal::Suspended(SuspendReason::Manual)),
        (&revoked, Refusal::Revoked),
    ] {
        let grant_view = GrantView {
            lifecycle,
            ..active(Some(&token))
        };
        assert_eq!(
            serve(grant_view, Freshness::default(), at(1)),
            ServeDecision::Refuse(refusal)
        );
    }
}

#[test]
fn without_a_refresh_token_the_end_needs_a_person() {
    let token = token(3600);
    let grant_view = GrantView {
        refreshable: false,
        ..active(Some(&token))
    };
    assert_eq!(
        serve(grant_view, Freshness::default(), at(3000)),
        ServeDecision::Serve
    );
    let no_token = ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::NoRefreshToken));
    assert_eq!(serve(grant_view, Freshness::default(), at(3600)), no_token);
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

#[test]
fn a_claim_is_read_with_its_owner_and_its_journal() {
    use JournalState::{Intent, Missing, Reply, Sending};
    use OwnerState::{Alive, Dead};
    let spending = claim(ClaimPhase::Spending);
    let lost = Investigation::MarkUnknown(UnknownKind::Crash);
    for (owner, journal, expected) in [
        (Alive, Intent, Investigation::OwnerAtWork),
        (Alive, Sending, Investigation::OwnerAtWork),
        (Alive, Reply, Investigation::AdoptReply),
        (Dead, Intent, Investigation::Release),
        (Dead, Sending, lost),
        (Dead, Missing, lost),
        (Dead, Reply, Investigation::AdoptReply),
    ] {
        let seen = investigate(&spending, owner, journal, STRICT, secs(600), at(1_000_000));
        assert_eq!(
            seen, expected,
            "{owner:?} {journal:?}: time alone gives no permission"
        );
    }
    let soon = investigate(&spending, Alive, Reply, STRICT, secs(600), at(1));
    assert_eq!(soon, Investigation::OwnerAtWork, "it is about to commit");
}

fn resend(claim: &Claim, replay: ReplayRule, access_left: u64, now: u64) -> Investigation {
    let rules = RecoveryRules { replay, ..STRICT };
    let journal = JournalState::Sending;
    investigate(
        claim,
        OwnerState::Dead,
        journal,
        rules,
        secs(access_left),
        at(now),
    )
}

#[test]
fn a_strict_provider_is_asked_again_as_late_as_possible() {
    let crash = unknown(UnknownKind::Crash);
    assert!(matches!(
        resend(&crash, ReplayRule::Strict, 600, 10_000),
        Investigation::ResendAfter(_)
    ));
    assert_eq!(
        resend(&crash, ReplayRule::Strict, 0, 80),
        Investigation::ResendAfter(secs(10)),
        "the request may still be queued"
    );
    assert_eq!(
        resend(&crash, ReplayRule::Strict, 30, 90),
        Investigation::Resend
    );
}

/// Also after a crash: what may still be queued at the provider does no harm there.
#[test]
fn where_a_replay_harms_nothing_it_is_asked_again_within_two_seconds() {
    let grace = |window| ReplayRule::Grace(secs(window));
    for kind in [
        UnknownKind::Crash,
        UnknownKind::Silence,
        UnknownKind::Reset,
        UnknownKind::GatewayTimeout,
    ] {
        let lost = unknown(kind);
        for (rule, wait) in [
            (ReplayRule::Harmless, 1),
            (grace(3), 1),
            (grace(6), 2),
            (grace(86_400), 2),
            (ReplayRule::TwoGenerations, 2),
            (ReplayRule::Refused, 2),
        ] {
            let early = resend(&lost, rule, 0, wait - 1);
            assert_eq!(
                early,
                Investigation::ResendAfter(secs(1)),
                "{rule} {kind:?}"
            );
            let then = resend(&lost, rule, 0, wait);
            assert_eq!(then, Investigation::Resend, "{rule} {kind:?}");
            let two = rule == ReplayRule::TwoGenerations && kind == UnknownKind::Crash;
            let living = resend(&lost, rule, 600, wait);
            assert_eq!(living == Investigation::Resend, !two, "{rule} {kind:?}");
        }
    }
}

/// It would take the place of the successor that the resend brings.
#[test]
fn while_a_token_lives_two_generations_wait_for_what_may_be_queued() {
    let crash = unknown(UnknownKind::Crash);
    let rule = ReplayRule::TwoGenerations;
    let after = |left, now| resend(&crash, rule, left, now);
    assert_eq!(after(600, 2), Investigation::ResendAfter(secs(88)));
    assert_eq!(after(600, 90), Investigation::Resend);
    assert_eq!(after(0, 2), Investigation::Resend, "nobody has a token");
}

#[test]
fn what_is_lost_again_is_asked_for_soon_where_a_replay_harms_nothing() {
    let mut crash = unknown(UnknownKind::Crash);
    crash.number = 2;
    let after = |rule, now| resend(&crash, rule, 0, now);
    for rule in [ReplayRule::Harmless, ReplayRule::Refused] {
        assert_eq!(after(rule, 3), Investigation::Resend, "{rule}");
    }
    let late = Investigation::ResendAfter(secs(87));
    assert_eq!(after(ReplayRule::Unknown, 3), late, "a crash at an unknown");
}

#[test]
fn an_unknown_provider_is_asked_by_how_the_answer_was_lost() {
    let unknown_rule = ReplayRule::Unknown;
    let reset = unknown(UnknownKind::Reset);
    assert_eq!(resend(&reset, unknown_rule, 7200, 3), Investigation::Resend);
    let gateway = unknown(UnknownKind::GatewayTimeout);
    assert_eq!(
        resend(&gateway, unknown_rule, 7200, 3),
        Investigation::ResendAfter(secs(12))
    );
    let silence = unknown(UnknownKind::Silence);
    assert!(matches!(
        resend(&silence, unknown_rule, 7200, 999),
        Investigation::ResendAfter(_)
    ));
    assert!(matches!(
        resend(&silence, unknown_rule, 3600, 999),
        Investigation::ResendAfter(_)
    ));
    assert_eq!(
        resend(&silence, unknown_rule, 3599, 999),
        Investigation::Resend
    );
}

#[test]
fn further_resends_keep_their_distance() {
    let mut reset = unknown(UnknownKind::Reset);
    let after = |claim: &Claim, left, at| resend(claim, ReplayRule::Unknown, left, at);
    reset.number = 2;
    assert_eq!(after(&reset, 60, 2), Investigation::ResendAfter(secs(4)));
    assert_eq!(after(&reset, 0, 2), Investigation::ResendAfter(secs(1)));
    reset.number = 40;
    for left in [0, 60] {
        assert_eq!(
            after(&reset, left, 299),
            Investigation::ResendAfter(secs(1))
        );
        assert_eq!(after(&reset, left, 300), Investigation::Resend);
    }
}

/// Rule 11: nobody is woken for what heals within seconds. How a lost answer was lost, of which attempt and under which rule,
/// and how much is left of the token; then how long until its owner is notified.
#[test]
fn a_lost_answer_is_notified_once_it_has_not_healed() {
    use UnknownKind::{Crash, Reset, ServerError, Silence};
    let notify = |claim: &Claim, replay, left, now| {
        let rules = RecoveryRules { replay, ..STRICT };
        notify_after(claim, rules, secs(left), at(now)).map(|wait| wait.as_secs())
    };
    let (strict, by_kind) = (ReplayRule::Strict, ReplayRule::Unknown);
    for (kind, replay, left, now, expected) in [
        // The token lives: until its end, or until a resend has failed.
        (ServerError, by_kind, 600, 0, 600),
        (Silence, by_kind, 600, 20, 600),
        (Reset, strict, 600, 500, 600),
        (ServerError, by_kind, 2, 0, 10),
        // It has ended, and a resend comes within seconds, or not.
        (Reset, by_kind, 0, 0, 10),
        (ServerError, by_kind, 0, 4, 6),
        (Reset, by_kind, 0, 10, 0),
        (Reset, strict, 0, 4, 6),
        (Crash, strict, 0, 0, 0),
        (Crash, by_kind, 0, 5, 0),
        (Reset, ReplayRule::Grace(secs(27)), 0, 0, 10),
        (Reset, ReplayRule::Grace(secs(30)), 0, 0, 10),
        (Crash, ReplayRule::Refused, 0, 0, 10),
    ] {
        let wait = notify(&unknown(kind), replay, left, now);
        assert_eq!(wait, Some(expected), "{kind:?} {replay:?} {left} {now}");
    }
    let numbered = |number, claim: Claim| Claim { number, ..claim };
    let spending = || claim(ClaimPhase::Spending);
    assert_eq!(notify(&spending(), strict, 0, 500), None, "nothing is lost");
    let first = numbered(2, spending());
    assert_eq!(
        notify(&first, by_kind, 50, 30),
        Some(90),
        "it is on its way"
    );
    assert_eq!(notify(&first, by_kind, 0, 120), Some(0), "for too long");
    let failed = numbered(2, unknown(Reset));
    assert_eq!(notify(&failed, strict, 600, 0), Some(0));
    assert_eq!(notify(&numbered(3, spending()), strict, 600, 0), Some(0));
}

#[test]
fn a_wall_clock_that_leaps_gives_no_permission_to_resend() {
    let crash = unknown(UnknownKind::Crash);
    let mut leapt = at(10);
    leapt.wall = at(1_000_000).wall;
    let rules = RecoveryRules {
        replay: ReplayRule::Harmless,
        ..STRICT
    };
    let strict = investigate(
        &crash,
        OwnerState::Dead,
        JournalState::Sending,
        RecoveryRules {
            replay: ReplayRule::Strict,
            ..rules
        },
        secs(0),
        leapt,
    );
    assert_eq!(strict, Investigation::ResendAfter(secs(80)));
}

#[test]
fn backoff_grows_is_capped_and_hears_retry_after() {
    let far = secs(36_000);
    let after = |failures| Outage {
        failures,
        ..Outage::default()
    };
    assert_eq!(backoff(after(0), None, far, 1.0), secs(1));
    assert_eq!(backoff(after(3), None, far, 1.0), secs(8));
    assert_eq!(backoff(after(30), None, far, 1.0), secs(300));
    assert_eq!(
        backoff(after(3), None, far, 0.0),
        Duration::from_millis(250)
    );
    assert_eq!(
        backoff(after(30), None, secs(40), 1.0),
        secs(10),
        "tighter near the end"
    );
    assert_eq!(backoff(after(0), Some(secs(20)), far, 0.5), secs(20));
}

#[test]
fn what_is_long_overdue_is_spread_out_and_no_longer_than_its_life_allows() {
    let wait = |age, crowd, roll| {
        let token = token(3600);
        let wait = let_others_first(active(Some(&token)), crowd, at(age), roll);
        wait.map(|wait| wait.as_millis())
    };
    assert_eq!(wait(2_700, 1_000, 1.0), None, "due just now");
    assert_eq!(wait(2_744, 1_000, 1.0), None);
    assert_eq!(wait(2_745, 1_000, 1.0), Some(50_000));
    assert_eq!(wait(2_745, 1_000, 0.5), Some(25_000));
    assert_eq!(wait(2_745, 8, 1.0), None, "eight are no crowd");
    assert_eq!(wait(2_745, 9, 1.0), Some(450));
    assert_eq!(wait(2_745, 1_000_000, 1.0), Some(120_000), "never longer");
    assert_eq!(wait(3_591, 1_000_000, 1.0), Some(4_000), "half of 8 s");
    assert_eq!(wait(3_599, 1_000_000, 1.0), Some(10_000), "it has ended");
    let none = let_others_first(active(None), 1_000_000, at(0), 1.0);
    assert_eq!(none, Some(secs(10)));
}

#[test]
fn what_was_seen_makes_more_careful_and_never_less() {
    let grace = ReplayRule::Grace(secs(30));
    for rule in [ReplayRule::Harmless, grace, ReplayRule::TwoGenerations] {
        assert_eq!(learned(rule, true), ReplayRule::Strict);
        assert_eq!(learned(rule, false), rule);
    }
    let refused = ReplayRule::Refused;
    for rule in [ReplayRule::Strict, ReplayRule::Unknown, refused] {
        assert_eq!((learned(rule, true), learned(rule, false)), (rule, rule));
    }
}

#[test]
fn a_refused_resend_disproves_only_what_was_promised() {
    let first = unknown(UnknownKind::Reset);
    let mut later = unknown(UnknownKind::Reset);
    later.number = 2;
    let grace = ReplayRule::Grace(secs(30));
    for (rule, before, now, expected) in [
        (ReplayRule::Harmless, &later, 9_000, true),
        (ReplayRule::TwoGenerations, &first, 9_000, true),
        (ReplayRule::TwoGenerations, &later, 9_000, false),
        (grace, &first, 29, true),
        (grace, &first, 30, false),
        (grace, &later, 29, false),
        (ReplayRule::Refused, &first, 1, false),
        (ReplayRule::Strict, &first, 1, false),
        (ReplayRule::Unknown, &first, 1, false),
    ] {
        assert_eq!(disproves(rule, before, at(now)), expected, "{rule} {now}");
    }
}

#[test]
fn early_ends_shorten_what_is_believed_once_they_repeat() {
    let now = at(1_000_000).wall;
    let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
    let seen = |ends: &[(u64, i64)]| {
        let ends: Vec<_> = ends
            .iter()
            .map(|(age, days)| (secs(*age), ago(*days)))
            .collect();
        learned_lifetime(&ends, now).map(|lifetime| lifetime.as_secs())
    };
    assert_eq!(seen(&[]), None);
    assert_eq!(seen(&[(600, 0), (600, 1)]), None, "twice is chance");
    assert_eq!(seen(&[(600, 0), (900, 1), (30, 2)]), Some(600));
    assert_eq!(seen(&[(600, 0), (900, 1), (30, 8)]), None, "long ago");
    assert_eq!(seen(&[(1, 0), (2, 0), (3, 0)]), Some(60), "not shorter");
    let mut token = token(3600);
    assert!(ended_early(&token, at(3_000)));
    assert!(!ended_early(&token, at(3_300)), "it was as good as over");
    token.after_rejection = true;
    assert!(!ended_early(&token, at(59)), "it was refused for itself");
    assert!(ended_early(&token, at(60)));
}

#[test]
fn a_long_outage_is_asked_about_less_and_less_often() {
    let wait = |minutes| {
        let outage = Outage {
            failures: 60,
            lasts: Duration::from_mins(minutes),
        };
        backoff(outage, None, Duration::ZERO, 1.0).as_secs()
    };
    assert_eq!(wait(0), 1, "right after the token's end it may be a blip");
    assert_eq!(
        [wait(8), wait(24), wait(60), wait(1440)],
        [60, 180, 300, 300]
    );
}

#[test]
fn a_day_of_resends_is_given_up_and_a_leap_of_the_clock_is_not() {
    let numbered = |kind, number| Claim {
        number,
        ..unknown(kind)
    };
    for (kind, day) in [(UnknownKind::Silence, 31), (UnknownKind::ServerError, 310)] {
        let given_up = |number, told: Option<u64>| {
            let told = told.map(|seconds| at(seconds).wall);
            is_given_up(&numbered(kind, number), told, at(100_000))
        };
        assert!(!given_up(1, None), "{kind:?}");
        assert!(!given_up(day - 3, None), "{kind:?}");
        assert!(given_up(day + 3, None), "{kind:?}");
        assert!(given_up(day + 3, Some(100_000 - 86_400)), "{kind:?}");
        assert!(!given_up(day + 3, Some(100_000 - 86_399)), "{kind:?}");
        assert!(!given_up(day - 3, Some(0)), "{kind:?}");
    }
    assert!(!is_given_up(&claim(ClaimPhase::Spending), None, at(0)));
}

#[test]
fn an_issuer_that_says_when_is_heard() {
    let due = |asked, jitter| {
        let mut token = token(3600);
        token.refresh_in = Some(secs(asked));
        let grant_view = GrantView {
            jitter,
            ..active(Some(&token))
        };
        until_due(grant_view, at(0)).as_secs()
    };
    assert_eq!((due(1800, 0.0), due(1800, 0.05)), (1800, 1710));
    assert_eq!(due(3500, 0.0), 2700, "later than our own time is no hint");
}

#[test]
fn an_idle_refresh_token_is_used_before_it_dies_of_it() {
    let day = 86_400;
    let due = |lifetime| {
        let token = token(lifetime);
        let grant_view = GrantView {
            refresh_idle: Some(secs(90 * day)),
            ..active(Some(&token))
        };
        until_due(grant_view, at(0)).as_secs()
    };
    // A margin of two minutes is less than a quarter of ninety days.
    assert_eq!(due(3650 * day), 90 * day * 3 / 4);
    assert_eq!(due(3600), 2700, "it is used often enough");
}

#[test]
fn a_refresh_token_that_ends_first_is_used_before_it_ends() {
    let token = token(3600);
    let with = |seconds| GrantView {
        refresh_lifetime: Some(secs(seconds)),
        ..active(Some(&token))
    };
    let due = |grant_view| until_due(grant_view, at(0)).as_secs();
    assert_eq!(
        due(with(86_400)),
        2700,
        "it ends later than the access token is due"
    );
    assert_eq!(due(with(2_000)), 1500);
    assert_eq!(
        due(with(10)),
        675,
        "an end that no refresh puts off is not chased"
    );
}

#[test]
fn a_refused_key_gives_way_to_the_one_before_it_while_that_is_good() {
    let mut key = token(3600);
    key.lifetime = crate::model::ENDLESS;
    let standby = StandbyKey {
        secret: "old".to_owned().into(),
        generation: Generation(3),
        until: at(100).wall,
        refused: None,
    };
    let with = |standby| GrantView {
        refreshable: false,
        key: Some(standby),
        ..active(Some(&key))
    };
    let rejected = Freshness {
        rejected: Some(Generation(4)),
        min_ttl: None,
    };
    assert_eq!(
        serve(with(Some(&standby)), rejected, at(99)),
        ServeDecision::FallBack
    );
    let refused = ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::KeyRefused));
    assert_eq!(serve(with(Some(&standby)), rejected, at(100)), refused);
    assert_eq!(serve(with(None), rejected, at(0)), refused);
    assert_eq!(
        serve(with(None), Freshness::default(), at(1_000_000)),
        ServeDecision::Serve
    );
}

#[test]
fn a_server_that_answers_with_errors_is_asked_again_soon_and_less_and_less_often() {
    let rules = RecoveryRules {
        replay: ReplayRule::Unknown,
        ..STRICT
    };
    let wait = |kind, left, number| resend_wait(rules, kind, number, secs(left)).as_secs();
    let errors = |left| -> Vec<_> {
        let waits = (1..9).map(|number| wait(UnknownKind::ServerError, left, number));
        waits.collect()
    };
    assert_eq!(errors(60), [3, 6, 12, 24, 48, 96, 192, 300]);
    assert_eq!(errors(0), [3, 3, 3, 6, 6, 6, 6, 12], "nobody has a token");
    let silence: Vec<_> = (1..5)
        .map(|number| wait(UnknownKind::Silence, 0, number))
        .collect();
    assert_eq!(silence, [3, 60, 120, 240]);
    assert_eq!(wait(UnknownKind::Silence, 0, 40), 3_600);
}

/// However long it lasts: whoever has no token waits for a part of that at most once the server is well again.
#[test]
fn what_is_lost_without_a_token_is_asked_for_within_a_part_of_the_time_it_lasts() {
    let rules = RecoveryRules {
        replay: ReplayRule::Unknown,
        ..STRICT
    };
    let mut lasted = Duration::ZERO;
    for number in 1..40 {
        let wait = resend_wait(rules, UnknownKind::Reset, number, Duration::ZERO);
        let bound = (lasted * 2 / 3).max(secs(3)).min(Duration::from_mins(5));
        assert!(wait <= bound, "{number}: {wait:?} after {lasted:?}");
        lasted += wait;
    }
}

#[test]
fn a_living_owner_without_its_journal_is_given_up_after_every_limit() {
    let one = claim(ClaimPhase::Spending);
    let look = |seconds| {
        let owner = (OwnerState::Alive, JournalState::Missing);
        investigate(&one, owner.0, owner.1, STRICT, secs(900), at(seconds))
    };
    assert_eq!(look(129), Investigation::OwnerAtWork);
    assert_eq!(look(130), Investigation::MarkUnknown(UnknownKind::Crash));
}

#[test]
fn a_settled_journal_of_a_dead_owner_gives_its_claim_back() {
    let one = claim(ClaimPhase::Spending);
    let look = |owner| investigate(&one, owner, JournalState::Settled, STRICT, secs(900), at(1));
    assert_eq!(look(OwnerState::Dead), Investigation::Release);
    assert_eq!(look(OwnerState::Alive), Investigation::OwnerAtWork);
    let alive = |seconds| {
        let (owner, journal) = (OwnerState::Alive, JournalState::Settled);
        investigate(&one, owner, journal, STRICT, secs(900), at(seconds))
    };
    assert_eq!(alive(9), Investigation::OwnerAtWork);
    assert_eq!(
        alive(10),
        Investigation::Release,
        "it could not give it back"
    );
}

/// Each journal that no claim names, by what it spends beside what is current: (lineage 2, generation 5).
#[test]
fn a_journal_that_no_claim_names_is_read_beside_what_is_current() {
    use JournalState::{Intent, Reply, Sending, Settled};
    use Orphan::{BringForward, ClaimBack, Leave, Remove, SetAside};
    use OwnerState::{Alive, Dead};
    let table = [
        // An earlier sign-in.
        ((1, 9), Dead, Reply, Remove),
        ((1, 9), Dead, Sending, Remove),
        ((1, 9), Alive, Sending, Leave),
        // A sign-in that the store forgot.
        ((3, 6), Dead, Reply, Leave),
        ((3, 6), Alive, Sending, Leave),
        // Spent before.
        ((2, 4), Dead, Intent, Remove),
        ((2, 4), Dead, Sending, Remove),
        ((2, 4), Dead, Reply, SetAside),
        ((2, 4), Dead, Settled, Remove),
        ((2, 4), Alive, Reply, Leave),
        // What is current.
        ((2, 5), Dead, Intent, Remove),
        ((2, 5), Alive, Intent, Leave),
        ((2, 5), Dead, Sending, ClaimBack),
        ((2, 5), Alive, Sending, ClaimBack),
        ((2, 5), Dead, Reply, ClaimBack),
        ((2, 5), Alive, Reply, ClaimBack),
        ((2, 5), Dead, Settled, Remove),
        ((2, 5), Alive, Settled, Leave),
        // Later than the store knows of.
        ((2, 6), Dead, Reply, BringForward),
        ((2, 6), Alive, Reply, BringForward),
        ((2, 6), Alive, Sending, Leave),
        ((2, 6), Dead, Intent, Leave),
    ];
    for ((lineage, generation), owner, state, wanted) in table {
        let spent = (Lineage(lineage), Generation(generation));
        let current = (Lineage(2), Generation(5));
        let seen = orphan(spent, owner, state, current);
        assert_eq!(seen, wanted, "{spent:?} {owner:?} {state:?}");
    }
}

#[test]
fn only_what_was_sent_by_a_later_attempt_is_a_contest() {
    use JournalState::{Intent, Missing, Reply, Sending, Settled};
    for state in [Sending, Reply] {
        assert!(is_contested(2, 2, state) && is_contested(2, 3, state));
        assert!(!is_contested(2, 1, state), "taken over from: {state:?}");
    }
    for state in [Intent, Missing, Settled] {
        assert!(!is_contested(1, 1, state), "{state:?}");
    }
}

#[test]
fn a_wall_clock_that_was_put_back_does_not_put_a_probe_off() {
    let hours = |hours: i64| {
        let mut now = at(0);
        now.wall += SignedDuration::from_hours(hours);
        now
    };
    assert!(!probe_due(&required(), None, hours(-5)));
    assert!(probe_due(&required(), None, hours(-7)));
    let probed = Some(hours(-7).wall);
    assert!(!probe_due(&required(), probed, hours(-7)), "once");
    assert!(probe_due(&required(), probed, hours(6)));
}

#[path = "decide_edges.rs"]
mod edges;

fn failing(times: u32, said: Said) -> Failing {
    Failing {
        since: at(0),
        times,
        failures: times,
        said,
        rest: None,
        lineage: None,
        told: vec![],
    }
}

#[test]
fn a_provider_that_fails_every_request_is_told_after_minutes_or_one_if_calls_fail() {
    let (lives, ended) = (Duration::from_hours(1), Duration::ZERO);
    let five = Duration::from_mins(5);
    let due = |times, left, after, now| {
        let said = Said::Unavailable(String::new());
        let event = incident_of(&failing(times, said), left, after, at(now));
        assert!(event.is_none_or(|event| event == Event::ProviderFailing));
        event.is_some()
    };
    assert!(!due(9, lives, five, 299));
    assert!(due(9, lives, five, 300));
    assert!(due(2, lives, five, 300));
    assert!(!due(1, lives, five, 9_000), "one failure while it lives");
    assert!(!due(9, ended, five, 59));
    assert!(due(1, ended, five, 60), "calls fail");
    assert!(
        due(2, ended, Duration::from_secs(5), 5),
        "what is set is less"
    );
    assert!(!due(2, ended, Duration::from_secs(5), 4));
}

#[test]
fn a_token_endpoint_that_moved_is_told_at_once_and_one_that_may_have_is_not() {
    let event = |said| incident_of(&failing(1, said), Duration::ZERO, Duration::ZERO, at(0));
    let moved = Said::Moved(String::new());
    assert_eq!(event(moved), Some(Event::TokenEndpointMoved));
    let gone = failing(2, Said::Gone(String::new()));
    let lives = Duration::from_hours(1);
    assert_eq!(
        incident_of(&gone, lives, Duration::from_mins(5), at(0)),
        None
    );
}
