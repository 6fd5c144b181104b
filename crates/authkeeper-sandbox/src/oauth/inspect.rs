//! Revocation (RFC 7009) and introspection (RFC 7662).

use serde_json::{Value, json};

use super::client_auth;
use crate::{
    answers::{self, TokenEndpointRefusal},
    clock::SandboxTime,
    events::Mood,
    profile::Dialect,
    state::SandboxState,
    store::GrantEntry,
    wire::{Form, HttpReply, HttpRequest},
};

/// The client and the form of an authenticated request.
fn shown(state: &mut SandboxState, request: &HttpRequest) -> Result<(String, Form), HttpReply> {
    if !request.is_post() {
        return Err(HttpReply::empty(405));
    }
    let form = request.form();
    match client_auth::authenticate(state, request, &form) {
        Ok(client) => Ok((client, form)),
        Err(refusal) => {
            state.counters.clients_refused += 1;
            Err(refused(state, request, &refusal))
        }
    }
}

/// The refusal of an unauthenticated request. Some servers differ here from their token endpoint.
fn refused(
    state: &SandboxState,
    request: &HttpRequest,
    refusal: &TokenEndpointRefusal,
) -> HttpReply {
    let dialect = state.habits().dialect;
    let reply = answers::refuse(dialect, refusal, &state.base);
    match (dialect, request.path.as_str()) {
        (Dialect::FastMcp, "/revoke") => {
            let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            body["error"] = "unauthorized_client".into();
            HttpReply::json(401, &body)
        }
        (Dialect::OidcProvider, "/revoke") => reply.without("cache-control"),
        (Dialect::Django, "/introspect") => HttpReply::html(403, String::new()),
        _ => reply,
    }
}

pub(crate) fn revoke(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let (client, form) = match shown(state, request) {
        Ok(shown) => shown,
        Err(reply) => return reply,
    };
    let text = form.get("token").unwrap_or_default();
    if state.habits().dialect == Dialect::FastMcp && !form.has("client_secret") {
        let what = "client_secret: Field required";
        let body = json!({"error": "invalid_request", "error_description": what});
        return HttpReply::json(400, &body);
    }
    let refresh = state.store.refresh.get(text).map(|token| token.grant);
    let access = state.store.access.get(text).map(|token| token.grant);
    let grant = refresh.or(access);
    let owner = grant.and_then(|grant| state.store.grants.get(&grant));
    if let Some(grant) = grant.filter(|_| owner.is_some_and(|owner| owner.client == client)) {
        end(state, text, grant, refresh.is_some());
    }
    // An unknown token counts as revoked (RFC 7009 §2.2).
    match state.habits().dialect {
        Dialect::OidcProvider => {
            HttpReply::empty(200).with("content-type", "text/plain; charset=utf-8")
        }
        Dialect::Django => HttpReply::empty(200).with("content-type", "text/html; charset=utf-8"),
        _ => answers::no_store(HttpReply::empty(200)),
    }
}

fn end(state: &mut SandboxState, text: &str, grant: u32, is_refresh: bool) {
    state.counters.revocations += 1;
    let label = if is_refresh {
        state.store.refresh_label(text)
    } else {
        state.store.access_label(text)
    };
    state.say(Mood::Plain, format!("the client revoked {label}"));
    if let Some(token) = state.store.access.get_mut(text) {
        token.revoked = true;
    }
    if is_refresh || state.habits().revoked_access_kills {
        state.kill(grant, "its client revoked it");
    }
}

pub(crate) fn introspect(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let form = match shown(state, request) {
        Ok((_, form)) => form,
        Err(reply) => return reply,
    };
    let text = form.get("token").unwrap_or_default();
    let body = active(state, text).unwrap_or_else(|| json!({"active": false}));
    let reply = HttpReply::json(200, &body);
    match state.habits().dialect {
        Dialect::OidcProvider => answers::oidc_headers(reply),
        Dialect::Django => reply,
        _ => answers::no_store(reply),
    }
}

/// A valid token, and its grant.
struct ActiveToken<'a> {
    grant: u32,
    scope: &'a [String],
    issued: SandboxTime,
    ends: Option<SandboxTime>,
    is_access: bool,
}

fn active(state: &SandboxState, text: &str) -> Option<Value> {
    let living = living_access(state, text).or_else(|| living_refresh(state, text))?;
    let grant = state.store.grants.get(&living.grant)?;
    // Where access tokens outlive their grant, only a refresh token ends with it.
    if grant.dead.is_some() && state.habits().access_dies_with_grant {
        return None;
    }
    let mut body = if state.habits().dialect == Dialect::Django {
        in_djangos_words(grant, &living)?
    } else {
        in_plain_words(state, grant, &living)
    };
    if let Some(ends) = living.ends {
        body["exp"] = state.clock.said(ends).into();
    }
    Some(body)
}

fn in_plain_words(state: &SandboxState, grant: &GrantEntry, living: &ActiveToken<'_>) -> Value {
    let mut body = json!({
        "active": true,
        "client_id": grant.client,
        "scope": living.scope.join(" "),
        "iat": state.clock.said(living.issued),
        "iss": state.base,
    });
    if let Some(user) = &grant.user {
        body["sub"] = user.as_str().into();
    }
    if living.is_access {
        body["token_type"] = "Bearer".into();
        if let Some(resource) = &grant.resource {
            body["aud"] = resource.as_str().into();
        }
    }
    body
}

/// This server introspects access tokens only.
fn in_djangos_words(grant: &GrantEntry, living: &ActiveToken<'_>) -> Option<Value> {
    let mut body = json!({
        "active": true,
        "client_id": grant.client,
        "scope": living.scope.join(" "),
    });
    if let Some(user) = &grant.user {
        body["username"] = user.as_str().into();
    }
    if let Some(resource) = &grant.resource {
        body["aud"] = json!([resource]);
    }
    living.is_access.then_some(body)
}

fn living_access<'a>(state: &'a SandboxState, text: &str) -> Option<ActiveToken<'a>> {
    let token = state.store.access.get(text)?;
    (!token.revoked && state.now() < token.ends).then_some(ActiveToken {
        grant: token.grant,
        scope: &token.scope,
        issued: token.issued,
        ends: Some(token.ends),
        is_access: true,
    })
}

fn living_refresh<'a>(state: &'a SandboxState, text: &str) -> Option<ActiveToken<'a>> {
    let token = state.store.refresh.get(text)?;
    let ends = state
        .rules
        .refresh_ttl
        .map(|limit| token.issued.plus(limit));
    let in_time = ends.is_none_or(|ends| state.now() < ends);
    (token.spent.is_none() && in_time).then_some(ActiveToken {
        grant: token.grant,
        scope: &token.scope,
        issued: token.issued,
        ends,
        is_access: false,
    })
}
