//! A provider to refresh at: a real server or the sandbox, asked the same questions.

use std::time::Duration;

use authkeeper_sandbox::Profile;
use serde_json::json;

use crate::home::Home;
use crate::sandbox;
use crate::secrets::{self, Secret};
use crate::servers::Server;

/// A running provider.
#[derive(Debug)]
pub enum Provider {
    /// oidc-provider.
    Oidc(Server),
    /// `FastMCP`.
    FastMcp(Server),
    /// django-oauth-toolkit.
    Django(Server),
    /// One of the sandbox's profiles.
    Sandbox(sandbox::Running),
}

/// What became of the refreshes that reached a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshes {
    /// Answered with tokens.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
}

impl Refreshes {
    /// All that came.
    pub fn sent(self) -> u64 {
        self.accepted + self.refused
    }
}

impl Provider {
    /// A sandbox with this profile, whose grace window is long enough for any test.
    pub fn sandbox(profile: Profile) -> Self {
        Self::Sandbox(sandbox::Running::start(profile, Duration::from_mins(1)))
    }

    /// Its issuer, as its metadata spells it.
    pub fn issuer(&self) -> &str {
        match self {
            Self::Oidc(server) | Self::FastMcp(server) | Self::Django(server) => server.issuer(),
            Self::Sandbox(sandbox) => sandbox.url(),
        }
    }

    /// The section of a configuration that says what it does with a replay.
    pub fn habits(&self, replay: &str) -> String {
        format!(
            "\n[provider.\"{}\"]\nreplay = \"{replay}\"\n",
            self.issuer()
        )
    }

    /// Signs in at it.
    pub fn connect(&self, home: &Home, name: &str) {
        let (url, more): (String, &[&str]) = match self {
            Self::Oidc(server) => (server.url("/api"), &["--client-id", "pub"]),
            Self::FastMcp(server) => (server.url("/mcp"), &[]),
            Self::Django(server) => (
                server.url("/api"),
                &["--client-id", "pub", "--scope", "read", "--issuer"],
            ),
            Self::Sandbox(sandbox) => (format!("{}/api", sandbox.url()), &[]),
        };
        let mut words = [&["connect", name, &url], more].concat();
        if words.last() == Some(&"--issuer") {
            words.push(self.issuer());
        }
        let _ = home.run(&words).expect_code(0);
    }

    /// How long access tokens live from now on.
    pub fn set_ttl(&self, seconds: u64) {
        match self {
            Self::Oidc(server) | Self::FastMcp(server) | Self::Django(server) => {
                server.ctl(&format!("set?at={seconds}"));
            }
            Self::Sandbox(sandbox) => {
                sandbox.control("set", &json!({"ttl": format!("{seconds}s")}));
            }
        }
    }

    /// What became of the refreshes that came so far.
    pub fn refreshes(&self) -> Refreshes {
        match self {
            Self::Oidc(server) | Self::FastMcp(server) | Self::Django(server) => {
                let accepted = server.count("outcomes", "refresh_token 200");
                let refused = server.count("received", "refresh_token") - accepted;
                Refreshes { accepted, refused }
            }
            Self::Sandbox(sandbox) => {
                let counters = sandbox.counters();
                Refreshes {
                    accepted: counters.refreshes_accepted,
                    refused: counters.refreshes_refused,
                }
            }
        }
    }

    /// How often a person signed in.
    pub fn sign_ins(&self) -> u64 {
        match self {
            Self::Oidc(server) | Self::FastMcp(server) | Self::Django(server) => {
                server.count("received", "authorization_code")
            }
            Self::Sandbox(sandbox) => sandbox.counters().sign_ins,
        }
    }

    /// Everything that may be nowhere in a home.
    pub fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Oidc(server) | Self::FastMcp(server) | Self::Django(server) => {
                secrets::issued_by(&[server])
            }
            Self::Sandbox(sandbox) => sandbox.secrets(),
        }
    }
}
