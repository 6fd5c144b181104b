//! What is noticed of a provider, and what follows from it.

use super::{server::Fault, *};
use crate::model::{ObservationKind, ProviderHabits, ReplayRule};

async fn observed(runtime: &Runtime) -> Vec<(ObservationKind, String, u64)> {
    let all = runtime.observed().await.unwrap();
    all.into_iter()
        .map(|one| (one.observation.kind, one.observation.detail, one.times))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fits_nothing_is_counted_by_its_shape() {
    let (bench, runtime) = Bench::new().await;
    let odd = r#"{"sorry":"refresh-1","error":"out_of_cheese"}"#;
    bench.server.script([Fault::Says(418, odd); 2]);
    bench.clock.advance(secs(3600));
    for _ in 0..2 {
        assert!(ask(&runtime).await.is_err());
        bench.clock.advance(secs(600));
    }
    let shape = "418 application/json, {error, sorry}, error out_of_cheese, under 64 bytes";
    assert_eq!(
        observed(&runtime).await,
        [(ObservationKind::OddAnswer, shape.to_owned(), 2)]
    );
    assert!(ask(&runtime).await.is_ok());
    assert_eq!(observed(&runtime).await.len(), 1, "tokens are not odd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_that_was_none_is_not_believed_again() {
    let (mut bench, _) = Bench::new().await;
    let grace = ProviderHabits::new(ReplayRule::Grace(secs(30)), None);
    bench.rules.providers.insert(ISSUER.to_owned(), grace);
    let runtime = bench.process();
    bench.server.script([Fault::CutAfterCommit]);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert!(status(&runtime).await.asked_again_in.is_some());
    bench.clock.advance(secs(15));
    until("the resend's refusal", async || {
        let _ = ask(&runtime).await;
        bench.server.reuses() == 1
    })
    .await;
    assert!(runtime.drain(secs(20)).await);
    let rule = "grace 30s".to_owned();
    assert_eq!(
        observed(&runtime).await,
        [(ObservationKind::ReplayRefused, rule, 1)]
    );
    // From now on, in every process: as late as with a strict one.
    let runtime = bench.process();
    bench.sign_in(&runtime).await;
    bench.server.script([Fault::CutAfterCommit]);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    bench.clock.advance(secs(15));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    let now = status(&runtime).await;
    assert!(now.is_uncertain(), "it is not resent within the old grace");
    assert_eq!(now.asked_again_in, None);
    assert_eq!(bench.server.reuses(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_end_early_again_and_again_are_believed_to() {
    let (bench, runtime) = Bench::new().await;
    for generation in 1..=3 {
        let access = grant(&runtime).await.access.unwrap();
        assert_eq!(access.lifetime, secs(3600), "{generation} is chance");
        bench.clock.advance(secs(600));
        after_401(&runtime, generation).await.unwrap();
    }
    let access = grant(&runtime).await.access.unwrap();
    assert_eq!(
        access.lifetime,
        secs(3600),
        "what the issuer says is served"
    );
    assert_eq!(access.refresh_in, Some(secs(450)), "and replaced in time");
    // Known to the next process too, and refreshed ahead of it.
    let runtime = bench.process();
    bench.clock.advance(secs(500));
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(4));
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(grant(&runtime).await.generation, Generation(5));
    assert_in_step(&bench, &runtime).await;
}
