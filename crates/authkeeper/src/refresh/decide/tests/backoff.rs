//! Waits after failures, and incidents of an outage.

use std::time::Duration;

use super::{at, secs};
use crate::{
    model::{Event, Failing, Said},
    refresh::decide::{Outage, backoff, incident_of},
};

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
