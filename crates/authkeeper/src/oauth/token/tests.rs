use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

use crate::{
    model::{
        BootId, BootStamp, ClientId, ClientRegistration, Issuer, LifetimeSource, Moment,
        RegistrationSource, Resource, Scope, TokenSet,
    },
    oauth::{
        grant::code_request,
        token::{
            request::refresh_request,
            response::{ASSUMED_LIFETIME, TokenAnswer},
        },
    },
    platform::clock::Seams,
};

fn issued() -> Moment {
    Moment {
        wall: Timestamp::from_second(1_000).unwrap(),
        boot: BootStamp {
            id: BootId(1),
            since: Duration::from_secs(5),
        },
    }
}

fn read(json: &str) -> TokenSet {
    let answer = TokenAnswer::read(&serde_json::from_str(json).unwrap()).unwrap();
    answer.into_token_set(issued(), None)
}

#[test]
fn lifetimes_come_from_the_best_source() {
    let set = read(r#"{"access_token":"a","expires_in":5}"#);
    assert_eq!(
        (set.lifetime.as_secs(), set.lifetime_source),
        (5, LifetimeSource::ExpiresIn)
    );
    let set = read(r#"{"access_token":"a","expires_in":"3600","token_type":"BEARER"}"#);
    assert_eq!(set.lifetime.as_secs(), 3600);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iat":10,"exp":310}"#);
    let set = read(&format!(r#"{{"access_token":"h.{claims}.s"}}"#));
    assert_eq!(
        (set.lifetime.as_secs(), set.lifetime_source),
        (300, LifetimeSource::JwtExp)
    );
    let set = read(r#"{"access_token":"a"}"#);
    assert_eq!(
        (set.lifetime, set.lifetime_source),
        (ASSUMED_LIFETIME, LifetimeSource::Assumed)
    );
}

#[test]
fn slacks_tokens_are_found_where_it_puts_them() {
    let set = read(r#"{"ok":true,"access_token":"xoxb","token_type":"bot","expires_in":43200}"#);
    assert_eq!(set.lifetime.as_secs(), 43_200);
    let set = read(
        r#"{"ok":true,"authed_user":{"access_token":"xoxp","token_type":"user","expires_in":9}}"#,
    );
    assert_eq!(set.lifetime.as_secs(), 9);
}

#[expect(clippy::disallowed_methods, reason = "the test looks at what came")]
fn refresh_of(set: &TokenSet) -> Option<String> {
    let token = set.refresh_token.as_ref();
    token.map(|token| token.secret.expose().clone())
}

#[test]
fn a_refresh_token_in_an_object_of_its_own_is_kept() {
    for body in [
        r#"{"access_token":"a","refresh":{"refresh_token":"r","expires_in":9}}"#,
        r#"{"access":{"access_token":"a"},"refresh":{"refresh_token":"r"}}"#,
    ] {
        assert_eq!(refresh_of(&read(body)).as_deref(), Some("r"), "{body}");
    }
    for body in [
        r#"{"access_token":"a","authed_user":{"access_token":"u","refresh_token":"r"}}"#,
        r#"{"access_token":"a","x":{"refresh_token":"r"},"y":{"refresh_token":"s"}}"#,
    ] {
        assert_eq!(refresh_of(&read(body)), None, "{body}");
    }
}

#[test]
fn a_refresh_token_that_is_no_text_is_unwrapped_or_the_answer_is_unread() {
    for told in [r#"["r"]"#, r#"{"token":"r"}"#] {
        let set = read(&format!(r#"{{"access_token":"a","refresh_token":{told}}}"#));
        assert!(set.refresh_token.is_some(), "{told}");
    }
    for told in ["7", r#"["r","s"]"#, "[]"] {
        let body = format!(r#"{{"access_token":"a","refresh_token":{told}}}"#);
        let body = serde_json::from_str(&body).unwrap();
        assert!(TokenAnswer::read(&body).is_none(), "{told}");
    }
}

#[test]
fn a_refresh_tokens_own_end_is_kept() {
    let set = read(r#"{"access_token":"a","refresh_token":"r","refresh_expires_in":60}"#);
    assert_eq!(
        set.refresh_token.unwrap().expires_at,
        Timestamp::from_second(1_060).ok()
    );
    let set = read(r#"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":0}"#);
    assert_eq!(
        set.refresh_token.unwrap().expires_at,
        None,
        "zero means that it does not end"
    );
}

#[test]
fn a_scope_moves_no_cursor() {
    let set = read(r#"{"access_token":"a","scope":"read\u001b[2J wri\u202ete"}"#);
    assert_eq!(set.scope, Some(Scope::new("read[2J write")));
}

#[test]
fn what_cannot_be_sent_as_a_bearer_token_is_no_answer() {
    for bad in [
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"a\r\nX: y"}"#,
        r#"{"access_token":7}"#,
        "null",
    ] {
        assert!(
            TokenAnswer::read(&serde_json::from_str(bad).unwrap()).is_none(),
            "{bad}"
        );
    }
}

#[test]
fn a_type_that_cannot_be_presented_is_told_and_loses_no_token() {
    let body = r#"{"access_token":"a","refresh_token":"r","token_type":"DPoP"}"#;
    let answer = TokenAnswer::read(&serde_json::from_str(body).unwrap()).unwrap();
    assert_eq!(answer.unusable_type(false), Some("DPoP"));
    assert_eq!(answer.unusable_type(true), None, "with a proof it can");
    assert!(
        answer
            .into_token_set(issued(), None)
            .refresh_token
            .is_some()
    );
    for good in ["bearer", "BEARER", "BearerToken", "bot", ""] {
        let body = serde_json::json!({"access_token": "a", "token_type": good});
        let answer = TokenAnswer::read(&body).unwrap();
        assert_eq!(answer.unusable_type(false), None);
        assert!(
            answer.unusable_type(true).is_some(),
            "{good}: never with a proof"
        );
    }
}

#[test]
fn the_earliest_end_of_a_refresh_token_counts() {
    for (field, ends) in [
        ("refresh_token_expires_in", 1_060),
        ("refresh_expires_in", 1_060),
        ("x_refresh_token_expires_in", 1_060),
        ("refresh_token_timeout", 1_060),
        ("authorization_expires_in", 1_060),
    ] {
        let set = read(&format!(
            r#"{{"access_token":"a","refresh_token":"r","{field}":60}}"#
        ));
        let found = set.refresh_token.unwrap().expires_at;
        assert_eq!(found, Timestamp::from_second(ends).ok(), "{field}");
    }
    let set = read(
        r#"{"access_token":"a","refresh_token":"r","refresh_token_timeout":90,"authorization_expires_in":30,"refresh_expires_in":0}"#,
    );
    let found = set.refresh_token.unwrap().expires_at;
    assert_eq!(found, Timestamp::from_second(1_030).ok());
}

#[test]
fn when_to_refresh_is_read_where_it_can_be_true() {
    let after = |text: &str| read(text).refresh_in.map(|wait| wait.as_secs());
    let body = r#"{"access_token":"a","expires_in":3600,"refresh_in":1800}"#;
    assert_eq!(after(body), Some(1800));
    for no in ["0", "3600", "7200", "\"soon\""] {
        let body = format!(r#"{{"access_token":"a","expires_in":3600,"refresh_in":{no}}}"#);
        assert_eq!(after(&body), None, "{no}");
    }
}

#[test]
fn what_tokens_show_of_an_account_is_read() {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://a","sub":"7","aud":"x"}"#);
    let set = read(&format!(
        r#"{{"access_token":"h.{claims}.s","id_token":"h.{claims}.s","scope":"b a"}}"#
    ));
    assert_eq!(
        set.subject_binding.id_token,
        set.subject_binding.access_token
    );
    assert!(set.subject_binding.id_token.is_some());
    assert_eq!(
        (
            set.subject_binding.audience.len(),
            set.subject_binding.scope.len()
        ),
        (1, 2)
    );
}

#[test]
fn a_refresh_names_the_resource_and_a_scope_only_where_it_must() {
    let registration = ClientRegistration::new(
        Issuer::new("https://as.example"),
        ClientId::new("c"),
        RegistrationSource::Given,
    );
    let resource = Resource::new("http://127.0.0.1:1");
    let our = crate::oauth::client_auth::OurClient {
        registration: &registration,
        quirks: &crate::model::Quirks::default(),
        audience: None,
        seams: &Seams::system(),
        skew: 0,
    };
    let proof = our.proof().unwrap();
    let token = "r+t".to_owned().into();
    let request = refresh_request(&proof, &token, None, Some(&resource));
    assert_eq!(
        &request.body[..],
        b"grant_type=refresh_token&refresh_token=r%2Bt&resource=http%3A%2F%2F127.0.0.1%3A1&client_id=c"
    );
    let request = refresh_request(&proof, &token, Some(&Scope::new("a b")), None);
    assert_eq!(
        &request.body[..],
        b"grant_type=refresh_token&refresh_token=r%2Bt&scope=a+b&client_id=c"
    );
}

#[test]
fn a_request_carries_what_its_provider_insists_on() {
    let registration = ClientRegistration::new(
        Issuer::new("https://as.example"),
        ClientId::new("c"),
        RegistrationSource::Given,
    );
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let quirks = crate::model::Quirks {
        refresh_parameters: pair("action", "requesttoken"),
        exchange_parameters: pair("expiring", "1"),
        ..crate::model::Quirks::default()
    };
    let our = crate::oauth::client_auth::OurClient {
        registration: &registration,
        quirks: &quirks,
        audience: None,
        skew: 0,
        seams: &Seams::system(),
    };
    let (proof, secret) = (our.proof().unwrap(), "s".to_owned().into());
    let refresh = refresh_request(&proof, &secret, None, None);
    assert!(refresh.body.ends_with(b"&action=requesttoken&client_id=c"));
    let code = code_request(&proof, &secret, &secret, "http://127.0.0.1/cb", None);
    assert!(code.body.ends_with(b"&expiring=1&client_id=c"));
}
