//! Getting a client id: given, by a client metadata document, or by dynamic registration (RFC 7591), in that order.

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{WireError, body_hint, exchange};
use crate::{
    http::{HttpUrl, InvalidUrl, Reach, Reply, Request, Transport},
    model::{
        ClientAuthMethod, ClientId, ClientRegistration, Issuer, RegistrationSource, ServerMetadata,
    },
};

/// Why there is no client id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// Nobody gave one and the server registers none.
    #[error("{issuer} does not register clients by itself")]
    Impossible {
        /// The issuer.
        issuer: String,
    },
    /// The server refused to register us.
    #[error("{issuer} refused to register a client: {detail}")]
    Refused {
        /// The issuer.
        issuer: String,
        /// What it said.
        detail: String,
    },
    /// The URL of the metadata document can't be used.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The server did not answer.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What a person gave.
#[derive(Clone, Debug, Default)]
pub struct GivenClient {
    /// A client id registered by hand.
    pub client_id: Option<ClientId>,
    /// Its secret.
    pub client_secret: Option<crate::secret::SecretString>,
    /// The URL of a client metadata document.
    pub metadata_url: Option<String>,
}

/// How a client id is to be had at this server.
#[derive(Clone, Debug)]
pub enum Plan {
    /// It is known already.
    Ready(ClientRegistration),
    /// It must be registered.
    Dynamic(HttpUrl),
}

/// Decides, without asking anybody: given, then metadata document, then what is already registered, then registration.
pub fn plan(
    metadata: &ServerMetadata,
    given: &GivenClient,
    known: Option<ClientRegistration>,
    redirect_uri: &str,
) -> Result<Plan, RegistrationError> {
    if let Some(client_id) = &given.client_id {
        return Ok(Plan::Ready(given_registration(metadata, client_id, given)));
    }
    if let Some(url) = &given.metadata_url
        && metadata.client_id_metadata_document_supported
    {
        let url = HttpUrl::parse(url)?;
        return Ok(Plan::Ready(document_registration(metadata, &url)));
    }
    let fits = |known: &ClientRegistration| {
        known.source != RegistrationSource::Dynamic
            || known.redirect_uris.iter().any(|uri| uri == redirect_uri)
    };
    if let Some(known) = known.filter(fits) {
        return Ok(Plan::Ready(known));
    }
    match &metadata.registration_endpoint {
        Some(endpoint) => Ok(Plan::Dynamic(HttpUrl::parse(endpoint)?)),
        None => Err(RegistrationError::Impossible {
            issuer: metadata.issuer.clone(),
        }),
    }
}

fn given_registration(
    metadata: &ServerMetadata,
    client_id: &ClientId,
    given: &GivenClient,
) -> ClientRegistration {
    ClientRegistration {
        issuer: Issuer::new(&metadata.issuer),
        client_id: client_id.clone(),
        client_secret: given.client_secret.clone(),
        auth_method: auth_method(metadata, given.client_secret.is_some()),
        redirect_uris: vec![],
        source: RegistrationSource::Given,
    }
}

fn document_registration(metadata: &ServerMetadata, url: &HttpUrl) -> ClientRegistration {
    ClientRegistration {
        issuer: Issuer::new(&metadata.issuer),
        client_id: ClientId::new(url.as_str()),
        client_secret: None,
        auth_method: ClientAuthMethod::None,
        redirect_uris: vec![],
        source: RegistrationSource::MetadataDocument,
    }
}

/// RFC 8414 §2: without a list, `client_secret_basic` is meant.
fn auth_method(metadata: &ServerMetadata, has_secret: bool) -> ClientAuthMethod {
    let offered = &metadata.token_endpoint_auth_methods_supported;
    let offers = |method: ClientAuthMethod| offered.iter().any(|name| name == method.as_str());
    if !has_secret {
        ClientAuthMethod::None
    } else if offered.is_empty()
        || offers(ClientAuthMethod::Basic)
        || !offers(ClientAuthMethod::Post)
    {
        ClientAuthMethod::Basic
    } else {
        ClientAuthMethod::Post
    }
}

/// Registers a client (RFC 7591 §3.1).
pub async fn register(
    transport: &dyn Transport,
    reach: Reach,
    endpoint: &HttpUrl,
    metadata: &ServerMetadata,
    redirect_uri: &str,
) -> Result<ClientRegistration, RegistrationError> {
    let request = registration_request(metadata, redirect_uri);
    let reply = exchange(transport, endpoint, reach, request).await?;
    read_registration(metadata, redirect_uri, &reply).ok_or_else(|| RegistrationError::Refused {
        issuer: metadata.issuer.clone(),
        detail: refusal(&reply),
    })
}

fn registration_request(metadata: &ServerMetadata, redirect_uri: &str) -> Request {
    let body = json!({
        "client_name": "authkeeper",
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": wished_method(metadata).as_str(),
    });
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
fn wished_method(metadata: &ServerMetadata) -> ClientAuthMethod {
    let offered = &metadata.token_endpoint_auth_methods_supported;
    let offers = |method: ClientAuthMethod| offered.iter().any(|name| name == method.as_str());
    let order = [
        ClientAuthMethod::None,
        ClientAuthMethod::Post,
        ClientAuthMethod::Basic,
    ];
    order
        .into_iter()
        .find(|method| offers(*method))
        .unwrap_or(ClientAuthMethod::None)
}

/// What was registered may differ from what was asked for: the answer counts. Some servers answer 200 for 201.
fn read_registration(
    metadata: &ServerMetadata,
    redirect_uri: &str,
    reply: &Reply,
) -> Option<ClientRegistration> {
    let body: Value = serde_json::from_slice(&reply.body)
        .ok()
        .filter(|_| reply.status.is_success())?;
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let client_id = ClientId::new(text("client_id")?);
    let client_secret = text("client_secret").map(|secret| secret.to_owned().into());
    let told = text("token_endpoint_auth_method").and_then(ClientAuthMethod::parse);
    let auth_method = told.unwrap_or_else(|| auth_method(metadata, client_secret.is_some()));
    Some(ClientRegistration {
        issuer: Issuer::new(&metadata.issuer),
        client_id,
        client_secret: client_secret.filter(|_| auth_method != ClientAuthMethod::None),
        auth_method,
        redirect_uris: vec![redirect_uri.to_owned()],
        source: RegistrationSource::Dynamic,
    })
}

fn refusal(reply: &Reply) -> String {
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let text = |key: &str| body.as_ref()?.get(key)?.as_str().map(str::to_owned);
    match (text("error"), text("error_description")) {
        (Some(code), Some(description)) => format!("{code}: {description}"),
        (Some(code), None) => code,
        _ => body_hint(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(extra: &Value) -> ServerMetadata {
        let mut base = json!({"issuer": "https://as.example"});
        base.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    const REDIRECT: &str = "http://127.0.0.1:5000/callback";

    #[test]
    fn given_then_document_then_known_then_dynamic_then_nothing() {
        let server = metadata(&json!({
            "registration_endpoint": "https://as.example/reg",
            "client_id_metadata_document_supported": true,
        }));
        let mut given = GivenClient {
            client_id: Some(ClientId::new("mine")),
            metadata_url: Some("https://me.example/client.json".to_owned()),
            ..GivenClient::default()
        };
        let id = |plan: Plan| match plan {
            Plan::Ready(registration) => registration.client_id.to_string(),
            Plan::Dynamic(endpoint) => endpoint.as_str().to_owned(),
        };
        assert_eq!(id(plan(&server, &given, None, REDIRECT).unwrap()), "mine");
        given.client_id = None;
        assert_eq!(
            id(plan(&server, &given, None, REDIRECT).unwrap()),
            "https://me.example/client.json"
        );
        given.metadata_url = None;
        assert_eq!(
            id(plan(&server, &given, None, REDIRECT).unwrap()),
            "https://as.example/reg"
        );
        let nothing = plan(&metadata(&json!({})), &given, None, REDIRECT);
        assert!(matches!(nothing, Err(RegistrationError::Impossible { .. })));
    }

    #[test]
    fn a_registered_client_is_used_again_only_with_its_redirect_uri() {
        let server = metadata(&json!({"registration_endpoint": "https://as.example/reg"}));
        let reply = Reply {
            status: http::StatusCode::CREATED,
            headers: http::HeaderMap::new(),
            body: br#"{"client_id":"dyn","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}"#
                .as_slice()
                .into(),
        };
        let known = read_registration(&server, REDIRECT, &reply).unwrap();
        assert_eq!(known.auth_method, ClientAuthMethod::Post);
        let given = GivenClient::default();
        let same = plan(&server, &given, Some(known.clone()), REDIRECT).unwrap();
        assert!(matches!(same, Plan::Ready(_)));
        let other = plan(
            &server,
            &given,
            Some(known),
            "http://127.0.0.1:6000/callback",
        )
        .unwrap();
        assert!(matches!(other, Plan::Dynamic(_)));
    }
}
