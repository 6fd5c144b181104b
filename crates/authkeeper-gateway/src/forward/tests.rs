use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use authkeeper::{
    model::{
        ConnectionName, Event, ExtraHeader, ExtraHeaders, Generation, Health, HealthCause,
        HealthState, Lineage, Presentation, Record, Scope, ScopeRefusal,
    },
    oauth::dpop::Binding,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};

use super::*;
use crate::{
    body::{ResponseBody, whole},
    error::{CallError, CallErrorKind},
};

pub(crate) fn record(event: Event, connection: &str) -> Record {
    let ts: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Record {
        event,
        connection: connection.to_owned(),
        principal: "local".to_owned(),
        task: Some("t1".to_owned()),
        reason: "refresh_refused".to_owned(),
        detail: "the provider refused the refresh token".to_owned(),
        since: ts,
        expires_at: None,
        scope: None,
        action: format!("authkeeper reauthorize {connection}"),
        link: None,
        trace_id: "0".repeat(32),
        ts,
    }
}

/// Generations 1 to `last`, then the token counts as rejected; `dead`: no authority at all.
pub(crate) struct FakeAuthority {
    url: String,
    last: u64,
    dead: AtomicBool,
    /// How its tokens are shown.
    presentation: Presentation,
    headers: ExtraHeaders,
    binding: Option<Binding>,
    /// What every request for a token gets instead, or so many of the first.
    refusal: Option<fn() -> CallError>,
    refusals: usize,
    /// How its connections stand.
    health: Option<Health>,
    current: AtomicU64,
    pub(crate) asked: Mutex<Vec<Option<u64>>>,
    pub(crate) failed: Mutex<Vec<(String, String)>>,
    pub(crate) succeeded: Mutex<Vec<String>>,
    /// What comes of asking for more: none refuses.
    more: Option<fn() -> Result<(), CallError>>,
    pub(crate) stepped: Mutex<Vec<ScopeRefusal>>,
    pub(crate) sufficed: Mutex<Vec<String>>,
}

impl FakeAuthority {
    pub(crate) fn new(url: &str, last: u64) -> Arc<Self> {
        Arc::new(Self::made(url, last, false))
    }

    pub(crate) fn dead(url: &str) -> Arc<Self> {
        Arc::new(Self::made(url, 1, true))
    }

    /// Somebody signed in.
    pub(crate) fn revive(&self) {
        self.dead.store(false, Ordering::SeqCst);
    }

    pub(crate) fn refusing(refusal: fn() -> CallError) -> Arc<Self> {
        let mut made = Self::made("http://127.0.0.1:9/", 1, false);
        made.refusal = Some(refusal);
        Arc::new(made)
    }

    /// Refuses so many requests, then gives tokens.
    pub(crate) fn late(refusal: fn() -> CallError, refusals: usize) -> Arc<Self> {
        let mut made = Self::made("http://127.0.0.1:9/", 1, false);
        (made.refusal, made.refusals) = (Some(refusal), refusals);
        Arc::new(made)
    }

    /// Its tokens are shown as `presentation` has it.
    fn showing(url: &str, presentation: &str) -> Arc<Self> {
        let mut made = Self::made(url, 1, false);
        made.presentation = Presentation::parse(presentation).unwrap();
        Arc::new(made)
    }

    /// Its connection has these headers of its own.
    fn adding(url: &str, headers: &[&str]) -> Arc<Self> {
        let mut made = Self::made(url, 2, false);
        let headers = headers.iter().map(|text| ExtraHeader::parse(text).unwrap());
        made.headers = headers.collect();
        Arc::new(made)
    }

    /// Asking for more ends so; each time that it is done there is a newer token.
    pub(crate) fn stepping(url: &str, more: fn() -> Result<(), CallError>) -> Arc<Self> {
        let mut made = Self::made(url, 1, false);
        made.more = Some(more);
        Arc::new(made)
    }

    /// Its tokens are bound to this key.
    pub(super) fn bound(url: &str, shown: (Presentation, Binding)) -> Arc<Self> {
        let mut made = Self::made(url, 1, false);
        (made.presentation, made.binding) = (shown.0, Some(shown.1));
        Arc::new(made)
    }

    fn made(url: &str, last: u64, dead: bool) -> Self {
        Self {
            url: url.to_owned(),
            last,
            dead: AtomicBool::new(dead),
            presentation: Presentation::default(),
            headers: ExtraHeaders::default(),
            binding: None,
            refusal: None,
            refusals: usize::MAX,
            health: None,
            current: AtomicU64::new(1),
            asked: Mutex::default(),
            failed: Mutex::default(),
            succeeded: Mutex::default(),
            more: None,
            stepped: Mutex::default(),
            sufficed: Mutex::default(),
        }
    }
}

#[async_trait]
impl Authority for FakeAuthority {
    async fn token(
        &self,
        connection: &ConnectionName,
        rejected: Option<Generation>,
    ) -> Result<CallToken, CallError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(rejected.map(|generation| generation.0));
        if let Some(refusal) = self.refusal.filter(|_| asked.len() <= self.refusals) {
            return Err(refusal());
        }
        drop(asked);
        if self.dead.load(Ordering::SeqCst) {
            let record = Box::new(record(Event::ReauthorizationRequired, connection.as_str()));
            return Err(CallError::authorization_missing(record));
        }
        let current = self.current.load(Ordering::SeqCst);
        if rejected == Some(Generation(current)) {
            if current == self.last {
                let record = Box::new(record(Event::AuthorityLost, connection.as_str()));
                return Err(CallError::of_incident(CallErrorKind::TokenRejected, record));
            }
            self.current.store(current + 1, Ordering::SeqCst);
        }
        let generation = Generation(self.current.load(Ordering::SeqCst));
        let secret = format!("tok-{generation}").into();
        Ok(CallToken {
            binding: self.binding.clone(),
            certificate: None,
            secret,
            generation,
            lineage: Lineage(generation.0),
            url: self.url.clone(),
            presentation: self.presentation.clone(),
            headers: self.headers.clone(),
        })
    }

    async fn step_up(
        &self,
        connection: &ConnectionName,
        refusal: &ScopeRefusal,
    ) -> Result<(), CallError> {
        self.stepped.lock().unwrap().push(refusal.clone());
        let Some(more) = self.more else {
            let record = Box::new(record(Event::ScopeRequired, connection.as_str()));
            return Err(CallError::authorization_missing(record));
        };
        self.current.fetch_add(1, Ordering::SeqCst);
        more()
    }

    async fn health(&self, _connection: &ConnectionName) -> Option<Health> {
        self.health.clone()
    }

    fn wants_scopes(&self, _connection: &ConnectionName) -> bool {
        !self.stepped.lock().unwrap().is_empty()
    }

    async fn scope_sufficed(&self, _connection: &ConnectionName, operation: &str) {
        self.sufficed.lock().unwrap().push(operation.to_owned());
    }

    async fn call_failed(&self, _connection: &ConnectionName, fingerprint: &str, reason: &str) {
        self.failed
            .lock()
            .unwrap()
            .push((fingerprint.to_owned(), reason.to_owned()));
    }

    async fn call_succeeded(&self, _connection: &ConnectionName, fingerprint: &str) {
        self.succeeded.lock().unwrap().push(fingerprint.to_owned());
    }
}

type Answer = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

/// A real server on loopback that keeps the heads it saw.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) heads: Arc<Mutex<Vec<Parts>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start<F, P>(script: F) -> Self
    where
        F: Fn(Parts, Incoming) -> P + Send + Sync + 'static,
        P: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let script = Arc::new(script);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (head, body) = request.into_parts();
                    seen.lock().unwrap().push(head.clone());
                    let answer: Answer = Box::pin(script(head, body));
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                connections.spawn(async move {
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                    let _ = served.await;
                });
            }
        });
        Self {
            url,
            heads,
            _tasks: tasks,
        }
    }

    /// The `Authorization` headers it saw.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads
            .iter()
            .map(|head| head.headers["authorization"].to_str().unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn status(status: u16) -> Response<ResponseBody> {
    Response::builder()
        .status(status)
        .body(whole(Bytes::from_static(b"from the server")))
        .unwrap()
}

/// 401 for every token but this one.
pub(crate) async fn accepting(token: &'static str) -> Server {
    Server::start(move |head, body| async move {
        let _ = body.collect().await;
        let good = head.headers["authorization"] == format!("Bearer {token}");
        status(if good { 200 } else { 401 })
    })
    .await
}

pub(crate) fn notion() -> ConnectionName {
    ConnectionName::parse("notion").unwrap()
}

fn call(body: CallBody) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("x-kept", "1".parse().unwrap());
    headers.insert("cookie", "a=b".parse().unwrap());
    headers.insert("host", "elsewhere".parse().unwrap());
    headers.insert("authorization", "Bearer the-handle".parse().unwrap());
    Call {
        method: Method::POST,
        target: Target::exact(),
        headers: headers.into(),
        body,
        idempotent: false,
        in_session: false,
        fingerprint: "f1".to_owned(),
    }
}

fn failed_as(outcome: &Result<Response<ResponseBody>, CallError>, kind: CallErrorKind) -> bool {
    matches!(outcome, Err(error) if error.kind == kind)
}

async fn carried(
    authority: &Arc<FakeAuthority>,
    body: CallBody,
) -> Result<Response<ResponseBody>, CallError> {
    let authority: Arc<dyn Authority> = authority.clone();
    Forwarder::new(authority)
        .forward(&notion(), call(body))
        .await
}

fn kept() -> CallBody {
    CallBody::Whole(Bytes::from_static(b"hello"))
}

fn streamed() -> CallBody {
    CallBody::Stream(whole(Bytes::from_static(b"hello")))
}

#[tokio::test]
async fn the_token_is_put_in_and_what_is_ours_left_out() {
    let server = accepting("tok-1").await;
    let authority = FakeAuthority::new(&server.url, 1);
    let response = carried(&authority, kept()).await.unwrap();
    assert_eq!(response.status(), 200);
    let heads = server.heads.lock().unwrap().clone();
    assert_eq!(heads[0].uri.path(), "/v1");
    assert!(heads[0].headers.contains_key("x-kept") && !heads[0].headers.contains_key("cookie"));
    assert!(
        server
            .url
            .contains(heads[0].headers["host"].to_str().unwrap())
    );
    assert_eq!(*authority.succeeded.lock().unwrap(), ["f1"]);
}

#[tokio::test]
async fn a_key_stands_in_the_header_that_its_server_reads() {
    let server = accepting("none").await;
    let authority = FakeAuthority::showing(&server.url, "X-API-Key");
    let _ = carried(&authority, kept()).await;
    let heads = server.heads.lock().unwrap().clone();
    assert_eq!(heads[0].headers["x-api-key"], "tok-1");
    assert!(!heads[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn the_connections_own_headers_are_sent_each_time_and_win() {
    let server = accepting("tok-2").await;
    let own = ["X-Tenant: blue", "X-Kept: 2"];
    let authority = FakeAuthority::adding(&server.url, &own);
    assert_eq!(carried(&authority, kept()).await.unwrap().status(), 200);
    let heads = server.heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 2);
    for head in heads {
        assert_eq!(head.headers["x-tenant"], "blue");
        let kept: Vec<_> = head.headers.get_all("x-kept").iter().collect();
        assert_eq!(kept, ["2"], "the caller sent 1");
    }
}

/// A balancer that has given each answer a new cookie.
async fn balancing() -> Server {
    let answers = AtomicU64::new(0);
    Server::start(move |_head, _body| {
        let number = answers.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut answer = status(200);
            let cookie = format!("SERVERID=n{number}; path=/");
            let headers = answer.headers_mut();
            headers.insert("set-cookie", cookie.parse().unwrap());
            answer
        }
    })
    .await
}

#[tokio::test]
async fn a_sessions_cookies_go_back_and_each_session_has_its_own() {
    let server = balancing().await;
    let authority = FakeAuthority::new(&server.url, 1);
    let forwarder = Forwarder::new(authority);
    let jar = Arc::new(CookieJar::default());
    let other = Arc::new(CookieJar::default());
    for cookies in [Some(&jar), Some(&jar), Some(&other), None, Some(&jar)] {
        let mut call = call(kept());
        call.headers.cookies = cookies.cloned();
        let answer = forwarder.forward(&notion(), call).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let heads = server.heads.lock().unwrap().clone();
    let shown: Vec<Option<&str>> = heads
        .iter()
        .map(|head| head.headers.get("cookie")?.to_str().ok())
        .collect();
    let (first, second) = (Some("SERVERID=n0"), Some("SERVERID=n1"));
    assert_eq!(
        shown,
        [None, first, None, None, second],
        "and never the caller's own"
    );
}

#[tokio::test]
async fn a_401_is_refreshed_and_sent_again_once() {
    let server = accepting("tok-2").await;
    let authority = FakeAuthority::new(&server.url, 2);
    assert_eq!(carried(&authority, kept()).await.unwrap().status(), 200);
    assert_eq!(*authority.asked.lock().unwrap(), [None, Some(1)]);
    assert_eq!(server.authorizations(), ["Bearer tok-1", "Bearer tok-2"]);
    assert!(authority.failed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_fresh_token_is_rejected_after_two_refusals() {
    let server = accepting("none").await;
    let authority = FakeAuthority::new(&server.url, 2);
    let refused = carried(&authority, kept()).await;
    assert!(
        failed_as(&refused, CallErrorKind::TokenRejected),
        "{refused:?}"
    );
    assert_eq!(
        server.authorizations(),
        ["Bearer tok-1", "Bearer tok-2", "Bearer tok-2"]
    );
    assert_eq!(authority.failed.lock().unwrap().len(), 1);
    assert!(authority.succeeded.lock().unwrap().is_empty());
}

/// A provider's nodes learn of a new token one after the other.
#[tokio::test]
async fn a_fresh_token_that_is_refused_at_first_is_no_verdict() {
    let refusals = AtomicU64::new(2);
    let server = Server::start(move |_head, _body| {
        let left = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        async move { status(if left.is_ok() { 401 } else { 200 }) }
    })
    .await;
    let authority = FakeAuthority::new(&server.url, 2);
    assert_eq!(carried(&authority, kept()).await.unwrap().status(), 200);
    assert_eq!(*authority.asked.lock().unwrap(), [None, Some(1)]);
    assert!(authority.failed.lock().unwrap().is_empty());
}

/// RFC 6750 §3.1: the code is about the token, whatever the status says.
#[tokio::test]
async fn invalid_token_is_refreshed_under_any_status() {
    let server = Server::start(|head, _body| async move {
        let mut answer = status(403);
        if head.headers["authorization"] == "Bearer tok-2" {
            return status(200);
        }
        let challenge = r#"Bearer error="invalid_token""#.parse().unwrap();
        answer.headers_mut().insert("www-authenticate", challenge);
        answer
    })
    .await;
    let authority = FakeAuthority::new(&server.url, 2);
    assert_eq!(carried(&authority, kept()).await.unwrap().status(), 200);
    assert_eq!(server.authorizations().len(), 2);
}

/// Without a challenge it may be about the session, and the token is neither replaced nor judged.
#[tokio::test]
async fn a_401_within_a_session_is_the_callers_to_judge() {
    let server = accepting("none").await;
    let authority = FakeAuthority::new(&server.url, 2);
    let in_session = Call {
        in_session: true,
        ..call(kept())
    };
    let forwarder = Forwarder::new(authority.clone());
    let answer = forwarder.forward(&notion(), in_session).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(*authority.asked.lock().unwrap(), [None]);
    assert!(authority.failed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_401_for_a_body_that_is_gone_comes_back_but_the_token_is_replaced() {
    let server = accepting("tok-2").await;
    let authority = FakeAuthority::new(&server.url, 2);
    assert_eq!(carried(&authority, streamed()).await.unwrap().status(), 401);
    assert_eq!(*authority.asked.lock().unwrap(), [None, Some(1)]);
    assert_eq!(authority.failed.lock().unwrap().len(), 1);
    assert_eq!(carried(&authority, streamed()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_401_that_stays_is_noted_as_what_the_authority_says_of_it() {
    let server = accepting("none").await;
    let authority = FakeAuthority::new(&server.url, 1);
    assert_eq!(carried(&authority, streamed()).await.unwrap().status(), 401);
    let failed = authority.failed.lock().unwrap();
    let reasons: Vec<&str> = failed.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["token_rejected"]);
}

#[tokio::test]
async fn a_call_without_a_token_says_how_its_connection_stands() {
    const CLIENT_REFUSED: fn() -> CallError =
        || CallError::new(CallErrorKind::ClientRefused, "the provider said no");
    let health = Health {
        state: HealthState::Down,
        cause: Some(HealthCause::ClientRefused),
        action: Some("authkeeper reauthorize notion".to_owned()),
        ..Health::OK
    };
    let mut authority = FakeAuthority::made("http://127.0.0.1:9/", 1, false);
    (authority.refusal, authority.health) = (Some(CLIENT_REFUSED), Some(health.clone()));
    let refused = carried(&Arc::new(authority), kept()).await.unwrap_err();
    assert_eq!(refused.health.as_deref(), Some(&health));
    assert_eq!(
        refused.message,
        "the provider said no. What a person must do: authkeeper reauthorize notion"
    );
    // The server is not the connection.
    let authority = FakeAuthority::made("http://127.0.0.1:9/", 1, false);
    let authority = Arc::new(FakeAuthority {
        health: Some(health),
        ..authority
    });
    let unreachable = carried(&authority, kept()).await.unwrap_err();
    assert_eq!(unreachable.kind, CallErrorKind::ServerUnreachable);
    assert_eq!(unreachable.health, None);
}

#[tokio::test]
async fn neither_a_403_nor_a_redirect_is_acted_on() {
    for (code, recovered) in [(403, 0), (503, 0), (307, 1)] {
        let server = Server::start(move |_, _| async move {
            let mut response = status(code);
            response
                .headers_mut()
                .insert("location", "/elsewhere".parse().unwrap());
            response
        })
        .await;
        let authority = FakeAuthority::new(&server.url, 2);
        assert_eq!(carried(&authority, kept()).await.unwrap().status(), code);
        assert_eq!(*authority.asked.lock().unwrap(), [None]);
        assert_eq!(server.heads.lock().unwrap().len(), 1);
        assert_eq!(authority.succeeded.lock().unwrap().len(), recovered);
    }
}

/// 403 for every token but this one.
pub(crate) async fn wanting(token: &'static str) -> Server {
    Server::start(move |head, body| async move {
        let _ = body.collect().await;
        if head.headers["authorization"] == format!("Bearer {token}") {
            return status(200);
        }
        let mut response = status(403);
        let challenge = r#"Bearer error="insufficient_scope", scope="files:write""#;
        let headers = response.headers_mut();
        headers.insert("www-authenticate", challenge.parse().unwrap());
        response
    })
    .await
}

#[tokio::test]
async fn a_403_for_a_scope_is_refused_with_what_it_needs() {
    let server = wanting("none").await;
    let authority = FakeAuthority::new(&server.url, 1);
    let refused = carried(&authority, kept()).await;
    assert!(
        failed_as(&refused, CallErrorKind::AuthorizationMissing),
        "{refused:?}"
    );
    let asked = ScopeRefusal {
        operation: "POST /v1".to_owned(),
        scope: Some(Scope::new("files:write")),
        lineage: Lineage(1),
    };
    assert_eq!(*authority.stepped.lock().unwrap(), [asked]);
    assert_eq!(
        *authority.asked.lock().unwrap(),
        [None],
        "nothing is refreshed"
    );
    assert_eq!(server.authorizations().len(), 1);
    assert_eq!(authority.failed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_scope_that_came_is_tried_and_then_it_is_wanted_no_more() {
    let server = wanting("tok-2").await;
    let authority = FakeAuthority::stepping(&server.url, || Ok(()));
    assert_eq!(carried(&authority, kept()).await.unwrap().status(), 200);
    assert_eq!(server.authorizations(), ["Bearer tok-1", "Bearer tok-2"]);
    assert_eq!(*authority.sufficed.lock().unwrap(), ["POST /v1"]);
    assert!(authority.failed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_always_wants_more_is_not_asked_for_ever() {
    let server = wanting("none").await;
    let authority = FakeAuthority::stepping(&server.url, || Ok(()));
    assert_eq!(carried(&authority, kept()).await.unwrap().status(), 403);
    assert_eq!(server.authorizations().len(), 4);
    assert_eq!(authority.failed.lock().unwrap().len(), 1);
    assert!(authority.sufficed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_gone_is_not_sent_again_with_more() {
    let server = wanting("tok-2").await;
    let authority = FakeAuthority::stepping(&server.url, || Ok(()));
    assert_eq!(carried(&authority, streamed()).await.unwrap().status(), 403);
    assert_eq!(server.authorizations().len(), 1);
    let failed = authority.failed.lock().unwrap().clone();
    assert_eq!(failed, [("f1".to_owned(), "insufficient_scope".to_owned())]);
    assert_eq!(carried(&authority, streamed()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_token_has_failed_whatever_the_reason() {
    let unavailable = || CallError::provider_unavailable("an answer was lost", None);
    let refused = || CallError::new(CallErrorKind::ClientRefused, "");
    for (authority, reason) in [
        (FakeAuthority::refusing(unavailable), "provider_unavailable"),
        (FakeAuthority::refusing(refused), "client_refused"),
    ] {
        assert!(carried(&authority, kept()).await.is_err());
        let failed = authority.failed.lock().unwrap().clone();
        assert_eq!(failed, [("f1".to_owned(), reason.to_owned())]);
        assert!(authority.succeeded.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn unreachable_is_told_from_interrupted() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = FakeAuthority::new(&format!("http://{}/", gone.local_addr().unwrap()), 1);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut socket, _) = gone.accept().await.unwrap();
        let _ = socket.read(&mut [0; 64]).await;
    });
    let refused = carried(&authority, kept()).await;
    assert!(
        failed_as(&refused, CallErrorKind::Interrupted),
        "{refused:?}"
    );
    tasks.join_all().await;
    let refused = carried(&authority, kept()).await;
    assert!(
        failed_as(&refused, CallErrorKind::ServerUnreachable),
        "{refused:?}"
    );
}
