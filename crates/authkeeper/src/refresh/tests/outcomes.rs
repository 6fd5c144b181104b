//! What each answer, and each missing answer, leads to.

use super::{server::Fault, *};
use crate::model::ProviderHabits;
use crate::model::{GrantLifecycle, Lineage, ReauthorizeReason, ReplayRule};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_said_once_and_the_token_serves_on() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::CutAfterCommit]);
    bench.clock.advance(secs(2800));
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(1));
    assert!(runtime.drain(secs(20)).await);
    for _ in 0..10 {
        assert_eq!(
            ask(&runtime).await.unwrap().generation,
            Generation(1),
            "it serves on"
        );
    }
    let now = status(&runtime).await;
    assert!(now.is_uncertain());
    let events: Vec<_> = now
        .incidents
        .iter()
        .map(|t| t.record.event.as_str())
        .collect();
    assert_eq!(events, ["uncertain"]);
    assert_eq!(bench.server.requests(), 1, "not resent before its time");
    // The rule for an unknown provider after a reset: three seconds. The strict server then refuses the replay.
    bench.clock.advance(secs(6));
    until("the resend's refusal", async || {
        let _ = ask(&runtime).await;
        matches!(
            grant(&runtime).await.lifecycle,
            GrantLifecycle::ReauthorizationRequired { .. }
        )
    })
    .await;
    let lifecycle = grant(&runtime).await.lifecycle;
    let GrantLifecycle::ReauthorizationRequired { reason, .. } = lifecycle else {
        panic!()
    };
    assert_eq!(reason, ReauthorizeReason::UnknownOutcome);
    assert_eq!((bench.server.requests(), bench.server.reuses()), (2, 1));
    assert!(runtime.drain(secs(20)).await);
    let open: Vec<_> = status(&runtime).await.incidents;
    let events: Vec<_> = open.iter().map(|t| t.record.event.as_str()).collect();
    assert_eq!(
        events,
        ["reauthorization_required"],
        "the uncertainty is over"
    );
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_page_spends_nothing() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::ForbiddenPage]);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert!(!status(&runtime).await.is_uncertain());
    assert_eq!(grant(&runtime).await.claim, None);
    bench.clock.advance(secs(60));
    ask(&runtime).await.unwrap();
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.server.requests(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_that_is_answered_ends_the_uncertainty() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::CutBeforeCommit]);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert!(status(&runtime).await.is_uncertain());
    // The rule for an unknown provider after a reset: three seconds.
    bench.clock.advance(secs(6));
    until("the resend", async || {
        let _ = ask(&runtime).await;
        grant(&runtime).await.generation == Generation(2)
    })
    .await;
    assert_in_step(&bench, &runtime).await;
    let now = status(&runtime).await;
    assert!(!now.is_uncertain());
    assert!(now.incidents.is_empty(), "{:?}", now.incidents);
    assert_eq!((bench.server.requests(), bench.server.reuses()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_got_a_401_and_can_not_be_replaced_is_handed_out_no_more() {
    let (bench, runtime) = Bench::new().await;
    bench.server.kill_family();
    assert!(matches!(
        after_401(&runtime, 1).await,
        Err(TokenError::ReauthorizationRequired { .. })
    ));
    assert!(
        matches!(
            ask(&runtime).await,
            Err(TokenError::ReauthorizationRequired { .. })
        ),
        "whatever its clock says"
    );
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_server_is_asked_again_as_late_as_possible() {
    let (mut bench, _) = Bench::new().await;
    let habits = ProviderHabits::new(ReplayRule::Strict, None);
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let runtime = bench.process();
    bench.server.script([Fault::BadGatewayAfterCommit]);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    for _ in 0..10 {
        bench.clock.advance(secs(70));
        assert_eq!(ask(&runtime).await.unwrap().generation, Generation(1));
        assert!(runtime.drain(secs(20)).await);
    }
    assert_eq!(
        bench.server.requests(),
        1,
        "a replay could kill the living access token"
    );
    bench.clock.advance(secs(75));
    until("the resend near the end", async || {
        let _ = ask(&runtime).await;
        bench.server.requests() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_token_is_not_kept_for_safety() {
    let (mut bench, _) = Bench::new().await;
    let habits = ProviderHabits::new(ReplayRule::Strict, None);
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let runtime = bench.process();
    bench.server.script([Fault::CutAfterCommit]);
    let error = after_401(&runtime, 1).await.unwrap_err();
    assert!(matches!(error, TokenError::Uncertain { .. }), "{error:?}");
    bench.clock.advance(secs(10));
    // The resource refuses generation 1, so there is no living token that a replay could cost.
    until("the resend", async || {
        let asked = after_401(&runtime, 1).await;
        if let Err(TokenError::Uncertain { retry_after, .. }) = &asked {
            assert!(
                *retry_after < secs(3600),
                "{retry_after:?} is no time to wait"
            );
        }
        bench.clock.advance(secs(5));
        bench.server.requests() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_one_request_a_slot_and_reaches_nobody() {
    let (bench, runtime) = Bench::new().await;
    bench
        .server
        .script([Fault::Unavailable, Fault::Unavailable, Fault::Unavailable]);
    bench.clock.advance(secs(2800));
    for slot in 1..=3 {
        for _ in 0..50 {
            assert_eq!(ask(&runtime).await.unwrap().generation, Generation(1));
            assert!(runtime.drain(secs(20)).await);
        }
        assert_eq!(bench.server.requests(), slot);
        bench.clock.advance(secs(20));
    }
    ask(&runtime).await.unwrap();
    assert_in_step(&bench, &runtime).await;
    assert_eq!(grant(&runtime).await.generation, Generation(2));
    assert!(status(&runtime).await.incidents.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_refusal_asks_a_person_and_keeps_the_token() {
    let (bench, runtime) = Bench::new().await;
    bench.server.kill_family();
    let before = refresh_of(&grant(&runtime).await);
    bench.clock.advance(secs(2800));
    assert!(ask(&runtime).await.is_ok(), "the access token lives on");
    assert!(runtime.drain(secs(20)).await);
    assert!(ask(&runtime).await.is_ok());
    bench.clock.advance(secs(1000));
    let error = ask(&runtime).await.unwrap_err();
    let TokenError::ReauthorizationRequired { record } = error else {
        panic!("{error:?}")
    };
    assert_eq!(record.reason, "refresh_refused");
    assert_eq!(
        refresh_of(&grant(&runtime).await),
        before,
        "the refresh token is kept"
    );
    assert_eq!(status(&runtime).await.incidents.len(), 1);
    assert_eq!(bench.server.requests(), 1);
    // A new sign-in resolves it.
    bench.sign_in(&runtime).await;
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    assert!(status(&runtime).await.incidents.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_spends_nothing() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::InvalidClient]);
    bench.clock.advance(secs(3700));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(error, TokenError::ClientRefused { .. }),
        "{error:?}"
    );
    assert_eq!(grant(&runtime).await.claim, None);
    let now = status(&runtime).await;
    let told: Vec<_> = now
        .incidents
        .iter()
        .map(|t| t.record.reason.as_str())
        .collect();
    assert_eq!(told, ["client_refused"], "somebody has to know");
    bench.clock.advance(secs(60));
    ask(&runtime).await.unwrap();
    assert_in_step(&bench, &runtime).await;
    assert!(
        status(&runtime).await.incidents.is_empty(),
        "it works again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_401_refreshes_once_and_a_second_one_is_a_rejection() {
    let (bench, runtime) = Bench::new().await;
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    assert_eq!(bench.server.requests(), 1);
    // An older generation's 401: the newer one that is stored is the answer.
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    assert_eq!(bench.server.requests(), 1);
    // The fresh one is refused too: rejected, however often one asks.
    for _ in 0..20 {
        let error = after_401(&runtime, 2).await.unwrap_err();
        assert!(matches!(error, TokenError::Rejected { .. }), "{error:?}");
    }
    assert_eq!(bench.server.requests(), 1);
    let told = status(&runtime).await.incidents;
    assert_eq!(told.len(), 1);
    // After the cooldown one more is tried, and the same incident is not told again.
    bench.clock.advance(secs(61));
    assert_eq!(
        after_401(&runtime, 2).await.unwrap().generation,
        Generation(3)
    );
    after_401(&runtime, 3).await.unwrap_err();
    assert_eq!(bench.server.requests(), 2);
    assert_eq!(status(&runtime).await.incidents, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_omitted_refresh_token_and_scope_stay_as_they_were() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::OmitRefresh]);
    let token = after_401(&runtime, 1).await.unwrap();
    assert_eq!(
        token.scope,
        Some(Scope::new("read write")),
        "absent means as granted"
    );
    assert_in_step(&bench, &runtime).await;
    bench.clock.advance(secs(61));
    assert_eq!(
        after_401(&runtime, 2).await.unwrap().generation,
        Generation(3)
    );
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_outruns_the_refresh_in_flight() {
    let (bench, runtime) = Bench::new().await;
    bench.server.hold_after(true);
    let caller = {
        let runtime = runtime.clone();
        crate::platform::tasks::spawn(async move { after_401(&runtime, 1).await })
    };
    bench.server.saw(1).await;
    let signed_in = bench.sign_in(&runtime).await;
    bench.server.hold_after(false);
    let token = caller.await.unwrap().unwrap();
    assert_eq!(text(&token), "access-0");
    assert_eq!(token.generation, signed_in.generation);
    assert_in_step(&bench, &runtime).await;
    assert_eq!(grant(&runtime).await.lineage.0, 2);
    let late = &runtime.context.reply_archive;
    assert_eq!(
        late.late(&signed_in.id, Lineage(1)).len(),
        1,
        "kept, and never adopted"
    );
    assert!(late.late(&signed_in.id, Lineage(2)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_a_disconnect_is_revoked() {
    let (bench, runtime) = Bench::new().await;
    let id = grant(&runtime).await.id;
    bench.server.hold_after(true);
    let caller = {
        let runtime = runtime.clone();
        crate::platform::tasks::spawn(async move { after_401(&runtime, 1).await })
    };
    bench.server.saw(1).await;
    runtime.disconnect(&name()).await.unwrap();
    bench.server.hold_after(false);
    let error = caller.await.unwrap().unwrap_err();
    assert!(
        matches!(error, TokenError::NoSuchConnection { .. }),
        "{error:?}"
    );
    assert!(runtime.drain(secs(20)).await);
    let revoked = bench.server.revoked();
    let late = bench.server.good().unwrap();
    assert!(revoked.contains(&late), "{revoked:?} holds {late}");
    let access = late.replace("refresh", "access");
    assert!(revoked.contains(&access), "{revoked:?} holds {access}");
    let tombstone = runtime.context.store.grant(&id).await.unwrap().unwrap();
    assert!(matches!(
        tombstone.lifecycle,
        GrantLifecycle::Revoked { .. }
    ));
    assert_eq!(
        (refresh_of(&tombstone), tombstone.access.is_some()),
        (None, false)
    );
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_the_answer_nothing_is_spent() {
    let (bench, runtime) = Bench::new().await;
    std::fs::remove_dir(bench.journal_folder()).unwrap();
    std::fs::write(bench.journal_folder(), "").unwrap();
    bench.clock.advance(secs(2800));
    for _ in 0..5 {
        assert!(ask(&runtime).await.is_ok(), "the living token serves");
        assert!(runtime.drain(secs(20)).await);
        bench.clock.advance(secs(60));
    }
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Store(_)), "{error:?}");
    assert_eq!(bench.server.requests(), 0);
    assert_eq!(grant(&runtime).await.claim, None);
    std::fs::remove_file(bench.journal_folder()).unwrap();
    std::fs::create_dir(bench.journal_folder()).unwrap();
    bench.clock.advance(secs(600));
    assert!(ask(&runtime).await.is_ok());
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_cannot_claim_leaves_no_file_behind() {
    let (bench, runtime) = Bench::new().await;
    std::fs::remove_dir(bench.folder.path().join("owners")).unwrap();
    bench.clock.advance(secs(3600));
    for _ in 0..3 {
        ask(&runtime).await.unwrap_err();
        bench.clock.advance(secs(600));
    }
    assert_eq!(bench.journals(), Vec::<String>::new());
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_of_a_refused_grant_rests() {
    let (bench, runtime) = Bench::new().await;
    bench.server.kill_family();
    bench.clock.advance(secs(2800));
    let _scheduler = runtime.keep_fresh(vec![name()]);
    until("the refusal", async || bench.server.requests() == 1).await;
    until("its commit", async || {
        grant(&runtime).await.lifecycle != GrantLifecycle::Active
    })
    .await;
    let landing = Arc::new(runtime.hand_out.clone());
    let flights =
        crate::refresh::single_flight::Flights::new(Arc::clone(&runtime.context), landing);
    let mut turn = crate::refresh::scheduler::RefreshTurn::among(1);
    let pause = crate::refresh::scheduler::look(&runtime.context, &flights, &name(), &mut turn)
        .await
        .unwrap();
    assert!(pause >= secs(1), "{pause:?} is a hot loop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_can_not_be_opened_affects_that_grant_alone() {
    let (bench, runtime) = Bench::new().await;
    let damage = "UPDATE grant_family SET refresh_token = zeroblob(80)";
    let store = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    store.execute(damage, []).unwrap();
    assert!(ask(&runtime).await.is_ok(), "the living token serves");
    let all = runtime.statuses().await.unwrap();
    assert_eq!(all.len(), 1, "the others can be looked at");
    bench.clock.advance(secs(3700));
    let Err(TokenError::ReauthorizationRequired { record }) = ask(&runtime).await else {
        panic!()
    };
    assert_eq!(record.reason, "secret_lost");
    assert_eq!(bench.server.requests(), 0);
    bench.sign_in(&runtime).await;
    assert!(ask(&runtime).await.is_ok(), "a sign-in resolves it");
}
