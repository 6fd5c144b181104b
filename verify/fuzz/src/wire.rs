//! What servers answer.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    http::{ConnectError, Exchange, ExchangeError, HttpUrl, Reach, Reply, Request, Transport},
    model::{GrantType, Issuer, Moment, Quirks, Scope, ServerMetadata, TokenSet},
    oauth::{
        authorize::read_pushed,
        classify::{self as classifying, Outcome},
        device::{Poll, read_device_authorization, read_poll},
        discovery::{self as discovering, Discovered, WantedIssuer},
        register::{Purpose, register},
        token::TokenAnswer,
    },
    platform::clock::{Clock as _, ManualClock},
};

use crate::{
    message::{replies, reply},
    shown::fit,
};

const MINUTE: Duration = Duration::from_mins(1);
const HALF_AN_HOUR: Duration = Duration::from_mins(30);

pub(crate) fn now() -> Moment {
    ManualClock::new().now()
}

/// A token response's body. What is read can be sent, lives for a time that can be reckoned with, and prints no token.
pub fn token_answer(case: &[u8]) {
    let Ok(body) = serde_json::from_slice(case) else {
        return;
    };
    let Some(answer) = TokenAnswer::read(&body) else {
        return;
    };
    let set = answer.clone().into_token_set(now(), None);
    check_tokens(&set);
    let again = answer.into_token_set(now(), Some(Duration::ZERO));
    assert_eq!(again.scope, set.scope);
    if serde_json::Value::get(&body, "access_token").is_none() {
        return;
    }
    let body = serde_json::json!({"authed_user": body});
    let nested = TokenAnswer::read(&body).expect("Slack puts the same one level down");
    let nested = nested.into_token_set(now(), None);
    assert_eq!(exposed(&nested), exposed(&set));
}

#[expect(
    clippy::disallowed_methods,
    reason = "what was read is compared with what was sent"
)]
pub(crate) fn exposed(set: &TokenSet) -> (String, Option<String>) {
    let refresh = set.refresh_token.as_ref();
    let refresh = refresh.map(|token| token.secret.expose().clone());
    (set.access_token.expose().clone(), refresh)
}

fn check_tokens(set: &TokenSet) {
    let (access, refresh) = exposed(set);
    let sendable = access.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(
        sendable && !access.is_empty() && access.len() <= 64 * 1024,
        "an access token that can't stand in a header"
    );
    assert_ne!(refresh.as_deref(), Some(""), "an empty refresh token");
    assert!(!set.lifetime.is_zero(), "a token that is born dead");
    assert!(
        set.lifetime.as_secs() <= 10_000_000_000,
        "no end in three centuries"
    );
    let token = set.access(
        authkeeper::model::Lineage(1),
        authkeeper::model::Generation(1),
        None,
    );
    assert!(token.left(now()) <= set.lifetime);
    let _ = token.expires_at();
    if let Some(scope) = &set.scope {
        fit_scope(scope);
    }
    let printed = format!("{set:?}");
    let scope = set.scope.as_ref().map_or("", Scope::as_str);
    if access.len() >= 24 && !scope.contains(&access) {
        assert!(!printed.contains(&access), "the token is printed");
    }
}

/// A scope is shown in `status`; how long one is depends on what was asked for.
fn fit_scope(scope: &Scope) {
    for one in scope.iter() {
        let start: String = one.chars().take(100).collect();
        fit("a scope", &start);
        let control = one.chars().find(|c| c.is_control());
        assert_eq!(control, None, "a scope has a control character");
    }
}

/// A token endpoint's answer. A server error brings no token, and is a refusal only by a clear code; only a 2xx brings one;
/// what is said of it can be shown.
pub fn classify(case: &[u8]) {
    let reply = reply(case);
    let outcome = classifying::classify(&reply, now().wall);
    let again = classifying::classify(&reply, now().wall);
    assert_eq!(
        std::mem::discriminant(&outcome),
        std::mem::discriminant(&again)
    );
    check_outcome(&reply, outcome);
    let _ = classifying::skew_seconds(&reply, now().wall);
    let unheard = classifying::retry_after(&reply, now().wall);
    assert!(unheard.is_none() || reply.headers.contains_key("retry-after"));
}

fn check_outcome(reply: &Reply, outcome: Outcome) {
    let status = reply.status;
    match outcome {
        Outcome::Accepted(answer) => {
            assert!(status.is_success(), "{status} brings no token");
            check_tokens(&answer.into_token_set(now(), None));
        }
        Outcome::RefreshTokenAlone(_) => assert!(status.is_success(), "{status} brings no token"),
        // Asked again later: whatever the status, it is no final refusal.
        Outcome::Unrecognized { refused, .. } => fit("a refusal", &refused.to_string()),
        Outcome::GrantRefused(refused)
        | Outcome::ClientRefused(refused)
        | Outcome::RequestRefused(refused) => {
            let later = matches!(status.as_u16(), 429 | 503);
            assert!(!later, "{status} is no refusal: {refused}");
            // A server that failed is believed where its code is clear, and not where only its words are.
            let coded = refused.code != "no_error_code";
            assert!(coded || !status.is_server_error(), "{status}: {refused}");
            fit("a refusal", &refused.to_string());
        }
        Outcome::Suspect { why } => {
            assert!(status.is_client_error(), "{status} is not suspect");
            fit("a suspicion", &why);
        }
        Outcome::Transient { why, .. } => fit("a delay", &why),
        Outcome::Moved { target, .. } => target.iter().for_each(|target| fit("a target", target)),
        // A server that fails, or an answer that can't be read.
        Outcome::Unknown(_) => {}
        other => panic!("an outcome that is not known here: {other:?}"),
    }
}

/// A device authorization. What a person is shown can be shown, and leads to where a browser may go.
pub fn device(case: &[u8]) {
    let issuer = Issuer::new("https://as.example");
    match read_device_authorization(&issuer, &reply(case), now().wall) {
        Ok(sign_in) => {
            fit("the code", &sign_in.user_code);
            let complete = sign_in.verification_uri_complete.as_ref();
            for uri in complete.into_iter().chain([&sign_in.verification_uri]) {
                HttpUrl::parse(uri).expect("a person is sent there");
            }
            assert!((Duration::from_secs(1)..=MINUTE).contains(&sign_in.interval));
            let lives = sign_in.ends.duration_since(now().wall);
            let lives = Duration::try_from(lives).expect("it does not end before it began");
            assert!(lives <= HALF_AN_HOUR);
            assert!(!sign_in.user_code.is_empty(), "nothing to type");
        }
        Err(error) => fit("an error", &error.to_string()),
    }
}

/// A poll's answer. It is never asked again at once, nor at ever longer intervals, and nothing but an answer ends it: no
/// server error without a clear code.
pub fn poll(case: &[u8]) {
    let reply = reply(case);
    for interval in [1, 5, 60].map(Duration::from_secs) {
        match read_poll(&reply, interval, now().wall) {
            Poll::Again(pace) => {
                assert!((interval..=MINUTE).contains(&pace.interval), "{pace:?}");
                assert!(pace.wait >= pace.interval, "{pace:?}");
            }
            Poll::Failed(error) => fit("an error", &error.to_string()),
            Poll::Over(outcome) => {
                check_outcome(&reply, outcome);
            }
        }
    }
}

/// A pushed authorization request's answer.
pub fn pushed(case: &[u8]) {
    match read_pushed(&reply(case)) {
        Ok(uri) => assert!(!uri.is_empty(), "nothing stands for the request"),
        Err(why) => fit("an error", &why),
    }
}

/// Servers that give these answers in turn, then none.
struct Scripted {
    answers: Mutex<VecDeque<Reply>>,
}

struct Line(Option<Reply>);

#[async_trait]
impl Transport for Scripted {
    async fn connect(&self, _: &HttpUrl, _: Reach) -> Result<Box<dyn Exchange>, ConnectError> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(Line(answers.pop_front())))
    }
}

#[async_trait]
impl Exchange for Line {
    async fn send(self: Box<Self>, _: Request) -> Result<Reply, ExchangeError> {
        self.0.ok_or(ExchangeError::Broken("no more".to_owned()))
    }
}

/// Runs what asks servers that give the case's answers.
fn against<T>(case: &[u8], ask: impl AsyncFnOnce(&Scripted) -> T) -> T {
    let scripted = Scripted {
        answers: Mutex::new(replies(case).into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(ask(&scripted))
}

/// The three answers of a discovery: the resource's refusal, its metadata, the authorization server's. What is believed
/// is what was asked for, to the byte.
pub fn discovery(case: &[u8]) {
    let url = HttpUrl::parse("https://mcp.example/v1/mcp").expect("a URL");
    let found = against(case, async |servers| {
        discovering::discover(servers, &url, WantedIssuer::default()).await
    });
    match found {
        Ok(found) => check_discovered(&url, &found),
        Err(error) => fit("an error", &error.to_string()),
    }
}

fn check_discovered(url: &HttpUrl, found: &Discovered) {
    let metadata = &found.provider.metadata;
    assert_eq!(found.provider.issuer.as_str(), metadata.issuer);
    let issuer = HttpUrl::parse(&metadata.issuer).expect("an issuer is a URL");
    assert_eq!(metadata.quirks, Quirks::default(), "ours to know");
    match &found.resource {
        Some(resource) => {
            let covered = HttpUrl::parse(resource.as_str()).expect("a resource is a URL");
            assert!(covered.same_origin(url) && url.path().starts_with(covered.path()));
        }
        // A server of MCP 2025-03-26 names none, and signs people in itself.
        None => assert!(issuer.same_origin(url)),
    }
    if let Some(scope) = &found.scope {
        assert!(!scope.is_empty());
        fit_scope(scope);
    }
    let endpoints = [
        discovering::token_endpoint(metadata).map(|_| ()),
        discovering::device_endpoint(metadata).map(|_| ()),
        discovering::pushed_endpoint(metadata).map(|_| ()),
        discovering::code_endpoints(metadata).map(|_| ()),
        discovering::require_pkce(metadata, false),
    ];
    for error in endpoints.into_iter().filter_map(Result::err) {
        fit("an error", &error.to_string());
    }
    let text = serde_json::to_string(metadata).expect("it is kept");
    let again: ServerMetadata = serde_json::from_str(&text).expect("it is read back");
    assert_eq!(*metadata, again);
}

/// A registration's answer. A client has an id that can be sent and shown, and a secret only where it shows one.
pub fn registration(case: &[u8]) {
    let metadata = ServerMetadata {
        issuer: "https://as.example".to_owned(),
        ..ServerMetadata::default()
    };
    let endpoint = HttpUrl::parse("https://as.example/register").expect("a URL");
    let redirect_uri = "http://127.0.0.1:1/callback";
    let registered = against(case, async |servers| {
        let purpose = Purpose::of(GrantType::AuthorizationCode).redirected_to(redirect_uri);
        register(
            servers,
            (&endpoint, Reach::PublicOnly),
            (&metadata, false),
            (purpose, None),
        )
        .await
    });
    match registered {
        Ok(client) => {
            assert_eq!(client.issuer.as_str(), metadata.issuer);
            assert_eq!(client.redirect_uris, [redirect_uri]);
            assert!(!client.client_id.as_str().is_empty());
            let sent = client.client_id.as_str();
            let visible = sent.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            assert!(visible, "RFC 6749 A.1: {sent:?}");
        }
        Err(error) => fit("an error", &error.to_string()),
    }
}
