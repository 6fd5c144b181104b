//! The sandbox's state: what the handlers read and change. It knows neither the router nor any handler.

mod act;
mod grants;

use std::time::Duration;

use crate::{
    clock::{SandboxClock, SandboxTime},
    counters::{Counters, GrantSummary},
    events::{EventLog, Mood},
    fault::Faults,
    overrides::Overrides,
    profile::Habits,
    settings::{ClientSpec, Rules, SandboxSettings},
    store::{AccessTokenEntry, AccountState, ClientEntry, GrantEntry, SecretEntry, Tables},
};

/// The supported scopes.
pub(crate) const SCOPES: [&str; 5] = ["read", "write", "admin", "openid", "offline_access"];

/// Everything the sandbox is, as one value. Nothing here waits.
#[derive(Debug)]
pub(crate) struct SandboxState {
    /// The sandbox's URL, which is also the issuer.
    pub(crate) base: String,
    pub(crate) clock: SandboxClock,
    pub(crate) rules: Rules,
    pub(crate) faults: Faults,
    pub(crate) store: Tables,
    pub(crate) counters: Counters,
    pub(crate) log: EventLog,
    /// Set by a built-in scenario while it plays.
    pub(crate) overrides: Option<Overrides>,
    initial: SandboxSettings,
    was_reset: bool,
    token_requests_now: u64,
}

impl SandboxState {
    pub(crate) fn new(settings: SandboxSettings, base: String) -> Self {
        let mut state = Self {
            base,
            clock: SandboxClock::new(settings.standing_clock, settings.rules.skew),
            rules: settings.rules.clone(),
            faults: Faults::default(),
            store: Tables::default(),
            counters: Counters::default(),
            log: EventLog::new(),
            overrides: None,
            initial: settings,
            was_reset: false,
            token_requests_now: 0,
        };
        state.add_initial();
        state
    }

    fn add_initial(&mut self) {
        for user in &self.initial.users {
            self.store.users.insert(user.clone(), AccountState::Enabled);
        }
        for spec in self.initial.clients.clone() {
            self.add_client(&spec);
        }
        for fault in self.initial.faults.clone() {
            self.faults.add(fault);
        }
    }

    /// Puts everything back to the start, except the clock and those who listen to the event log. The router then
    /// restarts the scenario ([`Self::take_reset`]).
    pub(crate) fn reset(&mut self) {
        self.rules = self.initial.rules.clone();
        self.clock.skew = self.rules.skew;
        self.faults = Faults::default();
        self.store = Tables::default();
        self.counters = Counters::default();
        self.overrides = None;
        self.was_reset = true;
        self.add_initial();
    }

    /// Whether the state was reset since the last call.
    pub(crate) fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.was_reset)
    }

    /// Forgets registered clients, grants, tokens and sessions, as a server with its store in memory does when it
    /// restarts.
    pub(crate) fn restart(&mut self) {
        let users = std::mem::take(&mut self.store.users);
        self.store = Tables {
            users,
            ..Tables::default()
        };
        for spec in self.initial.clients.clone() {
            self.add_client(&spec);
        }
    }

    pub(crate) fn add_client(&mut self, spec: &ClientSpec) {
        let secret = |value: &String| SecretEntry {
            value: value.clone(),
            until: None,
        };
        let client = ClientEntry {
            name: None,
            auth: spec.auth,
            secrets: spec.secrets.iter().map(secret).collect(),
            jwks: spec.jwks.clone(),
            redirect_uris: None,
            grant_types: None,
        };
        self.store.clients.insert(spec.client_id.clone(), client);
    }

    /// A client's own name, or its id.
    pub(crate) fn client_name<'a>(&'a self, client: &'a str) -> &'a str {
        let found = self.store.clients.get(client);
        found
            .and_then(|found| found.name.as_deref())
            .unwrap_or(client)
    }

    pub(crate) fn habits(&self) -> &'static Habits {
        self.rules.profile.habits()
    }

    pub(crate) fn now(&self) -> SandboxTime {
        self.clock.now()
    }

    pub(crate) fn say(&mut self, mood: Mood, text: impl Into<String>) {
        let at = self.clock.now().millis();
        self.log.say(at, mood, text.into());
    }

    pub(crate) fn token_request_begins(&mut self) {
        self.counters.token_requests += 1;
        self.token_requests_now += 1;
        let most = &mut self.counters.max_concurrent_token_requests;
        *most = (*most).max(self.token_requests_now);
    }

    pub(crate) fn token_request_ends(&mut self) {
        self.token_requests_now = self.token_requests_now.saturating_sub(1);
    }

    /// A copy of the counters, with those that are derived from the store.
    pub(crate) fn counters_now(&self) -> Counters {
        let grants = self.store.grants.iter();
        let view = |(number, grant): (&u32, &GrantEntry)| GrantSummary {
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
            ..self.counters.clone()
        }
    }

    /// The remaining lifetime of the access token that lives longest.
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
        let outlived = |token: &&AccessTokenEntry| {
            token.used && token.ends <= now && token.number < latest(token.grant)
        };
        self.store.access.values().filter(outlived).count() as u64
    }

    /// Whether a resource indicator (RFC 8707) names a resource of this sandbox.
    pub(crate) fn knows_resource(&self, resource: &str) -> bool {
        let rest = resource.strip_prefix(&self.base);
        matches!(rest, Some("" | "/" | "/mcp" | "/api"))
    }
}
