//! The control endpoint: JSON under `/control`, and the handle for the same things inside a program.
//!
//! A web page elsewhere can't drive it: a request with an `Origin` that is not this sandbox's, or with a `Host` that is
//! not this machine's, gets 403.
//!
//! `GET /control` lists what there is.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    action::{Action, ActionError},
    builtin,
    clock::parse_duration,
    page,
    settings::{AuthMethod, ClientSpec},
    store::{Client, UserState},
    wire::{Reply, Request},
    world::World,
};

/// Each request, its body, and what happens.
const LIST: [(&str, &str, &str); 24] = [
    ("GET /control", "", "this list"),
    (
        "GET /control/state",
        "",
        "profile, rules, faults, users, clients, keys, counters, time",
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

/// Answers a control request, or says that it is none.
pub(crate) fn serve(world: &mut World, request: &Request) -> Option<Reply> {
    let path = request.path.strip_prefix("/control")?;
    let path = match path.strip_prefix('/') {
        Some(path) => path,
        None if path.is_empty() => path,
        None => return None,
    };
    if !page::is_own(world, request) {
        let body = json!({"error": "another page can't drive this sandbox"});
        return Some(Reply::json(403, &body));
    }
    world.play();
    let reply = if request.is_post() {
        post(world, request, path)
    } else {
        get(world, request, path)
    };
    Some(reply.with("cache-control", "no-store"))
}

fn get(world: &World, request: &Request, path: &str) -> Reply {
    let body = match path {
        "" => list(),
        "state" => state(world),
        "counters" => json!(world.counters()),
        "log" => {
            let after = request
                .query
                .get("after")
                .and_then(|text| text.parse().ok());
            let events: Vec<_> = world.log.after(after.unwrap_or(0)).collect();
            json!({"events": events})
        }
        "verdict" if world.stage.is_some() => json!(builtin::checks(world, &[])),
        "verdict" => {
            let playing = world.playing.as_ref();
            json!(playing.map(|playing| playing.scenario.verdict(&world.counters())))
        }
        _ => {
            let error = "no such thing under /control; GET /control lists what there is";
            return Reply::json(404, &json!({"error": error}));
        }
    };
    Reply::json(200, &body)
}

fn list() -> Value {
    let row = |(request, body, what): &(&str, &str, &str)| json!({"request": request, "body": body, "what": what});
    json!({"requests": LIST.iter().map(row).collect::<Vec<_>>()})
}

fn post(world: &mut World, request: &Request, path: &str) -> Reply {
    let body = request.json().unwrap_or_else(|| json!({}));
    let done = action(path, &body).and_then(|action| world.act(action));
    match done {
        Ok(mut answer) => {
            answer["ok"] = true.into();
            Reply::json(200, &answer)
        }
        Err(error @ ActionError::Missing { .. }) => {
            Reply::json(404, &json!({"error": error.to_string()}))
        }
        Err(error) => Reply::json(400, &json!({"error": error.to_string()})),
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
            let by = text("by").and_then(|by| parse_duration(&by));
            Action::Advance(by.ok_or_else(unknown)?)
        }
        ["users", name, "disable"] => Action::Disable((*name).to_owned()),
        ["users", name, "enable"] => Action::Enable((*name).to_owned()),
        ["users", name, "delete"] => Action::Delete((*name).to_owned()),
        ["grants", "revoke"] => Action::Revoke(text("user")),
        ["grants", "revoke-access"] => Action::RevokeAccess,
        ["clients"] => Action::AddClient(Box::new(client(body).ok_or_else(unknown)?)),
        ["clients", id, "secret"] => Action::RotateSecret {
            client: (*id).to_owned(),
            overlap: text("overlap")
                .and_then(|time| parse_duration(&time))
                .unwrap_or_default(),
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

/// Everything a reader may know, without any token.
pub(crate) fn state(world: &World) -> Value {
    let rules = &world.rules;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let faults = world.faults.list();
    let faults: Vec<Value> = faults
        .map(|(number, spec)| json!({"number": number, "fault": spec}))
        .collect();
    json!({
        "url": world.base,
        "now": world.now().millis(),
        "profile": rules.profile,
        "models": rules.profile.models(),
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
        "builtin": builtin::view(world),
        "faults": faults,
        "users": users(world),
        "clients": clients(world),
        "keys": keys(world),
        "counters": world.counters(),
        "access": access(world),
    })
}

/// For how many seconds each grant's access token is still good: of several that live, the one that lives longest.
fn access(world: &World) -> Vec<Value> {
    let now = world.now();
    let mut left: BTreeMap<u32, f64> = BTreeMap::new();
    let living = world.store.access.values().filter(|token| !token.revoked);
    for token in living.filter(|token| token.ends > now) {
        let ends = token.ends.millis().saturating_sub(now.millis());
        let best = left.entry(token.grant).or_default();
        *best = best.max(Duration::from_millis(ends).as_secs_f64());
    }
    let view = |(grant, left): (u32, f64)| json!({"grant": grant, "left": left});
    left.into_iter().map(view).collect()
}

fn users(world: &World) -> Vec<Value> {
    let view = |(name, state): (&String, &UserState)| {
        let state = match state {
            UserState::Enabled => "enabled",
            UserState::Disabled => "disabled",
            UserState::Deleted => "deleted",
        };
        json!({"name": name, "state": state})
    };
    world.store.users.iter().map(view).collect()
}

fn clients(world: &World) -> Vec<Value> {
    let now = world.now();
    let view = |(id, client): (&String, &Client)| {
        let secrets = client.secrets.iter();
        let good = secrets.filter(|secret| secret.until.is_none_or(|until| now < until));
        json!({"client_id": id, "auth": client.auth.as_str(), "secrets": good.count()})
    };
    world.store.clients.iter().map(view).collect()
}

fn keys(world: &World) -> Vec<Value> {
    let view = |(number, key): (&u32, &crate::store::ApiKey)| json!({"number": number, "name": key.name, "retired": key.retired, "calls": key.calls});
    world.store.keys.iter().map(view).collect()
}
