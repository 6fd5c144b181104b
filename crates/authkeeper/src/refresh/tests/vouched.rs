//! Grants that are renewed by an assertion: a workload's file, and an identity provider whose refresh token is good once.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    crash::{keep_reply, left},
    kinds::with,
    *,
};
use crate::{
    http::Reach,
    model::{AssertionSource, Event, IdentityProvider, ReauthorizeReason, SubjectFile},
    oauth::dpop::ProofKey,
    refresh::tests::server::Fault,
};

const JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

fn vouched(signed_in: &mut SignedIn) {
    signed_in.grant_type = GrantType::IdJag;
    signed_in.grant_material.assertion =
        Some(AssertionSource::IdentityProvider(IdentityProvider {
            token_url: "https://idp.example/token".to_owned(),
            client_id: ClientId::new("at-idp"),
            client_secret: None,
            subject: SubjectFile::RefreshToken("/run/rt".into()),
        }));
}

fn workload(file: PathBuf) -> impl FnOnce(&mut SignedIn) {
    move |signed_in| {
        signed_in.grant_type = GrantType::JwtBearer;
        signed_in.grant_material.assertion = Some(AssertionSource::File(file));
        if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
            tokens.refresh_token = None;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_identity_providers_token_is_spent_once_for_all_and_replaced() {
    let (bench, runtime) = with(vouched).await;
    for _ in 0..3 {
        bench.clock.advance(secs(3600));
        let other = bench.process();
        let before = bench.server.requests();
        let mut all = tokio::task::JoinSet::new();
        for number in 0..20 {
            let runtime = if number % 2 == 0 { &runtime } else { &other }.clone();
            all.spawn(async move { text(&ask(&runtime).await.unwrap()) });
        }
        let all = all.join_all().await;
        assert!(
            all.iter()
                .all(|token| token.starts_with("for+jag-") && *token == all[0])
        );
        assert_eq!(bench.server.requests() - before, 2, "one at each server");
        assert_in_step(&bench, &runtime).await;
    }
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_identity_provider_gave_stays_though_the_server_refuses_it() {
    let (bench, runtime) = with(vouched).await;
    let refused = Fault::Says(
        400,
        r#"{"error":"invalid_grant","error_description":"no such user"}"#,
    );
    bench.server.script([Fault::None, refused]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(error, TokenError::RequestRefused { .. }),
        "{error}"
    );
    assert!(error.to_string().starts_with(ISSUER), "{error}");
    assert_in_step(&bench, &runtime).await;
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
    bench.clock.advance(secs(60));
    assert!(ask(&runtime).await.is_ok());
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_read_a_token_that_is_replaced_meanwhile_does_not_send_it() {
    let (bench, runtime) = with(vouched).await;
    let (slow, mut way) = bench.slow_process();
    bench.clock.advance(secs(3600));
    let asking = crate::platform::tasks::spawn(async move { ask(&slow).await });
    way.waits().await;

    let refused = Fault::Says(400, r#"{"error":"invalid_grant"}"#);
    bench.server.script([Fault::None, refused]);
    ask(&runtime).await.unwrap_err();
    assert_in_step(&bench, &runtime).await;
    // The refused grant rests, in every process.
    bench.clock.advance(secs(61));
    way.open();
    let token = text(&asking.await.unwrap().unwrap());
    assert!(token.starts_with("for+jag-"), "{token}");
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_is_kept_though_no_assertion_comes_with_it() {
    let (bench, runtime) = with(vouched).await;
    bench.server.script([Fault::NoAssertion]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(error, TokenError::Unavailable { .. }),
        "an access token for the identity provider is never handed out: {error}"
    );
    assert!(error.to_string().contains("identity provider"), "{error}");
    assert!(!status(&runtime).await.is_uncertain());
    assert_in_step(&bench, &runtime).await;
    bench.clock.advance(secs(60));
    assert!(ask(&runtime).await.is_ok());
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_got_in_the_place_of_an_assertion_is_no_token() {
    let (bench, runtime) = with(vouched).await;
    let newer = bench.server.sign_in();
    let body =
        format!(r#"{{"access_token":"the-idps","expires_in":3600,"refresh_token":"{newer}"}}"#);
    bench.clock.advance(secs(3000));
    leave_answer(&bench, &runtime, body).await;
    bench.clock.advance(secs(1000));
    let token = match ask(&runtime).await {
        Ok(token) => text(&token),
        Err(_later) => {
            bench.clock.advance(secs(60));
            text(&ask(&runtime).await.unwrap())
        }
    };
    assert!(token.starts_with("for+jag-"), "{token}");
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_number_is_heard_from_its_second_refusal_too() {
    let (key, kept) = ProofKey::generate().unwrap();
    let (bench, runtime) = with(|new| {
        vouched(new);
        new.grant_material.proof_key = Some(kept);
        if let Obtained::Tokens(tokens) = &mut new.obtained {
            tokens.subject_binding.bound_to = Some(key.thumbprint().to_owned());
        }
    })
    .await;
    bench.server.checks_proofs();
    bench.server.wants_nonce("n1");
    bench.server.then_wants_nonce("n2");
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    assert_eq!(bench.server.requests(), 3);
    bench.clock.advance(secs(60));
    // Whatever becomes of it: it is asked with the number that was told last.
    let _ = ask(&runtime).await;
    let last = bench.server.proofs().pop().unwrap();
    assert_eq!(last["nonce"], "n2");
    assert_eq!(bench.server.requests(), 5, "one at each server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_the_server_costs_nothing() {
    let (bench, runtime) = with(vouched).await;
    bench.server.script([Fault::None, Fault::CutAfterCommit]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    assert!(!status(&runtime).await.is_uncertain());
    assert_in_step(&bench, &runtime).await;
    bench.clock.advance(secs(5));
    assert!(ask(&runtime).await.is_ok());
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_the_identity_provider_is_uncertain() {
    let (bench, runtime) = with(vouched).await;
    bench.server.script([Fault::CutAfterCommit]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Uncertain { .. }), "{error}");
    assert_eq!(
        bench.server.requests(),
        1,
        "the server is not asked without an assertion"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_identity_provider_asks_a_person_and_names_it() {
    let (bench, runtime) = with(vouched).await;
    bench.server.kill_family();
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    let TokenError::ReauthorizationRequired { record } = &error else {
        panic!("{error}");
    };
    assert_eq!(record.reason, ReauthorizeReason::RefreshRefused.as_str());
    assert!(
        record.detail.contains("identity provider"),
        "{}",
        record.detail
    );
    assert!(record.action.contains("/run/rt"), "{}", record.action);
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_identity_provider_is_no_refusal() {
    let (bench, runtime) = with(vouched).await;
    bench.server.script([Fault::ForbiddenPage]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err().to_string();
    assert!(
        error.contains("identity provider at https://idp.example/token"),
        "{error}"
    );
    assert_in_step(&bench, &runtime).await;
    bench.clock.advance(secs(5));
    assert!(ask(&runtime).await.is_ok());
}

/// As a process leaves it that dies after an answer has come.
async fn leave_answer(bench: &Bench, runtime: &Runtime, body: String) {
    let (spend, claim) = left(bench, runtime, "dead", 1).await;
    assert!(runtime.context.store.claim(&spend, &claim).await.unwrap());
    let folder = bench.folder_of_journals();
    let journal = Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap();
    keep_reply(&journal, bench, runtime, (200, body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_got_from_the_identity_provider_is_gone_on_with() {
    let (bench, runtime) = with(vouched).await;
    let newer = bench.server.sign_in();
    let body = format!(
        r#"{{"access_token":"jag","issued_token_type":"{JAG}","refresh_token":"{newer}"}}"#
    );
    leave_answer(&bench, &runtime, body).await;
    bench.clock.advance(secs(3600));
    let token = text(&ask(&runtime).await.unwrap());
    assert!(
        token.starts_with("for+jag-"),
        "the assertion itself is never handed out: {token}"
    );
    assert_in_step(&bench, &runtime).await;
    assert_eq!((bench.server.requests(), bench.server.reuses()), (2, 0));
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_outlives_its_claim_is_not_drawn_from_again() {
    let (bench, runtime) = with(vouched).await;
    let newer = bench.server.sign_in();
    let body = format!(
        r#"{{"access_token":"jag","issued_token_type":"{JAG}","refresh_token":"{newer}"}}"#
    );
    leave_answer(&bench, &runtime, body).await;
    let journal = bench.journal_folder().join(&bench.journals()[0]);
    let after_a_crash = bench.folder.path().join("after-a-crash");
    std::fs::hard_link(&journal, &after_a_crash).unwrap();
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    assert!(!journal.exists());
    // As if the process had died before it removed what it had drawn from, and nothing had been committed since.
    let refused = Fault::Says(400, r#"{"error":"invalid_grant"}"#);
    std::fs::rename(after_a_crash, &journal).unwrap();
    assert_eq!(std::fs::read(&journal).unwrap()[..8], *b"settled.");
    bench.server.script([Fault::None, refused]);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_got_from_the_server_is_adopted() {
    let (bench, runtime) = with(vouched).await;
    let newer = bench.server.sign_in();
    let body = format!(
        r#"{{"access_token":"kept","expires_in":3600,"refresh_token":"{newer}","authkeeper:vouched":true}}"#
    );
    bench.clock.advance(secs(3000));
    leave_answer(&bench, &runtime, body).await;
    bench.clock.advance(secs(1000));
    assert_eq!(text(&ask(&runtime).await.unwrap()), "kept");
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test]
async fn the_identity_providers_token_is_not_shown_to_the_server() {
    let (bench, runtime) = with(vouched).await;
    runtime.disconnect(&name()).await.unwrap();
    let revoked = bench.server.revoked();
    assert!(!revoked.is_empty());
    assert!(
        revoked.iter().all(|token| !token.starts_with("refresh-")),
        "{revoked:?}"
    );
}

fn jwt(bench: &Bench, lives: i64, name: &str) -> String {
    let ends = bench.clock.now().wall.as_second() + lives;
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{ends},"sub":"{name}"}}"#));
    format!("e30.{claims}.c2ln")
}

#[tokio::test]
async fn a_workloads_file_is_read_again_each_time_and_what_is_over_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let (bench, runtime) = with(workload(file.clone())).await;
    let first = jwt(&bench, 7000, "one");
    std::fs::write(&file, &first).unwrap();
    bench.clock.advance(secs(3600));
    let one = text(&ask(&runtime).await.unwrap());
    assert!(one.ends_with(&first), "{one}");
    assert!(
        grant(&runtime).await.refresh.is_none(),
        "a stray refresh token is not kept"
    );

    bench.clock.advance(secs(3600));
    let before = bench.server.requests();
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("ended at"), "{error}");
    let torn = jwt(&bench, 600, "two");
    let torn: String = torn.chars().take(torn.len() / 2).collect();
    for bad in [&torn, "", "<html>"] {
        std::fs::write(&file, bad).unwrap();
        bench.clock.advance(secs(60));
        let error = ask(&runtime).await.unwrap_err().to_string();
        assert!(error.contains("does not hold one"), "{bad}: {error}");
    }
    std::fs::remove_file(&file).unwrap();
    bench.clock.advance(secs(60));
    assert!(
        ask(&runtime)
            .await
            .unwrap_err()
            .to_string()
            .contains("can't be read")
    );
    assert_eq!(bench.server.requests(), before, "nothing was sent");

    std::fs::write(&file, jwt(&bench, 600, "three")).unwrap();
    bench.clock.advance(secs(60));
    assert!(ask(&runtime).await.is_ok(), "and it needs no person");
}

#[tokio::test]
async fn a_refused_assertion_is_told_and_nothing_else_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let (bench, runtime) = with(workload(file.clone())).await;
    std::fs::write(&file, jwt(&bench, 7200, "one")).unwrap();
    bench
        .server
        .script([Fault::Says(400, r#"{"error":"invalid_grant"}"#)]);
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(
        matches!(error, TokenError::RequestRefused { .. }),
        "{error}"
    );
    assert_eq!(bench.server.requests(), 1);
    let incidents = runtime.incidents().await.unwrap();
    assert_eq!(incidents[0].record.event, Event::AuthorityLost);
    assert_eq!(grant(&runtime).await.lifecycle, GrantLifecycle::Active);
}

#[tokio::test]
async fn a_file_that_is_none_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("real"), folder.path().join("jwt"));
    let (bench, runtime) = with(workload(link.clone())).await;
    let fifo = folder.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    bench.clock.advance(secs(3600));
    let asked = tokio::time::timeout(secs(10), ask(&runtime)).await;
    // The waiters for the other end are released, so that the test can end.
    let _ = rustix::fs::open(
        &fifo,
        rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
        mode,
    );
    let error = asked.expect("it is not waited for").unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");

    std::fs::write(
        &file,
        format!("{}\n{}", jwt(&bench, 7200, "one"), " ".repeat(70_000)),
    )
    .unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    bench.clock.advance(secs(60));
    let error = ask(&runtime).await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    std::fs::write(&file, jwt(&bench, 7200, "one")).unwrap();
    bench.clock.advance(secs(60));
    assert!(ask(&runtime).await.is_ok());
}
