//! The sandbox, in this process: a library like any other, spoken to over its port.

use std::net::TcpStream;
use std::time::Duration;

use authkeeper_sandbox::{Counters, Profile, Rules, Sandbox, SandboxSettings};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::http;
use crate::scenario::SOON;
use crate::secrets::Secret;
use crate::wait::wait_until;

/// A sandbox that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    sandbox: Sandbox,
    profile: Profile,
    // Dropped last: the sandbox's task runs on it.
    _runtime: Runtime,
}

impl Running {
    /// Starts one that asks nobody, with these lifetimes and this grace.
    pub fn start(profile: Profile, grace: Duration) -> Self {
        Self::with_ttl(profile, grace, Duration::from_mins(1))
    }

    /// The same, with access tokens that live for this long.
    pub fn with_ttl(profile: Profile, grace: Duration, ttl: Duration) -> Self {
        let rules = Rules {
            profile,
            grace,
            ttl,
            refresh_ttl: Some(Duration::from_hours(1)),
            auto_approve: true,
            // The servers it is compared with tell no device to slow down.
            device_interval: Duration::ZERO,
            device_ttl: Duration::from_mins(1),
            ..Rules::default()
        };
        Self::with_settings(SandboxSettings {
            rules,
            ..SandboxSettings::default()
        })
    }

    /// One with these settings.
    pub fn with_settings(settings: SandboxSettings) -> Self {
        let profile = settings.rules.profile;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let sandbox = runtime.block_on(Sandbox::start(settings));
        Self {
            sandbox: sandbox.expect("a free port"),
            profile,
            _runtime: runtime,
        }
    }

    /// Its issuer.
    pub fn url(&self) -> &str {
        self.sandbox.url()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        let port = self.url().rsplit(':').next();
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Asks `POST /control/{path}`.
    pub fn control(&self, path: &str, body: &Value) -> Value {
        let json = [("content-type", "application/json")];
        let path = format!("/control/{path}");
        let answer = http::request(self.port(), "POST", &path, &json, &body.to_string());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Says something to it, as a scenario does.
    pub fn say(&self, words: &str) {
        let _ = self.ask(words);
    }

    /// The same, and what it answers.
    pub fn ask(&self, words: &str) -> Value {
        self.sandbox.control().say(words).expect("a word it knows")
    }

    /// What `GET /control/state` answers.
    pub fn state(&self) -> Value {
        self.sandbox.control().state()
    }

    /// Nobody listens at its port, until it is back. It forgets nothing.
    pub fn go_away(&self) {
        self.sandbox.go_away();
        assert!(wait_until(SOON, || !self.listens()), "it listens");
    }

    /// It listens again.
    pub fn come_back(&self) {
        self.sandbox.come_back();
        assert!(wait_until(SOON, || self.listens()), "nobody listens");
    }

    fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port())).is_ok()
    }

    /// Puts a fault in force, as its specification spells it.
    pub fn fault(&self, specification: &str) {
        self.control("faults", &serde_json::json!({"fault": specification}));
    }

    /// The name of the profile it was started with.
    pub fn profile(&self) -> &'static str {
        self.profile.as_str()
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        self.sandbox.counters()
    }

    /// The last of what happened, and when.
    pub fn log(&self) -> Vec<(f64, String)> {
        let answer = http::get(self.port(), "/control/log?after=0").expect("an answer");
        let log = answer.json();
        let events = log["events"].as_array().expect("a list").iter();
        let event = |event: &Value| {
            let at = event["at"].as_f64().unwrap_or_default() / 1_000.0;
            (at, event["text"].as_str().unwrap_or_default().to_owned())
        };
        events.map(event).collect()
    }

    /// Everything it issued. `token` prints what this does not tell from access tokens, so that all are called so.
    pub fn secrets(&self) -> Vec<Secret> {
        let issued = self.sandbox.control().issued();
        let secret = |text: &String| Secret::new("access_token", text);
        issued.iter().map(secret).collect()
    }
}
