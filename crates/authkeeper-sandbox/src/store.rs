//! Plain tables in memory: accounts, clients, grants, tokens, codes, sessions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{clock::SandboxTime, settings::AuthMethod};

/// A registered client.
#[derive(Clone, Debug)]
pub(crate) struct ClientEntry {
    /// Its `client_name`.
    pub(crate) name: Option<String>,
    pub(crate) auth: AuthMethod,
    pub(crate) secrets: Vec<SecretEntry>,
    pub(crate) jwks: Option<Value>,
    /// `None`: any loopback address.
    pub(crate) redirect_uris: Option<Vec<String>>,
    /// `None`: all of them.
    pub(crate) grant_types: Option<Vec<String>>,
}

impl ClientEntry {
    pub(crate) fn may(&self, grant_type: &str) -> bool {
        let types = self.grant_types.as_ref();
        types.is_none_or(|types| types.iter().any(|known| known == grant_type))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SecretEntry {
    pub(crate) value: String,
    pub(crate) until: Option<SandboxTime>,
}

/// The state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountState {
    Enabled,
    Disabled,
    Deleted,
}

/// A grant of a resource owner, or of a client for itself.
#[derive(Clone, Debug)]
pub(crate) struct GrantEntry {
    pub(crate) user: Option<String>,
    pub(crate) client: String,
    pub(crate) resource: Option<String>,
    pub(crate) since: SandboxTime,
    /// How many times tokens were issued: 1 at the sign-in.
    pub(crate) generation: u32,
    pub(crate) access_count: u32,
    /// Why it ended; `None` while it is valid.
    pub(crate) dead: Option<&'static str>,
    /// The refresh token in force and the one before it.
    pub(crate) current: Option<String>,
    pub(crate) previous: Option<String>,
}

/// One refresh token.
#[derive(Clone, Debug)]
pub(crate) struct RefreshTokenEntry {
    pub(crate) grant: u32,
    pub(crate) generation: u32,
    pub(crate) scope: Vec<String>,
    pub(crate) issued: SandboxTime,
    pub(crate) used: SandboxTime,
    pub(crate) access_ends: SandboxTime,
    pub(crate) presented: u32,
    pub(crate) spent: Option<SandboxTime>,
    /// The tokens that it was spent for.
    pub(crate) answer: Option<TokenResponseBody>,
}

/// One access token.
#[derive(Clone, Debug)]
pub(crate) struct AccessTokenEntry {
    pub(crate) grant: u32,
    pub(crate) number: u32,
    pub(crate) generation: u32,
    pub(crate) scope: Vec<String>,
    pub(crate) audience: Option<String>,
    pub(crate) issued: SandboxTime,
    pub(crate) ends: SandboxTime,
    pub(crate) revoked: bool,
    pub(crate) used: bool,
}

/// The tokens of a successful token response.
#[derive(Clone, Debug)]
pub(crate) struct TokenResponseBody {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
    pub(crate) scope: Vec<String>,
    pub(crate) resource: Option<String>,
}

/// An authorization code.
#[derive(Clone, Debug)]
pub(crate) struct CodeEntry {
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) scope: Vec<String>,
    pub(crate) resource: Option<String>,
    pub(crate) ends: SandboxTime,
    /// The grant that was made with it.
    pub(crate) grant: Option<u32>,
}

/// An authorization request that waits for the person's answer.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationEntry {
    pub(crate) client: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) challenge: String,
    pub(crate) scope: Vec<String>,
    pub(crate) resource: Option<String>,
}

/// The state of a device authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceState {
    Waiting,
    Allowed {
        user: String,
    },
    Denied,
    /// It was exchanged for this grant.
    Used {
        grant: u32,
    },
}

/// A device authorization (RFC 8628).
#[derive(Clone, Debug)]
pub(crate) struct DeviceEntry {
    pub(crate) client: String,
    pub(crate) user_code: String,
    pub(crate) scope: Vec<String>,
    pub(crate) resource: Option<String>,
    pub(crate) ends: SandboxTime,
    pub(crate) interval: std::time::Duration,
    pub(crate) polled: Option<SandboxTime>,
    pub(crate) state: DeviceState,
}

/// A key for the plain API.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeyEntry {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) retired: bool,
    pub(crate) calls: u64,
}

/// All tables. Tokens are found by their text, grants and keys by their number.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) users: BTreeMap<String, AccountState>,
    pub(crate) clients: BTreeMap<String, ClientEntry>,
    pub(crate) grants: BTreeMap<u32, GrantEntry>,
    pub(crate) refresh: BTreeMap<String, RefreshTokenEntry>,
    pub(crate) access: BTreeMap<String, AccessTokenEntry>,
    pub(crate) codes: BTreeMap<String, CodeEntry>,
    pub(crate) asked: BTreeMap<String, AuthorizationEntry>,
    pub(crate) devices: BTreeMap<String, DeviceEntry>,
    pub(crate) keys: BTreeMap<u32, ApiKeyEntry>,
    /// Assertion ids that were used, until they expire.
    pub(crate) assertions: BTreeMap<String, SandboxTime>,
    pub(crate) sessions: BTreeSet<String>,
    pub(crate) work: BTreeMap<String, u32>,
}

impl Tables {
    pub(crate) fn user(&self, name: &str) -> AccountState {
        self.users
            .get(name)
            .copied()
            .unwrap_or(AccountState::Deleted)
    }

    /// The state of a grant's user; enabled for a client that acts for itself.
    pub(crate) fn owner(&self, grant: &GrantEntry) -> AccountState {
        let user = grant.user.as_deref();
        user.map_or(AccountState::Enabled, |user| self.user(user))
    }

    /// Ends a grant, with its access tokens if `access_too`. Returns whether it was valid.
    pub(crate) fn kill(&mut self, grant: u32, reason: &'static str, access_too: bool) -> bool {
        let Some(found) = self.grants.get_mut(&grant) else {
            return false;
        };
        let lived = found.dead.is_none();
        found.dead.get_or_insert(reason);
        if access_too {
            self.revoke_access(grant);
        }
        lived
    }

    pub(crate) fn revoke_access(&mut self, grant: u32) {
        for token in self.access.values_mut() {
            token.revoked |= token.grant == grant;
        }
    }

    /// `rt#3 of grant 1`: a refresh token's name in the log.
    pub(crate) fn refresh_label(&self, text: &str) -> String {
        match self.refresh.get(text) {
            Some(token) => format!("rt#{} of grant {}", token.generation, token.grant),
            None => "an unknown refresh token".to_owned(),
        }
    }

    pub(crate) fn access_label(&self, text: &str) -> String {
        match self.access.get(text) {
            Some(token) => format!("at#{} of grant {}", token.number, token.grant),
            None => "an unknown access token".to_owned(),
        }
    }
}
