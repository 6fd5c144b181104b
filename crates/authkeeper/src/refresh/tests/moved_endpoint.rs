//! A token endpoint that is not where it was: the refresh token goes where the issuer says, or nowhere.

use super::{server::Fault, *};
use crate::model::Event;

const METADATA: &str = "/.well-known/oauth-authorization-server";

fn names(bench: &Bench, endpoint: &str) {
    let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"{endpoint}"}}"#);
    bench.server.page(METADATA, 200, None, &body);
}

fn why(answer: Result<Arc<IssuedToken>, TokenError>) -> String {
    match answer {
        Err(TokenError::EndpointMoved { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

async fn told(runtime: &Runtime) -> Vec<Record> {
    let open = runtime.incidents().await.unwrap();
    open.into_iter().map(|incident| incident.record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_is_an_incident_that_names_its_target() {
    let (bench, runtime) = Bench::new().await;
    names(&bench, "https://as.example/token");
    for (status, to) in [(302, "/new?x=1"), (307, "https://as.example/new")] {
        bench.server.script([Fault::Redirect(status, to)]);
    }
    bench.clock.advance(secs(3600));
    let moved = "https://as.example moved its token endpoint to https://as.example/new (302)";
    assert_eq!(why(ask(&runtime).await), moved);
    for _ in 0..20 {
        assert_eq!(why(ask(&bench.process()).await), moved);
        bench.clock.advance(secs(25));
    }
    assert_eq!(bench.server.requests(), 1, "it is seldom looked at again");
    let open = told(&runtime).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].event, Event::TokenEndpointMoved);
    assert!(open[0].detail.starts_with(moved), "{}", open[0].detail);
    bench.clock.advance(secs(600));
    assert!(why(ask(&bench.process()).await).ends_with("(307)"));
    assert_eq!(told(&runtime).await.len(), 1, "it is told once");
    bench.clock.advance(secs(601));
    assert!(ask(&bench.process()).await.is_ok());
    assert_eq!(told(&runtime).await, []);
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_moved_for_good_is_used_where_the_issuer_names_it() {
    for status in [404, 405, 410] {
        let (bench, runtime) = Bench::new().await;
        bench.server.page("/token", status, None, "");
        names(&bench, "https://as.example/token2");
        bench.clock.advance(secs(3600));
        assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
        assert_eq!(told(&runtime).await, []);
        assert_in_step(&bench, &runtime).await;
    }
    let (bench, runtime) = Bench::new().await;
    let elsewhere = "https://evil.example/token";
    bench.server.script([Fault::Redirect(308, elsewhere)]);
    names(&bench, "https://as.example/token2");
    bench.clock.advance(secs(3600));
    assert!(ask(&runtime).await.is_ok(), "where the issuer says");
    assert_eq!(bench.server.requests(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_the_issuer_still_names_is_gone_at_the_second_404() {
    let (bench, runtime) = Bench::new().await;
    bench.server.page("/token", 404, None, "<html>nginx</html>");
    names(&bench, "https://as.example/token");
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    assert_eq!(told(&runtime).await, []);
    bench.clock.advance(secs(2));
    let said = why(ask(&runtime).await);
    assert_eq!(
        said,
        "https://as.example answers nothing at its token endpoint (404)"
    );
    assert_eq!(told(&runtime).await.len(), 1);
    assert_in_step(&bench, &runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_issuers_metadata_and_a_plain_address_are_not_used() {
    for metadata in [
        r#"{"issuer":"https://evil.example","token_endpoint":"https://evil.example/token"}"#,
        r#"{"issuer":"https://as.example","token_endpoint":"http://as.example/token2"}"#,
        "<html>",
    ] {
        let (bench, runtime) = Bench::new().await;
        bench.server.page("/token", 410, None, "");
        bench.server.page(METADATA, 200, None, metadata);
        bench.clock.advance(secs(3600));
        assert!(why(ask(&runtime).await).ends_with("(410)"), "{metadata}");
        assert_in_step(&bench, &runtime).await;
    }
}

/// What the catalogue knows of a vendor that publishes nothing is not replaced by what somebody publishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_endpoint_is_not_looked_for() {
    let (bench, runtime) = Bench::new().await;
    let mut new = signed_in(&bench.server.sign_in(), bench.clock.now(), secs(3600));
    new.connection.provider = Some("github".to_owned());
    runtime.context.store.adopt_sign_in(new).await.unwrap();
    bench.server.page("/token", 410, None, "");
    names(&bench, "https://as.example/token2");
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    match &error {
        TokenError::EndpointMoved { action, .. } => assert!(action.contains("github"), "{action}"),
        other => panic!("{other:?}"),
    }
    assert_in_step(&bench, &runtime).await;
}

/// A person who has put it right waits for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sign_in_it_is_asked_at_once() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Redirect(302, "/new")]);
    bench.clock.advance(secs(3600));
    why(ask(&runtime).await);
    let new = signed_in(&bench.server.sign_in(), bench.clock.now(), secs(3600));
    runtime.adopt_signed_in(new).await.unwrap();
    assert_eq!(told(&runtime).await, []);
    assert!(after_401(&bench.process(), 2).await.is_ok());
}
