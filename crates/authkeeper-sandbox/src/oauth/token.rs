//! The token endpoint.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    DEVICE_GRANT, client_auth, device, granted_scope,
    refresh::{self, PresentedToken, RefreshDecision, RefreshParams},
};
use crate::{
    answers::{self, TokenEndpointRefusal},
    events::Mood,
    profile::Dialect,
    state::SandboxState,
    store::{CodeEntry, GrantEntry, TokenResponseBody},
    wire::{Form, HttpReply, HttpRequest},
};

pub(crate) fn serve(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let dialect = state.habits().dialect;
    if !request.is_post() {
        return answers::wrong_method(dialect);
    }
    let form = request.form();
    match exchange(state, request, &form) {
        Ok(answer) => accepted(state, dialect, &answer),
        Err(refusal) => {
            refused(state, &form, &refusal);
            answers::refuse(dialect, &refusal, &state.base)
        }
    }
}

fn exchange(
    state: &mut SandboxState,
    request: &HttpRequest,
    form: &Form,
) -> Result<TokenResponseBody, TokenEndpointRefusal> {
    let client = client_auth::authenticate(state, request, form).inspect_err(|refusal| {
        burn_for_client(state, form, refusal);
    })?;
    let grant_type = form
        .get("grant_type")
        .ok_or(TokenEndpointRefusal::GrantTypeMissing)?;
    let known = [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        DEVICE_GRANT,
    ];
    if !known.contains(&grant_type) {
        return Err(TokenEndpointRefusal::GrantTypeUnknown(
            grant_type.to_owned(),
        ));
    }
    if !state.may_use(&client, grant_type) {
        return Err(TokenEndpointRefusal::GrantTypeForbidden);
    }
    match grant_type {
        "authorization_code" => by_code(state, &client, form),
        "refresh_token" => by_refresh(state, &client, form),
        "client_credentials" => by_client(state, &client, form),
        _ => device::poll(state, &client, form),
    }
}

/// Some servers spend the refresh token before they authenticate the client.
fn burn_for_client(state: &mut SandboxState, form: &Form, refusal: &TokenEndpointRefusal) {
    state.counters.clients_refused += u64::from(refusal.is_of_client());
    if !state.habits().burns_on_error {
        return;
    }
    let now = state.now();
    let token = form.get("refresh_token");
    if let Some(token) = token.and_then(|text| state.store.refresh.get_mut(text)) {
        token.spent.get_or_insert(now);
    }
}

/// Client credentials (RFC 6749 §4.4): for confidential clients only, and without a refresh token.
fn by_client(
    state: &mut SandboxState,
    client: &str,
    form: &Form,
) -> Result<TokenResponseBody, TokenEndpointRefusal> {
    let registered = state.store.clients.get(client);
    if registered.is_some_and(|client| client.auth == crate::settings::AuthMethod::None) {
        return Err(TokenEndpointRefusal::GrantTypeForbidden);
    }
    let resource = known_resource(state, form)?;
    let asked = form.words("scope");
    // oidc-provider drops unknown scopes, and grants only requested ones.
    let drops = state.habits().dialect == Dialect::OidcProvider;
    let scope = granted_scope(asked.clone().or_else(|| drops.then(Vec::new)));
    let unknown = asked
        .into_iter()
        .flatten()
        .find(|word| !scope.contains(word));
    if let Some(word) = unknown.filter(|_| !drops) {
        return Err(TokenEndpointRefusal::Scope(word));
    }
    state.counters.client_credentials += 1;
    let own =
        |grant: &GrantEntry| grant.user.is_none() && grant.client == client && grant.dead.is_none();
    let found = state.store.grants.iter().find(|(_, grant)| own(grant));
    let number = match found.map(|(number, _)| *number) {
        Some(number) => number,
        None => state.new_grant(None, client, resource.clone()),
    };
    let answer = state.issue(number, scope, resource, false);
    state.say(
        Mood::Good,
        format!(
            "client {} got {} for itself",
            state.client_name(client),
            state.store.access_label(&answer.access)
        ),
    );
    Ok(answer)
}

fn known_resource(
    state: &SandboxState,
    form: &Form,
) -> Result<Option<String>, TokenEndpointRefusal> {
    match form.get("resource") {
        Some(resource) if !state.knows_resource(resource) => {
            Err(TokenEndpointRefusal::Target(resource.to_owned()))
        }
        resource => Ok(resource.map(str::to_owned)),
    }
}

fn by_code(
    state: &mut SandboxState,
    client: &str,
    form: &Form,
) -> Result<TokenResponseBody, TokenEndpointRefusal> {
    let text = form
        .get("code")
        .ok_or(TokenEndpointRefusal::Missing("code"))?;
    let code = state
        .store
        .codes
        .get(text)
        .ok_or(TokenEndpointRefusal::UnknownCode)?
        .clone();
    check_code(state, client, form, &code)?;
    let number = state.new_grant(Some(code.user.clone()), client, code.resource.clone());
    if let Some(code) = state.store.codes.get_mut(text) {
        code.grant = Some(number);
    }
    state.counters.sign_ins += 1;
    let with_refresh = state.may_refresh(client);
    let answer = state.issue(number, code.scope, code.resource, with_refresh);
    state.say(
        Mood::Good,
        format!(
            "sign-in: {} for client {} is grant {number}",
            code.user,
            state.client_name(client)
        ),
    );
    Ok(answer)
}

fn check_code(
    state: &mut SandboxState,
    client: &str,
    form: &Form,
    code: &CodeEntry,
) -> Result<(), TokenEndpointRefusal> {
    if code.client != client || code.ends <= state.now() {
        return Err(TokenEndpointRefusal::UnknownCode);
    }
    if let Some(grant) = code.grant {
        if state.habits().code_replay_kills {
            state.kill(grant, "its authorization code was used twice");
        }
        return Err(TokenEndpointRefusal::UnknownCode);
    }
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(TokenEndpointRefusal::WrongRedirect);
    }
    let verifier = form
        .get("code_verifier")
        .ok_or(TokenEndpointRefusal::Missing("code_verifier"))?;
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
        return Err(TokenEndpointRefusal::WrongVerifier);
    }
    if let (Some(wanted), Some(bound)) = (form.get("resource"), &code.resource)
        && wanted != bound
    {
        return Err(TokenEndpointRefusal::Target(wanted.to_owned()));
    }
    Ok(())
}

fn by_refresh(
    state: &mut SandboxState,
    client: &str,
    form: &Form,
) -> Result<TokenResponseBody, TokenEndpointRefusal> {
    let text = form
        .get("refresh_token")
        .ok_or(TokenEndpointRefusal::Missing("refresh_token"))?;
    let resource = form.get("resource");
    let wish = RefreshParams {
        client,
        token: text,
        scope: form.words("scope"),
        resource,
        resource_known: resource.is_some_and(|resource| state.knows_resource(resource)),
        now: state.now(),
    };
    present(state, text);
    let verdict = judged(state, &wish).ok_or(TokenEndpointRefusal::UnknownToken)?;
    let label = state.store.refresh_label(text);
    carry_out(state, &wish, verdict).inspect(|_| {
        state.counters.refreshes_accepted += 1;
        state.say(Mood::Good, format!("refresh: {label} accepted"));
    })
}

/// Counts a refresh token that is presented.
fn present(state: &mut SandboxState, text: &str) {
    let Some(token) = state.store.refresh.get_mut(text) else {
        return;
    };
    token.presented += 1;
    let most = &mut state.counters.most_sends_of_one_refresh_token;
    *most = (*most).max(u64::from(token.presented));
    state.counters.refreshes_replayed += u64::from(token.spent.is_some());
}

fn judged(state: &SandboxState, wish: &RefreshParams<'_>) -> Option<RefreshDecision> {
    let store = &state.store;
    let token = store.refresh.get(wish.token)?;
    let grant = store.grants.get(&token.grant)?;
    let current = grant
        .current
        .as_ref()
        .and_then(|text| store.refresh.get(text));
    let known = PresentedToken {
        token,
        grant,
        owner: store.owner(grant),
        current,
    };
    Some(refresh::judge(known, wish, &state.rules))
}

fn carry_out(
    state: &mut SandboxState,
    wish: &RefreshParams<'_>,
    verdict: RefreshDecision,
) -> Result<TokenResponseBody, TokenEndpointRefusal> {
    let grant = state
        .store
        .refresh
        .get(wish.token)
        .map_or(0, |token| token.grant);
    match verdict {
        RefreshDecision::Issue { rotate } => Ok(renew(state, wish, grant, rotate)),
        RefreshDecision::Again(answer) => {
            state.counters.same_answers += 1;
            Ok(*answer)
        }
        RefreshDecision::Refuse(refusal) => Err(refusal),
        RefreshDecision::RefuseAndSpend(refusal) => {
            if let Some(token) = state.store.refresh.get_mut(wish.token) {
                token.spent.get_or_insert(wish.now);
            }
            Err(refusal)
        }
        RefreshDecision::RefuseAndKill(refusal, reason) => {
            state.kill(grant, reason);
            Err(refusal)
        }
    }
}

fn renew(
    state: &mut SandboxState,
    wish: &RefreshParams<'_>,
    grant: u32,
    rotate: bool,
) -> TokenResponseBody {
    let habits = state.habits();
    let held = state
        .store
        .refresh
        .get(wish.token)
        .map(|token| token.scope.clone());
    let held = held.unwrap_or_default();
    let scope = wish.scope.clone().unwrap_or_else(|| held.clone());
    let bound = state.store.grants.get_mut(&grant).and_then(|grant| {
        let wanted = wish.resource.filter(|_| wish.resource_known);
        if habits.foreign_resource == crate::profile::ForeignResource::RefusedIfBound {
            grant.resource = grant.resource.take().or(wanted.map(str::to_owned));
        }
        grant.resource.clone()
    });
    if habits.rotation_ends_access {
        state.store.revoke_access(grant);
    }
    let answer = state.issue(grant, scope, bound, rotate);
    if !habits.narrowing_stays {
        let new = answer.refresh.as_ref();
        if let Some(token) = new.and_then(|text| state.store.refresh.get_mut(text)) {
            token.scope = held;
        }
    }
    settle(state, wish, &answer, rotate);
    answer
}

/// Marks the presented refresh token as spent, or as used once more.
fn settle(
    state: &mut SandboxState,
    wish: &RefreshParams<'_>,
    answer: &TokenResponseBody,
    rotate: bool,
) {
    let Some(token) = state.store.refresh.get_mut(wish.token) else {
        return;
    };
    token.used = wish.now;
    if rotate {
        token.spent.get_or_insert(wish.now);
        token.answer = Some(answer.clone());
    }
    // Of two generations the presented one stays valid; an earlier successor of it is spent.
    let grant = token.grant;
    if let Some(grant) = state.store.grants.get_mut(&grant)
        && rotate
    {
        grant.previous = Some(wish.token.to_owned());
    }
}

fn refused(state: &mut SandboxState, form: &Form, refusal: &TokenEndpointRefusal) {
    let grant_type = form.get("grant_type").unwrap_or("no grant type");
    if grant_type == "refresh_token" {
        state.counters.refreshes_refused += 1;
    }
    let mood = match refusal {
        TokenEndpointRefusal::Pending | TokenEndpointRefusal::SlowDown => Mood::Plain,
        _ => Mood::Warn,
    };
    let what = match form.get("refresh_token") {
        Some(text) => format!("refresh: {}", state.store.refresh_label(text)),
        None => format!("token request ({grant_type})"),
    };
    state.say(mood, format!("{what} refused: {}", refusal.plain()));
}

fn accepted(state: &SandboxState, dialect: Dialect, answer: &TokenResponseBody) -> HttpReply {
    let body = body(state, dialect, answer);
    let reply = HttpReply::json(200, &body);
    match dialect {
        Dialect::OidcProvider => answers::oidc_headers(reply),
        _ => answers::no_store(reply),
    }
}

fn body(state: &SandboxState, dialect: Dialect, answer: &TokenResponseBody) -> Value {
    let token_type = match dialect {
        Dialect::Cloudflare | Dialect::Glewlwyd => "bearer",
        _ => "Bearer",
    };
    let ends = state
        .store
        .access
        .get(&answer.access)
        .map(|token| token.ends);
    let issued = state
        .store
        .access
        .get(&answer.access)
        .map(|token| token.issued);
    let ttl = ends
        .zip(issued)
        .map_or(state.rules.ttl, |(ends, issued)| ends.since(issued));
    let mut body = json!({
        "access_token": answer.access,
        "token_type": token_type,
        "expires_in": ttl.as_secs(),
    });
    if !answer.scope.is_empty() {
        body["scope"] = answer.scope.join(" ").into();
    }
    if let Some(refresh) = &answer.refresh {
        body["refresh_token"] = refresh.as_str().into();
        let limit = state.rules.refresh_ttl;
        if let (Some(field), Some(limit)) = (&state.rules.refresh_lifetime_field, limit) {
            body[field.as_str()] = limit.as_secs().into();
        }
    }
    if let (Dialect::Cloudflare, Some(resource)) = (dialect, &answer.resource) {
        body["resource"] = resource.as_str().into();
    }
    body
}
