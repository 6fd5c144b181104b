//! What became of a lost request, asked without spending anything.

use super::{
    crash::{good_answer, keep_reply, left},
    server::Fault,
    *,
};
use crate::{
    http::Reach,
    model::{ClientSecret, ObservationKind, ProviderHabits, ReplayRule, UnknownKind},
};

/// A machine whose client can prove itself, at a provider that kills the grant for a replay.
async fn confidential(habits: ProviderHabits) -> (Bench, Runtime) {
    let (mut bench, _) = Bench::new().await;
    bench.rules.providers.insert(ISSUER.to_owned(), habits);
    let runtime = bench.process();
    sign_in(&bench, &runtime).await;
    (bench, runtime)
}

async fn sign_in(bench: &Bench, runtime: &Runtime) {
    let refresh = bench.server.sign_in();
    let mut signed_in = signed_in(&refresh, bench.clock.now(), secs(3600));
    let (_, client) = signed_in.client.as_mut().unwrap();
    client.client_id = ClientId::new("confidential");
    client.auth_method = ClientAuthMethod::Post;
    client.secrets = vec![ClientSecret::new("s".to_owned().into())];
    signed_in.connection.client_id = client.client_id.clone();
    signed_in.connection.check_url = Some("https://mcp.example/check".to_owned());
    runtime
        .context
        .store
        .adopt_sign_in(signed_in)
        .await
        .unwrap();
}

fn strict() -> ProviderHabits {
    ProviderHabits::new(ReplayRule::Strict, None)
}

/// One answer is lost, and its time to be asked about comes.
async fn lose(bench: &Bench, runtime: &Runtime, fault: Fault) {
    bench.server.script([fault]);
    bench.clock.advance(secs(2800));
    ask(runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert!(status(runtime).await.is_uncertain());
    bench.clock.advance(secs(96));
    ask(runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
}

async fn until_resent(runtime: &Runtime) {
    until("the resend", async || {
        let _ = ask(runtime).await;
        !status(runtime).await.is_uncertain()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acted_upon_is_sent_again_at_once_even_to_a_strict_server() {
    let (bench, runtime) = confidential(strict()).await;
    bench.server.introspects();
    lose(&bench, &runtime, Fault::CutBeforeCommit).await;
    until_resent(&runtime).await;
    assert_in_step(&bench, &runtime).await;
    assert_eq!(
        (bench.server.requests(), bench.server.introspections()),
        (2, 1)
    );
    let observed = runtime.observed().await.unwrap();
    assert_eq!(observed[0].observation.kind, ObservationKind::Introspects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acted_upon_is_told_at_once_and_costs_no_living_token() {
    let (bench, runtime) = confidential(strict()).await;
    bench.server.introspects();
    // Once it has said yes, its no counts.
    lose(&bench, &runtime, Fault::CutBeforeCommit).await;
    until_resent(&runtime).await;
    lose(&bench, &runtime, Fault::CutAfterCommit).await;
    until("it is told", async || {
        let _ = ask(&runtime).await;
        let incidents = status(&runtime).await.incidents;
        incidents
            .iter()
            .any(|t| t.record.reason == "unknown_outcome")
    })
    .await;
    assert!(ask(&runtime).await.is_ok(), "the access token serves on");
    assert_eq!((bench.server.requests(), bench.server.reuses()), (3, 0));
    assert_eq!(bench.journals(), Vec::<String>::new());
}

/// A server that told another client, or told this one something else, has not said yes to this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_yes_to_this_very_client_makes_a_no_count() {
    let (bench, runtime) = confidential(strict()).await;
    bench.server.introspects();
    let issuer = Issuer::new(ISSUER);
    let notes = [
        (ObservationKind::Introspects, "another"),
        (ObservationKind::OddAnswer, "confidential"),
    ];
    for (kind, detail) in notes {
        let context = &runtime.context;
        context.observation(&issuer, kind, detail.to_owned()).await;
    }
    lose(&bench, &runtime, Fault::CutAfterCommit).await;
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(bench.server.introspections(), 1);
    assert!(
        status(&runtime).await.is_uncertain(),
        "its no proves nothing"
    );
    let said = runtime.observed().await.unwrap();
    let said = said
        .iter()
        .filter(|one| one.observation.kind == ObservationKind::Introspects);
    assert_eq!(said.count(), 1, "and is no yes");
}

/// The answer came after all, to a process that died over it: there is nothing to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_the_journal_is_better_than_evidence() {
    let (bench, runtime) = confidential(strict()).await;
    bench.server.introspects();
    let (spend, claim) = left(&bench, &runtime, "gone", 1).await;
    let folder = bench.folder_of_journals();
    let journal = Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap();
    keep_reply(&journal, &bench, &runtime, (200, good_answer(&bench)));
    let store = &runtime.context.store;
    assert!(store.claim(&spend, &claim).await.unwrap());
    let lost = (UnknownKind::Crash, bench.clock.now());
    let marked = store.mark_unknown(&spend.grant, &claim.attempt, lost.0, lost.1);
    marked.await.unwrap();
    // Past the quiet period, and long before the new token is due itself.
    bench.clock.advance(secs(200));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(
        (bench.server.requests(), bench.server.introspections()),
        (0, 0)
    );
    assert_eq!(grant(&runtime).await.generation, spend.generation.next());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_of_a_server_that_never_said_yes_proves_nothing() {
    let (bench, runtime) = confidential(strict()).await;
    lose(&bench, &runtime, Fault::CutBeforeCommit).await;
    for _ in 0..20 {
        ask(&runtime).await.unwrap();
        bench.clock.advance(secs(6));
        assert!(runtime.drain(secs(20)).await);
    }
    assert!(status(&runtime).await.is_uncertain());
    assert_eq!(
        (bench.server.requests(), bench.server.introspections()),
        (1, 1)
    );
    // Late in the token's life it is sent again all the same, as the rule says.
    bench.clock.advance(secs(560));
    assert!(ask(&runtime).await.is_ok());
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_access_token_that_lives_proves_that_there_was_no_rotation() {
    let (bench, runtime) = confidential(strict().kills_access(true)).await;
    bench.server.answers_the_check(200);
    lose(&bench, &runtime, Fault::CutBeforeCommit).await;
    until_resent(&runtime).await;
    assert_eq!(
        (bench.server.requests(), bench.server.introspections()),
        (2, 0)
    );
    assert_in_step(&bench, &runtime).await;
    bench.server.answers_the_check(401);
    lose(&bench, &runtime, Fault::CutBeforeCommit).await;
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert!(
        status(&runtime).await.is_uncertain(),
        "that it is dead proves nothing"
    );
    assert_eq!(bench.server.requests(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_can_not_prove_itself_asks_nobody() {
    let (bench, runtime) = Bench::new().await;
    bench.server.introspects();
    bench.server.script([Fault::CutBeforeCommit]);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    bench.clock.advance(secs(6));
    until("the resend", async || {
        let _ = ask(&runtime).await;
        grant(&runtime).await.generation == Generation(2)
    })
    .await;
    assert_eq!(bench.server.introspections(), 0);
}
