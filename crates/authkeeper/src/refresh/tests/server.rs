//! A strict authorization server in memory: single-use refresh tokens, the whole family dies of a reuse. It counts
//! what it is asked and plays scripted faults.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::watch;

use crate::http::{
    ConnectError, Exchange, ExchangeError, HttpUrl, Reach, Reply, Request, Transport,
};

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// None: the next one is for the request after.
    None,
    /// Acts, and the connection ends before the answer is through.
    CutAfterCommit,
    /// Acts, and the proxy in front answers 502 in HTML.
    BadGatewayAfterCommit,
    /// Does not act; the connection ends without an answer.
    CutBeforeCommit,
    /// Does not act and says so.
    Unavailable,
    /// Does not act, and says when it may be asked again.
    AskAgainInAMinute,
    /// Does not act; one request too many, and when the next may come.
    TooMany(&'static str),
    /// Does not act; redirects with this status.
    Redirect(u16, &'static str),
    /// Does not act; a proxy answers 403 in HTML.
    ForbiddenPage,
    /// Answers without a new refresh token and without a scope; the old one stays good.
    OmitRefresh,
    /// Refuses our client.
    InvalidClient,
    /// Does not act; answers 400 with nothing in it.
    EmptyRefusal,
    /// Does not act; answers with this status and body.
    Says(u16, &'static str),
    /// Acts, and this JSON stands in the answer too.
    Also(&'static str),
    /// Acts, and answers 200 with this body, which names the token that is good now.
    Sends(&'static str),
    /// Acts as an identity provider, and gives an access token of its own in the place of an assertion.
    NoAssertion,
    /// Panics in the transport.
    Panic,
}

#[derive(Debug, Default)]
struct Inner {
    /// The one refresh token that is good; none once the family is dead.
    current: Option<u64>,
    minted: u64,
    expires_in: Option<u64>,
    faults: VecDeque<Fault>,
    connects: u32,
    requests: u32,
    reuses: u32,
    revoked: Vec<String>,
    /// Whether a wrong refresh token leaves the family alone.
    lenient: bool,
    /// What it says of a refresh token, asked by introspection: whether it is the good one; none hides that.
    introspects: bool,
    introspections: u32,
    /// What the resource answers to the harmless call.
    check: u16,
    /// The one client secret that is good; none where the client has none.
    secret: Option<String>,
    /// What else it answers, by path: status, challenge, body.
    pages: HashMap<String, Page>,
    /// The scopes that our client's own tokens were asked for with.
    scopes: Vec<Option<String>>,
    /// Those that refreshes named.
    refresh_scopes: Vec<Option<String>>,
    /// Whether tokens are bound to a key, and each request needs a proof of it.
    checks_proofs: bool,
    /// What the proofs said (RFC 9449 §4.2). Their signatures are the real servers' to check.
    proofs: Vec<serde_json::Value>,
    /// The number that a proof must hold.
    nonce: Option<&'static str>,
    /// Those that take its place, each after a refusal.
    nonces: VecDeque<&'static str>,
    /// What it answers to a revocation, before it confirms the next one.
    revocations: VecDeque<(u16, &'static str)>,
    /// How each revocation showed our client.
    shown: Vec<&'static str>,
    /// What its answers say of the time.
    date: Option<HeaderValue>,
    /// The claims of our client's assertions.
    assertions: Vec<serde_json::Value>,
}

type Page = (u16, Option<String>, String);

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    inner: Mutex<Inner>,
    /// While true, requests wait before the server acts on them.
    hold_before: watch::Sender<bool>,
    /// While true, answers wait after the server has acted.
    hold_after: watch::Sender<bool>,
}

impl Server {
    pub(super) fn new(expires_in: u64) -> Arc<Self> {
        let inner = Inner {
            current: Some(0),
            expires_in: Some(expires_in),
            ..Inner::default()
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            hold_before: watch::Sender::new(false),
            hold_after: watch::Sender::new(false),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(super) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner().faults.extend(faults);
    }

    /// What was scripted and has not happened yet does not happen.
    pub(super) fn heal(&self) {
        self.inner().faults.clear();
    }

    pub(super) fn expires_in(&self, seconds: u64) {
        self.inner().expires_in = Some(seconds);
    }

    pub(super) fn introspects(&self) {
        self.inner().introspects = true;
    }

    pub(super) fn introspections(&self) -> u32 {
        self.inner().introspections
    }

    pub(super) fn answers_the_check(&self, status: u16) {
        self.inner().check = status;
    }

    pub(super) fn lenient(&self) {
        self.inner().lenient = true;
    }

    /// The family lives again, as when an account is enabled again.
    pub(super) fn revive(&self, number: u64) {
        self.inner().current = Some(number);
    }

    /// From now on this path has this answer.
    pub(super) fn page(&self, path: &str, status: u16, challenge: Option<&str>, body: &str) {
        let page = (status, challenge.map(str::to_owned), body.to_owned());
        self.inner().pages.insert(path.to_owned(), page);
    }

    pub(super) fn scopes(&self) -> Vec<Option<String>> {
        self.inner().scopes.clone()
    }

    pub(super) fn refresh_scopes(&self) -> Vec<Option<String>> {
        self.inner().refresh_scopes.clone()
    }

    pub(super) fn secret(&self, secret: &str) {
        self.inner().secret = Some(secret.to_owned());
    }

    pub(super) fn checks_proofs(&self) {
        self.inner().checks_proofs = true;
    }

    pub(super) fn wants_nonce(&self, nonce: &'static str) {
        self.inner().nonce = Some(nonce);
    }

    /// From the next refusal on.
    pub(super) fn then_wants_nonce(&self, nonce: &'static str) {
        self.inner().nonces.push_back(nonce);
    }

    pub(super) fn proofs(&self) -> Vec<serde_json::Value> {
        self.inner().proofs.clone()
    }

    pub(super) fn kill_family(&self) {
        self.inner().current = None;
    }

    pub(super) fn hold_before(&self, hold: bool) {
        self.hold_before.send_replace(hold);
    }

    pub(super) fn hold_after(&self, hold: bool) {
        self.hold_after.send_replace(hold);
    }

    /// A new family, as a sign-in makes one: its refresh token's text.
    pub(super) fn sign_in(&self) -> String {
        let mut inner = self.inner();
        inner.minted += 1;
        inner.current = Some(inner.minted);
        format!("refresh-{}", inner.minted)
    }

    /// How many token requests came.
    pub(super) fn requests(&self) -> u32 {
        self.inner().requests
    }

    pub(super) fn connects(&self) -> u32 {
        self.inner().connects
    }

    /// How often a spent refresh token came again.
    pub(super) fn reuses(&self) -> u32 {
        self.inner().reuses
    }

    pub(super) fn revoked(&self) -> Vec<String> {
        self.inner().revoked.clone()
    }

    /// It answers these to revocations, before it confirms one.
    pub(super) fn revocations(&self, answers: impl IntoIterator<Item = (u16, &'static str)>) {
        self.inner().revocations.extend(answers);
    }

    /// How each revocation showed our client.
    pub(super) fn shown(&self) -> Vec<&'static str> {
        self.inner().shown.clone()
    }

    /// Its answers say that it is this time.
    pub(super) fn dates(&self, date: &str) {
        self.inner().date = Some(date.parse().unwrap());
    }

    /// The claims of our client's assertions.
    pub(super) fn assertions(&self) -> Vec<serde_json::Value> {
        self.inner().assertions.clone()
    }

    fn revoke(&self, headers: &HeaderMap, form: &[(String, String)]) -> Reply {
        let mut inner = self.inner();
        let value = |name: &str| {
            let mut values = form.iter().filter(|(key, _)| key == name);
            values.next().map(|(_, value)| value.clone())
        };
        inner.shown.push(match value("client_secret") {
            _ if headers.contains_key(header::AUTHORIZATION) => "basic",
            Some(secret) if secret.is_empty() => "empty",
            Some(_) => "post",
            None => "none",
        });
        if let Some((status, body)) = inner.revocations.pop_front() {
            return json(status, body);
        }
        inner.revoked.extend(value("token"));
        json(200, "{}")
    }

    fn hear_assertion(&self, form: &[(String, String)]) {
        let assertion = form.iter().find(|(key, _)| key == "client_assertion");
        let claims = assertion.and_then(|(_, jwt)| {
            let part = jwt.split('.').nth(1)?;
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        });
        self.inner().assertions.extend::<Option<_>>(claims);
    }

    /// The refresh token that is good now.
    pub(super) fn good(&self) -> Option<String> {
        self.inner()
            .current
            .map(|number| format!("refresh-{number}"))
    }

    /// Waits until this many token requests have come.
    pub(super) async fn saw(&self, requests: u32) {
        while self.requests() < requests {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn token(&self, form: &[(String, String)]) -> Result<Reply, ExchangeError> {
        self.inner().requests += 1;
        let mut held = self.hold_before.subscribe();
        let _ = held.wait_for(|held| !held).await;
        let answer = self.act(form);
        let mut held = self.hold_after.subscribe();
        let _ = held.wait_for(|held| !held).await;
        answer
    }

    fn act(&self, form: &[(String, String)]) -> Result<Reply, ExchangeError> {
        let field = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        let grant_type = field("grant_type").map(String::as_str);
        let kind = grant_type.and_then(|kind| kind.rsplit(':').next());
        // The identity provider's half of it.
        let vouches = kind == Some("token-exchange");
        let own = matches!(kind, Some("client_credentials" | "jwt-bearer"));
        if !own && !vouches {
            assert_eq!(grant_type, Some("refresh_token"));
            let scope = field("scope").cloned();
            self.inner().refresh_scopes.push(scope);
        }
        let sent = field("refresh_token").or(field("subject_token"));
        let sent = sent.cloned().unwrap_or_default();
        let mut inner = self.inner();
        if inner.secret.is_some() && inner.secret.as_ref() != field("client_secret") {
            return Ok(json(401, r#"{"error":"invalid_client"}"#));
        }
        let fault = inner.faults.pop_front();
        match fault {
            Some(Fault::Panic) => {
                drop(inner);
                panic!("scripted");
            }
            Some(Fault::Unavailable) => return Ok(unavailable("0")),
            Some(Fault::AskAgainInAMinute) => return Ok(unavailable("60")),
            Some(Fault::TooMany(wait)) => {
                return Ok(with(json(429, "{}"), header::RETRY_AFTER, wait));
            }
            Some(Fault::Redirect(status, to)) => {
                return Ok(with(json(status, ""), header::LOCATION, to));
            }
            Some(Fault::CutBeforeCommit) => {
                return Err(ExchangeError::Broken("cut".to_owned()));
            }
            Some(Fault::Says(status, body)) => return Ok(json(status, body)),
            Some(Fault::ForbiddenPage) => return Ok(html(403)),
            Some(Fault::EmptyRefusal) => return Ok(reply(400, "text/plain", "")),
            Some(Fault::InvalidClient) => return Ok(json(401, r#"{"error":"invalid_client"}"#)),
            _ => {}
        }
        if own {
            let scope = field("scope").cloned();
            inner.scopes.push(scope);
            return inner.own(field("assertion"), fault);
        }
        if inner.current.map(|number| format!("refresh-{number}")) != Some(sent) {
            inner.reuses += u32::from(inner.current.is_some());
            if !inner.lenient {
                inner.current = None;
            }
            return Ok(json(400, r#"{"error":"invalid_grant"}"#));
        }
        inner.minted += 1;
        let number = inner.minted;
        let life = inner.expires_in.unwrap_or(3600);
        if matches!(fault, Some(Fault::OmitRefresh)) {
            let kind = "urn:ietf:params:oauth:token-type:id-jag";
            let body = if vouches {
                format!(r#"{{"access_token":"jag-{number}","issued_token_type":"{kind}"}}"#)
            } else {
                format!(r#"{{"access_token":"access-{number}","expires_in":{life}}}"#)
            };
            return Ok(json(200, &body));
        }
        inner.current = Some(number);
        let also = match fault {
            Some(Fault::Also(json)) => json,
            _ => "",
        };
        let asserts = vouches && !matches!(fault, Some(Fault::NoAssertion));
        let body = inner.renewed(number, asserts, also);
        match fault {
            Some(Fault::CutAfterCommit) => Err(ExchangeError::Broken("cut".to_owned())),
            Some(Fault::BadGatewayAfterCommit) => Ok(html(502)),
            Some(Fault::Sends(body)) => Ok(json(200, body)),
            _ => Ok(json(200, &body)),
        }
    }
}

impl Inner {
    /// What is wrong with a request's proof, if it needs one. Nothing is done then.
    fn unproven(&mut self, headers: &HeaderMap) -> Option<Reply> {
        if !self.checks_proofs {
            return None;
        }
        let proof = headers.get("dpop").and_then(|proof| proof.to_str().ok());
        let claims = proof.and_then(|proof| proof.split('.').nth(1));
        let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
        let claims: serde_json::Value = claims.unwrap_or_default();
        self.proofs.push(claims.clone());
        if claims["jti"].is_null() {
            return Some(json(400, r#"{"error":"invalid_dpop_proof"}"#));
        }
        let nonce = self.nonce?;
        if claims["nonce"] == nonce {
            return None;
        }
        let mut refused = json(400, r#"{"error":"use_dpop_nonce"}"#);
        let nonce = HeaderValue::from_static(nonce);
        refused.headers.insert("dpop-nonce", nonce);
        if let Some(next) = self.nonces.pop_front() {
            self.nonce = Some(next);
        }
        Some(refused)
    }

    /// What a spent token is answered with: tokens, or an identity provider's assertion.
    fn renewed(&self, number: u64, vouches: bool, also: &str) -> String {
        let life = self.expires_in.unwrap_or(3600);
        let (token, more) = if vouches {
            let kind = "urn:ietf:params:oauth:token-type:id-jag";
            let more = format!(r#","issued_token_type":"{kind}""#);
            (format!("jag-{number}"), more)
        } else {
            let kind = if self.checks_proofs { "DPoP" } else { "Bearer" };
            let more = format!(r#","token_type":"{kind}"{also}"#);
            (format!("access-{number}"), more)
        };
        format!(
            r#"{{"access_token":"{token}","refresh_token":"refresh-{number}","expires_in":{life}{more}}}"#
        )
    }

    /// A token that no refresh token is spent for.
    fn own(
        &mut self,
        assertion: Option<&String>,
        fault: Option<Fault>,
    ) -> Result<Reply, ExchangeError> {
        self.minted += 1;
        let (number, life) = (self.minted, self.expires_in.unwrap_or(3600));
        let token = match assertion {
            Some(assertion) => format!("for+{assertion}"),
            None => format!("own-{number}"),
        };
        // A refresh token is sent though none should be.
        let body =
            format!(r#"{{"access_token":"{token}","refresh_token":"stray","expires_in":{life}}}"#);
        match fault {
            Some(Fault::CutAfterCommit) => Err(ExchangeError::Broken("cut".to_owned())),
            _ => Ok(json(200, &body)),
        }
    }
}

fn json(status: u16, body: &str) -> Reply {
    reply(status, "application/json", body)
}

fn unavailable(retry_after: &'static str) -> Reply {
    let reply = json(503, r#"{"error":"temporarily_unavailable"}"#);
    with(reply, header::RETRY_AFTER, retry_after)
}

fn with(mut reply: Reply, name: header::HeaderName, value: &'static str) -> Reply {
    reply.headers.insert(name, HeaderValue::from_static(value));
    reply
}

fn html(status: u16) -> Reply {
    reply(status, "text/html", "<html>no</html>")
}

fn reply(status: u16, kind: &'static str, body: &str) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let status = StatusCode::from_u16(status).unwrap();
    Reply {
        status,
        headers,
        body: body.to_owned().into(),
    }
}

/// The way to the server; clones of it are many processes' networks.
#[derive(Clone, Debug)]
pub(super) struct Wire(pub(super) Arc<Server>);

struct Line {
    server: Arc<Server>,
    path: String,
}

#[async_trait]
impl Transport for Wire {
    async fn connect(&self, url: &HttpUrl, _: Reach) -> Result<Box<dyn Exchange>, ConnectError> {
        self.0.inner().connects += 1;
        Ok(Box::new(Line {
            server: Arc::clone(&self.0),
            path: url.path().to_owned(),
        }))
    }
}

/// A way on which connections are slow to come about.
struct Slow {
    wire: Wire,
    waiting: watch::Sender<bool>,
    held: watch::Receiver<bool>,
}

/// Holds such a way up until it is opened.
pub(super) struct Way {
    waiting: watch::Receiver<bool>,
    held: watch::Sender<bool>,
}

pub(super) fn slow(server: &Arc<Server>) -> (Arc<dyn Transport>, Way) {
    let (waiting, waits) = watch::channel(false);
    let (hold, held) = watch::channel(true);
    let wire = Wire(Arc::clone(server));
    let slow = Slow {
        wire,
        waiting,
        held,
    };
    let way = Way {
        waiting: waits,
        held: hold,
    };
    (Arc::new(slow), way)
}

impl Way {
    /// Somebody waits for a connection.
    pub(super) async fn waits(&mut self) {
        self.waiting.wait_for(|waits| *waits).await.unwrap();
    }

    pub(super) fn open(&self) {
        self.held.send_replace(false);
    }
}

#[async_trait]
impl Transport for Slow {
    async fn connect(
        &self,
        url: &HttpUrl,
        reach: Reach,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        self.waiting.send_replace(true);
        let _ = self.held.clone().wait_for(|held| !held).await;
        self.wire.connect(url, reach).await
    }
}

#[async_trait]
impl Exchange for Line {
    async fn send(self: Box<Self>, request: Request) -> Result<Reply, ExchangeError> {
        let form: Vec<(String, String)> =
            form_urlencoded::parse(&request.body).into_owned().collect();
        if let Some((status, challenge, body)) = self.server.inner().pages.get(&self.path) {
            let mut page = json(*status, body);
            if let Some(challenge) = challenge {
                let challenge = challenge.parse().unwrap();
                page.headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            return Ok(page);
        }
        if self.path == "/mcp" || self.path.starts_with("/.well-known/") {
            return Ok(html(404));
        }
        if self.path == "/revoke" {
            return Ok(self.server.revoke(&request.headers, &form));
        }
        if self.path == "/introspect" {
            let token = form.into_iter().find(|(key, _)| key == "token");
            let good = token.map(|(_, value)| value) == self.server.good();
            let mut inner = self.server.inner();
            inner.introspections += 1;
            let active = inner.introspects && good;
            return Ok(json(200, &format!(r#"{{"active":{active}}}"#)));
        }
        if self.path == "/check" {
            let shown = request.headers.get(header::AUTHORIZATION);
            assert!(shown.is_some_and(|value| value.as_bytes().starts_with(b"Bearer ")));
            return Ok(json(self.server.inner().check, "{}"));
        }
        // An identity provider binds nothing.
        let vouches = form
            .iter()
            .any(|(key, value)| key == "grant_type" && value.ends_with("token-exchange"));
        let unproven = if vouches {
            None
        } else {
            self.server.inner().unproven(&request.headers)
        };
        if let Some(refused) = unproven {
            self.server.inner().requests += 1;
            return Ok(refused);
        }
        // The server goes on though the client has hung up, as real ones do.
        let server = Arc::clone(&self.server);
        server.hear_assertion(&form);
        let acting = Arc::clone(&server);
        let mut reply = crate::platform::tasks::spawn(async move { acting.token(&form).await })
            .await
            .unwrap()?;
        if let Some(date) = &server.inner().date {
            reply.headers.insert(header::DATE, date.clone());
        }
        Ok(reply)
    }
}
