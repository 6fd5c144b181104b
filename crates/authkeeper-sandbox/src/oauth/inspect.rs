//! Revocation (RFC 7009) and introspection (RFC 7662).

use serde_json::{Value, json};

use super::client_auth;
use crate::{
    answers::{self, Refusal},
    clock::Stamp,
    profile::Dialect,
    store::Grant,
    tally::Mood,
    wire::{Form, Reply, Request},
    world::World,
};

/// A token in a request of a proven client.
fn shown(world: &mut World, request: &Request) -> Result<(String, Form), Refusal> {
    let form = request.form();
    client_auth::authenticate(world, request, &form)
        .inspect_err(|_| world.tally.clients_refused += 1)
        .map(|client| (client, form))
}

pub(crate) fn revoke(world: &mut World, request: &Request) -> Reply {
    if !request.is_post() {
        return Reply::empty(405);
    }
    let dialect = world.habits().dialect;
    if dialect == Dialect::FastMcp && request.form().get("client_secret").is_none() {
        return answers::secret_is_required();
    }
    let (client, form) = match shown(world, request) {
        Ok(shown) => shown,
        Err(refusal) => return answers::refuse_revocation(dialect, &refusal, &world.base),
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
    if !request.is_post() {
        return Reply::empty(405);
    }
    let dialect = world.habits().dialect;
    let form = match shown(world, request) {
        Ok((_, form)) => form,
        Err(_) if dialect == Dialect::Django => return Reply::html(403, String::new()),
        // Here, unlike at revocation, oidc-provider says no-store.
        Err(refusal) => return answers::refuse(dialect, &refusal, &world.base),
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

/// What is told of a living token.
struct Living<'a> {
    grant: &'a Grant,
    scope: &'a [String],
    issued: Stamp,
    ends: Option<Stamp>,
    is_access: bool,
}

fn active(world: &World, text: &str) -> Option<Value> {
    let habits = world.habits();
    // django-oauth-toolkit looks for access tokens alone.
    let refresh = || living_refresh(world, text).filter(|_| habits.dialect != Dialect::Django);
    let living = living_access(world, text).or_else(refresh)?;
    // Where access tokens outlive their grant, only a refresh token dies with it.
    if living.grant.dead.is_some() && habits.access_dies_with_grant {
        return None;
    }
    let mut body = json!({
        "active": true,
        "client_id": living.grant.client,
        "scope": living.scope.join(" "),
    });
    for (name, value) in told(world, &living) {
        if !value.is_null() {
            body[name] = value;
        }
    }
    Some(body)
}

fn living_access<'a>(world: &'a World, text: &str) -> Option<Living<'a>> {
    let token = world.store.access.get(text)?;
    let living = !token.revoked && world.now() < token.ends;
    Some(Living {
        grant: world.store.grants.get(&living.then_some(token.grant)?)?,
        scope: &token.scope,
        issued: token.issued,
        ends: Some(token.ends),
        is_access: true,
    })
}

fn living_refresh<'a>(world: &'a World, text: &str) -> Option<Living<'a>> {
    let token = world.store.refresh.get(text)?;
    let limit = world.rules.refresh_ttl;
    let ends = limit.map(|limit| token.issued.plus(limit));
    let over = ends.is_some_and(|ends| world.now() >= ends);
    let living = !token.dead && token.spent.is_none() && !over;
    Some(Living {
        grant: world.store.grants.get(&living.then_some(token.grant)?)?,
        scope: &token.scope,
        issued: token.issued,
        ends,
        is_access: false,
    })
}

/// What else is said, which differs; null is not said.
fn told(world: &World, living: &Living<'_>) -> Vec<(&'static str, Value)> {
    let ends = json!(living.ends.map(|at| world.clock.said(at)));
    let (user, resource) = (json!(living.grant.user), &living.grant.resource);
    if world.habits().dialect == Dialect::Django {
        let audiences = resource.as_ref().map(|resource| json!([resource]));
        return vec![("username", user), ("aud", json!(audiences)), ("exp", ends)];
    }
    let issued = json!(world.clock.said(living.issued));
    let mut told = vec![
        ("iat", issued),
        ("iss", json!(world.base)),
        ("sub", user),
        ("exp", ends),
    ];
    if living.is_access {
        told.extend([("token_type", json!("Bearer")), ("aud", json!(resource))]);
    }
    told
}
