//! Everything the sandbox is, as one value: requests go in, replies come out, nothing waits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    builtin::Stage,
    clock::{Clock, Stamp},
    fault::{Arrival, Endpoint, FaultKind, Faults},
    oauth, page,
    profile::Habits,
    resource,
    scenario::Playing,
    settings::{ClientSpec, Rules, Settings},
    store::{AccessToken, Client, ClientSecret, Grant, Store, UserState},
    tally::{Counters, GrantView, Log, Mood},
    wire::{Reply, Request},
};

/// The scopes there are.
pub(crate) const SCOPES: [&str; 5] = ["read", "write", "admin", "openid", "offline_access"];

/// The sandbox's state.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) base: String,
    pub(crate) clock: Clock,
    pub(crate) rules: Rules,
    pub(crate) faults: Faults,
    pub(crate) store: Store,
    pub(crate) tally: Counters,
    pub(crate) log: Log,
    pub(crate) playing: Option<Playing>,
    /// A built-in scenario.
    pub(crate) stage: Option<Stage>,
    initial: Settings,
    token_requests_now: u64,
}

/// What becomes of a request before it is served.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is served after a while.
    Served { after: Duration },
    /// It is answered without being served.
    Answered(Box<Reply>),
    /// Its socket is cut.
    Cut,
}

impl World {
    pub(crate) fn new(settings: Settings, base: String) -> Self {
        let mut world = Self {
            base,
            clock: Clock::new(settings.standing_clock, settings.rules.skew),
            rules: settings.rules.clone(),
            faults: Faults::default(),
            store: Store::default(),
            tally: Counters::default(),
            log: Log::new(),
            playing: None,
            stage: None,
            initial: settings,
            token_requests_now: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for user in &self.initial.users {
            self.store.users.insert(user.clone(), UserState::Enabled);
        }
        for spec in self.initial.clients.clone() {
            self.add_client(&spec);
        }
        for fault in self.initial.faults.clone() {
            self.faults.add(fault);
        }
        let now = self.clock.now();
        let scenario = self.initial.scenario.clone();
        self.playing = scenario.map(|scenario| Playing::new(scenario, now));
        let builtin = self.initial.builtin;
        self.stage = builtin.map(|(scenario, revision)| scenario.stage(revision));
    }

    /// As it was when it started; the clock stays where it is, and those who listen to the log go on listening.
    pub(crate) fn reset(&mut self) {
        self.rules = self.initial.rules.clone();
        self.clock.skew = self.rules.skew;
        self.faults = Faults::default();
        self.store = Store::default();
        self.tally = Counters::default();
        self.begin();
    }

    /// Forgets clients that registered themselves, grants, tokens and sessions, as a server with its store in memory does
    /// when it restarts.
    pub(crate) fn restart(&mut self) {
        let users = std::mem::take(&mut self.store.users);
        self.store = Store {
            users,
            ..Store::default()
        };
        for spec in self.initial.clients.clone() {
            self.add_client(&spec);
        }
    }

    pub(crate) fn add_client(&mut self, spec: &ClientSpec) {
        let secret = |value: &String| ClientSecret {
            value: value.clone(),
            until: None,
        };
        let client = Client {
            name: None,
            auth: spec.auth,
            secrets: spec.secrets.iter().map(secret).collect(),
            jwks: spec.jwks.clone(),
            redirect_uris: None,
            grant_types: None,
        };
        self.store.clients.insert(spec.client_id.clone(), client);
    }

    /// What a client calls itself, or its id.
    pub(crate) fn client_name<'a>(&'a self, client: &'a str) -> &'a str {
        let found = self.store.clients.get(client);
        found
            .and_then(|found| found.name.as_deref())
            .unwrap_or(client)
    }

    pub(crate) fn habits(&self) -> &'static Habits {
        self.rules.profile.habits()
    }

    pub(crate) fn now(&self) -> Stamp {
        self.clock.now()
    }

    pub(crate) fn say(&mut self, mood: Mood, text: impl Into<String>) {
        let at = self.clock.now().millis();
        self.log.say(at, mood, text.into());
    }

    /// Ends a grant as this profile ends grants, and counts it.
    pub(crate) fn kill(&mut self, grant: u32, reason: &'static str) {
        let access_too = self.habits().access_dies_with_grant;
        if self.store.kill(grant, reason, access_too) {
            self.tally.grants_killed += 1;
            self.say(Mood::Bad, format!("grant {grant} is dead: {reason}"));
        }
    }

    pub(crate) fn token_request_begins(&mut self) {
        self.tally.token_requests += 1;
        self.token_requests_now += 1;
        let most = &mut self.tally.max_concurrent_token_requests;
        *most = (*most).max(self.token_requests_now);
    }

    pub(crate) fn token_request_ends(&mut self) {
        self.token_requests_now = self.token_requests_now.saturating_sub(1);
    }

    /// Which faults strike a request before it is served.
    pub(crate) fn arrive(&mut self, request: &Request) -> Fate {
        let Some(arrival) = self.arrival(request) else {
            return Fate::Served {
                after: Duration::ZERO,
            };
        };
        let cuts = |kind: &FaultKind| match kind {
            FaultKind::Outage => Some("outage"),
            FaultKind::Cut => Some("socket cut before the request was read"),
            _ => None,
        };
        if let Some(what) = self.faults.take(&arrival, cuts) {
            self.struck(request, what);
            self.witness_fault(request, &arrival);
            return Fate::Cut;
        }
        if let Some(reply) = self.faults.take(&arrival, answered_at_once) {
            self.struck(
                request,
                &format!("answered with {}, nothing done", reply.status),
            );
            self.witness_fault(request, &arrival);
            return Fate::Answered(Box::new(reply));
        }
        let after = self.take_delay(&arrival, |kind| match kind {
            FaultKind::Slow(time) => Some(*time),
            _ => None,
        });
        Fate::Served { after }
    }

    fn take_delay(
        &mut self,
        arrival: &Arrival,
        of: impl Fn(&FaultKind) -> Option<Duration>,
    ) -> Duration {
        let delay = self.faults.take(arrival, of);
        self.tally.faults_struck += u64::from(delay.is_some());
        delay.unwrap_or_default()
    }

    fn struck(&mut self, request: &Request, what: &str) {
        self.tally.faults_struck += 1;
        self.say(Mood::Warn, format!("fault at {}: {what}", request.path));
    }

    /// Serves a request, and lets the faults have its answer.
    pub(crate) fn serve(&mut self, request: &Request) -> Reply {
        self.play();
        let arrival = self.arrival(request);
        let before = self.before(request, arrival.as_ref());
        let mut reply = self.dispatch(request, arrival.as_ref());
        if let Some(arrival) = arrival {
            reply = self.spoil(request, &arrival, reply);
            self.witness(request, &arrival, before, &mut reply);
        }
        self.play();
        match self.clock.date() {
            Some(date) => reply.with("date", date),
            None => reply,
        }
    }

    fn dispatch(&mut self, request: &Request, arrival: Option<&Arrival>) -> Reply {
        let Some(arrival) = arrival else {
            return if request.path == "/" {
                page::home()
            } else {
                Reply::json(404, &json!({"error": "not_found"}))
            };
        };
        match arrival.endpoint {
            Endpoint::Metadata => oauth::metadata::serve(self, request),
            Endpoint::Authorize => oauth::authorize::serve(self, request),
            Endpoint::Device => oauth::device::serve(self, request),
            Endpoint::Register => oauth::register::serve(self, request),
            Endpoint::Revoke => oauth::inspect::revoke(self, request),
            Endpoint::Introspect => oauth::inspect::introspect(self, request),
            Endpoint::Userinfo => resource::userinfo(self, request, arrival),
            Endpoint::Mcp => resource::mcp::serve(self, request, arrival),
            Endpoint::Api => resource::api::serve(self, request, arrival),
            _ => oauth::token::serve(self, request),
        }
    }

    /// What is known of a request at once: where it goes, and on whose account.
    fn arrival(&self, request: &Request) -> Option<Arrival> {
        let endpoint = endpoint(request)?;
        let form = if request.is_post() && endpoint != Endpoint::Mcp {
            request.form()
        } else {
            request.query.clone()
        };
        let grant = self.grant_shown(request, form.get("refresh_token"), form.get("code"));
        let named = request.basic().map(|(client, _)| client);
        let named = named.or_else(|| form.get("client_id").map(str::to_owned));
        Some(Arrival {
            endpoint,
            user: grant.and_then(|grant| grant.user.clone()),
            client: grant.map(|grant| grant.client.clone()).or(named),
        })
    }

    fn grant_shown(
        &self,
        request: &Request,
        refresh: Option<&str>,
        code: Option<&str>,
    ) -> Option<&Grant> {
        let by_refresh = refresh.and_then(|text| self.store.refresh.get(text));
        let by_access = request
            .bearer()
            .and_then(|text| self.store.access.get(text));
        let by_code = code.and_then(|text| self.store.codes.get(text)?.grant);
        let number = by_refresh
            .map(|token| token.grant)
            .or_else(|| by_access.map(|token| token.grant))
            .or(by_code)?;
        self.store.grants.get(&number)
    }

    /// The faults that touch an answer.
    fn spoil(&mut self, request: &Request, arrival: &Arrival, mut reply: Reply) -> Reply {
        reply.delay += self.take_delay(arrival, |kind| match kind {
            FaultKind::SlowAnswer(time) => Some(*time),
            _ => None,
        });
        let spoils = |kind: &FaultKind| {
            let spoils = matches!(
                kind,
                FaultKind::AnswerLost
                    | FaultKind::Html
                    | FaultKind::WrongType
                    | FaultKind::Truncated
                    | FaultKind::Huge
                    | FaultKind::NoExpiresIn
            );
            spoils.then(|| kind.clone())
        };
        if let Some(kind) = self.faults.take(arrival, spoils) {
            self.struck(request, &format!("done, and then: {kind}"));
            reply = spoiled(reply, &kind);
        }
        reply
    }

    /// Counts what can only be counted at the end, and hands out a copy.
    pub(crate) fn counters(&self) -> Counters {
        let grants = self.store.grants.iter();
        let view = |(number, grant): (&u32, &Grant)| GrantView {
            grant: *number,
            user: grant.user.clone(),
            client: grant.client.clone(),
            generation: grant.generation,
            alive: grant.dead.is_none(),
            reason: grant.dead,
        };
        Counters {
            access_tokens_outlived: self.outlived(),
            grants: grants.map(view).collect(),
            ..self.tally.clone()
        }
    }

    /// For how long an access token is still good: of those that live, the one that lives longest.
    pub(crate) fn access_left(&self) -> Duration {
        let now = self.now();
        let living = self.store.access.values().filter(|token| !token.revoked);
        let left = living.map(|token| token.ends.since(now));
        left.max().unwrap_or_default()
    }

    fn outlived(&self) -> u64 {
        let now = self.now();
        let latest = |grant| {
            self.store
                .grants
                .get(&grant)
                .map_or(0, |grant| grant.access_count)
        };
        let outlived = |token: &&AccessToken| {
            token.used && token.ends <= now && token.number < latest(token.grant)
        };
        self.store.access.values().filter(outlived).count() as u64
    }
}

fn answered_at_once(kind: &FaultKind) -> Option<Reply> {
    match kind {
        FaultKind::Status { code, retry_after } => {
            let mut reply = Reply::empty(*code).with("content-type", "text/plain");
            reply.body = "upstream unavailable".into();
            Some(match retry_after {
                Some(after) => reply.with("retry-after", after.as_secs().to_string()),
                None => reply,
            })
        }
        FaultKind::ErrorIn200(error) => {
            let description = "The refresh token passed is incorrect or expired.";
            let body = json!({"error": error, "error_description": description});
            Some(Reply::json(200, &body))
        }
        _ => None,
    }
}

const HUGE: usize = 8 * 1024 * 1024;

fn spoiled(mut reply: Reply, kind: &FaultKind) -> Reply {
    match kind {
        FaultKind::AnswerLost => reply.lost = true,
        FaultKind::Html => {
            let page = "<!doctype html><title>Please wait</title><h1>Checking your browser</h1>";
            return Reply::html(200, page.to_owned());
        }
        FaultKind::WrongType => return reply.with("content-type", "text/plain; charset=utf-8"),
        FaultKind::Truncated => reply.body.truncate(reply.body.len() / 2),
        FaultKind::Huge => {
            let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| json!({}));
            body["padding"] = "x".repeat(HUGE).into();
            reply.body = body.to_string().into();
        }
        FaultKind::NoExpiresIn => {
            if let Ok(Value::Object(mut body)) = serde_json::from_slice(&reply.body) {
                body.remove("expires_in");
                reply.body = Value::Object(body).to_string().into();
            }
        }
        _ => {}
    }
    reply
}

fn endpoint(request: &Request) -> Option<Endpoint> {
    let path = request.path.as_str();
    Some(match path {
        _ if path.starts_with("/.well-known/") || path == "/jwks" => Endpoint::Metadata,
        _ if path == "/authorize" || path.starts_with("/authorize/") => Endpoint::Authorize,
        "/token" => match request.form().get("grant_type") {
            Some("authorization_code") => Endpoint::Code,
            Some("refresh_token") => Endpoint::Refresh,
            Some("client_credentials") => Endpoint::ClientCredentials,
            Some(oauth::DEVICE_GRANT) => Endpoint::DeviceCode,
            _ => Endpoint::Token,
        },
        "/register" => Endpoint::Register,
        "/revoke" => Endpoint::Revoke,
        "/introspect" => Endpoint::Introspect,
        "/device_authorization" | "/device" => Endpoint::Device,
        "/userinfo" => Endpoint::Userinfo,
        "/mcp" => Endpoint::Mcp,
        _ if path == "/api" || path.starts_with("/api/") => Endpoint::Api,
        _ => return None,
    })
}
