//! Performs actions on the state.

use std::time::Duration;

use serde_json::{Value, json};

use super::SandboxState;
use crate::{
    action::{Action, ActionError, set_rule},
    clock::written,
    events::Mood,
    random,
    store::{AccountState, ApiKeyEntry, SecretEntry},
};

impl SandboxState {
    /// Performs an action and returns its result: a new secret, a new key, a number.
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
                    format!("the clock moved on by {}", written(time)),
                );
                Ok(json!({}))
            }
            Action::Disable(user) => self.set_user(&user, AccountState::Disabled),
            Action::Enable(user) => self.set_user(&user, AccountState::Enabled),
            Action::Delete(user) => self.set_user(&user, AccountState::Deleted),
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
            set_rule(&mut rules, name, value)?;
        }
        self.clock.skew = rules.skew;
        self.rules = rules;
        let said = pairs.iter().map(|(name, value)| format!("{name}={value}"));
        let said: Vec<String> = said.collect();
        self.say(Mood::Plain, format!("set {}", said.join(" ")));
        Ok(json!({}))
    }

    fn set_user(&mut self, user: &str, state: AccountState) -> Result<Value, ActionError> {
        let known = self.store.users.get_mut(user);
        *known.ok_or_else(|| missing("user", user))? = state;
        let said = match state {
            AccountState::Enabled => "enabled",
            AccountState::Disabled => "disabled",
            AccountState::Deleted => "deleted",
        };
        self.say(Mood::Warn, format!("{user} is {said}"));
        if state == AccountState::Deleted {
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
            self.counters.grants_killed += 1;
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
        found.secrets.push(SecretEntry {
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
        let key = ApiKeyEntry {
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
