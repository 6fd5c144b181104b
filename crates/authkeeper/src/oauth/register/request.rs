//! Dynamic client registration (RFC 7591).

use http::{HeaderValue, Method, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    http::{HttpUrl, Reach, Reply, Request, Transport},
    model::{
        ClientAuthMethod, ClientId, ClientRegistration, ClientSecret, Issuer, RegistrationSource,
        Scope, ServerMetadata,
    },
    oauth::{
        body_hint, classify, exchange,
        register::{error::RegistrationError, plan::auth_method, purpose::Purpose},
    },
};

/// Registers a client (RFC 7591 §3.1). A server that refuses the scopes is asked once more without them: what it gives to
/// whom is then seen at the sign-in.
pub async fn register(
    transport: &dyn Transport,
    (endpoint, reach): (&HttpUrl, Reach),
    (metadata, bound): (&ServerMetadata, bool),
    (purpose, scope): (Purpose<'_>, Option<&Scope>),
) -> Result<ClientRegistration, RegistrationError> {
    let mut scope = scope;
    loop {
        let request = registration_request((metadata, bound), purpose, scope);
        let reply = exchange(transport, endpoint, reach, request).await?;
        match read_registration(metadata, (purpose, scope), &reply) {
            Some(client) => return Ok(client),
            None if scope.is_some() && reply.status.is_client_error() => scope = None,
            None => {
                return Err(RegistrationError::Refused {
                    issuer: metadata.issuer.clone(),
                    detail: refusal(&reply),
                    of_redirect_uri: is_of_redirect_uri(&reply),
                });
            }
        }
    }
}

/// `bound`: its access tokens shall be bound to its certificate (RFC 8705 §3.4).
pub(super) fn registration_request(
    (metadata, bound): (&ServerMetadata, bool),
    purpose: Purpose<'_>,
    scope: Option<&Scope>,
) -> Request {
    let registered = purpose.registration();
    let mut body = json!({
        "client_name": "authkeeper",
        "application_type": "native",
        "redirect_uris": purpose.redirect_uris(),
        "grant_types": registered.grant_types,
        "response_types": registered.response_types,
        "token_endpoint_auth_method": preferred_method(metadata, purpose).as_str(),
    });
    if let Some(scope) = scope {
        body["scope"] = scope.as_str().into();
    }
    if bound {
        body["tls_client_certificate_bound_access_tokens"] = true.into();
    }
    let mut headers = Request::get_json().headers;
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Request {
        method: Method::POST,
        headers,
        body: body.to_string().into(),
    }
}

/// A native application keeps no secret (RFC 8252 §8.4), so it asks for none where the server allows that. Of the other
/// two the body is asked for first: the MCP Python SDK's servers offer Basic and then refuse it when the body has no
/// `client_id`, and others refuse a `client_id` in both places.
pub(super) fn preferred_method(
    metadata: &ServerMetadata,
    purpose: Purpose<'_>,
) -> ClientAuthMethod {
    let offered = &metadata.token_endpoint_auth_methods_supported;
    let offers = |method: ClientAuthMethod| offered.iter().any(|name| name == method.as_str());
    let order = [
        ClientAuthMethod::None,
        ClientAuthMethod::Post,
        ClientAuthMethod::Basic,
    ];
    let needs_secret = purpose.registration().needs_secret;
    let first = usize::from(needs_secret);
    let fits = order.iter().skip(first).find(|method| offers(**method));
    fits.copied().unwrap_or(if needs_secret {
        ClientAuthMethod::Basic
    } else {
        ClientAuthMethod::None
    })
}

/// What was registered may differ from what was asked for: the answer counts. Some servers answer 200 for 201.
pub(super) fn read_registration(
    metadata: &ServerMetadata,
    (purpose, scope): (Purpose<'_>, Option<&Scope>),
    reply: &Reply,
) -> Option<ClientRegistration> {
    let body = reply.json().filter(|_| reply.status.is_success())?;
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let client_id = ClientId::new(text("client_id").filter(|id| is_client_id(id))?);
    let secret = text("client_secret").map(|secret| ClientSecret {
        expires_at: secret_ends(&body),
        ..ClientSecret::new(secret.to_owned().into())
    });
    let told = text("token_endpoint_auth_method").and_then(ClientAuthMethod::parse);
    let auth_method = told.unwrap_or_else(|| auth_method(metadata, secret.is_some()));
    Some(ClientRegistration {
        // One that the token endpoint does not want may be wanted by the revocation endpoint.
        secrets: secret.into_iter().collect(),
        auth_method,
        redirect_uris: purpose.redirect_uris(),
        grant_types: vec![purpose.registration().kept_as],
        // What was asked for and not given would not be given the next time either.
        scope: match (scope, text("scope").map(Scope::new)) {
            (Some(asked), Some(said)) => Some(asked.union(&said)),
            (asked, said) => said.or_else(|| asked.cloned()),
        },
        ..ClientRegistration::new(
            Issuer::new(&metadata.issuer),
            client_id,
            RegistrationSource::Dynamic,
        )
    })
}

/// RFC 6749 A.1. An id is shown to a person, so nothing else may be in it.
fn is_client_id(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// RFC 7591 §3.2.1: seconds since 1970, and 0 for "never".
fn secret_ends(body: &Value) -> Option<Timestamp> {
    let seconds = body.get("client_secret_expires_at")?.as_i64()?;
    Timestamp::from_second(seconds).ok().filter(|_| seconds > 0)
}

/// Whether a refusal may be about the redirect URI: it says so (RFC 7591 §3.2.2), in whatever words, or says nothing.
fn is_of_redirect_uri(reply: &Reply) -> bool {
    if !reply.status.is_client_error() {
        return false;
    }
    let body: Option<Value> = reply.json();
    let Some(refused) = body.as_ref().and_then(classify::error_of) else {
        return true;
    };
    let said = refused.to_string().to_ascii_lowercase();
    let named = ["redirect", "127.0.0.1", "localhost", "loopback"];
    let vague = ["invalid_client_metadata", "invalid_request"].contains(&said.trim());
    vague || named.iter().any(|word| said.contains(word))
}

fn refusal(reply: &Reply) -> String {
    let body: Option<Value> = reply.json();
    let refused = body.as_ref().and_then(classify::error_of);
    refused.map_or_else(|| body_hint(reply), |refused| refused.to_string())
}
