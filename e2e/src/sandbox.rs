//! The sandbox, in this process: a library like any other, spoken to over its port.

use std::time::Duration;

use authkeeper_sandbox::{Profile, Rules, Sandbox, Settings};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::http;

/// A sandbox that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    sandbox: Sandbox,
    // Dropped last: the sandbox's task runs on it.
    _runtime: Runtime,
}

impl Running {
    /// Starts one that asks nobody, with these lifetimes and this grace.
    pub fn start(profile: Profile, grace: Duration) -> Self {
        let rules = Rules {
            profile,
            grace,
            ttl: Duration::from_mins(1),
            refresh_ttl: Some(Duration::from_hours(1)),
            auto_approve: true,
            // The servers it is compared with tell no device to slow down.
            device_interval: Duration::ZERO,
            device_ttl: Duration::from_mins(1),
            ..Rules::default()
        };
        let settings = Settings {
            rules,
            ..Settings::default()
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let sandbox = runtime.block_on(Sandbox::start(settings));
        Self {
            sandbox: sandbox.expect("a free port"),
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
}
