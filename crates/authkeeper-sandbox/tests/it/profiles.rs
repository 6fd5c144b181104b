//! Every profile's refresh tokens. What is asserted here was seen at the real servers.

use authkeeper_sandbox::Profile;
use serde_json::json;

use crate::bench::{Bench, Tokens};

#[tokio::test]
async fn strict_kills_the_whole_family_on_reuse() {
    let bench = Bench::with(Profile::Strict).await;
    let first = bench.sign_in(&[]).await;
    let second = bench.refreshed(&first.refresh).await;
    assert_eq!(
        bench.api(&first.access).await.status,
        200,
        "the old access token lives on"
    );
    let replay = bench.refresh(&first.refresh, &[]).await;
    let refused =
        json!({"error": "invalid_grant", "error_description": "grant request is invalid"});
    assert_eq!((replay.status, replay.json()), (400, refused.clone()));
    assert_eq!(replay.header("cache-control"), Some("no-store"));
    assert_eq!(
        replay.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(bench.refresh(&second.refresh, &[]).await.json(), refused);
    assert_eq!(bench.api(&second.access).await.status, 401);
    let counters = bench.sandbox.counters();
    assert_eq!(
        (counters.refreshes_replayed, counters.grants_killed),
        (1, 1)
    );
    assert_eq!(counters.refreshes_accepted, 1);
    assert!(!counters.grants[0].alive);
}

#[tokio::test]
async fn strict_burns_the_token_over_a_foreign_resource() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    let wrong = bench
        .refresh(&tokens.refresh, &[("resource", "http://evil/")])
        .await;
    assert_eq!(wrong.json()["error"], "invalid_target");
    let retry = bench.refresh(&tokens.refresh, &[]).await;
    assert_eq!(retry.json()["error"], "invalid_grant");
    assert_eq!(
        bench.api(&tokens.access).await.status,
        401,
        "the retry killed the grant"
    );
}

#[tokio::test]
async fn strict_keeps_the_token_over_a_foreign_scope_and_forgets_a_narrowing() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    let wrong = bench.refresh(&tokens.refresh, &[("scope", "evil")]).await;
    let body = json!({"error": "invalid_scope", "scope": "evil",
        "error_description": "refresh token missing requested scope"});
    assert_eq!(wrong.json(), body);
    let narrow = Tokens::of(&bench.refresh(&tokens.refresh, &[("scope", "read")]).await);
    assert_eq!(narrow.scope, "read");
    assert_eq!(bench.refreshed(&narrow.refresh).await.scope, "read write");
}

#[tokio::test]
async fn strict_refuses_a_disabled_user_and_forgives_when_enabled_again() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.say("disable alice");
    assert_eq!(bench.refresh(&tokens.refresh, &[]).await.status, 400);
    assert_eq!(bench.api(&tokens.access).await.status, 401);
    bench.say("enable alice");
    bench.refreshed(&tokens.refresh).await;
    bench.say("delete alice");
    assert!(!bench.sandbox.counters().grants[0].alive);
}

#[tokio::test]
async fn single_use_refuses_a_replay_with_401_and_the_family_lives() {
    let bench = Bench::with(Profile::SingleUse).await;
    let first = bench.sign_in(&[]).await;
    let second = bench.refreshed(&first.refresh).await;
    let replay = bench.refresh(&first.refresh, &[]).await;
    let refused =
        json!({"error": "invalid_grant", "error_description": "refresh token does not exist"});
    assert_eq!((replay.status, replay.json()), (401, refused));
    assert_eq!(replay.header("pragma"), Some("no-cache"));
    assert_eq!(
        bench.api(&first.access).await.status,
        401,
        "the old one died at rotation"
    );
    assert_eq!(bench.api(&second.access).await.status, 200);
    bench.refreshed(&second.refresh).await;
}

#[tokio::test]
async fn single_use_stays_narrow_and_ignores_resources() {
    let bench = Bench::with(Profile::SingleUse).await;
    let first = bench.sign_in(&[]).await;
    let more = [("scope", "read"), ("resource", "http://evil/")];
    let narrow = Tokens::of(&bench.refresh(&first.refresh, &more).await);
    let wide = bench
        .refresh(&narrow.refresh, &[("scope", "read write")])
        .await;
    let body = json!({"error": "invalid_scope",
        "error_description": "cannot request scope `write` not provided by refresh token"});
    assert_eq!((wide.status, wide.json()), (400, body));
    assert_eq!(bench.refreshed(&narrow.refresh).await.scope, "read");
}

#[tokio::test]
async fn single_use_forgets_the_pair_when_an_expired_access_token_is_shown() {
    let bench = Bench::with(Profile::SingleUse).await;
    let first = bench.sign_in(&[]).await;
    bench.advance(61);
    let second = bench.refreshed(&first.refresh).await;
    bench.advance(61);
    let refused = bench.api(&second.access).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer error=\"invalid_token\""),
        "{challenge}"
    );
    assert!(challenge.contains("/.well-known/oauth-protected-resource/api\""));
    assert_eq!(bench.refresh(&second.refresh, &[]).await.status, 401);
}

#[tokio::test]
async fn grace_answers_a_replay_identically_until_the_window_is_over() {
    let bench = Bench::with(Profile::Grace).await;
    let first = bench.sign_in(&[]).await;
    let second = bench.refreshed(&first.refresh).await;
    bench.advance(9);
    assert_eq!(bench.refreshed(&first.refresh).await, second);
    assert_eq!(bench.api(&second.access).await.status, 200);
    bench.advance(2);
    let late = bench.refresh(&first.refresh, &[]).await;
    assert_eq!(
        (late.status, late.json()),
        (400, json!({"error": "invalid_grant"}))
    );
    let dead = bench.refresh(&second.refresh, &[]).await;
    assert_eq!(dead.status, 400, "the family is dead");
    let refused = bench.api(&second.access).await;
    assert_eq!((refused.status, refused.body.as_str()), (403, ""));
    assert_eq!(
        refused.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(refused.header("www-authenticate"), None);
    assert_eq!(bench.sandbox.counters().same_answers, 1);
}

#[tokio::test]
async fn grace_shields_only_the_token_before_the_living_one() {
    let bench = Bench::with(Profile::Grace).await;
    let first = bench.sign_in(&[]).await;
    let second = bench.refreshed(&first.refresh).await;
    assert_eq!(
        bench.api(&first.access).await.status,
        403,
        "the old one died at rotation"
    );
    bench.refreshed(&second.refresh).await;
    assert_eq!(bench.refresh(&first.refresh, &[]).await.status, 400);
    assert!(!bench.sandbox.counters().grants[0].alive);
}

#[tokio::test]
async fn grace_says_a_foreign_resource_in_html_that_is_json() {
    let bench = Bench::with(Profile::Grace).await;
    let resource = format!("{}/api", bench.sandbox.url());
    let tokens = bench.sign_in(&[("resource", &resource)]).await;
    let wrong = bench
        .refresh(&tokens.refresh, &[("resource", "http://evil/")])
        .await;
    assert_eq!(
        wrong.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        (wrong.status, wrong.json()["error"].as_str()),
        (400, Some("invalid_target"))
    );
    bench.refreshed(&tokens.refresh).await;
}

#[tokio::test]
async fn grace_does_not_notice_that_a_user_is_disabled() {
    let bench = Bench::with(Profile::Grace).await;
    let tokens = bench.sign_in(&[]).await;
    bench.say("disable alice");
    let tokens = bench.refreshed(&tokens.refresh).await;
    assert_eq!(bench.api(&tokens.access).await.status, 200);
}

#[tokio::test]
async fn idempotent_replay_gives_the_same_answer_until_the_successor_is_used() {
    let bench = Bench::with(Profile::IdempotentReplay).await;
    let first = bench.sign_in(&[]).await;
    let second = bench.refreshed(&first.refresh).await;
    bench.advance(500);
    assert_eq!(bench.refreshed(&first.refresh).await, second);
    bench.refreshed(&second.refresh).await;
    assert_eq!(bench.refresh(&first.refresh, &[]).await.status, 400);
    assert!(bench.sandbox.counters().grants[0].alive);
}

#[tokio::test]
async fn two_generations_live_until_the_successor_is_used() {
    let bench = Bench::with(Profile::TwoGeneration).await;
    let first = bench.sign_in(&[]).await;
    let lost = bench.refreshed(&first.refresh).await;
    let second = bench.refreshed(&first.refresh).await;
    assert_ne!(lost.refresh, second.refresh);
    let gone = bench.refresh(&lost.refresh, &[]).await;
    let body = json!({"error": "invalid_grant", "error_description": "Invalid refresh token"});
    assert_eq!((gone.status, gone.json()), (400, body.clone()));
    let third = bench.refreshed(&second.refresh).await;
    assert_eq!(bench.refresh(&first.refresh, &[]).await.json(), body);
    let again = bench.refresh(&second.refresh, &[]).await;
    assert_eq!(again.json()["token_type"], "bearer");
    assert_eq!(bench.api(&third.access).await.status, 200);
}

#[tokio::test]
async fn two_generations_end_a_minute_early() {
    let bench = Bench::with(Profile::TwoGeneration).await;
    let tokens = bench.sign_in(&[]).await;
    bench.advance(541);
    let late = bench.refresh(&tokens.refresh, &[]).await;
    assert_eq!(
        late.json()["error_description"],
        "Refresh token has expired"
    );
}

#[tokio::test]
async fn a_refresh_token_can_die_with_its_access_token() {
    let bench = Bench::with(Profile::DiesWithAccessToken).await;
    let first = bench.sign_in(&[]).await;
    bench.advance(59);
    let second = bench.refreshed(&first.refresh).await;
    assert_eq!(bench.api(&first.access).await.status, 401);
    bench.advance(60);
    let late = bench.refresh(&second.refresh, &[]).await;
    assert_eq!(
        (late.status, late.json()),
        (400, json!({"error": "invalid_grant"}))
    );
}

#[tokio::test]
async fn an_error_can_burn_the_token_and_say_nothing() {
    let errors: [&[(&str, &str)]; 4] = [
        &[("client_secret", "wrong")],
        &[("scope", "evil")],
        &[("resource", "http://evil/")],
        &[("client_id", "other")],
    ];
    for error in errors {
        let bench = Bench::with(Profile::BurnsOnError).await;
        let tokens = bench.sign_in(&[]).await;
        let refused = bench.refresh(&tokens.refresh, error).await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (400, ""),
            "{error:?}"
        );
        let retry = bench.refresh(&tokens.refresh, &[]).await;
        assert_eq!((retry.status, retry.body.as_str()), (400, ""), "{error:?}");
        let call = bench.api(&tokens.access).await;
        assert_eq!(call.status, 200, "the access token outlives the grant");
    }
}

#[tokio::test]
async fn without_rotation_the_refresh_token_stays_and_is_not_sent_again() {
    let bench = Bench::with(Profile::NoRotation).await;
    let first = bench.sign_in(&[]).await;
    let second = bench.refreshed(&first.refresh).await;
    assert_eq!(second.refresh, "");
    let third = bench.refreshed(&first.refresh).await;
    assert_ne!(second.access, third.access);
    let counters = bench.sandbox.counters();
    assert_eq!(
        (counters.refreshes_replayed, counters.grants[0].generation),
        (0, 3)
    );
}

#[tokio::test]
async fn expired_revoked_unknown_and_foreign_tokens_get_the_same_strict_answer() {
    let bench = Bench::with(Profile::Strict).await;
    let expired = bench.sign_in(&[]).await;
    bench.advance(600);
    let revoked = bench.sign_in(&[]).await;
    let fields = [("token", revoked.refresh.as_str()), ("client_id", "public")];
    assert_eq!(bench.form("/revoke", &[], &fields).await.status, 200);
    let foreign = bench.sign_in(&[]).await;
    let body = json!({"error": "invalid_grant", "error_description": "grant request is invalid"});
    for token in [expired.refresh.as_str(), &revoked.refresh, "unknown"] {
        assert_eq!(bench.refresh(token, &[]).await.json(), body);
    }
    let other = bench
        .refresh(&foreign.refresh, &[("client_id", "other")])
        .await;
    assert_eq!(other.json(), body);
    bench.refreshed(&foreign.refresh).await;
}

#[tokio::test]
async fn idle_and_absolute_limits_end_a_refresh_token() {
    let bench = Bench::with(Profile::Strict).await;
    bench.say("set idle=100s absolute=250s refresh_ttl=none");
    let idle = bench.sign_in(&[]).await;
    bench.advance(100);
    assert_eq!(bench.refresh(&idle.refresh, &[]).await.status, 400);
    let mut busy = bench.sign_in(&[]).await;
    for _ in 0..2 {
        bench.advance(90);
        busy = bench.refreshed(&busy.refresh).await;
    }
    bench.advance(90);
    assert_eq!(bench.refresh(&busy.refresh, &[]).await.status, 400);
}

#[tokio::test]
async fn grace_counts_a_refresh_token_from_the_end_of_its_access_token() {
    let bench = Bench::with(Profile::Grace).await;
    let first = bench.sign_in(&[]).await;
    bench.advance(659);
    let second = bench.refreshed(&first.refresh).await;
    bench.advance(660);
    assert_eq!(bench.refresh(&second.refresh, &[]).await.status, 400);
}

#[tokio::test]
async fn revoking_an_access_token_takes_the_refresh_token_along_where_it_does() {
    let stays = [
        (Profile::Strict, false),
        (Profile::SingleUse, false),
        (Profile::Grace, false),
        (Profile::TwoGeneration, true),
    ];
    for (profile, lives) in stays {
        let bench = Bench::with(profile).await;
        let tokens = bench.sign_in(&[]).await;
        let fields = [
            ("token", tokens.access.as_str()),
            ("client_id", "public"),
            ("client_secret", ""),
        ];
        assert_eq!(
            bench.form("/revoke", &[], &fields[..2]).await.status == 200,
            profile != Profile::SingleUse
        );
        assert_eq!(bench.form("/revoke", &[], &fields).await.status, 200);
        assert_ne!(bench.api(&tokens.access).await.status, 200);
        let refreshed = bench.refresh(&tokens.refresh, &[]).await;
        assert_eq!(refreshed.status == 200, lives, "{profile}");
    }
}
