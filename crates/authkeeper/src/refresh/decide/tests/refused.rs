//! Refusals, and when a refused token or client is tried again.

use jiff::SignedDuration;

use super::{at, required, secs};
use crate::{
    model::{
        ClientId, ClientRegistration, Failing, GrantLifecycle, Issuer, ReauthorizeReason,
        RegistrationSource, Said,
    },
    refresh::decide::{client_backs_off, is_lasting_refusal, may_be_forgotten, probe_due},
};

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
    assert!(!client_backs_off(&client, at(100)));
    client.refused = Some(at(100).wall);
    for (now, rests) in [
        (40, false),
        (41, true),
        (100, true),
        (159, true),
        (160, false),
    ] {
        assert_eq!(client_backs_off(&client, at(now)), rests, "at {now}");
    }
}

#[test]
fn a_refusal_lasts_from_the_end_of_the_patience_on() {
    let lasts = |now| is_lasting_refusal(at(0), secs(10), at(now));
    assert!(!lasts(9));
    assert!(lasts(10) && lasts(11));
}

#[test]
fn a_client_may_be_forgotten_once_two_sign_ins_in_a_row_were_not_finished() {
    let unfinished = |times| Failing {
        since: at(0),
        times,
        failures: 0,
        said: Said::Unavailable(String::new()),
        rest: None,
        lineage: None,
        told: vec![],
    };
    assert!(!may_be_forgotten(None, false));
    for (times, forgotten) in [(1, false), (2, true), (3, true)] {
        let unfinished = unfinished(times);
        assert_eq!(may_be_forgotten(Some(&unfinished), false), forgotten);
        assert!(
            !may_be_forgotten(Some(&unfinished), true),
            "a grant lives on it"
        );
    }
}
