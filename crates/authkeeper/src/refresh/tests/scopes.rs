//! Calls that are refused for lack of a scope: asked for by a person, by our client itself, and by nobody after three times.

use super::{kinds::with, server::Fault, *};
use crate::{
    error::Advice,
    model::{Event, Record, ScopeRefusal},
    signin::{Again, ConnectError, Prompter, SignInPrompt},
};

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

fn refusal(operation: &str, scope: &str, lineage: u64) -> ScopeRefusal {
    ScopeRefusal {
        operation: operation.to_owned(),
        scope: (!scope.is_empty()).then(|| Scope::new(scope)),
        lineage: Lineage(lineage),
    }
}

async fn refused(runtime: &Runtime, operation: &str, scope: &str, lineage: u64) -> TokenError {
    let refusal = refusal(operation, scope, lineage);
    runtime.step_up(&name(), &refusal).await.unwrap_err()
}

fn record(error: &TokenError) -> &Record {
    error.record().unwrap()
}

async fn open(runtime: &Runtime) -> Vec<Record> {
    let incidents = runtime.incidents().await.unwrap();
    incidents
        .into_iter()
        .map(|incident| incident.record)
        .collect()
}

#[tokio::test]
async fn what_a_call_needs_is_kept_and_told_once_and_the_rest_goes_on() {
    let (bench, runtime) = Bench::new().await;
    let error = refused(&runtime, "tools/call write", "files:write", 1).await;
    assert!(matches!(error, TokenError::ScopeMissing { .. }), "{error}");
    assert_eq!(error.advice(), Advice::Reauthorize);
    let told = record(&error);
    assert_eq!(
        (told.event, told.reason.as_str()),
        (Event::ScopeRequired, "insufficient_scope")
    );
    assert_eq!(told.scope.as_deref(), Some("files:write"));
    assert_eq!(told.action, "authkeeper reauthorize c");
    assert_eq!(
        told.detail,
        "tools/call write needs the scope files:write, which was not granted; other calls go on"
    );
    ask(&runtime).await.unwrap();
    let claimed = runtime.incidents().await.unwrap()[0].id.clone();
    assert!(runtime.claim_notification(&claimed).await.unwrap());

    // A restart remembers it, and another call adds to it.
    let again = bench.process();
    refused(&again, "tools/call write", "files:write", 1).await;
    refused(&again, "GET /mail", "mail files:write", 1).await;
    let status = status(&again).await;
    assert_eq!(status.state, crate::model::ConnectionState::Active);
    assert_eq!(
        status.scope_request.unwrap().scope,
        Some(Scope::new("files:write mail"))
    );
    let open = open(&again).await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].scope.as_deref(), Some("files:write mail"));
    assert!(
        open[0]
            .detail
            .contains("GET /mail needs the scope mail files:write")
    );
    assert!(again.incidents().await.unwrap()[0].notified, "told once");
    assert_eq!(bench.server.requests(), 0, "nobody was asked");

    // A call that gets through after all is over, and with the last one all of it.
    again.scope_sufficed(&name(), "GET /mail").await.unwrap();
    assert_eq!(
        self::open(&again).await[0].scope.as_deref(),
        Some("files:write")
    );
    again
        .scope_sufficed(&name(), "tools/call write")
        .await
        .unwrap();
    assert!(self::open(&again).await.is_empty());
}

#[tokio::test]
async fn after_three_sign_ins_in_vain_nobody_is_asked_again() {
    let (bench, runtime) = Bench::new().await;
    for lineage in 1..=3 {
        let error = refused(&runtime, "x", "admin", lineage).await;
        assert!(
            matches!(error, TokenError::ScopeMissing { .. }),
            "{lineage}: {error}"
        );
        bench.sign_in(&runtime).await;
        assert!(
            open(&runtime).await.is_empty(),
            "the sign-in has asked for it"
        );
    }
    let error = refused(&bench.process(), "x", "admin", 4).await;
    assert!(matches!(error, TokenError::ScopeRefused { .. }), "{error}");
    assert_eq!(error.advice(), Advice::Permission);
    assert_eq!(record(&error).reason, "scope_refused");
    assert!(
        record(&error)
            .action
            .contains("have the provider allow admin")
    );
    assert_eq!(status(&runtime).await.scope_request, None);
    assert_eq!(open(&runtime).await.len(), 1);
    ask(&runtime).await.unwrap();
}

#[tokio::test]
async fn a_call_that_was_made_before_the_sign_in_is_worth_another_try() {
    let (bench, runtime) = Bench::new().await;
    refused(&runtime, "x", "admin", 1).await;
    bench.sign_in(&runtime).await;
    let late = runtime.step_up(&name(), &refusal("x", "admin", 1)).await;
    assert!(late.is_ok(), "{late:?}");
    assert!(
        open(&runtime).await.is_empty(),
        "it says nothing of the new token"
    );
}

/// A sandbox's worth of metadata, so that a sign-in finds its way.
fn publish(bench: &Bench) {
    let server = &bench.server;
    let named = r#"Bearer resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp""#;
    server.page("/mcp", 401, Some(named), "{}");
    let metadata = r#"{"resource":"https://mcp.example/mcp","authorization_servers":["https://as.example"],
        "scopes_supported":["listed"]}"#;
    server.page(METADATA, 200, None, metadata);
    let metadata = r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token",
        "authorization_endpoint":"https://as.example/authorize","code_challenge_methods_supported":["S256"]}"#;
    server.page(
        "/.well-known/oauth-authorization-server",
        200,
        None,
        metadata,
    );
}

fn own(signed_in: &mut SignedIn) {
    signed_in.grant_type = GrantType::ClientCredentials;
    signed_in.connection.scope = Some(Scope::new("read"));
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.refresh_token = None;
    }
    kinds::secrets(signed_in);
}

#[tokio::test]
async fn a_client_that_acts_for_itself_asks_for_more_by_itself_and_once() {
    let (bench, runtime) = with(own).await;
    publish(&bench);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let runtime = runtime.clone();
        all.spawn(async move { runtime.step_up(&name(), &refusal("x", "admin", 2)).await });
    }
    for done in all.join_all().await {
        done.unwrap();
    }
    assert_eq!(bench.server.scopes(), [Some("read admin".to_owned())]);
    assert_eq!(grant(&runtime).await.lineage, Lineage(3));
    assert!(open(&runtime).await.is_empty(), "nobody needs to know");
    // What it was given does not reach either: asking the same again brings nothing.
    let error = refused(&runtime, "x", "admin", 3).await;
    assert!(matches!(error, TokenError::ScopeRefused { .. }), "{error}");
    assert_eq!(bench.server.requests(), 1);
    // It asks for it from now on.
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    assert_eq!(bench.server.scopes()[1].as_deref(), Some("read admin"));
}

#[tokio::test]
async fn what_the_server_does_not_give_leaves_the_client_with_what_it_had() {
    let (bench, runtime) = with(own).await;
    publish(&bench);
    let refuses = Fault::Says(400, r#"{"error":"invalid_scope"}"#);
    bench.server.script([refuses]);
    let error = refused(&runtime, "x", "admin", 2).await;
    assert!(matches!(error, TokenError::ScopeRefused { .. }), "{error}");
    assert_eq!(grant(&runtime).await.lineage, Lineage(2));
    refused(&runtime, "x", "admin", 2).await;
    assert_eq!(bench.server.requests(), 1, "asked once");
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap();
    assert_eq!(bench.server.scopes(), [Some("read".to_owned())]);
}

#[tokio::test]
async fn an_authorization_server_that_is_down_is_asked_again_by_the_next_call() {
    let (bench, runtime) = with(own).await;
    publish(&bench);
    bench.server.script([Fault::Unavailable]);
    let error = refused(&runtime, "x", "admin", 2).await;
    assert_eq!(error.advice(), Advice::Retry, "{error}");
    let again = runtime.step_up(&name(), &refusal("x", "admin", 2)).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test]
async fn where_nothing_is_named_what_the_resource_lists_is_asked_for() {
    let (bench, runtime) = with(own).await;
    publish(&bench);
    let done = runtime.step_up(&name(), &refusal("x", "", 2)).await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(bench.server.scopes(), [Some("read listed".to_owned())]);
}

#[tokio::test]
async fn a_person_is_asked_for_what_was_asked_before_and_what_is_wanted() {
    let (bench, runtime) = with(|new| {
        new.connection.scope = Some(Scope::new("b  a"));
    })
    .await;
    publish(&bench);
    refused(&runtime, "x", "a c", 2).await;
    let shown = Arc::new(Mutex::new(String::new()));
    let again = Again::new(secs(0));
    let person = Shown(Arc::clone(&shown));
    let done = Box::pin(runtime.reauthorize(&name(), again, &person)).await;
    assert!(matches!(done, Err(ConnectError::TimedOut(_))), "{done:?}");
    let url = shown.lock().unwrap().clone();
    assert!(url.contains("&scope=b++a+c&"), "{url}");
    assert!(
        status(&runtime).await.scope_request.is_some(),
        "nobody has signed in"
    );
}

/// Somebody who is called away from a sign-in takes nothing from the connections that use the same client.
#[tokio::test]
async fn a_sign_in_that_nobody_finished_touches_no_grant() {
    let (bench, runtime) = Bench::new().await;
    publish(&bench);
    let person = Shown(Arc::default());
    for _ in 0..3 {
        let again = Again::new(secs(0));
        let done = Box::pin(runtime.reauthorize(&name(), again, &person)).await;
        assert!(matches!(done, Err(ConnectError::TimedOut(_))), "{done:?}");
    }
    let (issuer, id) = (Issuer::new(ISSUER), ClientId::new("client"));
    let client = runtime.context.store.registration(&issuer, &id).await;
    assert_eq!(client.unwrap().unwrap().refused, None);
    bench.clock.advance(secs(3700));
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    assert_eq!(bench.server.requests(), 1);
}

/// Keeps the URL that is to be opened.
struct Shown(Arc<Mutex<String>>);

#[async_trait]
impl Prompter for Shown {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test reads what is asked for"
    )]
    fn invite(&self, invitation: &SignInPrompt) {
        if let crate::signin::PromptAction::Open(url) = &invitation.task {
            *self.0.lock().unwrap() = url.expose().clone();
        }
    }

    async fn paste(&self) -> Option<crate::secret::SecretString> {
        None
    }

    fn paste_again(&self, _: &crate::oauth::authorize::RedirectError) {}
}
