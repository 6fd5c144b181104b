//! Answers in the shapes that providers really give them: no token that arrives is lost, and none that is spent is sent
//! again.

use super::kinds::with;
use super::{server::Fault, *};
use crate::model::ProviderHabits;
use crate::model::{
    ClaimPhase, ClientSecret, ObservationKind, ReauthorizeReason, ReplayRule, UnknownKind,
};

/// Due for a refresh, and with an access token that lives.
const DUE: u64 = 2_800;

async fn refreshed_by(fault: Fault) -> (Bench, Runtime) {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([fault]);
    bench.clock.advance(secs(DUE));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    (bench, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_beside_an_error_field_is_a_success() {
    for also in [
        r#","error":"""#,
        r#","error":null"#,
        r#","error":"none""#,
        r#","error":"invalid_client""#,
        r#","ok":false,"wait_seconds":3"#,
    ] {
        let (bench, runtime) = refreshed_by(Fault::Also(also)).await;
        assert_eq!(grant(&runtime).await.generation, Generation(2), "{also}");
        assert_in_step(&bench, &runtime).await;
        assert_eq!((bench.server.requests(), bench.server.reuses()), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_whose_tokens_cannot_be_read_has_spent_the_refresh_token() {
    let two = r#"{"x":{"access_token":"access-2","refresh_token":"refresh-2"},"y":{"access_token":"other","refresh_token":"other"}}"#;
    let (bench, runtime) = refreshed_by(Fault::Sends(two)).await;
    let claim = grant(&runtime).await.claim.expect("it is not given back");
    let ClaimPhase::Unknown { kind, .. } = claim.phase else {
        panic!("it was answered");
    };
    assert_eq!(kind, UnknownKind::UnreadTokens);
    for _ in 0..20 {
        bench.clock.advance(secs(20));
        ask(&runtime).await.expect("the access token serves on");
        assert!(runtime.drain(secs(20)).await);
    }
    let told = status(&runtime).await.incidents;
    let told: Vec<_> = told.iter().map(|told| &*told.record.reason).collect();
    assert_eq!(told, ["answer_unread"], "a person is asked while it does");
    assert_eq!(
        bench.server.requests(),
        1,
        "it is not sent again while it would only hurt"
    );
    let kept = runtime.unread_answers(&name()).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        kept[0].shape,
        "200 application/json, {x, y}, under 128 bytes"
    );
    assert!(
        !runtime.reread(&name()).await.unwrap(),
        "nothing has changed"
    );

    // With a setting that says where the tokens are it is adopted.
    let mut bench = bench;
    let habits = ProviderHabits::new(ReplayRule::Unknown, None).tokens_in(Some("x".to_owned()));
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let later = bench.process();
    assert!(later.reread(&name()).await.unwrap());
    assert_in_step(&bench, &later).await;
    assert_eq!(grant(&later).await.generation, Generation(2));
    assert_eq!(later.unread_answers(&name()).await.unwrap().len(), 0);
    assert_eq!((bench.server.requests(), bench.server.reuses()), (1, 0));
    assert!(
        status(&later).await.incidents.is_empty(),
        "the incident is over"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unread_answer_is_adopted_by_whatever_refreshes_next() {
    let two = r#"{"x":{"access_token":"access-2","refresh_token":"refresh-2"},"y":{"access_token":"other","refresh_token":"other"}}"#;
    let (mut bench, _) = refreshed_by(Fault::Sends(two)).await;
    let habits = ProviderHabits::new(ReplayRule::Unknown, None).tokens_in(Some("x".to_owned()));
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let upgraded = bench.process();
    bench.clock.advance(secs(900));
    let token = ask(&upgraded).await.unwrap();
    assert_eq!(text(&token), "access-2");
    assert_in_step(&bench, &upgraded).await;
    assert_eq!((bench.server.requests(), bench.server.reuses()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unread_answer_is_not_adopted_while_its_token_is_sent_again() {
    let two = r#"{"x":{"access_token":"access-2","refresh_token":"refresh-2"},"y":{"access_token":"other","refresh_token":"other"}}"#;
    let (mut bench, _) = Bench::new().await;
    let habits = ProviderHabits::new(ReplayRule::Harmless, None);
    let rules = &mut bench.rules.providers;
    rules.insert(ISSUER.to_owned(), habits.clone());
    let runtime = bench.process();
    bench.server.script([Fault::Sends(two)]);
    bench.clock.advance(secs(DUE));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    bench.server.hold_before(true);
    bench.clock.advance(secs(60));
    ask(&runtime).await.expect("the access token serves on");
    bench.server.saw(2).await;
    let habits = habits.tokens_in(Some("x".to_owned()));
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let upgraded = bench.process();
    assert!(
        !upgraded.reread(&name()).await.unwrap(),
        "its token may be killed at any moment"
    );
    assert_eq!(grant(&upgraded).await.generation, Generation(1));
    bench.server.hold_before(false);
    assert!(runtime.drain(secs(20)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_without_an_access_token_is_kept_and_spent_with_the_scope() {
    let alone = r#"{"id_token":"i.d.t","refresh_token":"refresh-2"}"#;
    let (bench, runtime) = refreshed_by(Fault::Sends(alone)).await;
    assert_in_step(&bench, &runtime).await;
    assert_eq!((bench.server.requests(), bench.server.reuses()), (2, 0));
    assert_eq!(
        bench.server.refresh_scopes(),
        [None, Some("read write".to_owned())]
    );
    let observed = runtime.observed().await.unwrap();
    let omitted = ObservationKind::AccessTokenOmitted;
    assert!(
        observed.iter().any(|one| one.observation.kind == omitted),
        "it is said"
    );
    assert!(status(&runtime).await.incidents.is_empty());

    // The next refresh names the scope at once, and the one after a restart does too.
    let restarted = bench.process();
    bench.clock.advance(secs(DUE));
    ask(&restarted).await.unwrap();
    assert_in_step(&bench, &restarted).await;
    assert_eq!(bench.server.requests(), 3);
    assert_eq!(
        bench.server.refresh_scopes()[2].as_deref(),
        Some("read write")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_an_access_token_even_with_the_scope_ends_the_attempt() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([
        Fault::Sends(r#"{"refresh_token":"refresh-2"}"#),
        Fault::Sends(r#"{"refresh_token":"refresh-3"}"#),
    ]);
    bench.clock.advance(secs(3_700));
    let Err(TokenError::Unavailable { why, .. }) = ask(&runtime).await else {
        panic!("there is no access token");
    };
    assert!(why.contains("no access token"), "{why}");
    assert_eq!(refresh_of(&grant(&runtime).await), bench.server.good());
    assert_eq!((bench.server.requests(), bench.server.reuses()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_words_that_nobody_knows_asks_a_person_after_hours() {
    let (bench, runtime) = Bench::new().await;
    let odd = r#"{"error":"grant_is_tired","error_description":"it needs a rest"}"#;
    let refused = || Fault::Says(400, odd);
    bench.server.script((0..40).map(|_| refused()));
    bench.clock.advance(secs(3_700));
    let Err(TokenError::Unavailable { why, .. }) = ask(&runtime).await else {
        panic!("asked again later");
    };
    assert_eq!(why, "grant_is_tired: it needs a rest");
    assert_eq!(grant(&runtime).await.claim, None, "nothing was spent");
    bench.clock.advance(secs(3 * 3600 - 60));
    assert!(matches!(
        ask(&runtime).await,
        Err(TokenError::Unavailable { .. })
    ));
    bench.clock.advance(secs(600));
    let Err(TokenError::ReauthorizationRequired { record }) = ask(&runtime).await else {
        panic!("a person is asked");
    };
    assert_eq!(record.reason, ReauthorizeReason::RefusedRepeatedly.as_str());
    let kept = &status(&runtime).await.incidents;
    let kept = kept
        .iter()
        .find(|incident| incident.record.reason == record.reason)
        .unwrap();
    assert!(
        kept.record
            .detail
            .contains("grant_is_tired: it needs a rest"),
        "{}",
        kept.record.detail
    );
    let asked = bench.server.requests();
    bench.clock.advance(secs(3_600));
    assert!(matches!(
        ask(&runtime).await,
        Err(TokenError::ReauthorizationRequired { .. })
    ));
    assert_eq!(bench.server.requests(), asked, "the provider is left alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_words_or_a_success_begin_the_hours_again() {
    let (bench, runtime) = Bench::new().await;
    let odd = |words| Fault::Says(400, words);
    bench.server.script([
        odd(r#"{"error":"tired"}"#),
        odd(r#"{"error":"weary"}"#),
        odd(r#"{"error":"weary"}"#),
    ]);
    bench.clock.advance(secs(3_700));
    for _ in 0..2 {
        assert!(matches!(
            ask(&runtime).await,
            Err(TokenError::Unavailable { .. })
        ));
        bench.clock.advance(secs(2 * 3_600));
    }
    assert!(
        matches!(ask(&runtime).await, Err(TokenError::Unavailable { .. })),
        "two hours"
    );
    bench.clock.advance(secs(600));
    ask(&runtime).await.expect("the provider is well again");
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_refusal_asks_a_person_at_the_first_answer() {
    for (status, body) in [
        (401, r#"{"error":"invalid_token"}"#),
        (400, r#"{"message":"INVALID_REFRESH_TOKEN"}"#),
        (
            400,
            r#"{"error":"invalid_request","error_description":"invalid refresh token"}"#,
        ),
        (400, "error=invalid_grant&error_description=gone"),
    ] {
        let (bench, runtime) = Bench::new().await;
        bench.server.script([Fault::Says(status, body)]);
        bench.clock.advance(secs(3_700));
        let Err(TokenError::ReauthorizationRequired { .. }) = ask(&runtime).await else {
            panic!("{body}");
        };
        assert_eq!(bench.server.requests(), 1, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_quotes_the_refresh_token_is_told_without_it() {
    let (bench, runtime) = Bench::new().await;
    let quotes = r#"{"error":"grant_is_tired","error_description":"refresh-1 needs a rest"}"#;
    bench.server.script([Fault::Says(400, quotes)]);
    bench.clock.advance(secs(3_700));
    let Err(TokenError::Unavailable { why, .. }) = ask(&runtime).await else {
        panic!("asked again later");
    };
    assert_eq!(why, "grant_is_tired: [hidden] needs a rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_client_secret_never_ends_the_grant() {
    for (status, body) in [
        (
            400,
            r#"{"error":"invalid_request","error_description":"client secret mismatch"}"#,
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"invalid client_secret"}"#,
        ),
        (401, ""),
        (401, r#"{"message":"Unauthorized"}"#),
        (403, r#"{"message":"application is disabled"}"#),
    ] {
        let (bench, runtime) = Bench::new().await;
        bench.server.script([Fault::Says(status, body)]);
        bench.clock.advance(secs(3_700));
        let Err(TokenError::ClientRefused { .. }) = ask(&runtime).await else {
            panic!("{body}");
        };
        assert_eq!(
            grant(&runtime).await.lifecycle,
            GrantLifecycle::Active,
            "{body}"
        );
        // The owner has fixed it at the provider.
        bench.clock.advance(secs(120));
        ask(&runtime).await.unwrap();
        assert_in_step(&bench, &runtime).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_invalid_request_means_the_token_once_the_same_request_was_accepted() {
    let bare = Fault::Says(400, r#"{"error":"invalid_request"}"#);
    let (bench, runtime) = Bench::new().await;
    bench.server.script([bare]);
    bench.clock.advance(secs(3_700));
    let first = ask(&runtime).await;
    assert!(
        matches!(first, Err(TokenError::RequestRefused { .. })),
        "it may be the request: {first:?}"
    );
    bench.clock.advance(secs(3_700));
    ask(&runtime).await.unwrap();
    let in_words = r#"{"error":"invalid_request","error_description":"unknown parameter"}"#;
    bench.server.script([Fault::Says(400, in_words)]);
    bench.clock.advance(secs(3_700));
    let words = ask(&runtime).await;
    assert!(
        matches!(words, Err(TokenError::RequestRefused { .. })),
        "{words:?}"
    );
    bench.server.script([bare]);
    bench.clock.advance(secs(3_700));
    let then = ask(&runtime).await;
    assert!(
        matches!(then, Err(TokenError::ReauthorizationRequired { .. })),
        "it can only be the token: {then:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_client_secret_is_shown_at_once() {
    let (bench, runtime) = with(|signed_in| {
        let (_, client) = signed_in.client.as_mut().unwrap();
        client.auth_method = ClientAuthMethod::Post;
        client.secrets = vec![ClientSecret::new("old".to_owned().into())];
    })
    .await;
    bench.server.secret("new");
    bench.clock.advance(secs(3_700));
    let refused = ask(&runtime).await;
    assert!(
        matches!(refused, Err(TokenError::ClientRefused { .. })),
        "{refused:?}"
    );
    let asked = bench.server.requests();
    let other = bench.process();
    let rests = ask(&other).await;
    assert!(
        matches!(rests, Err(TokenError::ClientRefused { .. })),
        "{rests:?}"
    );
    assert_eq!(
        bench.server.requests(),
        asked,
        "it is not asked again so soon"
    );

    let new = ClientSecret::new("new".to_owned().into());
    other.replace_client_secret(&name(), new).await.unwrap();
    ask(&bench.process()).await.expect("no clock has moved");
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lifetime_that_is_set_overrides_what_the_provider_says() {
    let (mut bench, _) = Bench::new().await;
    let habits = ProviderHabits::new(ReplayRule::Unknown, None).lifetime(Some(secs(600)));
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let runtime = bench.process();
    bench.clock.advance(secs(3_700));
    ask(&runtime).await.unwrap();
    let access = grant(&runtime).await.access.unwrap();
    assert_eq!(
        (access.lifetime, access.lifetime_source),
        (secs(600), LifetimeSource::Configured)
    );
    bench.clock.advance(secs(610));
    ask(&runtime).await.unwrap();
    assert_eq!(bench.server.requests(), 2, "the provider said an hour");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_invalid_request_to_a_request_of_nothing_but_the_token_means_the_token() {
    let (bench, runtime) = with(|signed_in| signed_in.connection.resource = None).await;
    let bare = r#"{"error":"invalid_request"}"#;
    bench.server.script([Fault::Says(400, bare)]);
    bench.clock.advance(secs(3_700));
    for _ in 0..3 {
        let asked = ask(&runtime).await;
        let dead = matches!(asked, Err(TokenError::ReauthorizationRequired { .. }));
        assert!(dead, "{asked:?}");
    }
    assert_eq!(bench.server.requests(), 1, "asked once");
}
