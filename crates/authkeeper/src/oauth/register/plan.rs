//! The choice of a client: given, known, behind a metadata document, or registered now.

use crate::{
    http::{CertificateFiles, HttpUrl},
    model::{
        ClientAuthMethod, ClientId, ClientRegistration, ClientSecret, Issuer, RegistrationSource,
        Scope, ServerMetadata,
    },
    oauth::{
        published_url::parse_published,
        register::{error::RegistrationError, purpose::Purpose},
    },
    secret::SecretString,
};

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
    /// The client certificate that its servers are shown (RFC 8705).
    pub certificate: Option<CertificateFiles>,
}

/// How a client id is to be had at this server.
#[derive(Clone, Debug)]
pub enum ClientPlan {
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
/// servers give a client no scope that it was not registered for (RFC 7591 §2): for a wider one a new client is registered, and
/// the grants of the client before it stay its own.
pub fn plan(
    metadata: &ServerMetadata,
    given: &GivenClient,
    known: KnownClients,
    (purpose, wanted): (Purpose<'_>, Option<&Scope>),
) -> Result<ClientPlan, RegistrationError> {
    if let Some(client_id) = &given.client_id {
        let new = given_registration(metadata, client_id, given);
        return Ok(ClientPlan::Ready(completed(new, given, known.given)));
    }
    if let Some(url) = &given.metadata_url
        && metadata.client_id_metadata_document_supported
    {
        let url = document_url(url)?;
        return Ok(ClientPlan::Ready(document_registration(metadata, &url)));
    }
    let serves = |known: &&ClientRegistration| purpose.is_served_by(known);
    let mut registered = known.registered.iter().filter(serves);
    let before = registered.clone().next();
    if let Some(known) = registered.find(|known| reaches(known, wanted)) {
        return Ok(ClientPlan::Ready(known.clone()));
    }
    let before = before.and_then(|before| before.scope.as_ref());
    let with_those_before = |wanted: &Scope| match before {
        Some(before) => before.union(wanted),
        None => wanted.clone(),
    };
    match &metadata.registration_endpoint {
        Some(endpoint) => Ok(ClientPlan::Dynamic {
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
    let nothing_new =
        new.secrets.is_empty() && new.private_key.is_none() && given.certificate.is_none();
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
        // The certificate may be one that is set for the host.
        ClientAuthMethod::TlsClientAuth | ClientAuthMethod::SelfSignedTlsClientAuth => true,
    });
    let by_certificate = given.certificate.is_some() && !secret;
    chosen
        .or_else(|| certificate_method(metadata).filter(|_| by_certificate))
        .unwrap_or_else(|| auth_method(metadata, secret))
}

/// RFC 8705 §2: how a certificate proves a client here, if it does. Both methods look alike on the wire.
fn certificate_method(metadata: &ServerMetadata) -> Option<ClientAuthMethod> {
    let offered = &metadata.token_endpoint_auth_methods_supported;
    let offers = |method: &ClientAuthMethod| offered.iter().any(|name| name == method.as_str());
    [
        ClientAuthMethod::TlsClientAuth,
        ClientAuthMethod::SelfSignedTlsClientAuth,
    ]
    .into_iter()
    .find(offers)
}

/// RFC 8414 §2: without a list, `client_secret_basic` is meant.
pub(super) fn auth_method(metadata: &ServerMetadata, has_secret: bool) -> ClientAuthMethod {
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
