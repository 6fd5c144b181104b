//! When the provider is asked, and when it is not.

use super::{server::Fault, *};
use crate::{
    model::{AttemptId, Claim, ClaimPhase, OwnerId, ProviderHabits, UnknownKind},
    refresh::{
        OnBehalfOf, incident,
        scheduler::{self, RefreshTurn},
    },
    store::Spend,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_outage_hot_callers_hear_at_once_when_to_ask_again() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Unavailable; 40]);
    bench.clock.advance(secs(3600));
    // An hour of it: after that the provider is asked every few minutes, however often callers ask us.
    for _ in 0..30 {
        ask(&runtime).await.unwrap_err();
        bench.clock.advance(secs(300));
    }
    let asked = bench.server.requests();
    assert!(ask(&runtime).await.is_err());
    for _ in 0..200 {
        let error = ask(&runtime).await.unwrap_err();
        let TokenError::Unavailable { retry_after, .. } = error else {
            panic!("{error}");
        };
        assert!(retry_after.is_some_and(|wait| !wait.is_zero()));
    }
    assert_eq!(bench.server.requests(), asked + 1);
}

/// So many resends without an answer that their waits make a day.
async fn lose_for_a_day(bench: &Bench, runtime: &Runtime) {
    let held = grant(runtime).await;
    let spend = Spend {
        grant: held.id.clone(),
        lineage: held.lineage,
        generation: held.generation,
    };
    let claim = Claim {
        attempt: AttemptId::new("a31"),
        number: 35,
        owner: OwnerId::new("gone"),
        since: bench.clock.now(),
        phase: ClaimPhase::Spending,
    };
    let store = &runtime.context.store;
    assert!(store.claim(&spend, &claim).await.unwrap());
    let lost = (UnknownKind::Silence, bench.clock.now());
    store
        .mark_unknown(&held.id, &claim.attempt, lost.0, lost.1)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_resends_without_an_answer_ends_with_a_person() {
    let (bench, runtime) = Bench::new().await;
    lose_for_a_day(&bench, &runtime).await;
    bench.clock.advance(secs(7200));
    let error = ask(&runtime).await.unwrap_err();
    assert_eq!(error.record().unwrap().reason, "unknown_outcome");
    assert_eq!(bench.server.requests(), 0);
    assert_eq!(grant(&runtime).await.claim, None);
    // It was only the provider that was away: the probe finds the token as good as it was.
    bench.clock.advance(Duration::from_hours(6));
    assert!(ask(&runtime).await.is_ok());
    assert_in_step(&bench, &runtime).await;
}

/// The waits make a day, and it was told two hours ago: not yet. What else was told, or of whom else, does not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_not_given_up_before_it_was_told_for_a_day() {
    let (bench, runtime) = Bench::new().await;
    lose_for_a_day(&bench, &runtime).await;
    let (context, held) = (&runtime.context, grant(&runtime).await);
    let on_behalf_of = OnBehalfOf::of(&status(&runtime).await.connection);
    let other = OnBehalfOf {
        connection: ConnectionName::parse("other").unwrap(),
        ..on_behalf_of.clone()
    };
    let now = bench.clock.now().wall;
    let long_ago = now - jiff::SignedDuration::from_hours(72);
    let due = incident::rotation_due_record(&on_behalf_of, &held, (now, long_ago), "1");
    let (lost, kind) = (AttemptId::new("a31"), UnknownKind::Silence);
    let others = incident::uncertain_record(&other, &held, kind, long_ago, "2");
    for record in [due, others] {
        incident::keep(context, &held, record).await.unwrap();
    }
    incident::uncertain(context, &on_behalf_of, &held, &lost, kind)
        .await
        .unwrap();
    bench.clock.advance(secs(7200));
    assert!(ask(&runtime).await.is_ok(), "it was asked for once more");
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_uses_a_refresh_token_before_it_dies_unused() {
    let (mut bench, _) = Bench::new().await;
    let habits = ProviderHabits::default().refresh_idle(Some(secs(1000)));
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let runtime = bench.process();
    let _scheduler = runtime.keep_fresh(vec![name()]);
    bench.clock.advance(secs(700));
    let reads = runtime.store_use().reads();
    until("the keeper has looked since", async || {
        runtime.store_use().reads() > reads + 1
    })
    .await;
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(bench.server.requests(), 0, "its access token lives an hour");
    bench.clock.advance(secs(60));
    until("the refresh that keeps it alive", async || {
        grant(&runtime).await.generation == Generation(2)
    })
    .await;
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_says_when_to_refresh_is_heard_and_remembered() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Also(r#","refresh_in":600"#)]);
    bench.clock.advance(secs(3000));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    drop(runtime);
    let runtime = bench.process();
    let due = status(&runtime).await.due_in.as_secs();
    assert!((560..=600).contains(&due), "{due}");
    bench.clock.advance(secs(601));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(grant(&runtime).await.generation, Generation(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_suspend_a_crowd_goes_one_after_the_other() {
    let (bench, runtime) = Bench::new().await;
    let look = async |turn: &mut RefreshTurn| {
        scheduler::look(&runtime.context, &runtime.flights, &name(), turn)
            .await
            .unwrap()
    };
    let mut turn = RefreshTurn::among(1_000);
    let sleeps = look(&mut turn).await;
    assert!(sleeps > secs(2_000), "{sleeps:?}");
    // Both clocks leap, as they do over a suspend; the token has ten minutes left.
    bench.clock.advance(secs(3000));
    let wait = look(&mut turn).await;
    assert!(wait > Duration::ZERO && wait <= secs(50), "{wait:?}");
    assert!(look(&mut turn).await <= wait, "it is rolled once");
    assert_eq!(bench.server.requests(), 0);
    bench.clock.advance(secs(50));
    look(&mut turn).await;
    assert_eq!(bench.server.requests(), 1);
    look(&mut turn).await;
    bench.clock.advance(secs(3000));
    let mut alone = RefreshTurn::among(1);
    look(&mut alone).await;
    assert_eq!(bench.server.requests(), 2, "one alone does not wait");
    assert_in_step(&bench, &runtime).await;
}

async fn pause_of_a_scheduler(runtime: &Runtime) -> Duration {
    let (context, flights) = (&runtime.context, &runtime.flights);
    scheduler::look(context, flights, &name(), &mut RefreshTurn::among(1))
        .await
        .unwrap()
}

/// A keeper sleeps for as long as the grant rests, and no call makes that shorter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_sleeps_for_as_long_as_the_provider_asks_for() {
    let (bench, runtime) = Bench::new().await;
    let id = grant(&runtime).await.id;
    bench.server.script([Fault::AskAgainInAMinute]);
    bench.clock.advance(secs(2900));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    let rest = runtime.flights.resting(&id).unwrap();
    assert!(rest > secs(40) && rest <= secs(60), "{rest:?}");
    assert!(pause_of_a_scheduler(&runtime).await > secs(40));
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_sleeps_until_a_lost_answer_is_asked_for_again() {
    let (bench, runtime) = Bench::new().await;
    let id = grant(&runtime).await.id;
    bench.server.script([Fault::CutAfterCommit]);
    bench.clock.advance(secs(2900));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    bench.clock.advance(Duration::from_millis(250));
    let stopped = bench.clock.stop();
    let seen = pause_of_a_scheduler(&runtime).await;
    // Three seconds after a reset: longer than any first backoff.
    let rest = runtime.flights.resting(&id).unwrap();
    assert!(rest > secs(1) && rest <= secs(3), "{rest:?}");
    assert_eq!(seen, rest);
    drop(stopped);
}

/// While there is much time left, an outage is asked about less and less often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_with_much_time_left_rests_longer_and_longer() {
    let (bench, runtime) = Bench::new().await;
    let id = grant(&runtime).await.id;
    bench.server.script([Fault::Unavailable; 20]);
    bench.clock.advance(secs(2701));
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        ask(&runtime).await.unwrap();
        assert!(runtime.drain(secs(20)).await);
        let Some(rest) = runtime.flights.resting(&id) else {
            // The rest is over, or what is left of it is the client's.
            bench.clock.advance(Duration::from_millis(50));
            continue;
        };
        longest = longest.max(rest);
        if longest > secs(5) {
            return;
        }
        bench.clock.advance(rest);
    }
    panic!("never more than {longest:?}");
}

/// A caller that waits for another process polls the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_another_process_is_no_hot_loop() {
    let (bench, runtime) = Bench::new().await;
    let other = bench.process();
    bench.server.hold_before(true);
    let first = crate::platform::tasks::spawn(async move { after_401(&other, 1).await });
    bench.server.saw(1).await;
    let second = {
        let runtime = runtime.clone();
        crate::platform::tasks::spawn(async move { after_401(&runtime, 1).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let reads = runtime.store_use().reads();
    bench.server.hold_before(false);
    assert_eq!(
        first.await.unwrap().unwrap().generation,
        second.await.unwrap().unwrap().generation
    );
    assert!(reads < 300, "{reads} looks in half a second");
}

/// A grant that can't be refreshed is left alone, however due it is: the scheduler looks now and then, in case a person
/// repaired it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_looks_now_and_then_at_what_it_cannot_refresh() {
    let (bench, runtime) = Bench::new().await;
    let soon = secs(1)..secs(5);
    // A person is asked for, the token still serves: nobody waits for the moment that it ends.
    bench.server.kill_family();
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert_ne!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    assert!(soon.contains(&pause_of_a_scheduler(&runtime).await));
    assert_eq!(bench.server.requests(), 1);
    // A key, which ends only when somebody says so.
    let (bench, runtime) = kinds::with(kinds::key).await;
    assert!(soon.contains(&pause_of_a_scheduler(&runtime).await));
    assert_eq!(bench.server.requests(), 0);
}

/// A grant with time left is looked at when it is due; one whose answer was lost, long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_sleeps_until_a_token_is_due_unless_an_answer_was_lost() {
    let (bench, runtime) = Bench::new().await;
    let due = pause_of_a_scheduler(&runtime).await;
    assert!(due > secs(2000) && due < secs(2701), "{due:?}");
    let (spend, claim) = crash::left(&bench, &runtime, "gone", 1).await;
    assert!(runtime.context.store.claim(&spend, &claim).await.unwrap());
    let pause = pause_of_a_scheduler(&runtime).await;
    assert!(pause < secs(120), "{pause:?}");
}

/// Of several connections each has its turn again, and in between nothing is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_of_several_comes_back_to_each() {
    let (bench, runtime) = Bench::new().await;
    let nobody = ConnectionName::parse("nobody").unwrap();
    let _scheduler = runtime.keep_fresh(vec![nobody, name()]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reads = runtime.store_use().reads();
    assert!(reads < 300, "{reads} looks in less than half a second");
    bench.clock.advance(secs(2800));
    until("its refresh", async || bench.server.requests() == 1).await;
}
