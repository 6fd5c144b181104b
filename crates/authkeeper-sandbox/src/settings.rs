//! The settings of a sandbox and its clients.

use std::time::Duration;

use serde_json::Value;

use crate::{fault::Fault, profile::Profile};

/// How a sandbox is started. The defaults are those of a friendly server.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// The port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// The rules that can be changed while it runs.
    pub rules: Rules,
    /// The accounts of the sign-in page.
    pub users: Vec<String>,
    /// Clients registered by hand.
    pub clients: Vec<ClientSpec>,
    /// Faults that apply from the start.
    pub faults: Vec<Fault>,
    /// The clock stands still and moves only by [`Control::advance`](crate::Control::advance).
    pub standing_clock: bool,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            port: 0,
            rules: Rules::default(),
            users: ["alice", "bob", "mallory"].map(str::to_owned).to_vec(),
            clients: vec![ClientSpec::public("public")],
            faults: Vec::new(),
            standing_clock: false,
        }
    }
}

/// The rules that can be changed while the sandbox runs (control: `set`).
#[derive(Clone, Debug)]
pub struct Rules {
    /// How refresh tokens behave.
    pub profile: Profile,
    /// How long access tokens live.
    pub ttl: Duration,
    /// How long a refresh token lives from its issue; `None`: without limit.
    pub refresh_ttl: Option<Duration>,
    /// How long a refresh token may stay unused.
    pub idle: Option<Duration>,
    /// How long a grant lives from its sign-in, however often it is refreshed.
    pub absolute: Option<Duration>,
    /// The grace window of the profile `grace`.
    pub grace: Duration,
    /// Seconds by which `Date` and every other time in a reply is ahead.
    pub skew: i64,
    /// The authorization endpoint redirects at once, as the user of `login_hint` or the first one.
    pub auto_approve: bool,
    /// The name of the response field for a refresh token's lifetime, such as `refresh_token_expires_in`.
    pub refresh_lifetime_field: Option<String>,
    /// How long a device must wait between two polls.
    pub device_interval: Duration,
    /// How long a device code lives.
    pub device_ttl: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            ttl: Duration::from_mins(5),
            refresh_ttl: Some(Duration::from_hours(24)),
            idle: None,
            absolute: None,
            grace: Duration::from_secs(10),
            skew: 0,
            auto_approve: false,
            refresh_lifetime_field: None,
            device_interval: Duration::from_secs(5),
            device_ttl: Duration::from_mins(10),
        }
    }
}

/// How a client authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// A public client.
    None,
    /// The secret in the `Authorization` header.
    Basic,
    /// The secret in the form.
    Post,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// The name in registrations and metadata (RFC 7591 §2).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Basic, Self::Post, Self::PrivateKeyJwt]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

/// A client registered by hand. It may use every grant type and any loopback redirect URI.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    /// Its `client_id`.
    pub client_id: String,
    /// How it authenticates.
    pub auth: AuthMethod,
    /// Its secrets. Several are valid at once while one is being replaced.
    pub secrets: Vec<String>,
    /// Its public keys, a JWK set, for `private_key_jwt`.
    pub jwks: Option<Value>,
}

impl ClientSpec {
    /// A public client.
    pub fn public(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            auth: AuthMethod::None,
            secrets: Vec::new(),
            jwks: None,
        }
    }

    /// A client with a secret.
    pub fn secret(client_id: &str, auth: AuthMethod, secret: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            auth,
            secrets: vec![secret.to_owned()],
            jwks: None,
        }
    }

    /// A client that signs, with its public keys as a JWK set.
    pub fn signing(client_id: &str, jwks: Value) -> Self {
        Self {
            client_id: client_id.to_owned(),
            auth: AuthMethod::PrivateKeyJwt,
            secrets: Vec::new(),
            jwks: Some(jwks),
        }
    }
}
