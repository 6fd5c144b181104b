//! The control endpoint: JSON under `/control`.
//!
//! A web page elsewhere can't drive it: a request with an `Origin` that is not this sandbox's, or with a `Host` that is
//! not this machine's, gets 403.
//!
//! `GET /control` lists the requests.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    action::{Action, ActionError, duration},
    clock::written,
    page,
    settings::{AuthMethod, ClientSpec},
    state::SandboxState,
    store::{AccountState, ApiKeyEntry, ClientEntry},
    wire::{HttpReply, HttpRequest},
};

/// Each request, its body, and what happens.
const LIST: [(&str, &str, &str); 24] = [
    ("GET /control", "", "this list"),
    (
        "GET /control/state",
        "",
        "profile, rules (times in seconds, lifetimes as they are written), faults, users, clients, keys, counters, time",
    ),
    ("GET /control/counters", "", "the counters alone"),
    (
        "GET /control/log?after=N",
        "",
        "the events after number N, at most 200",
    ),
    (
        "GET /control/verdict",
        "",
        "the scenario's expectations so far",
    ),
    (
        "POST /control/do",
        r#"{"do": WORDS}"#,
        "any action in words, as in a scenario",
    ),
    (
        "POST /control/faults",
        r#"{"fault": SPEC}"#,
        "a fault is in force",
    ),
    (
        "POST /control/faults/clear",
        r#"{"fault": N} or nothing"#,
        "it is over, or all are",
    ),
    ("POST /control/set", "{NAME: VALUE, …}", "rules change"),
    (
        "POST /control/advance",
        r#"{"by": TIME}"#,
        "the clock moves on",
    ),
    (
        "POST /control/users/NAME/disable",
        "",
        "the account can't be used",
    ),
    (
        "POST /control/users/NAME/enable",
        "",
        "the account can be used again",
    ),
    (
        "POST /control/users/NAME/delete",
        "",
        "the account is gone, and its grants",
    ),
    (
        "POST /control/grants/revoke",
        r#"{"user": NAME} or nothing"#,
        "grants die",
    ),
    (
        "POST /control/grants/revoke-access",
        "",
        "every access token dies, the grants live",
    ),
    (
        "POST /control/clients",
        r#"{"client_id", "secret"?, "auth"?, "jwks"?}"#,
        "a client is added",
    ),
    (
        "POST /control/clients/ID/secret",
        r#"{"overlap": TIME} or nothing"#,
        "a new secret, which is the answer",
    ),
    ("POST /control/clients/ID/delete", "", "the client is gone"),
    (
        "POST /control/keys",
        r#"{"name": NAME}"#,
        "a new API key, which is the answer",
    ),
    ("POST /control/keys/N/retire", "", "the key ends"),
    (
        "POST /control/sessions/drop",
        "",
        "every MCP session is forgotten",
    ),
    (
        "POST /control/restart",
        "",
        "grants, tokens, registrations and sessions are forgotten",
    ),
    (
        "POST /control/reset",
        "",
        "everything is as it was at the start",
    ),
    ("GET /", "", "a page to watch all this, and to break things"),
];

/// The path below `/control`; none for a request that goes elsewhere.
pub(crate) fn path(request: &HttpRequest) -> Option<&str> {
    let path = request.path.strip_prefix("/control")?;
    match path.strip_prefix('/') {
        Some(path) => Some(path),
        None => path.is_empty().then_some(path),
    }
}

/// Answers a control request. `verdict` is the scenario's.
pub(crate) fn serve(
    state: &mut SandboxState,
    request: &HttpRequest,
    path: &str,
    verdict: &dyn Fn(&SandboxState) -> Value,
) -> HttpReply {
    if !page::is_own(state, request) {
        let body = json!({"error": "another page can't drive this sandbox"});
        return HttpReply::json(403, &body);
    }
    let reply = match (request.is_post(), path) {
        (true, _) => post(state, request, path),
        (false, "verdict") => HttpReply::json(200, &verdict(state)),
        (false, _) => get(state, request, path),
    };
    reply.with("cache-control", "no-store")
}

fn get(state: &SandboxState, request: &HttpRequest, path: &str) -> HttpReply {
    let body = match path {
        "" => list(),
        "state" => view(state),
        "counters" => json!(state.counters_now()),
        "log" => {
            let after = request
                .query
                .get("after")
                .and_then(|text| text.parse().ok());
            let events: Vec<_> = state.log.after(after.unwrap_or(0)).collect();
            json!({"events": events})
        }
        _ => {
            let error = "no such thing under /control; GET /control lists what there is";
            return HttpReply::json(404, &json!({"error": error}));
        }
    };
    HttpReply::json(200, &body)
}

fn list() -> Value {
    let row = |(request, body, what): &(&str, &str, &str)| json!({"request": request, "body": body, "what": what});
    json!({"requests": LIST.iter().map(row).collect::<Vec<_>>()})
}

fn post(state: &mut SandboxState, request: &HttpRequest, path: &str) -> HttpReply {
    let body = match request.json() {
        Some(body) => body,
        None if request.body.is_empty() => json!({}),
        None => {
            let error = "the body is no JSON; GET /control lists what each request takes";
            return HttpReply::json(400, &json!({"error": error}));
        }
    };
    let done = action(path, &body).and_then(|action| state.act(action));
    match done {
        Ok(mut answer) => {
            answer["ok"] = true.into();
            HttpReply::json(200, &answer)
        }
        Err(error @ ActionError::Missing { .. }) => {
            HttpReply::json(404, &json!({"error": error.to_string()}))
        }
        Err(error) => HttpReply::json(400, &json!({"error": error.to_string()})),
    }
}

fn action(path: &str, body: &Value) -> Result<Action, ActionError> {
    let unknown = || ActionError::Unknown(path.to_owned());
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let parts: Vec<&str> = path.split('/').collect();
    Ok(match parts.as_slice() {
        ["do"] => text("do").ok_or_else(unknown)?.parse()?,
        ["faults"] => Action::Fault(text("fault").ok_or_else(unknown)?.parse()?),
        ["faults", "clear"] => Action::Clear(number(&body["fault"])),
        ["set"] => Action::Set(pairs(body)),
        ["advance"] => {
            let by = written_in(&body["by"]).ok_or_else(unknown)?;
            Action::Advance(duration(&by)?)
        }
        ["users", name, "disable"] => Action::Disable((*name).to_owned()),
        ["users", name, "enable"] => Action::Enable((*name).to_owned()),
        ["users", name, "delete"] => Action::Delete((*name).to_owned()),
        ["grants", "revoke"] => Action::Revoke(text("user")),
        ["grants", "revoke-access"] => Action::RevokeAccess,
        ["clients"] => Action::AddClient(Box::new(client(body).ok_or_else(unknown)?)),
        ["clients", id, "secret"] => Action::RotateSecret {
            client: (*id).to_owned(),
            overlap: match written_in(&body["overlap"]) {
                Some(time) => duration(&time)?,
                None => Duration::ZERO,
            },
        },
        ["clients", id, "delete"] => Action::DeleteClient((*id).to_owned()),
        ["keys"] => Action::CreateKey(text("name").unwrap_or_else(|| "unnamed".to_owned())),
        ["keys", number, "retire"] => Action::RetireKey(number.parse().ok().ok_or_else(unknown)?),
        ["sessions", "drop"] => Action::DropSessions,
        ["restart"] => Action::Restart,
        ["reset"] => Action::Reset,
        _ => return Err(unknown()),
    })
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// A duration as text; a number counts seconds.
fn written_in(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn pairs(body: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    let fields = body.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect()
}

fn client(body: &Value) -> Option<ClientSpec> {
    let secret = body["secret"].as_str();
    let usual = match (secret, body.get("jwks")) {
        (Some(_), _) => AuthMethod::Basic,
        (None, Some(_)) => AuthMethod::PrivateKeyJwt,
        (None, None) => AuthMethod::None,
    };
    let auth = match body["auth"].as_str() {
        Some(name) => AuthMethod::parse(name)?,
        None => usual,
    };
    Some(ClientSpec {
        client_id: body["client_id"].as_str()?.to_owned(),
        auth,
        secrets: secret.map(str::to_owned).into_iter().collect(),
        jwks: body.get("jwks").cloned(),
    })
}

/// The state for a reader, without any token.
pub(crate) fn view(state: &SandboxState) -> Value {
    let rules = &state.rules;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let faults = state.faults.list();
    let faults: Vec<Value> = faults
        .map(|(number, spec)| json!({"number": number, "fault": spec}))
        .collect();
    json!({
        "url": state.base,
        "now": state.now().millis(),
        "profile": rules.profile,
        "models": rules.profile.models(),
        "lifetimes": {
            "ttl": written(rules.ttl),
            "refresh_ttl": rules.refresh_ttl.map(written),
            "idle": rules.idle.map(written),
            "absolute": rules.absolute.map(written),
            "grace": written(rules.grace),
        },
        "rules": {
            "ttl": rules.ttl.as_secs_f64(),
            "refresh_ttl": seconds(rules.refresh_ttl),
            "idle": seconds(rules.idle),
            "absolute": seconds(rules.absolute),
            "grace": rules.grace.as_secs_f64(),
            "skew": rules.skew,
            "auto_approve": rules.auto_approve,
            "refresh_lifetime_field": rules.refresh_lifetime_field,
        },
        "builtin": scenario(state),
        "faults": faults,
        "users": users(state),
        "clients": clients(state),
        "keys": keys(state),
        "counters": state.counters_now(),
        "access": access(state),
    })
}

/// The built-in scenario that plays.
fn scenario(state: &SandboxState) -> Value {
    state.overrides.as_ref().map_or(
        Value::Null,
        |overrides| json!({"scenario": overrides.scenario, "revision": overrides.revision.as_str()}),
    )
}

/// The remaining lifetime of each grant's longest-lived access token, in seconds.
fn access(state: &SandboxState) -> Vec<Value> {
    let now = state.now();
    let mut left: BTreeMap<u32, f64> = BTreeMap::new();
    let living = state.store.access.values().filter(|token| !token.revoked);
    for token in living.filter(|token| token.ends > now) {
        let ends = token.ends.millis().saturating_sub(now.millis());
        let best = left.entry(token.grant).or_default();
        *best = best.max(Duration::from_millis(ends).as_secs_f64());
    }
    let view = |(grant, left): (u32, f64)| json!({"grant": grant, "left": left});
    left.into_iter().map(view).collect()
}

fn users(state: &SandboxState) -> Vec<Value> {
    let view = |(name, account): (&String, &AccountState)| {
        let account = match account {
            AccountState::Enabled => "enabled",
            AccountState::Disabled => "disabled",
            AccountState::Deleted => "deleted",
        };
        json!({"name": name, "state": account})
    };
    state.store.users.iter().map(view).collect()
}

fn clients(state: &SandboxState) -> Vec<Value> {
    let now = state.now();
    let view = |(id, client): (&String, &ClientEntry)| {
        let secrets = client.secrets.iter();
        let good = secrets.filter(|secret| secret.until.is_none_or(|until| now < until));
        json!({"client_id": id, "auth": client.auth.as_str(), "secrets": good.count()})
    };
    state.store.clients.iter().map(view).collect()
}

fn keys(state: &SandboxState) -> Vec<Value> {
    let view = |(number, key): (&u32, &ApiKeyEntry)| json!({"number": number, "name": key.name, "retired": key.retired, "calls": key.calls});
    state.store.keys.iter().map(view).collect()
}
