//! Every refusal that a person is told of quotes the provider.

use super::{server::Fault, *};
use crate::model::{Event, Record};

const GONE: &str = r#"{"error":"invalid_grant","error_description":"Token has been expired\u001b[2J or revoked."}"#;

/// The record that is told of this answer.
async fn told(answers: impl IntoIterator<Item = Fault>, event: Event) -> (Bench, Runtime, Record) {
    let (bench, runtime) = Bench::new().await;
    bench.server.script(answers);
    let generation = grant(&runtime).await.generation.0;
    let _ = after_401(&runtime, generation).await;
    let mut open = runtime.incidents().await.unwrap().into_iter();
    let told = open
        .find(|incident| incident.record.event == event)
        .unwrap();
    (bench, runtime, told.record)
}

#[tokio::test]
async fn a_refused_grant_is_told_in_the_providers_words() {
    let (bench, runtime, record) =
        told([Fault::Says(400, GONE)], Event::ReauthorizationRequired).await;
    let words = "it said: invalid_grant: Token has been expired[2J or revoked.";
    assert!(record.detail.ends_with(words), "{}", record.detail);
    assert_eq!(record.reason, "refresh_refused", "a fixed word");
    // So it is at the next call, and in another process.
    for runtime in [&runtime, &bench.process()] {
        let error = ask(runtime).await.unwrap_err();
        assert!(error.to_string().ends_with(words), "{error}");
        let TokenError::ReauthorizationRequired { record: again } = error else {
            panic!("{error}");
        };
        assert_eq!(again.detail, record.detail);
    }
}

#[tokio::test]
async fn a_refused_client_and_a_refused_request_are_too() {
    for (body, words) in [
        (
            r#"{"error":"invalid_client","error_description":"wrong secret"}"#,
            "https://as.example refuses our client or what it asks for; it said: invalid_client: wrong secret",
        ),
        (
            r#"{"error":"invalid_scope","error_description":"no such scope"}"#,
            "https://as.example refuses our client or what it asks for; it said: invalid_scope: no such scope",
        ),
    ] {
        let (_bench, runtime, record) = told([Fault::Says(400, body)], Event::AuthorityLost).await;
        assert_eq!(record.detail, words);
        drop(runtime);
    }
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Says(
        401,
        r#"{"error":"invalid_client","error_description":"wrong secret"}"#,
    )]);
    let error = after_401(&runtime, grant(&runtime).await.generation.0).await;
    let said = error.unwrap_err().to_string();
    assert!(
        said.ends_with("it said: invalid_client: wrong secret"),
        "{said}"
    );
}

#[tokio::test]
async fn a_refusal_without_a_reason_names_a_wrong_secret_among_the_guesses() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Says(403, "")]);
    let error = after_401(&runtime, grant(&runtime).await.generation.0).await;
    let said = error.unwrap_err().to_string();
    for word in ["403", "wrong client secret", "firewall"] {
        assert!(said.contains(word), "{said}");
    }
}
