//! The edges that the tests beside this leave out: found by changing one thing of the decisions at a time.

use super::*;
use crate::model::{ClientId, Issuer, RegistrationSource};

#[test]
fn the_words_of_the_log_are_fixed() {
    let whys = [
        Why::Due,
        Why::Expired,
        Why::MinTtl,
        Why::Rejected,
        Why::Recovery,
        Why::Proof,
        Why::Probe,
    ];
    assert_eq!(
        whys.map(Why::as_str),
        [
            "due",
            "expired",
            "min_ttl",
            "rejected_401",
            "recovery",
            "proof",
            "probe"
        ]
    );
    let verdicts = [
        ServeDecision::Serve,
        ServeDecision::ServeAndRefresh(Why::Due),
        ServeDecision::RefreshFirst(Why::Due),
        ServeDecision::FallBack,
        ServeDecision::Refuse(Refusal::Revoked),
    ];
    assert_eq!(
        verdicts.map(ServeDecision::as_str),
        [
            "serve",
            "serve_and_refresh",
            "refresh_first",
            "fall_back",
            "refuse"
        ]
    );
}

#[test]
fn min_ttl_is_met_by_exactly_that_much() {
    let token = token(3600);
    let ask = Freshness {
        min_ttl: Some(secs(2599)),
        rejected: None,
    };
    assert_eq!(
        serve(active(Some(&token)), ask, at(1000)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), ask, at(1001)),
        ServeDecision::RefreshFirst(Why::MinTtl)
    );
}

/// Each of a hundred callers that want nearly a whole life would spend a refresh token.
#[test]
fn a_token_just_fetched_is_not_replaced_for_more_time() {
    let with = |lifetime: u64, wanted: u64, age: u64| {
        let token = token(lifetime);
        let ask = Freshness {
            min_ttl: Some(secs(wanted)),
            rejected: None,
        };
        serve(active(Some(&token)), ask, at(age))
    };
    let replaced = ServeDecision::RefreshFirst(Why::MinTtl);
    assert_eq!(with(3600, 3599, 9), ServeDecision::Serve);
    assert_eq!(with(3600, 3599, 10), replaced, "at most ten seconds");
    assert_eq!(with(110, 109, 5), ServeDecision::Serve);
    assert_eq!(with(110, 109, 6), replaced, "a twentieth of a short life");
}

#[test]
fn a_token_that_was_refused_and_cannot_be_replaced_is_rejected() {
    let token = token(3600);
    let grant_view = GrantView {
        refreshable: false,
        ..active(Some(&token))
    };
    let ask = Freshness {
        min_ttl: None,
        rejected: Some(Generation(4)),
    };
    let rejected = ServeDecision::Refuse(Refusal::Rejected);
    assert_eq!(serve(grant_view, ask, at(10)), rejected);
}

#[test]
fn a_refused_token_is_tried_again_every_six_hours_and_an_ended_one_never() {
    let quarantine = |reason| GrantLifecycle::ReauthorizationRequired {
        reason,
        since: at(0).wall,
    };
    let six_hours = 6 * 3600;
    for reason in [
        ReauthorizeReason::RefreshRefused,
        ReauthorizeReason::UnknownOutcome,
        ReauthorizeReason::RefusedWithoutCode,
    ] {
        let lifecycle = quarantine(reason);
        let due = |probed, now| probe_due(&lifecycle, probed, at(now));
        assert!(!due(None, six_hours - 1), "{reason:?}");
        assert!(due(None, six_hours), "{reason:?}");
        let probed = Some(at(six_hours).wall);
        assert!(!due(probed, 2 * six_hours - 1), "{reason:?}");
        assert!(due(probed, 2 * six_hours), "{reason:?}");
        let before = Some(at(0).wall - SignedDuration::from_hours(48));
        assert!(!due(before, 1), "a probe of an earlier refusal counts not");
    }
    for reason in [
        ReauthorizeReason::RefreshExpired,
        ReauthorizeReason::NoRefreshToken,
        ReauthorizeReason::SecretLost,
        ReauthorizeReason::KeyRefused,
    ] {
        assert!(!probe_due(&quarantine(reason), None, at(1_000_000)));
    }
    assert!(!probe_due(&GrantLifecycle::Active, None, at(1_000_000)));
}

#[test]
fn a_refused_client_is_left_alone_for_a_minute_by_either_direction_of_the_clock() {
    let issuer = Issuer::new("https://as.example");
    let mut client = ClientRegistration::new(issuer, ClientId::new("c"), RegistrationSource::Given);
    assert!(!client_rests(&client, at(100)));
    client.refused = Some(at(100).wall);
    for (now, rests) in [
        (40, false),
        (41, true),
        (100, true),
        (159, true),
        (160, false),
    ] {
        assert_eq!(client_rests(&client, at(now)), rests, "at {now}");
    }
}

#[test]
fn it_is_said_when_a_lost_answer_is_asked_for_again() {
    let again = |claim: &Claim, replay, access_left, now| {
        let rules = RecoveryRules { replay, ..STRICT };
        asked_again_in(claim, rules, secs(access_left), at(now))
    };
    let reset = unknown(UnknownKind::Reset);
    assert_eq!(again(&reset, ReplayRule::Unknown, 600, 1), Some(secs(2)));
    assert_eq!(
        again(&reset, ReplayRule::Unknown, 600, 9),
        Some(Duration::ZERO)
    );
    assert_eq!(again(&reset, ReplayRule::Strict, 600, 1), None, "late");
    let refused = ReplayRule::Refused;
    assert_eq!(again(&reset, refused, 600, 1), Some(secs(1)));
    let spending = claim(ClaimPhase::Spending);
    assert_eq!(again(&spending, ReplayRule::Unknown, 600, 1), None);
}

#[test]
fn a_token_ended_early_until_nine_tenths_of_its_use() {
    let token = token(101);
    assert!(ended_early(&token, at(89)));
    assert!(!ended_early(&token, at(90)));
}

#[test]
fn of_five_early_ends_the_middle_one_is_believed() {
    let ends = [500, 100, 300, 200, 400].map(|age| (secs(age), at(0).wall));
    assert_eq!(learned_lifetime(&ends, at(1).wall), Some(secs(300)));
}

#[test]
fn only_between_resends_is_a_provider_left_alone() {
    let mut lost = unknown(UnknownKind::Reset);
    assert_eq!(
        between_resends(&lost, secs(60)),
        None,
        "the first resend has its rule"
    );
    lost.number = 2;
    assert_eq!(between_resends(&lost, secs(60)), Some(secs(6)));
    lost.number = 3;
    assert_eq!(between_resends(&lost, secs(60)), Some(secs(12)));
    assert_eq!(between_resends(&lost, secs(0)), Some(secs(3)));
    let mut spending = claim(ClaimPhase::Spending);
    spending.number = 2;
    assert_eq!(between_resends(&spending, secs(60)), None);
}
