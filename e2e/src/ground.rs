//! The ground of the bad-input tests: a home with one good connection, and the server that
//! misbehaves.

use std::time::Duration;

use crate::home::{Home, Output};
use crate::secrets;
use crate::servers::Server;
use crate::wait::{pause, wait_until};

/// The connection that was there before anything went wrong.
pub const EARLIER: &str = "earlier";

/// A home, the misbehaving server, and a connection to its good side.
#[derive(Debug)]
pub struct Ground {
    /// The home.
    pub home: Home,
    /// The server.
    pub server: Server,
}

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}

impl Ground {
    /// Access tokens live for ten minutes: nothing is refreshed in between.
    pub fn new() -> Self {
        Self::with_ttl(Home::new(), 600)
    }

    /// In this home, with access tokens that live this many seconds.
    pub fn with_ttl(home: Home, seconds: u32) -> Self {
        let server = Server::faulty(&home.outside(), &[("AT_TTL", &seconds.to_string())]);
        let ground = Self { home, server };
        ground.connect(EARLIER, "good");
        ground
    }

    /// Connects to the server in one of its modes, which must work.
    pub fn connect(&self, name: &str, mode: &str) {
        let connected = self.home.run(&["connect", name, &self.url(mode)]);
        let said = connected.expect_code(0).stderr;
        assert!(said.contains("connected"), "{said}");
    }

    /// Tries to connect to the server in one of its modes.
    pub fn try_connect(&self, mode: &str) -> Output {
        let url = self.url(mode);
        self.home.run(&["connect", "x", &url, "--timeout", "3s"])
    }

    /// The protected resource of a mode.
    pub fn url(&self, mode: &str) -> String {
        self.server.url(&format!("/{mode}/mcp"))
    }

    /// How often the token endpoint of a mode was asked.
    pub fn exchanges(&self, mode: &str) -> u64 {
        self.server
            .count("requests", &format!("POST /{mode}/token"))
    }

    /// `token` for a connection, which must work.
    pub fn token(&self, name: &str) -> String {
        self.home
            .run(&["token", name])
            .expect_code(0)
            .stdout
            .trim()
            .to_owned()
    }

    /// The whole seconds left, and those until the next refresh is due.
    pub fn seconds(&self, name: &str) -> (u64, u64) {
        let status = self
            .home
            .run(&["status", name, "--json"])
            .expect_code(0)
            .json();
        let status = status.get(0).unwrap_or(&status);
        let seconds = |field: &str| status[field].as_u64().unwrap_or(0);
        (seconds("seconds_left"), seconds("refresh_in_seconds"))
    }

    /// Waits for the end of the access token.
    pub fn await_end(&self, name: &str) {
        let ended = || self.seconds(name).0 == 0;
        assert!(wait_until(Duration::from_secs(20), ended));
        pause(Duration::from_secs(1)); // whole seconds are told, rounded down
    }

    /// Nothing was lost: the earlier connection works and its refresh token was not spent. And
    /// nothing leaked.
    pub fn expect_unharmed(&self) {
        assert!(self.token(EARLIER).starts_with("faulty_access_token_"));
        assert_eq!(self.exchanges("good"), 1, "a refresh token was spent");
        self.expect_no_leak();
    }

    /// No secret is where it should not be.
    pub fn expect_no_leak(&self) {
        let findings = self.home.search(&secrets::issued_by(&[&self.server]));
        assert!(findings.is_empty(), "{findings:?}");
    }
}
