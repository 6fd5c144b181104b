//! What can be done to a running sandbox: by the handle, the control endpoint or a scenario.
//!
//! In words, as in a scenario's `do` and in `POST /control/do`:
//!
//! | words | what happens |
//! | --- | --- |
//! | `fault SPEC` | a fault is in force from now on (see [`crate::fault`]) |
//! | `clear [N]` | fault N, or every fault, is over |
//! | `set NAME=VALUE …` | a rule changes: `profile`, `ttl`, `refresh_ttl`, `idle`, `absolute`, `grace`, `skew`, `auto_approve`, `refresh_lifetime_field`, `device_interval`, `device_ttl`; `none` lifts a limit |
//! | `advance TIME` | the clock moves on |
//! | `disable USER`, `enable USER`, `delete USER` | an account changes; deleting kills its grants |
//! | `revoke [USER]` | all grants, or the user's, die |
//! | `revoke-access` | every access token dies, the grants live |
//! | `rotate-secret CLIENT [OVERLAP]` | a new client secret; the old one stays good for the overlap |
//! | `delete-client CLIENT` | the client is gone |
//! | `create-key NAME`, `retire-key N` | an API key begins or ends |
//! | `drop-sessions` | every MCP session is forgotten |
//! | `restart` | grants, tokens, registrations and sessions are forgotten |
//! | `reset` | everything is as it was at the start |

use std::{str::FromStr, time::Duration};

use serde_json::{Value, json};

use crate::{
    clock::parse_duration,
    fault::{Fault, InvalidFault},
    profile::UnknownProfile,
    random,
    settings::{ClientSpec, Rules},
    store::{ApiKey, ClientSecret, UserState},
    tally::Mood,
    world::World,
};

/// Something done to a running sandbox.
#[derive(Clone, Debug)]
pub enum Action {
    /// A fault is in force from now on.
    Fault(Fault),
    /// One fault, or every fault, is over.
    Clear(Option<u32>),
    /// A rule changes: its name and its new value.
    Set(Vec<(String, String)>),
    /// The clock moves on.
    Advance(Duration),
    /// An account can't be used.
    Disable(String),
    /// An account can be used again.
    Enable(String),
    /// An account is gone, and its grants.
    Delete(String),
    /// Grants die: everybody's, or one user's.
    Revoke(Option<String>),
    /// Every access token dies.
    RevokeAccess,
    /// A client is registered by hand.
    AddClient(Box<ClientSpec>),
    /// A client gets a new secret.
    RotateSecret {
        /// The client.
        client: String,
        /// How long the old one stays good.
        overlap: Duration,
    },
    /// A client is gone.
    DeleteClient(String),
    /// A new API key.
    CreateKey(String),
    /// An API key ends.
    RetireKey(u32),
    /// Every MCP session is forgotten.
    DropSessions,
    /// What a server with its store in memory forgets at a restart is forgotten.
    Restart,
    /// Everything is as it was at the start.
    Reset,
}

/// An action that can't be done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActionError {
    /// The words mean nothing.
    #[error(
        "{0:?} is no action; there are fault, clear, set, advance, disable, enable, delete, revoke, revoke-access, \
             rotate-secret, delete-client, create-key, retire-key, drop-sessions, restart and reset"
    )]
    Unknown(String),
    /// A fault can't be read.
    #[error(transparent)]
    Fault(#[from] InvalidFault),
    /// A profile is not known.
    #[error(transparent)]
    Profile(#[from] UnknownProfile),
    /// A rule's name or value means nothing.
    #[error(
        "{0:?} can't be set: names are profile, ttl, refresh_ttl, idle, absolute, grace, skew, auto_approve, \
             refresh_lifetime_field, device_interval and device_ttl; times are written 90s, 10m, 2h or 1d"
    )]
    Rule(String),
    /// What is named is not there.
    #[error("there is no {what} {name:?}")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let unknown = || ActionError::Unknown(text.to_owned());
        let (verb, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let rest = rest.trim();
        let needed = || match rest {
            "" => Err(unknown()),
            name => Ok(name.to_owned()),
        };
        let optional = (!rest.is_empty()).then(|| rest.to_owned());
        Ok(match verb {
            "fault" => Self::Fault(rest.parse()?),
            "clear" if rest.is_empty() => Self::Clear(None),
            "clear" => Self::Clear(Some(rest.parse().ok().ok_or_else(unknown)?)),
            "set" => Self::Set(pairs(rest).ok_or_else(unknown)?),
            "advance" => Self::Advance(parse_duration(rest).ok_or_else(unknown)?),
            "disable" => Self::Disable(needed()?),
            "enable" => Self::Enable(needed()?),
            "delete" => Self::Delete(needed()?),
            "revoke" => Self::Revoke(optional),
            "revoke-access" => Self::RevokeAccess,
            "rotate-secret" => rotation(rest).ok_or_else(unknown)?,
            "delete-client" => Self::DeleteClient(needed()?),
            "create-key" => Self::CreateKey(needed()?),
            "retire-key" => Self::RetireKey(rest.parse().ok().ok_or_else(unknown)?),
            "drop-sessions" => Self::DropSessions,
            "restart" => Self::Restart,
            "reset" => Self::Reset,
            _ => return Err(unknown()),
        })
    }
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.split_whitespace().map(pair).collect()
}

fn rotation(text: &str) -> Option<Action> {
    let mut words = text.split_whitespace();
    let client = words.next()?.to_owned();
    let overlap = match words.next() {
        Some(time) => parse_duration(time)?,
        None => Duration::ZERO,
    };
    Some(Action::RotateSecret { client, overlap })
}

/// Changes one rule.
pub(crate) fn set(rules: &mut Rules, name: &str, value: &str) -> Result<(), ActionError> {
    let wrong = || ActionError::Rule(format!("{name}={value}"));
    let time = || parse_duration(value).ok_or_else(wrong);
    let limit = || match value {
        "none" => Ok(None),
        _ => time().map(Some),
    };
    match name {
        "profile" => rules.profile = value.parse()?,
        "ttl" => rules.ttl = time()?,
        "refresh_ttl" => rules.refresh_ttl = limit()?,
        "idle" => rules.idle = limit()?,
        "absolute" => rules.absolute = limit()?,
        "grace" => rules.grace = time()?,
        "skew" => rules.skew = value.parse().ok().ok_or_else(wrong)?,
        "auto_approve" => rules.auto_approve = value.parse().ok().ok_or_else(wrong)?,
        "refresh_lifetime_field" => {
            rules.refresh_lifetime_field = (value != "none").then(|| value.to_owned());
        }
        "device_interval" => rules.device_interval = time()?,
        "device_ttl" => rules.device_ttl = time()?,
        _ => return Err(wrong()),
    }
    Ok(())
}

impl World {
    /// Does it, and says what came of it: a new secret, a new key, a number.
    pub(crate) fn act(&mut self, action: Action) -> Result<Value, ActionError> {
        match action {
            Action::Fault(fault) => {
                self.say(Mood::Plain, format!("fault set: {fault}"));
                Ok(json!({"fault": self.faults.add(fault)}))
            }
            Action::Clear(number) => {
                let cleared = self.faults.clear(number);
                self.say(Mood::Plain, format!("faults cleared: {cleared}"));
                Ok(json!({"cleared": cleared}))
            }
            Action::Set(pairs) => self.set_rules(&pairs),
            Action::Advance(time) => {
                self.clock.advance(time);
                self.say(
                    Mood::Plain,
                    format!("the clock moved on by {} s", time.as_secs_f64()),
                );
                Ok(json!({}))
            }
            Action::Disable(user) => self.set_user(&user, UserState::Disabled),
            Action::Enable(user) => self.set_user(&user, UserState::Enabled),
            Action::Delete(user) => self.set_user(&user, UserState::Deleted),
            Action::Revoke(user) => Ok(self.revoke_grants(user.as_deref())),
            Action::RevokeAccess => {
                self.store
                    .access
                    .values_mut()
                    .for_each(|token| token.revoked = true);
                self.say(Mood::Plain, "every access token is revoked");
                Ok(json!({}))
            }
            Action::DropSessions => {
                let dropped = self.store.sessions.len();
                self.store.sessions.clear();
                self.say(Mood::Plain, format!("MCP sessions dropped: {dropped}"));
                Ok(json!({"dropped": dropped}))
            }
            Action::Restart => {
                self.restart();
                self.say(
                    Mood::Bad,
                    "restarted: grants, tokens and registrations are forgotten",
                );
                Ok(json!({}))
            }
            Action::Reset => {
                self.reset();
                self.say(Mood::Plain, "everything is as it was at the start");
                Ok(json!({}))
            }
            action => self.act_on_clients(action),
        }
    }

    fn act_on_clients(&mut self, action: Action) -> Result<Value, ActionError> {
        match action {
            Action::AddClient(spec) => {
                self.say(Mood::Plain, format!("client {} added", spec.client_id));
                self.add_client(&spec);
                Ok(json!({"client_id": spec.client_id}))
            }
            Action::RotateSecret { client, overlap } => self.rotate_secret(&client, overlap),
            Action::DeleteClient(client) => {
                let gone = self.store.clients.remove(&client);
                gone.ok_or_else(|| missing("client", &client))?;
                self.say(Mood::Bad, format!("client {client} is deleted"));
                Ok(json!({}))
            }
            Action::CreateKey(name) => Ok(self.create_key(name)),
            Action::RetireKey(number) => {
                let key = self.store.keys.get_mut(&number);
                let key = key.ok_or_else(|| missing("key", &number.to_string()))?;
                key.retired = true;
                self.say(Mood::Plain, format!("key#{number} is retired"));
                Ok(json!({}))
            }
            _ => Ok(json!({})),
        }
    }

    fn set_rules(&mut self, pairs: &[(String, String)]) -> Result<Value, ActionError> {
        let mut rules = self.rules.clone();
        for (name, value) in pairs {
            set(&mut rules, name, value)?;
        }
        self.clock.skew = rules.skew;
        self.rules = rules;
        let said = pairs.iter().map(|(name, value)| format!("{name}={value}"));
        let said: Vec<String> = said.collect();
        self.say(Mood::Plain, format!("set {}", said.join(" ")));
        Ok(json!({}))
    }

    fn set_user(&mut self, user: &str, state: UserState) -> Result<Value, ActionError> {
        let known = self.store.users.get_mut(user);
        *known.ok_or_else(|| missing("user", user))? = state;
        let said = match state {
            UserState::Enabled => "enabled",
            UserState::Disabled => "disabled",
            UserState::Deleted => "deleted",
        };
        self.say(Mood::Warn, format!("{user} is {said}"));
        if state == UserState::Deleted {
            self.revoke_grants(Some(user));
        }
        Ok(json!({}))
    }

    fn revoke_grants(&mut self, user: Option<&str>) -> Value {
        let grants = self.store.grants.iter();
        let meant = grants.filter(|(_, grant)| {
            grant.dead.is_none() && user.is_none_or(|user| grant.user.as_deref() == Some(user))
        });
        let meant: Vec<u32> = meant.map(|(number, _)| *number).collect();
        for number in &meant {
            self.store
                .kill(*number, "an administrator revoked it", true);
            self.tally.grants_killed += 1;
            self.say(
                Mood::Bad,
                format!("grant {number} is dead: an administrator revoked it"),
            );
        }
        json!({"revoked": meant.len()})
    }

    fn rotate_secret(&mut self, client: &str, overlap: Duration) -> Result<Value, ActionError> {
        let until = self.now().plus(overlap);
        let found = self.store.clients.get_mut(client);
        let found = found.ok_or_else(|| missing("client", client))?;
        for old in &mut found.secrets {
            let ends = old.until.map_or(until, |ends| ends.min(until));
            old.until = Some(ends);
        }
        let value = random::secret();
        found.secrets.push(ClientSecret {
            value: value.clone(),
            until: None,
        });
        self.say(Mood::Warn, format!("client {client} has a new secret"));
        Ok(json!({"client_id": client, "client_secret": value}))
    }

    fn create_key(&mut self, name: String) -> Value {
        let number = self
            .store
            .keys
            .keys()
            .next_back()
            .map_or(1, |last| last + 1);
        let value = random::secret();
        self.say(Mood::Plain, format!("key#{number} ({name}) begins"));
        let key = ApiKey {
            name,
            value: value.clone(),
            retired: false,
            calls: 0,
        };
        self.store.keys.insert(number, key);
        json!({"number": number, "key": value})
    }
}

fn missing(what: &'static str, name: &str) -> ActionError {
    ActionError::Missing {
        what,
        name: name.to_owned(),
    }
}
