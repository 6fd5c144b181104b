//! Whom a lost answer wakes, and when: nobody, if the next resend heals it.

use super::{herd::incidents, server::Fault, *};
use crate::model::Event;

const PAGE: &str = "<html><body>Bad Gateway</body></html>";

/// A connection whose token is due and lives on for minutes, and a first refresh that meets these faults.
async fn after(faults: &[Fault]) -> (Bench, Runtime) {
    let (bench, runtime) = Bench::new().await;
    bench.server.script(faults.iter().copied());
    bench.clock.advance(secs(2800));
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(1));
    assert!(runtime.drain(secs(20)).await);
    (bench, runtime)
}

/// How long until somebody is notified of the one lost answer there is.
async fn notify_in(runtime: &Runtime) -> Duration {
    let open = status(runtime).await.incidents;
    let events: Vec<Event> = open.iter().map(|open| open.record.event).collect();
    assert_eq!(events, [Event::Uncertain], "it is in the status at once");
    runtime.notify_in(&open[0]).await.unwrap().unwrap()
}

async fn until_asked(bench: &Bench, runtime: &Runtime, requests: u32) {
    until("the resend", async || {
        ask(runtime).await.unwrap();
        bench.server.requests() == requests
    })
    .await;
    assert!(runtime.drain(secs(20)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_resend_heals_wakes_nobody() {
    for fault in [
        Fault::Says(503, "down for a moment"),
        Fault::Says(502, PAGE),
        Fault::Says(500, "{}"),
        Fault::CutBeforeCommit,
    ] {
        let (bench, runtime) = after(&[fault]).await;
        let left = status(&runtime).await.left;
        let wait = notify_in(&runtime).await;
        assert!(wait > secs(300) && wait <= left, "{fault:?}: {wait:?}");
        bench.clock.advance(secs(4));
        until_asked(&bench, &runtime, 2).await;
        assert_eq!(grant(&runtime).await.generation, Generation(2), "{fault:?}");
        assert_eq!(status(&runtime).await.incidents, [], "{fault:?}");
        assert_eq!(
            incidents(&runtime).await,
            1,
            "{fault:?}: it is in the audit"
        );
        assert_in_step(&bench, &runtime).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_that_hangs_up_does_not_heal_is_notified_when_the_token_has_ended() {
    let (bench, runtime) = after(&[Fault::CutBeforeCommit, Fault::CutBeforeCommit]).await;
    bench.clock.advance(secs(4));
    until_asked(&bench, &runtime, 2).await;
    let left = status(&runtime).await.left;
    assert!(!left.is_zero());
    let wait = notify_in(&runtime).await;
    assert!(wait > secs(300) && wait <= left, "{wait:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ended_without_a_successor_is_notified() {
    let (bench, runtime) = after(&[Fault::CutBeforeCommit]).await;
    bench.clock.advance(secs(810));
    assert!(status(&runtime).await.left.is_zero());
    assert_eq!(notify_in(&runtime).await, Duration::ZERO, "calls fail");
}

/// What says when to ask again did nothing: nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_says_when_to_ask_again_is_no_incident() {
    for fault in [
        Fault::AskAgainInAMinute,
        Fault::Says(429, "{}"),
        Fault::ForbiddenPage,
    ] {
        let (_bench, runtime) = after(&[fault]).await;
        assert_eq!(incidents(&runtime).await, 0, "{fault:?}");
    }
}

/// A provider's servers may know a new token later than we have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_is_over_once_the_server_takes_the_token() {
    let (_bench, runtime) = Bench::new().await;
    assert!(after_401(&runtime, 1).await.is_ok());
    let refused = after_401(&runtime, 2).await.unwrap_err();
    assert!(matches!(refused, TokenError::Rejected { .. }), "{refused}");
    let open = status(&runtime).await.incidents;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].record.event, Event::AuthorityLost);
    runtime.token_works(&name()).await.unwrap();
    assert_eq!(status(&runtime).await.incidents, []);
}
