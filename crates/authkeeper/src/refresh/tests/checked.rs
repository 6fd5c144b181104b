//! A success that is not what was granted.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{server::Fault, *};
use crate::model::SuspendReason;

/// The `id_token` of somebody, as one more field of an answer.
fn id_token(subject: &str) -> Fault {
    let claims = format!(r#"{{"iss":"{ISSUER}","sub":"{subject}"}}"#);
    let payload = URL_SAFE_NO_PAD.encode(claims);
    Fault::Also(Box::leak(
        format!(r#","id_token":"h.{payload}.s""#).into_boxed_str(),
    ))
}

async fn refresh_with(bench: &Bench, runtime: &Runtime, fault: Fault) {
    bench.server.script([fault]);
    bench.clock.advance(secs(3000));
    let _ = ask(runtime).await;
    assert!(runtime.drain(secs(20)).await);
}

async fn told(runtime: &Runtime) -> Vec<(String, String)> {
    let open = runtime.incidents().await.unwrap();
    let told = open.iter().map(|incident| {
        let record = &incident.record;
        (record.event.as_str().to_owned(), record.reason.clone())
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_another_account_are_kept_and_never_handed_out() {
    let (bench, runtime) = Bench::new().await;
    refresh_with(&bench, &runtime, id_token("alice")).await;
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    refresh_with(&bench, &runtime, id_token("bob")).await;
    let error = ask(&runtime).await.unwrap_err();
    let TokenError::Suspended { reason, record } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, SuspendReason::OtherAccount);
    assert!(record.action.contains("reauthorize"), "{record:?}");
    let held = grant(&runtime).await;
    assert_eq!(refresh_of(&held), bench.server.good(), "nothing was lost");
    assert_eq!(held.generation, Generation(3));
    let lost = ("authority_lost".to_owned(), "other_account".to_owned());
    assert_eq!(told(&runtime).await, [lost]);
    bench.clock.advance(secs(7200));
    assert!(ask(&runtime).await.is_err());
    assert_eq!(bench.server.requests(), 2, "and nothing is refreshed");
    bench.sign_in(&runtime).await;
    assert!(ask(&runtime).await.is_ok(), "a sign-in resolves it");
    assert!(told(&runtime).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_cannot_be_presented_loses_no_reply() {
    let (bench, runtime) = Bench::new().await;
    let mac = Fault::Also(r#","token_type":"mac""#);
    refresh_with(&bench, &runtime, mac).await;
    let error = ask(&runtime).await.unwrap_err();
    let TokenError::Suspended { reason, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, SuspendReason::TokenType);
    assert_eq!(refresh_of(&grant(&runtime).await), bench.server.good());
    assert_eq!((bench.server.requests(), bench.server.reuses()), (1, 0));
    assert_eq!(told(&runtime).await[0].1, "token_type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrower_scope_is_told_once_and_kept_going_with() {
    let (bench, runtime) = Bench::new().await;
    refresh_with(&bench, &runtime, Fault::Also(r#","scope":"write read""#)).await;
    assert!(told(&runtime).await.is_empty());
    let narrow = Fault::Also(r#","scope":"read""#);
    let narrowed = ("authority_narrowed".to_owned(), "scope_narrowed".to_owned());
    let mut ids = vec![];
    for _ in 0..3 {
        refresh_with(&bench, &runtime, narrow).await;
        let issued = ask(&runtime).await.unwrap();
        assert_eq!(issued.scope, Some(Scope::new("read")));
        assert_eq!(told(&runtime).await, std::slice::from_ref(&narrowed));
        let open = runtime.incidents().await.unwrap();
        assert!(open[0].record.detail.ends_with("without write"), "{open:?}");
        ids.push(open[0].id.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one incident, not one a refresh");
    refresh_with(&bench, &runtime, Fault::Also(r#","scope":"read write""#)).await;
    assert!(
        told(&runtime).await.is_empty(),
        "and over once it is so again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_audience_is_told() {
    let (bench, runtime) = Bench::new().await;
    let audience = |name: &str| {
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"aud":"{name}","sub":"7"}}"#));
        let json = format!(r#","access_token":"h.{payload}.s""#);
        Fault::Also(Box::leak(json.into_boxed_str()))
    };
    refresh_with(&bench, &runtime, audience("https://api")).await;
    assert!(told(&runtime).await.is_empty());
    refresh_with(&bench, &runtime, audience("https://other")).await;
    assert_eq!(told(&runtime).await[0].1, "audience_changed");
    assert!(ask(&runtime).await.is_ok());
}
