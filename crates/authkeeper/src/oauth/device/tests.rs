use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::{
    http::Reply,
    model::Issuer,
    oauth::device::{
        authorization::{DeviceSignIn, read_device_authorization},
        error::DeviceError,
        poll::{INTERVAL, Poll, read_poll},
    },
};

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
    }
}

fn read(body: &str) -> Result<DeviceSignIn, DeviceError> {
    let issuer = Issuer::new("https://as.example");
    read_device_authorization(&issuer, &reply(200, body), Timestamp::UNIX_EPOCH)
}

#[test]
fn an_answer_is_read_with_the_rfcs_defaults() {
    let sign_in = read(
        r#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://as.example/device"}"#,
    )
    .unwrap();
    assert_eq!(sign_in.device_code.expose(), "d");
    assert_eq!(
        (sign_in.user_code.as_str(), sign_in.interval),
        ("AB-CD", INTERVAL)
    );
    assert_eq!(sign_in.ends, Timestamp::from_second(1_800).unwrap());
    let google = r#"{"device_code":"d","user_code":"X","verification_url":"https://g.example/device","interval":1}"#;
    assert_eq!(read(google).unwrap().interval.as_secs(), 1);
}

#[test]
fn what_is_no_device_authorization_says_so() {
    for bad in ["", "<html>", "{}", r#"{"device_code":"d","user_code":"X"}"#] {
        assert!(
            matches!(read(bad), Err(DeviceError::Unreadable(_))),
            "{bad}"
        );
    }
    let strange = r#"{"device_code":"d","user_code":"X","verification_uri":"javascript:alert(1)"}"#;
    let error = read(strange).unwrap_err();
    assert!(matches!(error, DeviceError::Published(_)));
    let error_in = error.to_string();
    assert!(
        error_in.starts_with("https://as.example publishes a wrong verification_uri: "),
        "{error_in}"
    );
    let refused = read(r#"{"error":"unauthorized_client"}"#).unwrap_err();
    assert!(refused.to_string().contains("unauthorized_client"));
}

fn poll(status: u16, body: &str) -> Poll {
    poll_with(status, body, None)
}

fn poll_with(status: u16, body: &str, retry_after: Option<&'static str>) -> Poll {
    let mut reply = reply(status, body);
    if let Some(wait) = retry_after {
        let wait = http::HeaderValue::from_static(wait);
        reply.headers.insert(http::header::RETRY_AFTER, wait);
    }
    read_poll(&reply, Duration::from_secs(1), Timestamp::UNIX_EPOCH)
}

/// How long to wait, and how long from then on.
fn again(poll: Poll) -> (u64, u64) {
    match poll {
        Poll::Again(pace) => (pace.wait.as_secs(), pace.interval.as_secs()),
        other => panic!("{other:?}"),
    }
}

fn failed(body: &str) -> DeviceError {
    match poll(400, body) {
        Poll::Failed(error) => error,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn each_answer_to_a_poll() {
    assert_eq!(
        again(poll(400, r#"{"error":"authorization_pending"}"#)),
        (1, 1)
    );
    assert_eq!(again(poll(400, r#"{"error":"slow_down"}"#)), (6, 6));
    assert_eq!(again(poll(500, "oops")), (2, 2));
    assert_eq!(failed(r#"{"error":"access_denied"}"#), DeviceError::Denied);
    assert_eq!(failed(r#"{"error":"expired_token"}"#), DeviceError::Expired);
    let over = |status, body: &str| matches!(poll(status, body), Poll::Over(_));
    assert!(over(200, r#"{"access_token":"a"}"#) && over(200, "not tokens"));
    assert!(over(401, r#"{"error":"invalid_client"}"#));
}

#[test]
fn not_yet_is_heard_in_whatever_field_it_stands() {
    for body in [
        r#"{"error_code":"authorization_pending"}"#,
        r#"{"message":"authorization_pending"}"#,
        r#"{"status":"AUTHORIZATION_PENDING"}"#,
        r#"{"status":"pending"}"#,
        r#"{"error":"authorization-pending"}"#,
        r#"{"error":"AuthorizationPending"}"#,
        r#"{"error":{"code":"authorization_pending","message":"wait"}}"#,
        r#"{"errors":[{"code":"authorization_pending"}]}"#,
        r#"{"error":"invalid_grant","error_code":"authorization_pending"}"#,
        r#"{"error":"invalid_request","message":"The user has not signed in yet"}"#,
        r#"{"code":40001,"msg":"Authorization is pending"}"#,
        "error=authorization_pending&error_description=wait",
        "\u{feff}{\"error\":\"authorization_pending\"}",
    ] {
        for status in [200, 400, 401, 403, 428] {
            assert_eq!(again(poll(status, body)), (1, 1), "{status} {body}");
        }
    }
    for body in [
        r#"{"error_code":"slow_down"}"#,
        r#"{"error":"invalid_request","error_description":"SLOW-DOWN"}"#,
        r#"{"message":"You are polling too frequently"}"#,
    ] {
        assert_eq!(again(poll(400, body)), (6, 6), "{body}");
    }
}

#[test]
fn a_refusal_without_a_code_is_asked_again_until_the_code_ends() {
    for body in [
        "",
        "{}",
        "<html>no</html>",
        r#"{"message":"Access Denied"}"#,
    ] {
        for status in [400, 401, 403, 428] {
            assert_eq!(again(poll(status, body)), (1, 1), "{status} {body}");
        }
        assert_eq!(again(poll(429, body)), (6, 6), "{body}");
    }
}

#[test]
fn retry_after_is_for_the_next_poll_alone() {
    assert_eq!(again(poll_with(429, "", Some("90"))), (90, 1));
    let pending = r#"{"error":"authorization_pending"}"#;
    assert_eq!(again(poll_with(400, pending, Some("30"))), (30, 1));
    assert_eq!(again(poll_with(503, "", Some("40"))), (40, 2));
    assert_eq!(again(poll_with(429, "", Some("0"))), (1, 1));
}

#[test]
fn a_clear_refusal_ends_it_in_whatever_field_it_stands() {
    for body in [
        r#"{"error_code":"access_denied"}"#,
        r#"{"error":"ACCESS_DENIED"}"#,
        r#"{"error":{"code":"access-denied"}}"#,
        r#"{"error":"authorization_declined"}"#,
    ] {
        assert_eq!(failed(body), DeviceError::Denied, "{body}");
    }
    for body in [
        r#"{"error_code":"expired_token"}"#,
        r#"{"message":"expired_token"}"#,
        r#"{"error":"code_expired"}"#,
    ] {
        assert_eq!(failed(body), DeviceError::Expired, "{body}");
    }
    let waits = r#"{"error":"invalid_client","error_description":"not known yet"}"#;
    assert!(matches!(poll(401, waits), Poll::Over(_)));
}
