//! Who the client is: `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`.

use super::assertion;
use crate::{
    answers::Refusal,
    profile::Dialect,
    settings::AuthMethod,
    state::SandboxState,
    store::Client,
    wire::{Form, Request},
};

/// RFC 7523 §2.2.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client presents itself in a request.
enum Shown {
    Secret { value: String, method: AuthMethod },
    Assertion(String),
    Nothing,
}

/// The client that makes this request, proven.
pub(crate) fn authenticate(
    state: &mut SandboxState,
    request: &Request,
    form: &Form,
) -> Result<String, Refusal> {
    let (client_id, shown) = shown(request, form)?;
    // This server looks for the client in the form, whatever the header says.
    if state.habits().dialect == Dialect::FastMcp && form.get("client_id").is_none() {
        return Err(Refusal::NoClient);
    }
    let client = state.store.clients.get(&client_id);
    let client = client.ok_or(Refusal::UnknownClient)?.clone();
    match shown {
        Shown::Secret { value, method } => secret(state, &client, &value, method)?,
        Shown::Assertion(jwt) => assertion::check(state, &client_id, &client, &jwt)?,
        Shown::Nothing if client.auth == AuthMethod::None => {}
        Shown::Nothing if client.auth == AuthMethod::PrivateKeyJwt => {
            return Err(Refusal::WrongAssertion);
        }
        Shown::Nothing => return Err(Refusal::NoSecret),
    }
    Ok(client_id)
}

fn shown(request: &Request, form: &Form) -> Result<(String, Shown), Refusal> {
    if let Some((client_id, value)) = request.basic() {
        let method = AuthMethod::Basic;
        return Ok((client_id, Shown::Secret { value, method }));
    }
    if let Some(jwt) = form.get("client_assertion") {
        if form.get("client_assertion_type") != Some(JWT_BEARER) {
            return Err(Refusal::WrongAssertion);
        }
        let issuer = assertion::issuer(jwt).ok_or(Refusal::WrongAssertion)?;
        return Ok((issuer, Shown::Assertion(jwt.to_owned())));
    }
    let client_id = form.get("client_id").ok_or(Refusal::NoClient)?.to_owned();
    let shown = match form.get("client_secret") {
        Some(value) => Shown::Secret {
            value: value.to_owned(),
            method: AuthMethod::Post,
        },
        None => Shown::Nothing,
    };
    Ok((client_id, shown))
}

fn secret(
    state: &SandboxState,
    client: &Client,
    value: &str,
    method: AuthMethod,
) -> Result<(), Refusal> {
    let now = state.now();
    let fits = state.habits().any_secret_method || client.auth == method;
    let known = client
        .secrets
        .iter()
        .any(|secret| secret.value == value && secret.until.is_none_or(|until| now < until));
    if fits && known {
        return Ok(());
    }
    Err(Refusal::WrongSecret {
        basic: method == AuthMethod::Basic,
    })
}
