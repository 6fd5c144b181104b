//! Every fault, once.

use std::time::{Duration, Instant};

use authkeeper_sandbox::Profile;

use crate::bench::{Bench, Tokens};

#[tokio::test]
async fn an_early_401_refuses_a_good_token_so_many_times() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.fault("early-401,times=2");
    let answers = [
        bench.api(&tokens.access).await.status,
        bench.api(&tokens.access).await.status,
        bench.api(&tokens.access).await.status,
    ];
    assert_eq!(answers, [401, 401, 200]);
    assert_eq!(bench.sandbox.counters().unauthorized, 2);
}

#[tokio::test]
async fn a_status_comes_before_anything_is_done() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.fault("status=503,times=1,at=refresh,retry_after=7s");
    bench.fault("status=429,times=1,at=refresh");
    let busy = bench.refresh(&tokens.refresh, &[]).await;
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("7")));
    let many = bench.refresh(&tokens.refresh, &[]).await;
    assert_eq!((many.status, many.header("retry-after")), (429, None));
    bench.refreshed(&tokens.refresh).await;
    assert_eq!(bench.sandbox.counters().refreshes_replayed, 0);
}

#[tokio::test]
async fn a_lost_answer_was_acted_on_and_a_cut_request_was_not() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.fault("cut,times=1,at=refresh");
    assert!(bench.refresh(&tokens.refresh, &[]).await.is_cut());
    assert_eq!(bench.sandbox.counters().refreshes_accepted, 0);
    bench.fault("answer-lost,times=1");
    assert!(bench.refresh(&tokens.refresh, &[]).await.is_cut());
    assert_eq!(bench.sandbox.counters().refreshes_accepted, 1);
    assert_eq!(bench.refresh(&tokens.refresh, &[]).await.status, 400);
    assert_eq!(bench.sandbox.counters().most_sends_of_one_refresh_token, 2);
}

#[tokio::test]
async fn a_proxys_page_is_answered_before_anything_is_done() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.fault("proxy-page,times=1");
    let page = bench.refresh(&tokens.refresh, &[]).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|it| it.starts_with("text/html"))
    );
    assert_eq!(bench.sandbox.counters().refreshes_accepted, 0);
    bench.refreshed(&tokens.refresh).await;
}

#[tokio::test]
async fn a_sandbox_that_goes_away_refuses_connections_and_forgets_nothing() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.sandbox.go_away();
    while bench.connects().await {}
    bench.sandbox.come_back();
    while !bench.connects().await {}
    assert_eq!(bench.api(&tokens.access).await.status, 200);
    bench.refreshed(&tokens.refresh).await;
}

#[tokio::test]
async fn an_outage_cuts_everything_but_the_control() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    bench.fault("outage");
    assert!(bench.api(&tokens.access).await.is_cut());
    assert!(bench.refresh(&tokens.refresh, &[]).await.is_cut());
    assert!(
        bench
            .get("/.well-known/openid-configuration", &[])
            .await
            .is_cut()
    );
    let cleared = bench.control("faults/clear", &serde_json::json!({})).await;
    assert_eq!(cleared.json()["cleared"], 1);
    assert_eq!(bench.api(&tokens.access).await.status, 200);
}

#[tokio::test]
async fn slow_waits_before_and_slow_answer_after() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    for spec in [
        "slow=60ms,times=1,at=api",
        "slow-answer=60ms,times=1,at=api",
    ] {
        bench.fault(spec);
        #[expect(clippy::disallowed_methods, reason = "a test of real waiting")]
        let before = Instant::now();
        assert_eq!(bench.api(&tokens.access).await.status, 200);
        assert!(before.elapsed() >= Duration::from_millis(60), "{spec}");
    }
}

#[tokio::test]
async fn answers_can_be_spoiled_in_every_way() {
    let bench = Bench::with(Profile::NoRotation).await;
    let tokens = bench.sign_in(&[]).await;
    let spoiled = async |spec: &str| {
        bench.fault(spec);
        bench.refresh(&tokens.refresh, &[]).await
    };
    let html = spoiled("html,times=1").await;
    assert_eq!(
        (html.status, html.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let typed = spoiled("wrong-type,times=1").await;
    assert_eq!(
        typed.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(typed.json().is_object());
    let half = spoiled("truncated,times=1").await;
    assert!(half.json().is_null() && half.body.starts_with('{'));
    let huge = spoiled("huge,times=1").await;
    assert!(huge.body.len() > 8_000_000);
    let open = spoiled("no-expires-in,times=1").await;
    assert!(open.json()["expires_in"].is_null() && open.json()["access_token"].is_string());
    let error = spoiled("error-in-200,times=1").await;
    assert_eq!(
        (error.status, error.text("error").as_str()),
        (200, "bad_refresh_token")
    );
    let good = bench.refresh(&tokens.refresh, &[]).await;
    assert_eq!(good.json()["expires_in"], 60);
}

#[tokio::test]
async fn a_fault_can_be_for_one_user_or_one_client() {
    let bench = Bench::with(Profile::Strict).await;
    let alice = bench.sign_in(&[("login_hint", "alice")]).await;
    let bob = bench.sign_in(&[("login_hint", "bob")]).await;
    bench.fault("status=500,user=bob");
    bench.fault("status=502,client=other");
    assert_eq!(bench.api(&alice.access).await.status, 200);
    assert_eq!(bench.api(&bob.access).await.status, 500);
    assert_eq!(bench.refresh(&bob.refresh, &[]).await.status, 500);
    assert_eq!(
        bench.refresh("x", &[("client_id", "other")]).await.status,
        502
    );
}

#[tokio::test]
async fn lifetimes_are_told_as_asked_and_the_date_can_lie() {
    let bench = Bench::with(Profile::Strict).await;
    bench.say("set ttl=7s refresh_lifetime_field=refresh_token_expires_in skew=-3600");
    let got = bench.exchange(&bench.code(&[]).await).await;
    assert_eq!(got.json()["expires_in"], 7);
    assert_eq!(got.json()["refresh_token_expires_in"], 600);
    assert_eq!(got.header("date"), Some("Wed, 31 Dec 2025 23:00:00 GMT"));
    let tokens = Tokens::of(&got);
    assert_eq!(
        bench.api(&tokens.access).await.status,
        200,
        "a lying clock ends nothing early"
    );
    bench.advance(7);
    assert_eq!(bench.api(&tokens.access).await.status, 401);
    assert_eq!(bench.sandbox.counters().expired_tokens_presented, 1);
}
