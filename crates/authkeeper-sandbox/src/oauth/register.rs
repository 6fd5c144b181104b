//! Dynamic client registration (RFC 7591).

use serde_json::{Value, json};

use crate::{
    answers::no_store,
    events::Mood,
    profile::Dialect,
    random,
    settings::AuthMethod,
    state::SandboxState,
    store::{ClientEntry, SecretEntry},
    wire::{HttpReply, HttpRequest},
};

pub(crate) fn serve(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    if !request.is_post() {
        return HttpReply::empty(405);
    }
    match registered(state, request) {
        Ok(body) => {
            let status = if state.habits().dialect == Dialect::Glewlwyd {
                200
            } else {
                201
            };
            no_store(HttpReply::json(status, &body))
        }
        Err((error, what)) => {
            let body = json!({"error": error, "error_description": what});
            no_store(HttpReply::json(400, &body))
        }
    }
}

type RegistrationRefusal = (&'static str, &'static str);

fn registered(
    state: &mut SandboxState,
    request: &HttpRequest,
) -> Result<Value, RegistrationRefusal> {
    const WRONG: &str = "invalid_client_metadata";
    let metadata = request.json().filter(Value::is_object);
    let mut metadata = metadata.ok_or((WRONG, "the body is not a JSON object"))?;
    let redirects = texts(&metadata["redirect_uris"]).unwrap_or_default();
    let grant_types = texts(&metadata["grant_types"]).unwrap_or_else(|| usual_grants(state));
    let by_code = grant_types.iter().any(|name| name == "authorization_code");
    if by_code && redirects.is_empty() {
        return Err((
            "invalid_redirect_uri",
            "redirect_uris is mandatory property",
        ));
    }
    let usual = if state.habits().dialect == Dialect::FastMcp {
        AuthMethod::Post
    } else {
        AuthMethod::Basic
    };
    let auth = match metadata["token_endpoint_auth_method"].as_str() {
        Some(name) => {
            AuthMethod::parse(name).ok_or((WRONG, "unknown token_endpoint_auth_method"))?
        }
        None => usual,
    };
    let jwks = metadata.get("jwks").cloned();
    if auth == AuthMethod::PrivateKeyJwt && jwks.is_none() {
        return Err((WRONG, "jwks is mandatory property for private_key_jwt"));
    }
    let client_id = random::secret();
    metadata["client_id"] = client_id.as_str().into();
    metadata["client_id_issued_at"] = state.clock.said(state.now()).into();
    metadata["token_endpoint_auth_method"] = auth.as_str().into();
    metadata["grant_types"] = json!(grant_types);
    let mut secrets = Vec::new();
    if matches!(auth, AuthMethod::Basic | AuthMethod::Post) {
        let value = random::secret();
        metadata["client_secret"] = value.as_str().into();
        metadata["client_secret_expires_at"] = 0.into();
        secrets.push(SecretEntry { value, until: None });
    }
    let name = metadata["client_name"].as_str().map(str::to_owned);
    let said = name.clone().unwrap_or_else(|| "without a name".to_owned());
    let client = ClientEntry {
        name,
        auth,
        secrets,
        jwks,
        redirect_uris: Some(redirects),
        grant_types: Some(grant_types),
    };
    state.store.clients.insert(client_id, client);
    state.say(Mood::Plain, format!("client registered: {said}"));
    Ok(metadata)
}

/// The default of RFC 7591 §2 is `authorization_code` alone; only the strict profile follows it.
fn usual_grants(state: &SandboxState) -> Vec<String> {
    let mut usual = vec!["authorization_code".to_owned()];
    if state.habits().dialect != Dialect::OidcProvider {
        usual.push("refresh_token".to_owned());
    }
    usual
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter().filter_map(Value::as_str);
    Some(texts.map(str::to_owned).collect())
}
