//! Grants that are not a refresh token alone: our client's own, API keys, imports; and clients with several secrets.

#![expect(clippy::disallowed_methods, reason = "the tests compare tokens")]

use jiff::Timestamp;

use super::{crash::left, *};
use crate::{
    http::Reach,
    model::{ClientSecret, ENDLESS, ReauthorizeReason, SuspendReason},
    refresh::tests::server::Fault,
    signin::Rotation,
};

/// The same machine, its connection signed in once more with something changed.
pub(super) async fn with(change: impl FnOnce(&mut SignedIn)) -> (Bench, Runtime) {
    let (bench, runtime) = Bench::new().await;
    let refresh = bench.server.sign_in();
    let mut signed_in = signed_in(&refresh, bench.clock.now(), secs(3600));
    change(&mut signed_in);
    let store = &runtime.context.store;
    if let Some((provider, client)) = &signed_in.client {
        store.keep_registration(provider, client).await.unwrap();
    }
    store.adopt_sign_in(signed_in).await.unwrap();
    (bench, runtime)
}

fn own(signed_in: &mut SignedIn) {
    signed_in.grant_type = GrantType::ClientCredentials;
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.refresh_token = None;
    }
}

pub(super) fn secrets(signed_in: &mut SignedIn) {
    let (_, client) = signed_in.client.as_mut().unwrap();
    client.auth_method = ClientAuthMethod::Post;
    client.secrets = ["new", "old"]
        .map(|text| ClientSecret::new(text.to_owned().into()))
        .into();
}

fn token(issued: &IssuedToken) -> &str {
    issued.secret.expose()
}

#[tokio::test]
async fn our_clients_own_token_is_issued_again_by_one_request_for_all() {
    let (bench, runtime) = with(own).await;
    bench.clock.advance(secs(3600));
    let all = futures(&runtime, 50).await;
    assert_eq!(bench.server.requests(), 1);
    assert!(all.iter().all(|issued| token(issued) == token(&all[0])));
    let grant = grant(&runtime).await;
    assert!(grant.refresh.is_none(), "a stray refresh token is not kept");
    assert!(grant.is_refreshable());
}

async fn futures(runtime: &Runtime, count: usize) -> Vec<Arc<IssuedToken>> {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..count {
        let runtime = runtime.clone();
        all.spawn(async move { ask(&runtime).await.unwrap() });
    }
    all.join_all().await
}

#[tokio::test]
async fn a_lost_answer_to_our_own_request_costs_nothing_and_is_no_incident() {
    let (bench, runtime) = with(own).await;
    bench.server.script([Fault::CutAfterCommit]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    assert!(!status(&runtime).await.is_uncertain());
    bench.clock.advance(secs(5));
    assert_eq!(token(&ask(&runtime).await.unwrap()), "own-4");
    assert!(runtime.incidents().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_process_that_dies_while_it_asks_for_our_own_token_leaves_nothing_to_wait_for() {
    let (bench, runtime) = with(own).await;
    bench.clock.advance(secs(3600));
    let (spend, claim) = left(&bench, &runtime, "gone", 1).await;
    let folder = bench.folder_of_journals();
    let journal = Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap();
    journal.mark_sending().unwrap();
    assert!(runtime.context.store.claim(&spend, &claim).await.unwrap());
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 1);
    assert!(runtime.incidents().await.unwrap().is_empty());
    assert_eq!(bench.journals(), Vec::<String>::new());
}

/// A refusal may have been the provider's mistake: what is taken later is as good as it was.
#[tokio::test]
async fn an_only_secret_that_was_refused_and_is_taken_now_is_good_again() {
    let only = |signed_in: &mut SignedIn| {
        secrets(signed_in);
        signed_in.client.as_mut().unwrap().1.secrets.truncate(1);
    };
    let (bench, runtime) = with(only).await;
    let is_refused = async || {
        let (issuer, id) = (Issuer::new(ISSUER), ClientId::new("client"));
        let known = runtime.context.store.registration(&issuer, &id).await;
        known.unwrap().unwrap().secrets[0].refused.is_some()
    };
    bench.server.secret("another");
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    assert!(is_refused().await);
    bench.server.secret("new");
    bench.clock.advance(secs(600));
    ask(&runtime).await.unwrap();
    assert!(!is_refused().await);
}

/// There is no grant that could be dead: what is refused is what we asked for, and no person can sign in again.
#[tokio::test]
async fn a_refusal_of_our_own_request_ends_nothing() {
    let (bench, runtime) = with(own).await;
    let refused = Fault::Says(400, r#"{"error":"invalid_grant"}"#);
    bench.server.script([refused]);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    let incidents = runtime.incidents().await.unwrap();
    assert_eq!(incidents[0].record.reason, "request_refused");
    bench.clock.advance(secs(600));
    assert!(ask(&runtime).await.is_ok());
}

/// Nor does an answer that nobody can read: nothing was spent.
#[tokio::test]
async fn an_answer_to_our_own_request_that_nobody_can_read_is_no_uncertainty() {
    let (bench, runtime) = with(own).await;
    bench.server.script([Fault::Says(200, "<html>")]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert_eq!(grant(&runtime).await.claim, None);
    assert!(runtime.incidents().await.unwrap().is_empty());
}

/// Our client's own tokens are nobody's account: what name they carry is no matter. What they are good for is.
#[tokio::test]
async fn our_own_tokens_may_name_anybody_and_are_compared_for_the_rest() {
    let (bench, runtime) = with(own).await;
    let jwt = |subject: &str, audience: &str| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let payload = format!(r#"{{"sub":"{subject}","aud":"{audience}"}}"#);
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let body = format!(r#"{{"access_token":"h.{payload}.s","expires_in":3600}}"#);
        Fault::Says(200, Box::leak(body.into_boxed_str()))
    };
    bench
        .server
        .script([jwt("a", "x"), jwt("b", "x"), jwt("b", "y")]);
    let mut told = Vec::new();
    for _ in 0..3 {
        bench.clock.advance(secs(3600));
        ask(&runtime).await.unwrap();
        let incidents = runtime.incidents().await.unwrap();
        told.push(incidents.first().map(|one| one.record.reason.clone()));
    }
    let changed = Some("audience_changed".to_owned());
    assert_eq!(told, [None, None, changed]);
}

/// Some providers refresh at an address of its own. Our client's own tokens come from where they always do.
#[tokio::test]
async fn only_a_refresh_goes_to_the_address_for_refreshes() {
    let elsewhere = |signed_in: &mut SignedIn| {
        let (provider, _) = signed_in.client.as_mut().unwrap();
        provider.metadata.quirks.refresh_endpoint = Some("nowhere".to_owned());
    };
    let (bench, runtime) = with(elsewhere).await;
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Store(_)), "{error:?}");
    assert_eq!(bench.server.requests(), 0);
    let both = |signed_in: &mut SignedIn| {
        elsewhere(signed_in);
        own(signed_in);
    };
    let (bench, runtime) = with(both).await;
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_ok());
}

#[tokio::test]
async fn while_a_secret_is_replaced_the_next_in_order_is_tried() {
    let (bench, runtime) = with(secrets).await;
    bench.server.secret("old");
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_ok());
    assert_eq!((bench.server.requests(), bench.server.reuses()), (2, 0));
    bench.clock.advance(secs(3600));
    assert!(ask(&bench.process()).await.is_ok());
    assert_eq!(
        bench.server.requests(),
        3,
        "which secret was refused is remembered"
    );
    bench.server.secret("a third");
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::ClientRefused { .. }), "{error}");
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    bench.server.secret("new");
    bench.clock.advance(secs(600));
    assert!(
        ask(&runtime).await.is_ok(),
        "the first is tried again once all were refused"
    );
    let (issuer, id) = (Issuer::new(ISSUER), ClientId::new("client"));
    let known = runtime.context.store.registration(&issuer, &id).await;
    let known = known.unwrap().unwrap();
    assert_eq!(known.refused, None, "the client is as good as any");
    let refused: Vec<bool> = known
        .secrets
        .iter()
        .map(|one| one.refused.is_some())
        .collect();
    assert_eq!(
        refused,
        [false, true],
        "and so is the one secret that was taken"
    );
}

pub(super) fn key(signed_in: &mut SignedIn) {
    own(signed_in);
    signed_in.client = None;
    signed_in.grant_type = GrantType::ApiKey;
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.access_token = "first".to_owned().into();
        tokens.lifetime = ENDLESS;
        tokens.lifetime_source = LifetimeSource::Endless;
    }
}

fn in_an_hour(bench: &Bench) -> Timestamp {
    bench.clock.now().wall.saturating_add(secs(3600)).unwrap()
}

#[tokio::test]
async fn a_key_does_not_end_and_is_never_refreshed() {
    let (bench, runtime) = with(key).await;
    bench.clock.advance(Duration::from_hours(24 * 365 * 3));
    let issued = ask(&runtime).await.unwrap();
    assert_eq!((token(&issued), issued.expires_at), ("first", None));
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test]
async fn a_new_key_that_is_refused_gives_way_to_the_one_before_it() {
    let (bench, runtime) = with(key).await;
    let rotation = Rotation::new("second".to_owned().into(), None, in_an_hour(&bench));
    let second = runtime.rotate_key(&name(), rotation).await.unwrap();
    assert_eq!(token(&ask(&runtime).await.unwrap()), "second");
    let fallen_back = after_401(&runtime, second.generation.0).await.unwrap();
    assert_eq!(token(&fallen_back), "first");
    let told = runtime.incidents().await.unwrap();
    assert_eq!(told[0].record.reason, "new_key_refused");
    let error = after_401(&runtime, fallen_back.generation.0)
        .await
        .unwrap_err();
    let TokenError::ReauthorizationRequired { record } = &error else {
        panic!("{error}");
    };
    assert_eq!(record.reason, ReauthorizeReason::KeyRefused.as_str());
    assert_eq!(record.action, "authkeeper rotate c --key-file FILE");
    let rotation = Rotation::new("third".to_owned().into(), None, in_an_hour(&bench));
    runtime.rotate_key(&name(), rotation).await.unwrap();
    assert_eq!(token(&ask(&runtime).await.unwrap()), "third");
    assert!(runtime.incidents().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_owner_of_a_key_is_told_ahead_and_once() {
    let (bench, runtime) = Bench::new().await;
    let by = bench.clock.now().wall;
    let by = by.saturating_add(Duration::from_hours(20 * 24)).unwrap();
    let mut new = signed_in("k", bench.clock.now(), secs(3600));
    key(&mut new);
    new.rotate_by = Some(by);
    runtime.context.store.adopt_sign_in(new).await.unwrap();
    ask(&runtime).await.unwrap();
    assert!(
        runtime.incidents().await.unwrap().is_empty(),
        "20 days ahead"
    );
    bench.clock.advance(Duration::from_hours(7 * 24));
    for _ in 0..3 {
        ask(&runtime).await.unwrap();
        runtime.token_works(&name()).await.unwrap();
    }
    let told = runtime.incidents().await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].record.event.as_str(), "rotation_due");
}

#[tokio::test]
async fn an_import_is_not_spent_until_it_is_the_sole_copy() {
    let (bench, runtime) = with(|signed_in| {
        signed_in.lifecycle = GrantLifecycle::Suspended {
            reason: SuspendReason::SecondCopy,
            since: signed_in.at,
        };
        let refresh = signed_in.obtained.refresh().cloned().unwrap();
        signed_in.obtained = Obtained::RefreshToken(refresh);
    })
    .await;
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Suspended { .. }), "{error}");
    assert_eq!(bench.server.requests(), 0);
    assert!(runtime.confirm_sole_copy(&name()).await.unwrap());
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test]
async fn a_refusal_after_the_end_that_was_told_says_so() {
    let (bench, runtime) = with(|signed_in| {
        let ends = signed_in.at.saturating_add(secs(3000)).unwrap();
        if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
            tokens.refresh_token.as_mut().unwrap().expires_at = Some(ends);
        }
    })
    .await;
    bench.server.kill_family();
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    let record = error.record().unwrap();
    assert_eq!(record.reason, ReauthorizeReason::RefreshExpired.as_str());
}
