//! The script: each case starts from a sign-in of its own and asks what a client would ask.
//!
//! A case is told by what is done, not by what should come of it: servers differ.

use std::time::Duration;

use serde_json::json;

use super::key::random;
use super::play::{Play, Tokens};
use super::subject::{Access, Client, Feature, Knob, LIFETIMES, VERIFIER};
use crate::browser::visit;
use crate::wait::{pause, unix_now};

/// A named case.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What a server must offer for it.
    pub needs: Option<Feature>,
    /// The case itself.
    pub play: fn(&mut Play<'_>),
}

const fn case(name: &'static str, play: fn(&mut Play<'_>)) -> Case {
    let needs = None;
    Case { name, needs, play }
}

const fn with(needs: Feature, name: &'static str, play: fn(&mut Play<'_>)) -> Case {
    let needs = Some(needs);
    Case { name, needs, play }
}

/// All of them.
pub const ALL: &[Case] = &[
    case("metadata", metadata),
    case("code", code),
    case("code replayed", code_replayed),
    case("code with another verifier", wrong_verifier),
    case("code unknown", unknown_code),
    case("refresh", refresh),
    case("refresh token used twice", used_twice),
    case(
        "refresh token used again after its successor",
        used_after_successor,
    ),
    with(
        Feature::Grace,
        "refresh token used twice after the grace period",
        used_after_grace,
    ),
    case("refresh token unknown", unknown_refresh_token),
    case("refresh token revoked", revoked),
    with(
        Feature::Confidential,
        "refresh token revoked with a secret",
        revoked_by_confidential,
    ),
    case("access token revoked", access_token_revoked),
    case("access token expired", access_token_expired),
    case("refresh token expired", refresh_token_expired),
    case("access token unknown", garbage_access_token),
    case("client unknown", unknown_client),
    case("grant type missing", missing_grant_type),
    case("grant type unsupported", unsupported_grant_type),
    case("refresh token missing", missing_refresh_token),
    with(Feature::Confidential, "secret wrong", wrong_secret),
    with(
        Feature::Confidential,
        "refresh token of another client",
        another_clients_token,
    ),
    with(Feature::Scopes, "scope wrong", wrong_scope),
    with(Feature::Scopes, "scope narrowed", narrowed_scope),
    with(Feature::Indicators, "resource wrong", wrong_resource),
    with(Feature::Accounts, "account disabled", disabled),
    with(Feature::Introspection, "introspection", introspection),
    with(
        Feature::ClientCredentials,
        "client credentials",
        client_credentials,
    ),
    with(Feature::PrivateKeyJwt, "private key", private_key),
    with(Feature::Device, "device", device),
    with(Feature::Device, "device denied", device_denied),
    with(Feature::Device, "device expired", device_expired),
    with(Feature::PushedRequests, "pushed request", pushed_request),
];

/// Longer than the shortest lifetime below, with the servers' rounding.
const PAST_THE_END: Duration = Duration::from_millis(2_300);
const SHORT: u32 = 2;

fn metadata(play: &mut Play<'_>) {
    play.metadata();
}

fn code(play: &mut Play<'_>) {
    let code = play
        .subject
        .authorize(&play.subject.public, &play.subject.access);
    let tokens = play.redeem("exchange", &code);
    play.alive("access token", tokens.access());
}

fn code_replayed(play: &mut Play<'_>) {
    let code = play
        .subject
        .authorize(&play.subject.public, &play.subject.access);
    let tokens = play.redeem("exchange", &code);
    play.redeem("again", &code);
    play.alive("access token", tokens.access());
    play.refresh("refresh", tokens.refresh());
}

fn wrong_verifier(play: &mut Play<'_>) {
    let subject = play.subject;
    let code = subject.authorize(&subject.public, &subject.access);
    let answer = subject.redeem(&subject.public, &code, &"x".repeat(VERIFIER.len()));
    let _ = play.note("another verifier", answer);
    play.redeem("the right one", &code);
}

fn unknown_code(play: &mut Play<'_>) {
    play.redeem("exchange", "nobody-issued-this-code");
}

fn refresh(play: &mut Play<'_>) {
    let first = play.sign_in();
    let second = play.refresh("refresh", first.refresh());
    play.alive("old access token", first.access());
    play.alive("new access token", second.access());
    let third = play.refresh("next refresh", second.refresh());
    play.alive("newest access token", third.access());
}

fn used_twice(play: &mut Play<'_>) {
    let first = play.sign_in();
    let second = play.refresh("refresh", first.refresh());
    play.refresh("again", first.refresh());
    play.alive("access token after it", second.access());
    play.refresh("newest refresh token after it", second.refresh());
}

fn used_after_successor(play: &mut Play<'_>) {
    let first = play.sign_in();
    let second = play.refresh("refresh", first.refresh());
    let third = play.refresh("next refresh", second.refresh());
    play.refresh("the first again", first.refresh());
    play.alive("access token after it", third.access());
    play.refresh("newest refresh token after it", third.refresh());
}

fn used_after_grace(play: &mut Play<'_>) {
    let first = play.sign_in();
    let second = play.refresh("refresh", first.refresh());
    pause(play.subject.grace + Duration::from_millis(300));
    play.refresh("again", first.refresh());
    play.alive("access token after it", second.access());
    play.refresh("newest refresh token after it", second.refresh());
}

fn unknown_refresh_token(play: &mut Play<'_>) {
    play.refresh("refresh", "nobody-issued-this-token");
}

fn revoked(play: &mut Play<'_>) {
    let tokens = play.sign_in();
    let form = [
        ("token", tokens.refresh()),
        ("token_type_hint", "refresh_token"),
    ];
    let subject = play.subject;
    play.post("revoke", &subject.public, "revocation_endpoint", &form);
    play.post("once more", &subject.public, "revocation_endpoint", &form);
    play.alive("access token", tokens.access());
    play.refresh("refresh", tokens.refresh());
    let unknown = [("token", "nobody-issued-this-token")];
    play.post(
        "unknown token",
        &subject.public,
        "revocation_endpoint",
        &unknown,
    );
}

fn revoked_by_confidential(play: &mut Play<'_>) {
    let client = confidential(play);
    let tokens = play.sign_in_at(client, &play.subject.access);
    let form = [("token", tokens.refresh())];
    let wrong = client.with_wrong_secret();
    play.post("wrong secret", &wrong, "revocation_endpoint", &form);
    play.post("revoke", client, "revocation_endpoint", &form);
    play.alive("access token", tokens.access());
    play.refresh_as("refresh", client, tokens.refresh(), &[]);
}

fn access_token_revoked(play: &mut Play<'_>) {
    let tokens = play.sign_in();
    let form = [("token", tokens.access())];
    let subject = play.subject;
    play.post("revoke", &subject.public, "revocation_endpoint", &form);
    play.alive("access token", tokens.access());
    play.refresh("refresh", tokens.refresh());
}

fn access_token_expired(play: &mut Play<'_>) {
    let subject = play.subject;
    play.turn(Knob::Lifetimes(SHORT, 3600));
    let shown = play.sign_in_at(&subject.public, &subject.refusing);
    let unused = play.sign_in();
    play.turn(LIFETIMES);
    pause(PAST_THE_END);
    play.refresh("refresh before it was shown", unused.refresh());
    play.show("expired access token", shown.access());
    play.refresh("refresh after it was shown", shown.refresh());
}

/// One server counts its life from the end of the access token's, with today's setting.
fn refresh_token_expired(play: &mut Play<'_>) {
    play.turn(Knob::Lifetimes(1, 1));
    let unused = play.sign_in();
    pause(PAST_THE_END);
    play.refresh("refresh", unused.refresh());
    play.turn(LIFETIMES);
}

fn garbage_access_token(play: &mut Play<'_>) {
    play.show("access token", "nobody-issued-this-token");
}

fn unknown_client(play: &mut Play<'_>) {
    let tokens = play.sign_in();
    play.refresh_as(
        "refresh",
        &Client::public("nobody-registered-this"),
        tokens.refresh(),
        &[],
    );
    play.refresh("as the rightful client", tokens.refresh());
}

fn missing_grant_type(play: &mut Play<'_>) {
    let client = &play.subject.public;
    play.token("no grant type", client, &[("refresh_token", "any")]);
}

fn unsupported_grant_type(play: &mut Play<'_>) {
    let client = &play.subject.public;
    play.token(
        "a grant type nobody has",
        client,
        &[("grant_type", "urn:nobody:has-this")],
    );
}

fn missing_refresh_token(play: &mut Play<'_>) {
    let client = &play.subject.public;
    play.token("refresh", client, &[("grant_type", "refresh_token")]);
}

fn confidential<'a>(play: &Play<'a>) -> &'a Client {
    play.subject
        .confidential
        .as_ref()
        .expect("a client with a secret")
}

fn wrong_secret(play: &mut Play<'_>) {
    let client = confidential(play);
    let tokens = play.sign_in_at(client, &play.subject.access);
    play.refresh_as(
        "refresh",
        &client.with_wrong_secret(),
        tokens.refresh(),
        &[],
    );
    play.refresh_as(
        "without a secret",
        &Client::public(&client.id),
        tokens.refresh(),
        &[],
    );
    play.refresh_as("with the right one", client, tokens.refresh(), &[]);
}

fn another_clients_token(play: &mut Play<'_>) {
    let tokens = play.sign_in();
    play.refresh_as("refresh", confidential(play), tokens.refresh(), &[]);
    play.refresh("as the rightful client", tokens.refresh());
}

fn wrong_scope(play: &mut Play<'_>) {
    let tokens = play.sign_in();
    play.refresh_with("refresh", tokens.refresh(), &[("scope", "evil")]);
    let after = play.refresh("without the scope", tokens.refresh());
    let scope = play.subject.access.scope.clone();
    play.refresh_with(
        "with the granted scope",
        after.refresh(),
        &[("scope", &scope)],
    );
}

fn narrowed_scope(play: &mut Play<'_>) {
    let subject = play.subject;
    let [wide, narrow] = &subject.scopes;
    let access = Access {
        scope: wide.clone(),
        ..subject.refusing.clone()
    };
    let tokens = play.sign_in_at(&subject.public, &access);
    let tokens = play.refresh_with("with less", tokens.refresh(), &[("scope", narrow)]);
    let tokens = play.refresh("without a scope", tokens.refresh());
    play.refresh_with("with all of it", tokens.refresh(), &[("scope", wide)]);
}

fn wrong_resource(play: &mut Play<'_>) {
    let tokens = play.sign_in();
    let evil = [("resource", "http://evil.example/")];
    let after = play.refresh_with("refresh", tokens.refresh(), &evil);
    let newest = if after.is_refusal() { &tokens } else { &after };
    let right = play.subject.access.indicator.clone().unwrap_or_default();
    let after = play.refresh("without the resource", newest.refresh());
    play.refresh_with(
        "with the granted resource",
        after.refresh(),
        &[("resource", &right)],
    );
}

fn disabled(play: &mut Play<'_>) {
    let subject = play.subject;
    let tokens = play.sign_in_at(&subject.public, &subject.refusing);
    play.turn(Knob::Disabled(true));
    let after = play.refresh("refresh while disabled", tokens.refresh());
    let newest = if after.is_refusal() { &tokens } else { &after };
    play.show("access token while disabled", newest.access());
    play.turn(Knob::Disabled(false));
    play.show("access token when enabled again", newest.access());
    play.refresh("refresh when enabled again", newest.refresh());
}

fn introspection(play: &mut Play<'_>) {
    let client = confidential(play);
    let tokens = play.sign_in_at(client, &play.subject.access);
    let mut ask = |label: &str, client: &Client, token: &str| {
        play.post(label, client, "introspection_endpoint", &[("token", token)])
    };
    ask("access token", client, tokens.access());
    ask("refresh token", client, tokens.refresh());
    ask("unknown token", client, "nobody-issued-this-token");
    ask("wrong secret", &client.with_wrong_secret(), tokens.access());
    play.refresh_as("refresh", client, tokens.refresh(), &[]);
    play.post(
        "used refresh token",
        client,
        "introspection_endpoint",
        &[("token", tokens.refresh())],
    );
}

fn client_credentials(play: &mut Play<'_>) {
    let subject = play.subject;
    let client = subject
        .service
        .as_ref()
        .expect("a client of its own account");
    let scope = subject.access.scope.as_str();
    let mut form = vec![("grant_type", "client_credentials"), ("scope", scope)];
    form.extend(
        subject
            .access
            .indicator
            .as_deref()
            .map(|url| ("resource", url)),
    );
    let tokens = Tokens::of(&play.token("issue", client, &form));
    play.alive("access token", tokens.access());
    play.token("once more", client, &form);
    play.token("wrong secret", &client.with_wrong_secret(), &form);
    play.token("without a secret", &Client::public(&client.id), &form);
    play.token("a client that may not", &subject.public, &form);
    let evil = [("grant_type", "client_credentials"), ("scope", "evil")];
    play.token("another scope", client, &evil);
}

fn private_key(play: &mut Play<'_>) {
    let subject = play.subject;
    let (client, key) = subject.keyed.as_ref().expect("a client with a key");
    let now = unix_now();
    let claims = |audience: &str, end: i64| {
        json!({"iss": client.id, "sub": client.id, "aud": audience, "jti": random(),
            "iat": now - 120, "exp": end})
    };
    let good = key.assertion(&client.id, &subject.issuer);
    let mut ask = |label: &str, assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ];
        play.token(label, client, &form);
    };
    ask("issue", &good);
    ask("the same assertion again", &good);
    ask(
        "another audience",
        &key.assertion(&client.id, "http://evil.example/"),
    );
    ask(
        "an assertion that has ended",
        &key.sign(&claims(&subject.issuer, now - 60)),
    );
    let forged = super::SigningKey::generate().assertion(&client.id, &subject.issuer);
    ask("another key", &forged);
    ask(
        "a fresh assertion",
        &key.assertion(&client.id, &subject.issuer),
    );
}

pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn device_client<'a>(play: &Play<'a>) -> &'a Client {
    let client = play.subject.device.as_ref();
    client.expect("a client without a browser")
}

/// Starts the device flow; returns the device code and what to visit.
fn begin_device(play: &mut Play<'_>) -> (String, String) {
    let subject = play.subject;
    let client = device_client(play);
    let mut form = vec![("scope", subject.access.scope.as_str())];
    form.extend(
        subject
            .access
            .indicator
            .as_deref()
            .map(|url| ("resource", url)),
    );
    let answer = play.post("begin", client, "device_authorization_endpoint", &form);
    let field = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
    (field("device_code"), field("verification_uri_complete"))
}

fn poll(play: &mut Play<'_>, label: &str, code: &str) -> Tokens {
    let client = device_client(play);
    let form = [("grant_type", DEVICE_GRANT), ("device_code", code)];
    Tokens::of(&play.token(label, client, &form))
}

fn device(play: &mut Play<'_>) {
    let (code, address) = begin_device(play);
    poll(play, "before the person came", &code);
    poll(play, "at once again", &code);
    visit(&address, "approve");
    let tokens = poll(play, "after the person came", &code);
    play.alive("access token", tokens.access());
    let client = device_client(play);
    let after = play.refresh_as("refresh", client, tokens.refresh(), &[]);
    poll(play, "the code again", &code);
    play.refresh_as("refresh after it", client, after.refresh(), &[]);
    poll(play, "unknown code", "nobody-issued-this-code");
}

fn device_denied(play: &mut Play<'_>) {
    let (code, address) = begin_device(play);
    visit(&address, "deny");
    poll(play, "after the person refused", &code);
    poll(play, "once more", &code);
}

fn device_expired(play: &mut Play<'_>) {
    play.turn(Knob::DeviceLifetime(SHORT));
    let (code, _) = begin_device(play);
    play.turn(Knob::DeviceLifetime(60));
    pause(PAST_THE_END);
    poll(play, "after its end", &code);
}

fn pushed_request(play: &mut Play<'_>) {
    let (subject, client) = (play.subject, confidential(play));
    let _ = play.note("push", subject.push(client, &subject.access));
    let wrong = client.with_wrong_secret();
    let _ = play.note("wrong secret", subject.push(&wrong, &subject.access));
}
