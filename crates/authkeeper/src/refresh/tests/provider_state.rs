//! What one process hears of a provider holds for all: nobody finds it out again.

use super::{server::Fault, *};
use crate::model::{Event, FailingOf};

const MANY: usize = 20;

fn processes(bench: &Bench) -> Vec<Runtime> {
    (0..MANY).map(|_| bench.process()).collect()
}

async fn all_ask(processes: &[Runtime]) -> Vec<Result<Arc<IssuedToken>, TokenError>> {
    let mut asking = tokio::task::JoinSet::new();
    for process in processes {
        let process = process.clone();
        asking.spawn(async move { ask(&process).await });
    }
    asking.join_all().await
}

fn assert_waits(answer: &Result<Arc<IssuedToken>, TokenError>, most: Duration) {
    match answer {
        Err(TokenError::Unavailable { why, retry_after }) => {
            assert!(why.contains("429") || why.contains("503"), "{why}");
            assert!(
                retry_after.is_some_and(|wait| wait <= most),
                "{retry_after:?}"
            );
        }
        other => panic!("{other:?}"),
    }
}

async fn other(bench: &Bench, runtime: &Runtime, client: &str) -> TokenRequest {
    let name = ConnectionName::parse("other").unwrap();
    let mut new = signed_in("other", bench.clock.now(), secs(3600));
    new.connection.name = name.clone();
    new.connection.client_id = ClientId::new(client);
    if let Some((_, registration)) = &mut new.client {
        registration.client_id = ClientId::new(client);
    }
    runtime.context.store.adopt_sign_in(new).await.unwrap();
    TokenRequest::new(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_at_a_429_send_one_request() {
    let (bench, _) = Bench::new().await;
    let processes = processes(&bench);
    bench.server.script([Fault::TooMany("60"); MANY]);
    bench.clock.advance(secs(3600));
    for answer in all_ask(&processes).await {
        assert_waits(&answer, secs(60));
    }
    assert_eq!(bench.server.requests(), 1);
    assert_in_step(&bench, &processes[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_let_through_before_the_failure_sends_nothing_after_it() {
    let (bench, runtime) = Bench::new().await;
    let (slow, mut way) = bench.slow_process();
    bench.server.script([Fault::TooMany("60"); 2]);
    bench.clock.advance(secs(3600));
    let asking = crate::platform::tasks::spawn(async move { ask(&slow).await });
    way.waits().await;
    assert_waits(&ask(&runtime).await, secs(60));
    way.open();
    assert_waits(&asking.await.unwrap(), secs(60));
    assert_eq!(bench.server.requests(), 1);
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_after_the_other_into_a_503_that_names_a_wait_sends_one_request() {
    let (bench, _) = Bench::new().await;
    bench.server.script([Fault::AskAgainInAMinute; 29]);
    bench.clock.advance(secs(3600));
    for round in 0..29 {
        let answer = ask(&bench.process()).await;
        assert_waits(&answer, secs(60));
        if round > 0 {
            let wait = |error: &TokenError| match error {
                TokenError::Unavailable { retry_after, .. } => *retry_after,
                _ => None,
            };
            let left = answer.as_ref().err().and_then(wait).unwrap();
            assert!(left <= secs(60 - round), "it is what is left: {left:?}");
        }
        bench.clock.advance(secs(1));
    }
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_rest_one_process_tries_and_the_others_wait_for_it() {
    let (bench, runtime) = Bench::new().await;
    let processes = processes(&bench);
    bench.server.script([Fault::TooMany("60"); 2]);
    bench.clock.advance(secs(3600));
    assert_waits(&ask(&runtime).await, secs(60));
    bench.clock.advance(secs(61));
    for answer in all_ask(&processes).await {
        assert_waits(&answer, secs(60));
    }
    assert_eq!(bench.server.requests(), 2, "one trial");
    bench.clock.advance(secs(61));
    for answer in all_ask(&processes).await {
        assert_eq!(answer.unwrap().generation, Generation(2));
    }
    assert_eq!(bench.server.requests(), 3, "and one that works for all");
    let of = FailingOf::Grant(grant(&runtime).await.id);
    assert_eq!(runtime.context.store.failing(&of).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_holds_back_every_grant_of_the_client_and_nobody_else() {
    for (client, requests) in [("client", 1), ("another", 2)] {
        let (bench, runtime) = Bench::new().await;
        let other = other(&bench, &runtime, client).await;
        bench.server.script([Fault::TooMany("60"); 2]);
        bench.clock.advance(secs(3600));
        assert_waits(&ask(&runtime).await, secs(60));
        let answer = bench.process().access_token(&other).await;
        assert_waits(&answer, secs(60));
        assert_eq!(bench.server.requests(), requests, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_leap_of_the_wall_clock_ends_or_prolongs_a_rest() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::TooMany("60")]);
    bench.clock.advance(secs(3600));
    assert_waits(&ask(&runtime).await, secs(60));
    bench.clock.step_wall(Duration::from_hours(72));
    assert_waits(&ask(&bench.process()).await, secs(60));
    assert_eq!(bench.server.requests(), 1);
    bench.clock.advance(secs(61));
    assert!(ask(&bench.process()).await.is_ok());
    assert_eq!(bench.server.requests(), 2);
}

/// What was refused is refused again in the same words, without asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_not_sent_again_by_each_command() {
    let (bench, _) = Bench::new().await;
    let refusal = r#"{"error":"invalid_scope","error_description":"not that"}"#;
    bench.server.script([Fault::Says(400, refusal); 9]);
    bench.clock.advance(secs(3600));
    let stopped = bench.clock.stop();
    for _ in 0..9 {
        match ask(&bench.process()).await {
            Err(TokenError::RequestRefused { refused, .. }) => {
                assert_eq!(refused.to_string(), "invalid_scope: not that");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.server.requests(), 1);
    drop(stopped);
}

/// A person who signs in waits for nothing that was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sign_in_does_not_rest() {
    let (bench, runtime) = Bench::new().await;
    bench
        .server
        .script([Fault::Says(400, r#"{"error":"invalid_scope"}"#)]);
    bench.clock.advance(secs(3600));
    let stopped = bench.clock.stop();
    ask(&runtime).await.unwrap_err();
    bench.sign_in(&runtime).await;
    let token = after_401(&bench.process(), 2).await.unwrap();
    assert_eq!(token.generation, Generation(3));
    drop(stopped);
}

/// A disk on which nothing of a failure can be kept.
fn refuse_rests(bench: &Bench) {
    let sql = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON meta
        WHEN NEW.key LIKE 'failing%' OR NEW.key LIKE 'resting%'
        BEGIN SELECT RAISE(ABORT, 'no room'); END";
    sql.execute_batch(full).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_cannot_be_kept_costs_nothing() {
    let (bench, runtime) = Bench::new().await;
    refuse_rests(&bench);
    bench.server.script([Fault::TooMany("60")]);
    bench.clock.advance(secs(3600));
    assert_waits(&ask(&runtime).await, secs(60));
    let wait = ask(&runtime).await;
    assert_waits(&wait, secs(60));
    assert_eq!(bench.server.requests(), 1, "this process knows it still");
    assert_eq!(
        ask(&bench.process()).await.unwrap().generation,
        Generation(2)
    );
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_writes_no_more_than_before_unless_there_was_a_failure() {
    let (bench, runtime) = Bench::new().await;
    for (fault, commits) in [(Fault::None, 2), (Fault::TooMany("1"), 4), (Fault::None, 2)] {
        bench.clock.advance(secs(3600));
        if !matches!(fault, Fault::None) {
            bench.server.script([fault]);
            ask(&runtime).await.unwrap_err();
            bench.clock.advance(secs(2));
        }
        let process = bench.process();
        ask(&process).await.unwrap();
        assert!(process.drain(secs(20)).await);
        // With a failure: the trial, and the two that end it, beside claim and commit.
        let used = process.store_use().commits();
        assert!(
            used == commits || used == commits + 1,
            "{used} for {fault:?}"
        );
    }
}

async fn told(runtime: &Runtime) -> Vec<Record> {
    let open = runtime.incidents().await.unwrap();
    let records = open.into_iter().map(|incident| incident.record);
    records
        .filter(|record| record.event == Event::ProviderFailing)
        .collect()
}

/// Whatever the status, for minutes, by whatever process: one incident, and the first answer resolves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_every_request_for_minutes_is_one_incident() {
    let (bench, runtime) = Bench::new().await;
    let faults = [
        Fault::TooMany("30"),
        Fault::ForbiddenPage,
        Fault::AskAgainInAMinute,
        Fault::TooMany("60"),
    ];
    bench.server.script(faults.into_iter().cycle().take(40));
    // Due, and 15 minutes of life left.
    bench.clock.advance(secs(2701));
    let asked = bench.server.requests();
    for _ in 0..28 {
        assert_eq!(told(&runtime).await, []);
        let process = bench.process();
        assert!(ask(&process).await.is_ok());
        assert!(process.drain(secs(20)).await);
        bench.clock.advance(secs(10));
    }
    assert!(bench.server.requests() > asked + 2);
    for _ in 0..10 {
        bench.clock.advance(secs(30));
        let process = bench.process();
        ask(&process).await.unwrap();
        assert!(process.drain(secs(20)).await);
    }
    let record = match told(&runtime).await.as_slice() {
        [record] => record.clone(),
        other => panic!("{other:?}"),
    };
    for said in [ISSUER, "every token request since 20", "too many requests"] {
        assert!(record.detail.contains(said), "{said}: {}", record.detail);
    }
    // It is read hours later.
    assert!(!record.detail.contains("again at"), "{}", record.detail);
    assert!(record.action.contains("client"), "{}", record.action);
    bench.server.heal();
    bench.clock.advance(secs(61));
    until("it works again", async || {
        let process = bench.process();
        ask(&process).await.unwrap();
        assert!(process.drain(secs(20)).await);
        bench.clock.advance(secs(10));
        grant(&runtime).await.generation == Generation(2)
    })
    .await;
    assert_eq!(told(&runtime).await, []);
}

/// Once the token has ended calls fail: a minute is enough, and no further request is needed to see that it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_calls_fail_it_is_told_after_a_minute() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::TooMany("600")]);
    bench.clock.advance(secs(3600));
    for wait in [30, 29] {
        assert_waits(&ask(&bench.process()).await, secs(600));
        assert_eq!(told(&runtime).await, []);
        bench.clock.advance(secs(wait));
    }
    bench.clock.advance(secs(2));
    for _ in 0..3 {
        assert_waits(&ask(&bench.process()).await, secs(600));
        assert_eq!(told(&runtime).await.len(), 1);
    }
    // A process that lives on looks again too.
    assert_eq!(bench.server.requests(), 1);
}

/// The one that heard it does not trust its memory for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_rests_tells_too() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::TooMany("600")]);
    bench.clock.advance(secs(3600));
    assert_waits(&ask(&runtime).await, secs(600));
    bench.clock.advance(secs(61));
    assert_waits(&ask(&runtime).await, secs(600));
    assert_eq!(told(&runtime).await.len(), 1);
    assert_eq!(bench.server.requests(), 1);
}
