//! Getting a client id: given, by a client metadata document, or by dynamic registration (RFC 7591), in that order.

use http::{HeaderValue, Method, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    PublishedUrl, WireError, body_hint, classify, exchange, published_url::parse_published,
};
use crate::{
    http::{HttpUrl, Reach, Reply, Request, Transport},
    model::{
        ClientAuthMethod, ClientId, ClientRegistration, ClientSecret, GrantType, Issuer,
        RegistrationSource, Scope, ServerMetadata,
    },
    secret::SecretString,
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
    /// No client id: it must be `https` and have a path (draft-ietf-oauth-client-id-metadata-document).
    #[error("{url} is no address of a client metadata document: {problem}")]
    Document {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server publishes a registration endpoint that can't be used.
    #[error(transparent)]
    Published(#[from] PublishedUrl),
    /// The server did not answer.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What a person gave.
#[derive(Clone, Debug, Default)]
pub struct GivenClient {
    /// A client id registered by hand.
    pub client_id: Option<ClientId>,
    /// Its secrets, in the order in which they are tried.
    pub secrets: Vec<SecretString>,
    /// The key that its assertions are signed with (PEM), in the place of a secret.
    pub private_key: Option<SecretString>,
    /// Which of its keys that is (`kid`).
    pub key_id: Option<String>,
    /// How it authenticates, where a person or the catalogue says so.
    pub auth_method: Option<ClientAuthMethod>,
    /// The redirect URI that it is registered with, where only that one is taken.
    pub redirect_uri: Option<String>,
    /// The URL of a client metadata document.
    pub metadata_url: Option<String>,
}

/// How a client id is to be had at this server.
#[derive(Clone, Debug)]
pub enum Plan {
    /// It is known already.
    Ready(ClientRegistration),
    /// It must be registered.
    Dynamic {
        /// Where.
        endpoint: HttpUrl,
        /// For these scopes: what is wanted, and what the client before it was registered for.
        scope: Option<Scope>,
    },
}

/// What is known of our clients at an issuer.
#[derive(Clone, Debug, Default)]
pub struct KnownClients {
    /// The one of the given id.
    pub given: Option<ClientRegistration>,
    /// Those that registered themselves, the best first.
    pub registered: Vec<ClientRegistration>,
}

/// Decides, without asking anybody: given, then metadata document, then what is already registered, then registration. Some
/// servers give a client no scope that it was not registered for (RFC 7591 §2): for a wider one it is registered anew, and
/// the grants of the client before it stay its own.
pub fn plan(
    metadata: &ServerMetadata,
    given: &GivenClient,
    known: KnownClients,
    (purpose, wanted): (Purpose<'_>, Option<&Scope>),
) -> Result<Plan, RegistrationError> {
    if let Some(client_id) = &given.client_id {
        let new = given_registration(metadata, client_id, given);
        return Ok(Plan::Ready(completed(new, given, known.given)));
    }
    if let Some(url) = &given.metadata_url
        && metadata.client_id_metadata_document_supported
    {
        let url = document_url(url)?;
        return Ok(Plan::Ready(document_registration(metadata, &url)));
    }
    let serves = |known: &&ClientRegistration| purpose.is_served_by(known);
    let mut registered = known.registered.iter().filter(serves);
    let before = registered.clone().next();
    if let Some(known) = registered.find(|known| reaches(known, wanted)) {
        return Ok(Plan::Ready(known.clone()));
    }
    let before = before.and_then(|before| before.scope.as_ref());
    let with_those_before = |wanted: &Scope| match before {
        Some(before) => before.union(wanted),
        None => wanted.clone(),
    };
    match &metadata.registration_endpoint {
        Some(endpoint) => Ok(Plan::Dynamic {
            endpoint: parse_published(&metadata.issuer, "registration_endpoint", endpoint)?,
            scope: wanted.map(with_those_before),
        }),
        None => Err(RegistrationError::Impossible {
            issuer: metadata.issuer.clone(),
        }),
    }
}

/// Whether a client may be given these scopes, as far as is known.
fn reaches(known: &ClientRegistration, wanted: Option<&Scope>) -> bool {
    match (&known.scope, wanted) {
        (Some(registered), Some(wanted)) => registered.covers(wanted),
        _ => true,
    }
}

fn given_registration(
    metadata: &ServerMetadata,
    client_id: &ClientId,
    given: &GivenClient,
) -> ClientRegistration {
    ClientRegistration {
        secrets: given
            .secrets
            .iter()
            .cloned()
            .map(ClientSecret::new)
            .collect(),
        private_key: given.private_key.clone(),
        key_id: given.key_id.clone(),
        auth_method: given_method(metadata, given),
        redirect_uris: given.redirect_uri.iter().cloned().collect(),
        ..ClientRegistration::new(
            Issuer::new(&metadata.issuer),
            client_id.clone(),
            RegistrationSource::Given,
        )
    }
}

/// What is known of a given client stays where nothing new was given: one connection's sign-in does not take another's
/// secret away.
fn completed(
    mut new: ClientRegistration,
    given: &GivenClient,
    known: Option<ClientRegistration>,
) -> ClientRegistration {
    let Some(known) = known else {
        return new;
    };
    let nothing_new = new.secrets.is_empty() && new.private_key.is_none();
    if nothing_new && given.auth_method.is_none() {
        new.auth_method = known.auth_method;
    }
    if new.private_key.is_none() {
        (new.private_key, new.key_id) = (known.private_key, known.key_id);
    }
    if new.redirect_uris.is_empty() {
        new.redirect_uris = known.redirect_uris;
    }
    new.secrets
        .retain(|secret| !known.secrets.iter().any(|kept| kept.is_same_as(secret)));
    new.secrets.extend(known.secrets);
    new
}

/// The document says the same, byte for byte: so it is given as it was typed.
fn document_url(text: &str) -> Result<HttpUrl, RegistrationError> {
    let no = |problem: &str| RegistrationError::Document {
        url: text.to_owned(),
        problem: problem.to_owned(),
    };
    let url = HttpUrl::parse(text).map_err(|error| no(&error.to_string()))?;
    if !text.starts_with("https:") {
        return Err(no("it must use https"));
    }
    if url.path().trim_matches('/').is_empty() {
        return Err(no("it must have a path"));
    }
    Ok(url)
}

fn document_registration(metadata: &ServerMetadata, url: &HttpUrl) -> ClientRegistration {
    ClientRegistration::new(
        Issuer::new(&metadata.issuer),
        ClientId::new(url.as_str()),
        RegistrationSource::MetadataDocument,
    )
}

/// What was said, unless it can't be: a method that needs what was not given.
fn given_method(metadata: &ServerMetadata, given: &GivenClient) -> ClientAuthMethod {
    if given.private_key.is_some() {
        return ClientAuthMethod::PrivateKeyJwt;
    }
    let secret = !given.secrets.is_empty();
    let chosen = given.auth_method.filter(|method| match method {
        ClientAuthMethod::Basic | ClientAuthMethod::Post => secret,
        ClientAuthMethod::None => !secret,
        ClientAuthMethod::PrivateKeyJwt => false,
    });
    chosen.unwrap_or_else(|| auth_method(metadata, secret))
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

/// Registers a client (RFC 7591 §3.1). A server that refuses the scopes is asked once more without them: what it gives to
/// whom is then seen at the sign-in.
pub async fn register(
    transport: &dyn Transport,
    (endpoint, reach): (&HttpUrl, Reach),
    metadata: &ServerMetadata,
    (purpose, scope): (Purpose<'_>, Option<&Scope>),
) -> Result<ClientRegistration, RegistrationError> {
    let mut scope = scope;
    loop {
        let request = registration_request(metadata, purpose, scope);
        let reply = exchange(transport, endpoint, reach, request).await?;
        match read_registration(metadata, (purpose, scope), &reply) {
            Some(client) => return Ok(client),
            None if scope.is_some() && reply.status.is_client_error() => scope = None,
            None => {
                return Err(RegistrationError::Refused {
                    issuer: metadata.issuer.clone(),
                    detail: refusal(&reply),
                });
            }
        }
    }
}

/// What a client is registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Signing in, with the redirect to this URI.
    Code {
        /// Where the redirect goes.
        redirect_uri: &'a str,
    },
    /// Signing in on another device.
    Device,
    /// Tokens of its own: it needs a secret.
    Own,
}

impl Purpose<'_> {
    fn redirect_uris(self) -> Vec<String> {
        match self {
            Self::Code { redirect_uri } => vec![redirect_uri.to_owned()],
            Self::Device | Self::Own => vec![],
        }
    }

    fn grant_type(self) -> GrantType {
        match self {
            Self::Code { .. } => GrantType::AuthorizationCode,
            Self::Device => GrantType::DeviceCode,
            Self::Own => GrantType::ClientCredentials,
        }
    }

    /// Whether a client that registered itself before serves this too.
    fn is_served_by(self, known: &ClientRegistration) -> bool {
        known.redirect_uris == self.redirect_uris()
            && known.grant_types.contains(&self.grant_type())
    }
}

fn registration_request(
    metadata: &ServerMetadata,
    purpose: Purpose<'_>,
    scope: Option<&Scope>,
) -> Request {
    let (grants, responses): (&[&str], &[&str]) = match purpose {
        Purpose::Code { .. } => (&["authorization_code", "refresh_token"], &["code"]),
        Purpose::Device => (
            &[
                "urn:ietf:params:oauth:grant-type:device_code",
                "refresh_token",
            ],
            &[],
        ),
        Purpose::Own => (&["client_credentials"], &[]),
    };
    let mut body = json!({
        "client_name": "authkeeper",
        "application_type": "native",
        "redirect_uris": purpose.redirect_uris(),
        "grant_types": grants,
        "response_types": responses,
        "token_endpoint_auth_method": wished_method(metadata, purpose).as_str(),
    });
    if let Some(scope) = scope {
        body["scope"] = scope.as_str().into();
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
fn wished_method(metadata: &ServerMetadata, purpose: Purpose<'_>) -> ClientAuthMethod {
    let offered = &metadata.token_endpoint_auth_methods_supported;
    let offers = |method: ClientAuthMethod| offered.iter().any(|name| name == method.as_str());
    let order = [
        ClientAuthMethod::None,
        ClientAuthMethod::Post,
        ClientAuthMethod::Basic,
    ];
    let first = usize::from(purpose == Purpose::Own);
    let fits = order.iter().skip(first).find(|method| offers(**method));
    fits.copied().unwrap_or(match purpose {
        Purpose::Own => ClientAuthMethod::Basic,
        Purpose::Code { .. } | Purpose::Device => ClientAuthMethod::None,
    })
}

/// What was registered may differ from what was asked for: the answer counts. Some servers answer 200 for 201.
fn read_registration(
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
        grant_types: vec![purpose.grant_type()],
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

fn refusal(reply: &Reply) -> String {
    let body: Option<Value> = reply.json();
    let refused = body.as_ref().and_then(classify::error_of);
    refused.map_or_else(|| body_hint(reply), |refused| refused.to_string())
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

    const REDIRECT: Purpose<'_> = Purpose::Code {
        redirect_uri: "http://127.0.0.1:5000/callback",
    };

    const ANY: (Purpose<'_>, Option<&Scope>) = (REDIRECT, None);

    fn answer(scope: Option<&str>) -> Reply {
        let body = match scope {
            Some(scope) => json!({"client_id": "c", "scope": scope}),
            None => json!({"client_id": "c"}),
        };
        Reply {
            status: http::StatusCode::CREATED,
            headers: http::HeaderMap::new(),
            body: body.to_string().into(),
        }
    }

    #[test]
    fn a_client_is_registered_anew_for_more_than_it_was_registered_for() {
        let server = metadata(&json!({"registration_endpoint": "https://as.example/reg"}));
        // What was asked for at the first registration, what the server said, what is wanted now, and for what a new client
        // is registered, if one is.
        let rows = [
            (Some("read"), Some("read"), Some("read"), None),
            (
                Some("read"),
                Some("read"),
                Some("write"),
                Some("read write"),
            ),
            (None, Some("read"), Some("read write"), Some("read write")),
            (Some("read"), None, Some("write"), Some("read write")),
            (Some("read write"), Some("read"), Some("write"), None),
            (Some("read"), Some("read"), None, None),
            (None, None, Some("write"), None),
        ];
        for row in rows {
            let (asked, said, wanted, registered) = row;
            let (asked, wanted) = (asked.map(Scope::new), wanted.map(Scope::new));
            let known = read_registration(&server, (REDIRECT, asked.as_ref()), &answer(said));
            let known = KnownClients {
                given: None,
                registered: vec![known.unwrap()],
            };
            let given = GivenClient::default();
            let planned = plan(&server, &given, known, (REDIRECT, wanted.as_ref())).unwrap();
            match planned {
                Plan::Ready(_) => assert_eq!(registered, None, "{row:?}"),
                Plan::Dynamic { scope, .. } => {
                    assert_eq!(scope, registered.map(Scope::new), "{row:?}");
                }
            }
        }
    }

    #[test]
    fn a_registration_names_the_scopes_that_are_wanted() {
        let server = metadata(&json!({}));
        let body = |scope: Option<&Scope>| -> Value {
            let request = registration_request(&server, REDIRECT, scope);
            serde_json::from_slice(&request.body).unwrap()
        };
        assert_eq!(body(Some(&Scope::new("read write")))["scope"], "read write");
        assert!(!body(None).as_object().unwrap().contains_key("scope"));
    }

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
            Plan::Dynamic { endpoint, .. } => endpoint.as_str().to_owned(),
        };
        assert_eq!(
            id(plan(&server, &given, KnownClients::default(), ANY).unwrap()),
            "mine"
        );
        given.client_id = None;
        assert_eq!(
            id(plan(&server, &given, KnownClients::default(), ANY).unwrap()),
            "https://me.example/client.json"
        );
        for no_document in [
            "https://me.example",
            "https://me.example/",
            "http://127.0.0.1/client.json",
            "me",
        ] {
            given.metadata_url = Some(no_document.to_owned());
            let refused = plan(&server, &given, KnownClients::default(), (REDIRECT, None));
            assert!(refused.is_err(), "{no_document}");
        }
        given.metadata_url = None;
        assert_eq!(
            id(plan(&server, &given, KnownClients::default(), ANY).unwrap()),
            "https://as.example/reg"
        );
        let nothing = plan(&metadata(&json!({})), &given, KnownClients::default(), ANY);
        assert!(matches!(nothing, Err(RegistrationError::Impossible { .. })));
    }

    fn registered(client: &ClientRegistration) -> KnownClients {
        KnownClients {
            given: None,
            registered: vec![client.clone()],
        }
    }

    #[test]
    fn a_second_sign_in_of_a_client_takes_nothing_from_the_first() {
        let server = metadata(&json!({}));
        let mut given = GivenClient {
            client_id: Some(ClientId::new("mine")),
            secrets: vec!["first".to_owned().into()],
            ..GivenClient::default()
        };
        let ready = |given: &GivenClient, known: Option<ClientRegistration>| {
            let known = KnownClients {
                given: known,
                registered: vec![],
            };
            match plan(&server, given, known, ANY).unwrap() {
                Plan::Ready(client) => client,
                Plan::Dynamic { .. } => panic!("it is given"),
            }
        };
        let mut first = ready(&given, None);
        first.secrets[0].id = Some(1);
        given.secrets.clear();
        let second = ready(&given, Some(first.clone()));
        assert_eq!(
            (second.secrets.len(), second.auth_method),
            (1, ClientAuthMethod::Basic)
        );
        given.secrets = vec!["new".to_owned().into(), "first".to_owned().into()];
        let third = ready(&given, Some(first));
        let ids: Vec<_> = third.secrets.iter().map(|secret| secret.id).collect();
        assert_eq!(
            ids,
            [None, Some(1)],
            "the new one in front, the known one once"
        );
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
        let known = read_registration(&server, ANY, &reply).unwrap();
        assert_eq!(known.auth_method, ClientAuthMethod::Post);
        let given = GivenClient::default();
        let same = plan(&server, &given, registered(&known), ANY).unwrap();
        assert!(matches!(same, Plan::Ready(_)));
        let elsewhere = Purpose::Code {
            redirect_uri: "http://127.0.0.1:6000/callback",
        };
        for other in [elsewhere, Purpose::Device] {
            let planned = plan(&server, &given, registered(&known), (other, None)).unwrap();
            assert!(matches!(planned, Plan::Dynamic { .. }));
        }
    }

    #[test]
    fn a_secret_that_came_with_a_public_client_is_kept_and_shown_to_no_token_endpoint() {
        let server = metadata(&json!({}));
        let reply = Reply {
            status: http::StatusCode::CREATED,
            headers: http::HeaderMap::new(),
            body: br#"{"client_id":"dyn","client_secret":"s","token_endpoint_auth_method":"none"}"#
                .as_slice()
                .into(),
        };
        let client = read_registration(&server, ANY, &reply).unwrap();
        assert_eq!(client.auth_method, ClientAuthMethod::None);
        assert_eq!(client.secrets.len(), 1, "a revocation endpoint may want it");
        assert!(
            !client.has_another_than(None),
            "it is not tried at the token endpoint"
        );
    }

    #[test]
    fn a_client_id_that_cannot_be_shown_is_none() {
        let server = metadata(&json!({}));
        for (id, good) in [("c 1~", true), ("c\u{1b}[2J", false), ("ü", false)] {
            let reply = Reply {
                status: http::StatusCode::CREATED,
                headers: http::HeaderMap::new(),
                body: json!({"client_id": id}).to_string().into(),
            };
            let read = read_registration(&server, ANY, &reply);
            assert_eq!(read.is_some(), good, "{id:?}");
        }
    }

    #[test]
    fn a_secrets_end_is_kept_and_zero_is_never() {
        let server = metadata(&json!({}));
        let ends = |at: i64| {
            let body =
                json!({"client_id": "c", "client_secret": "s", "client_secret_expires_at": at});
            let reply = Reply {
                status: http::StatusCode::CREATED,
                headers: http::HeaderMap::new(),
                body: body.to_string().into(),
            };
            let read = read_registration(&server, ANY, &reply).unwrap();
            read.secrets[0].expires_at
        };
        assert_eq!(ends(60), Timestamp::from_second(60).ok());
        assert_eq!(ends(0), None);
    }
}
