//! Client authentication: `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`.

use super::assertion;
use crate::{
    answers::TokenEndpointRefusal,
    profile::Dialect,
    settings::AuthMethod,
    state::SandboxState,
    store::ClientEntry,
    wire::{Form, HttpRequest},
};

/// RFC 7523 §2.2.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client credentials in a request.
enum PresentedCredentials {
    Secret { value: String, method: AuthMethod },
    Assertion(String),
    Nothing,
}

/// Authenticates the client of a request and returns its id.
pub(crate) fn authenticate(
    state: &mut SandboxState,
    request: &HttpRequest,
    form: &Form,
) -> Result<String, TokenEndpointRefusal> {
    let (client_id, shown) = shown(request, form)?;
    // This server reads `client_id` from the form, even with an `Authorization` header.
    if state.habits().dialect == Dialect::FastMcp && form.get("client_id").is_none() {
        return Err(TokenEndpointRefusal::NoClient);
    }
    let client = state.store.clients.get(&client_id);
    let client = client.ok_or(TokenEndpointRefusal::UnknownClient)?.clone();
    match shown {
        PresentedCredentials::Secret { value, method } => secret(state, &client, &value, method)?,
        PresentedCredentials::Assertion(jwt) => assertion::check(state, &client_id, &client, &jwt)?,
        PresentedCredentials::Nothing if client.auth == AuthMethod::None => {}
        PresentedCredentials::Nothing if client.auth == AuthMethod::PrivateKeyJwt => {
            return Err(TokenEndpointRefusal::WrongAssertion);
        }
        PresentedCredentials::Nothing => return Err(TokenEndpointRefusal::NoSecret),
    }
    Ok(client_id)
}

fn shown(
    request: &HttpRequest,
    form: &Form,
) -> Result<(String, PresentedCredentials), TokenEndpointRefusal> {
    if let Some((client_id, value)) = request.basic() {
        let method = AuthMethod::Basic;
        return Ok((client_id, PresentedCredentials::Secret { value, method }));
    }
    if let Some(jwt) = form.get("client_assertion") {
        if form.get("client_assertion_type") != Some(JWT_BEARER) {
            return Err(TokenEndpointRefusal::WrongAssertion);
        }
        let issuer = assertion::issuer(jwt).ok_or(TokenEndpointRefusal::WrongAssertion)?;
        return Ok((issuer, PresentedCredentials::Assertion(jwt.to_owned())));
    }
    let client_id = form
        .get("client_id")
        .ok_or(TokenEndpointRefusal::NoClient)?
        .to_owned();
    let shown = match form.get("client_secret") {
        Some(value) => PresentedCredentials::Secret {
            value: value.to_owned(),
            method: AuthMethod::Post,
        },
        None => PresentedCredentials::Nothing,
    };
    Ok((client_id, shown))
}

fn secret(
    state: &SandboxState,
    client: &ClientEntry,
    value: &str,
    method: AuthMethod,
) -> Result<(), TokenEndpointRefusal> {
    let now = state.now();
    let fits = state.habits().any_secret_method || client.auth == method;
    let known = client
        .secrets
        .iter()
        .any(|secret| secret.value == value && secret.until.is_none_or(|until| now < until));
    if fits && known {
        return Ok(());
    }
    Err(TokenEndpointRefusal::WrongSecret {
        basic: method == AuthMethod::Basic,
    })
}
