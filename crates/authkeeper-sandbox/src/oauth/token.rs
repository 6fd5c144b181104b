//! The token endpoint.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    DEVICE_GRANT, client_auth, device, granted_scope,
    refresh::{self, Known, Verdict, Wish},
};
use crate::{
    answers::{self, Refusal},
    clock::Stamp,
    profile::{Dialect, Replay},
    random,
    store::{AccessToken, Answer, Code, Grant, RefreshToken},
    tally::Mood,
    wire::{Form, Reply, Request},
    world::World,
};

pub(crate) fn serve(world: &mut World, request: &Request) -> Reply {
    let dialect = world.habits().dialect;
    if !request.is_post() {
        return answers::wrong_method(dialect);
    }
    let form = request.form();
    match exchange(world, request, &form) {
        Ok(answer) => accepted(world, dialect, &answer),
        Err(refusal) => {
            refused(world, &form, &refusal);
            answers::refuse(dialect, &refusal, &world.base)
        }
    }
}

fn exchange(world: &mut World, request: &Request, form: &Form) -> Result<Answer, Refusal> {
    let client = client_auth::authenticate(world, request, form).inspect_err(|refusal| {
        burn_for_client(world, form, refusal);
    })?;
    let grant_type = form.get("grant_type").ok_or(Refusal::GrantTypeMissing)?;
    let known = [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        DEVICE_GRANT,
    ];
    if !known.contains(&grant_type) {
        return Err(Refusal::GrantTypeUnknown(grant_type.to_owned()));
    }
    if !world.may_use(&client, grant_type) {
        return Err(Refusal::GrantTypeForbidden);
    }
    match grant_type {
        "authorization_code" => by_code(world, &client, form),
        "refresh_token" => by_refresh(world, &client, form),
        "client_credentials" => by_client(world, &client, form),
        _ => device::poll(world, &client, form),
    }
}

/// Some servers spend the refresh token before they look at the client.
fn burn_for_client(world: &mut World, form: &Form, refusal: &Refusal) {
    world.tally.clients_refused += u64::from(refusal.is_of_client());
    if !world.habits().burns_on_error {
        return;
    }
    let now = world.now();
    let token = form.get("refresh_token");
    if let Some(token) = token.and_then(|text| world.store.refresh.get_mut(text)) {
        token.spent.get_or_insert(now);
    }
}

/// Client credentials (RFC 6749 §4.4): for confidential clients only, and without a refresh token.
fn by_client(world: &mut World, client: &str, form: &Form) -> Result<Answer, Refusal> {
    let registered = world.store.clients.get(client);
    if registered.is_some_and(|client| client.auth == crate::settings::AuthMethod::None) {
        return Err(Refusal::GrantTypeForbidden);
    }
    let resource = known_resource(world, form)?;
    let asked = form.words("scope");
    // oidc-provider drops what it does not know, and grants nothing that was not asked for.
    let drops = world.habits().dialect == Dialect::OidcProvider;
    let scope = granted_scope(asked.clone().or_else(|| drops.then(Vec::new)));
    let unknown = asked
        .into_iter()
        .flatten()
        .find(|word| !scope.contains(word));
    if let Some(word) = unknown.filter(|_| !drops) {
        return Err(Refusal::Scope(word));
    }
    world.tally.client_credentials += 1;
    let own =
        |grant: &Grant| grant.user.is_none() && grant.client == client && grant.dead.is_none();
    let found = world.store.grants.iter().find(|(_, grant)| own(grant));
    let number = match found.map(|(number, _)| *number) {
        Some(number) => number,
        None => world.new_grant(None, client, resource.clone()),
    };
    let answer = world.issue(number, scope, resource, false);
    world.say(
        Mood::Good,
        format!(
            "client {} got {} for itself",
            world.client_name(client),
            world.store.access_label(&answer.access)
        ),
    );
    Ok(answer)
}

fn known_resource(world: &World, form: &Form) -> Result<Option<String>, Refusal> {
    match form.get("resource") {
        Some(resource) if !world.knows_resource(resource) => {
            Err(Refusal::Target(resource.to_owned()))
        }
        resource => Ok(resource.map(str::to_owned)),
    }
}

fn by_code(world: &mut World, client: &str, form: &Form) -> Result<Answer, Refusal> {
    let text = form.get("code").ok_or(Refusal::Missing("code"))?;
    let code = world
        .store
        .codes
        .get(text)
        .ok_or(Refusal::UnknownCode)?
        .clone();
    check_code(world, client, form, &code)?;
    let number = world.new_grant(Some(code.user.clone()), client, code.resource.clone());
    if let Some(code) = world.store.codes.get_mut(text) {
        code.grant = Some(number);
    }
    world.tally.sign_ins += 1;
    let with_refresh = world.may_refresh(client);
    let answer = world.issue(number, code.scope, code.resource, with_refresh);
    world.say(
        Mood::Good,
        format!(
            "sign-in: {} for client {} is grant {number}",
            code.user,
            world.client_name(client)
        ),
    );
    Ok(answer)
}

fn check_code(world: &mut World, client: &str, form: &Form, code: &Code) -> Result<(), Refusal> {
    if code.client != client || code.ends <= world.now() {
        return Err(Refusal::UnknownCode);
    }
    if let Some(grant) = code.grant {
        if world.habits().code_replay_kills {
            world.kill(grant, "its authorization code was used twice");
        }
        return Err(Refusal::UnknownCode);
    }
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(Refusal::WrongRedirect);
    }
    let verifier = form
        .get("code_verifier")
        .ok_or(Refusal::Missing("code_verifier"))?;
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
        return Err(Refusal::WrongVerifier);
    }
    if let (Some(wanted), Some(bound)) = (form.get("resource"), &code.resource)
        && wanted != bound
    {
        return Err(Refusal::Target(wanted.to_owned()));
    }
    Ok(())
}

fn by_refresh(world: &mut World, client: &str, form: &Form) -> Result<Answer, Refusal> {
    let text = form
        .get("refresh_token")
        .ok_or(Refusal::Missing("refresh_token"))?;
    let resource = form.get("resource");
    let wish = Wish {
        client,
        token: text,
        scope: form.words("scope"),
        resource,
        resource_known: resource.is_some_and(|resource| world.knows_resource(resource)),
        now: world.now(),
    };
    present(world, text);
    let verdict = judged(world, &wish).ok_or(Refusal::UnknownToken)?;
    let label = world.store.refresh_label(text);
    carry_out(world, &wish, verdict).inspect(|_| {
        world.tally.refreshes_accepted += 1;
        world.say(Mood::Good, format!("refresh: {label} accepted"));
    })
}

/// Counts a refresh token that is shown.
fn present(world: &mut World, text: &str) {
    let Some(token) = world.store.refresh.get_mut(text) else {
        return;
    };
    token.presented += 1;
    let most = &mut world.tally.most_sends_of_one_refresh_token;
    *most = (*most).max(u64::from(token.presented));
    world.tally.refreshes_replayed += u64::from(token.spent.is_some());
}

fn judged(world: &World, wish: &Wish<'_>) -> Option<Verdict> {
    let store = &world.store;
    let token = store.refresh.get(wish.token)?;
    let grant = store.grants.get(&token.grant)?;
    let current = grant
        .current
        .as_ref()
        .and_then(|text| store.refresh.get(text));
    let known = Known {
        token,
        grant,
        owner: store.owner(grant),
        current,
    };
    Some(refresh::judge(known, wish, &world.rules))
}

fn carry_out(world: &mut World, wish: &Wish<'_>, verdict: Verdict) -> Result<Answer, Refusal> {
    let grant = world
        .store
        .refresh
        .get(wish.token)
        .map_or(0, |token| token.grant);
    match verdict {
        Verdict::Issue { rotate } => Ok(renew(world, wish, grant, rotate)),
        Verdict::Again(answer) => {
            world.tally.same_answers += 1;
            Ok(*answer)
        }
        Verdict::Refuse(refusal) => Err(refusal),
        Verdict::RefuseAndSpend(refusal) => {
            if let Some(token) = world.store.refresh.get_mut(wish.token) {
                token.spent.get_or_insert(wish.now);
            }
            Err(refusal)
        }
        Verdict::RefuseAndKill(refusal, reason) => {
            world.kill(grant, reason);
            Err(refusal)
        }
    }
}

fn renew(world: &mut World, wish: &Wish<'_>, grant: u32, rotate: bool) -> Answer {
    let habits = world.habits();
    let held = world
        .store
        .refresh
        .get(wish.token)
        .map(|token| token.scope.clone());
    let held = held.unwrap_or_default();
    let scope = wish.scope.clone().unwrap_or_else(|| held.clone());
    let bound = world.store.grants.get_mut(&grant).and_then(|grant| {
        let wanted = wish.resource.filter(|_| wish.resource_known);
        if habits.foreign_resource == crate::profile::ForeignResource::RefusedIfBound {
            grant.resource = grant.resource.take().or(wanted.map(str::to_owned));
        }
        grant.resource.clone()
    });
    if habits.rotation_ends_access {
        world.store.revoke_access(grant);
    }
    let answer = world.issue(grant, scope, bound, rotate);
    if !habits.narrowing_stays {
        let new = answer.refresh.as_ref();
        if let Some(token) = new.and_then(|text| world.store.refresh.get_mut(text)) {
            token.scope = held;
        }
    }
    settle(world, wish, &answer, rotate);
    answer
}

/// The refresh token that was shown is spent, or used once more.
fn settle(world: &mut World, wish: &Wish<'_>, answer: &Answer, rotate: bool) {
    let Some(token) = world.store.refresh.get_mut(wish.token) else {
        return;
    };
    token.used = wish.now;
    if rotate {
        token.spent.get_or_insert(wish.now);
        token.answer = Some(answer.clone());
    }
    // Of two generations the one that was shown stays good; another successor it had is dead.
    let grant = token.grant;
    if let Some(grant) = world.store.grants.get_mut(&grant)
        && rotate
    {
        grant.previous = Some(wish.token.to_owned());
    }
}

fn refused(world: &mut World, form: &Form, refusal: &Refusal) {
    let grant_type = form.get("grant_type").unwrap_or("no grant type");
    if grant_type == "refresh_token" {
        world.tally.refreshes_refused += 1;
    }
    let mood = match refusal {
        Refusal::Pending | Refusal::SlowDown => Mood::Plain,
        _ => Mood::Warn,
    };
    let what = match form.get("refresh_token") {
        Some(text) => format!("refresh: {}", world.store.refresh_label(text)),
        None => format!("token request ({grant_type})"),
    };
    world.say(mood, format!("{what} refused: {}", refusal.plain()));
}

fn accepted(world: &World, dialect: Dialect, answer: &Answer) -> Reply {
    let body = body(world, dialect, answer);
    let reply = Reply::json(200, &body);
    match dialect {
        Dialect::OidcProvider => answers::oidc_headers(reply),
        _ => answers::no_store(reply),
    }
}

fn body(world: &World, dialect: Dialect, answer: &Answer) -> Value {
    let token_type = match dialect {
        Dialect::Cloudflare | Dialect::Glewlwyd => "bearer",
        _ => "Bearer",
    };
    let ends = world
        .store
        .access
        .get(&answer.access)
        .map(|token| token.ends);
    let issued = world
        .store
        .access
        .get(&answer.access)
        .map(|token| token.issued);
    let ttl = ends
        .zip(issued)
        .map_or(world.rules.ttl, |(ends, issued)| ends.since(issued));
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
        let limit = world.rules.refresh_ttl;
        if let (Some(field), Some(limit)) = (&world.rules.refresh_lifetime_field, limit) {
            body[field.as_str()] = limit.as_secs().into();
        }
    }
    if let (Dialect::Cloudflare, Some(resource)) = (dialect, &answer.resource) {
        body["resource"] = resource.as_str().into();
    }
    body
}

impl World {
    pub(crate) fn may_refresh(&self, client: &str) -> bool {
        self.may_use(client, "refresh_token")
    }

    /// In a built-in scenario, which is about refreshing, every client may refresh.
    fn may_use(&self, client: &str, grant_type: &str) -> bool {
        let known = self.store.clients.get(client);
        let staged = self.stage.is_some() && grant_type == "refresh_token";
        known.is_some_and(|client| staged || client.may(grant_type))
    }

    pub(crate) fn new_grant(
        &mut self,
        user: Option<String>,
        client: &str,
        resource: Option<String>,
    ) -> u32 {
        let number = self
            .store
            .grants
            .keys()
            .next_back()
            .map_or(1, |last| last + 1);
        let grant = Grant {
            user,
            client: client.to_owned(),
            resource,
            since: self.now(),
            generation: 0,
            access_count: 0,
            dead: None,
            current: None,
            previous: None,
        };
        self.store.grants.insert(number, grant);
        number
    }

    /// Issues an access token, and a refresh token beside it if asked to.
    pub(crate) fn issue(
        &mut self,
        grant: u32,
        scope: Vec<String>,
        resource: Option<String>,
        with_refresh: bool,
    ) -> Answer {
        let now = self.now();
        let ends = now.plus(self.rules.ttl);
        let answer = Answer {
            access: random::secret(),
            refresh: with_refresh.then(random::secret),
            scope: scope.clone(),
            resource: resource.clone(),
        };
        let Some(found) = self.store.grants.get_mut(&grant) else {
            return answer;
        };
        found.generation += 1;
        found.access_count += 1;
        let access = AccessToken {
            grant,
            number: found.access_count,
            generation: found.generation,
            scope: scope.clone(),
            audience: resource,
            issued: now,
            ends,
            revoked: false,
            used: false,
        };
        self.tally.access_tokens_issued += 1;
        self.store.access.insert(answer.access.clone(), access);
        if let Some(text) = &answer.refresh {
            self.keep_refresh(grant, text.clone(), scope, (now, ends));
        }
        answer
    }

    fn keep_refresh(
        &mut self,
        number: u32,
        text: String,
        scope: Vec<String>,
        (now, access_ends): (Stamp, Stamp),
    ) {
        let two = self.habits().replay == Replay::NewPairUntilSuccessorUsed;
        let Some(grant) = self.store.grants.get_mut(&number) else {
            return;
        };
        let token = RefreshToken {
            grant: number,
            generation: grant.generation,
            scope,
            issued: now,
            used: now,
            access_ends,
            presented: 0,
            spent: None,
            answer: None,
        };
        let before = grant.current.replace(text.clone());
        // With two generations, a successor that was never used gives way to the newest.
        let given_way = before.and_then(|before| self.store.refresh.get_mut(&before));
        if let Some(before) = given_way.filter(|_| two) {
            before.spent.get_or_insert(now);
        }
        self.store.refresh.insert(text, token);
    }
}
