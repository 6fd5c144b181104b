//! Revocation (RFC 7009) and introspection (RFC 7662).

use serde_json::{Value, json};

use super::client_auth;
use crate::{
    answers,
    profile::Dialect,
    tally::Mood,
    wire::{Form, Reply, Request},
    world::World,
};

/// A token in a request of a proven client.
fn shown(world: &mut World, request: &Request) -> Result<(String, Form), Reply> {
    if !request.is_post() {
        return Err(Reply::empty(405));
    }
    let form = request.form();
    match client_auth::authenticate(world, request, &form) {
        Ok(client) => Ok((client, form)),
        Err(refusal) => {
            world.tally.clients_refused += 1;
            Err(answers::refuse(
                world.habits().dialect,
                &refusal,
                &world.base,
            ))
        }
    }
}

pub(crate) fn revoke(world: &mut World, request: &Request) -> Reply {
    let (client, form) = match shown(world, request) {
        Ok(shown) => shown,
        Err(reply) => return reply,
    };
    let text = form.get("token").unwrap_or_default();
    let refresh = world.store.refresh.get(text).map(|token| token.grant);
    let access = world.store.access.get(text).map(|token| token.grant);
    let grant = refresh.or(access);
    let owner = grant.and_then(|grant| world.store.grants.get(&grant));
    if let Some(grant) = grant.filter(|_| owner.is_some_and(|owner| owner.client == client)) {
        end(world, text, grant, refresh.is_some());
    }
    // An unknown token is as good as revoked (RFC 7009 §2.2).
    match world.habits().dialect {
        Dialect::OidcProvider => {
            Reply::empty(200).with("content-type", "text/plain; charset=utf-8")
        }
        Dialect::Django => Reply::empty(200).with("content-type", "text/html; charset=utf-8"),
        _ => answers::no_store(Reply::empty(200)),
    }
}

fn end(world: &mut World, text: &str, grant: u32, is_refresh: bool) {
    world.tally.revocations += 1;
    let label = if is_refresh {
        world.store.refresh_label(text)
    } else {
        world.store.access_label(text)
    };
    world.say(Mood::Plain, format!("the client revoked {label}"));
    if let Some(token) = world.store.access.get_mut(text) {
        token.revoked = true;
    }
    if is_refresh || world.habits().revoked_access_kills {
        world.kill(grant, "its client revoked it");
    }
}

pub(crate) fn introspect(world: &mut World, request: &Request) -> Reply {
    let form = match shown(world, request) {
        Ok((_, form)) => form,
        Err(reply) => return reply,
    };
    let text = form.get("token").unwrap_or_default();
    let body = active(world, text).unwrap_or_else(|| json!({"active": false}));
    let reply = Reply::json(200, &body);
    match world.habits().dialect {
        Dialect::OidcProvider => answers::oidc_headers(reply),
        Dialect::Django => reply,
        _ => answers::no_store(reply),
    }
}

fn active(world: &World, text: &str) -> Option<Value> {
    let now = world.now();
    let store = &world.store;
    let (number, scope, issued, ends) = if let Some(token) = store.access.get(text) {
        let living = !token.revoked && now < token.ends;
        (
            living.then_some(token.grant)?,
            &token.scope,
            token.issued,
            Some(token.ends),
        )
    } else {
        let token = store.refresh.get(text)?;
        let ends = world
            .rules
            .refresh_ttl
            .map(|limit| token.issued.plus(limit));
        let living = !token.dead && token.spent.is_none() && ends.is_none_or(|ends| now < ends);
        (
            living.then_some(token.grant)?,
            &token.scope,
            token.issued,
            ends,
        )
    };
    let grant = store.grants.get(&number)?;
    // Where access tokens outlive their grant, only a refresh token dies with it.
    if grant.dead.is_some() && world.habits().access_dies_with_grant {
        return None;
    }
    let mut body = json!({
        "active": true,
        "client_id": grant.client,
        "scope": scope.join(" "),
        "iat": world.clock.said(issued),
        "iss": world.base,
        "token_type": "Bearer",
    });
    let optional = [
        ("sub", grant.user.clone().map(Value::from)),
        ("aud", grant.resource.clone().map(Value::from)),
        ("exp", ends.map(|ends| world.clock.said(ends).into())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Some(body)
}
