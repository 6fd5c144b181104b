//! Actions on a running sandbox, by the handle, the control endpoint or a scenario.
//!
//! Their text form, as in a scenario's `do` and in `POST /control/do`:
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

use crate::{
    clock::{parse_duration, parse_offset},
    fault::{Fault, InvalidFault},
    profile::UnknownProfile,
    settings::{ClientSpec, Rules},
};

/// An action on a running sandbox.
#[derive(Clone, Debug)]
pub enum Action {
    /// Adds a fault.
    Fault(Fault),
    /// Removes one fault by its number, or every fault.
    Clear(Option<u32>),
    /// Changes rules: each by its name and its new value.
    Set(Vec<(String, String)>),
    /// Moves the clock forward.
    Advance(Duration),
    /// Disables an account.
    Disable(String),
    /// Enables an account.
    Enable(String),
    /// Deletes an account and revokes its grants.
    Delete(String),
    /// Revokes every grant, or one user's.
    Revoke(Option<String>),
    /// Revokes every access token; the grants live on.
    RevokeAccess,
    /// Registers a client.
    AddClient(Box<ClientSpec>),
    /// Gives a client a new secret.
    RotateSecret {
        /// The client.
        client: String,
        /// How long the old secret stays valid.
        overlap: Duration,
    },
    /// Deletes a client.
    DeleteClient(String),
    /// Creates an API key of this name.
    CreateKey(String),
    /// Retires an API key by its number.
    RetireKey(u32),
    /// Drops every MCP session.
    DropSessions,
    /// Forgets grants, tokens, registrations and sessions, as a server with its store in memory does when it restarts.
    Restart,
    /// Puts everything back to the start.
    Reset,
}

/// An action that can't be performed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActionError {
    /// The text is no action.
    #[error(
        "{0:?} is no action; there are fault, clear, set, advance, disable, enable, delete, revoke, revoke-access, \
             rotate-secret, delete-client, create-key, retire-key, drop-sessions, restart and reset"
    )]
    Unknown(String),
    /// The text of a fault is not valid.
    #[error(transparent)]
    Fault(#[from] InvalidFault),
    /// There is no such profile.
    #[error(transparent)]
    Profile(#[from] UnknownProfile),
    /// A rule's name or value is not valid.
    #[error(
        "{0:?} can't be set: names are profile, ttl, refresh_ttl, idle, absolute, grace, skew, auto_approve, \
             refresh_lifetime_field, device_interval and device_ttl; times are written 250ms, 90s, 10m, 2h or 1d, a skew -90s"
    )]
    Rule(String),
    /// The text is no duration.
    #[error("{0:?} is no duration; write 250ms, 90s, 10m, 2h or 1d")]
    Duration(String),
    /// There is no such user, client or key.
    #[error("there is no {what} {name:?}")]
    Missing {
        /// Its kind.
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
            "advance" => Self::Advance(duration(rest)?),
            "disable" => Self::Disable(needed()?),
            "enable" => Self::Enable(needed()?),
            "delete" => Self::Delete(needed()?),
            "revoke" => Self::Revoke(optional),
            "revoke-access" => Self::RevokeAccess,
            "rotate-secret" => rotation(rest)?.ok_or_else(unknown)?,
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

/// A duration that somebody wrote.
pub(crate) fn duration(text: &str) -> Result<Duration, ActionError> {
    parse_duration(text).ok_or_else(|| ActionError::Duration(text.to_owned()))
}

/// None without a client.
fn rotation(text: &str) -> Result<Option<Action>, ActionError> {
    let mut words = text.split_whitespace();
    let Some(client) = words.next().map(str::to_owned) else {
        return Ok(None);
    };
    let overlap = words.next().map(duration).transpose()?.unwrap_or_default();
    Ok(Some(Action::RotateSecret { client, overlap }))
}

/// Changes one rule.
pub(crate) fn set_rule(rules: &mut Rules, name: &str, value: &str) -> Result<(), ActionError> {
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
        "skew" => rules.skew = parse_offset(value).ok_or_else(wrong)?,
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
