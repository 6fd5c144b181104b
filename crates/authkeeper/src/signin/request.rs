//! What is asked for, and what a person is shown.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    http::HttpUrl,
    model::{
        AssertionSource, ClientId, Connection, ConnectionName, DpopUse, Grant, GrantType, Issuer,
        Presentation, PrincipalId, Renewal, RequestSettings, Resource, Scope, ServerMetadata,
        SignInKind,
    },
    oauth::{authorize::RedirectError, register::GivenClient},
    secret::SecretString,
};

/// How to sign in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SignInMethod {
    /// In a browser on this machine, whose redirect comes back to a loopback port.
    Browser,
    /// In a browser anywhere; the URL it ends at is pasted here.
    Headless,
    /// On another device, with a short code (RFC 8628).
    Device,
    /// By our client alone; nobody signs in.
    Unattended(UnattendedSignIn),
    /// With a key that a person made in the provider's console.
    ApiKey {
        /// The key.
        key: SecretString,
        /// When it should be replaced.
        rotate_by: Option<Timestamp>,
    },
}

/// A sign-in without a person: the grant type, and where its assertion comes from.
#[derive(Clone, Debug)]
pub struct UnattendedSignIn {
    grant_type: GrantType,
    source: Option<AssertionSource>,
}

impl UnattendedSignIn {
    /// A sign-in of this type. None if the type is not obtained so, or not with an assertion from there.
    pub fn new(grant_type: GrantType, source: Option<AssertionSource>) -> Option<Self> {
        let fits = match (grant_type.renewal(), &source) {
            (Renewal::ClientItself, source) => source.is_none(),
            (Renewal::AssertionFile, Some(AssertionSource::File(_)))
            | (Renewal::IdentityProvider, Some(AssertionSource::IdentityProvider(_))) => true,
            _ => false,
        };
        fits.then_some(Self { grant_type, source })
    }

    /// The grant type.
    pub fn grant_type(&self) -> GrantType {
        self.grant_type
    }

    /// Where its assertion comes from, if it shows one.
    pub fn source(&self) -> Option<&AssertionSource> {
        self.source.as_ref()
    }
}

impl SignInMethod {
    /// The type of the grant that it brings.
    pub fn grant_type(&self) -> GrantType {
        match self {
            Self::Browser | Self::Headless => GrantType::AuthorizationCode,
            Self::Device => GrantType::DeviceCode,
            Self::Unattended(unattended) => unattended.grant_type,
            Self::ApiKey { .. } => GrantType::ApiKey,
        }
    }

    /// How this grant was signed in. None if that can't be done again: its material is lost, or it is a key.
    pub(super) fn of(grant: &Grant) -> Option<Self> {
        match grant.grant_type.sign_in() {
            SignInKind::Browser => Some(Self::Browser),
            SignInKind::Device => Some(Self::Device),
            SignInKind::Unattended => {
                let source = grant.grant_material.assertion.clone();
                UnattendedSignIn::new(grant.grant_type, source).map(Self::Unattended)
            }
            SignInKind::Key => None,
        }
    }
}

/// What a person wants to connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// Under which name.
    pub name: ConnectionName,
    /// Where calls go.
    pub url: HttpUrl,
    /// On whose authority.
    pub principal: PrincipalId,
    /// How to sign in.
    pub way: SignInMethod,
    /// Plain OAuth: the issuer, given by the person.
    pub issuer: Option<Issuer>,
    /// The provider's endpoints, where they are known beforehand and need no discovery.
    pub endpoints: Option<ServerMetadata>,
    /// What the provider wants beside the usual in the authorization request.
    pub extra: Vec<(String, String)>,
    /// Which entry of the catalogue this is.
    pub provider: Option<String>,
    /// The `resource`, given by the person; none takes what the resource's metadata says.
    pub resource: Option<Resource>,
    /// The scopes, given by the person.
    pub scope: Option<Scope>,
    /// What else the person set of the requests.
    pub requests: RequestSettings,
    /// The client, given by the person.
    pub client: GivenClient,
    /// Whom our client's own assertions are for; none leaves it to the provider's habits.
    pub assertion_audience: Option<String>,
    /// Whether tokens shall be bound to a key of ours (RFC 9449).
    pub dpop: DpopUse,
    /// How a token is shown to the resource.
    pub presentation: Presentation,
    /// A harmless request that proves the token.
    pub check_url: Option<HttpUrl>,
    /// The port for the redirect; none takes a free one.
    pub callback_port: Option<u16>,
    /// How long to wait for the person.
    pub patience: Duration,
    /// The issuer it had: a client that a person gave stays with it.
    pub(super) same_issuer: Option<Issuer>,
    /// The client it had is taken before others that registered themselves.
    pub(super) same_client: Option<ClientId>,
    /// What the resource's metadata lists is asked for too: a call was refused for lack of a scope that nothing names.
    pub(super) also_listed: bool,
}

impl ConnectRequest {
    /// A request with everything left to discovery.
    pub fn new(name: ConnectionName, url: HttpUrl) -> Self {
        Self {
            name,
            url,
            principal: PrincipalId::local_user(),
            way: SignInMethod::Browser,
            issuer: None,
            endpoints: None,
            extra: vec![],
            provider: None,
            resource: None,
            scope: None,
            requests: RequestSettings::default(),
            client: GivenClient::default(),
            assertion_audience: None,
            dpop: DpopUse::default(),
            presentation: Presentation::default(),
            check_url: None,
            callback_port: None,
            patience: Duration::from_mins(5),
            same_issuer: None,
            same_client: None,
            also_listed: false,
        }
    }
}

/// What is shown to the person who signs in.
#[derive(Debug)]
#[non_exhaustive]
pub struct SignInPrompt {
    /// Where the sign-in is.
    pub issuer: Issuer,
    /// How long it may take.
    pub patience: Duration,
    /// Whether it goes on from a sign-in that was cut off.
    pub resumed: bool,
    /// The scopes that the server lists, where none is asked for.
    pub unasked: Option<Scope>,
    /// What the person does.
    pub task: PromptAction,
}

/// What a person does to sign in.
#[derive(Debug)]
#[non_exhaustive]
pub enum PromptAction {
    /// Opens this URL in a browser on this machine. It carries `state`, so it is shown to that person alone.
    Open(SecretString),
    /// Opens this URL in any browser, and pastes the one it ends at.
    OpenAndPaste {
        /// The URL.
        url: SecretString,
        /// What the one that it ends at starts with.
        redirect_uri: String,
    },
    /// Types a code at another device.
    Enter {
        /// The code.
        user_code: String,
        /// Where.
        verification_uri: String,
        /// The same with the code in it.
        verification_uri_complete: Option<String>,
    },
}

/// The person who signs in, as the library sees them.
#[async_trait]
pub trait Prompter: Send + Sync {
    /// Shows what there is to do.
    fn invite(&self, invitation: &SignInPrompt);
    /// The next line they paste; none when there will be no more.
    async fn paste(&self) -> Option<SecretString>;
    /// What they pasted is not it.
    fn paste_again(&self, why: &RedirectError);
    /// What a server says while they are waited for. Nothing vouches for it.
    fn hear(&self, _said: &str) {}
    /// What they do about a sign-in that came to nothing, for the page in their browser.
    fn next_step(&self, _error: &super::ConnectError) -> Option<String> {
        None
    }
}

/// How to sign in again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Again {
    /// Another way than the last time.
    pub way: Option<SignInMethod>,
    /// Other scopes than the last time.
    pub scope: Option<Scope>,
    /// What the provider wants beside the usual in the authorization request.
    pub extra: Vec<(String, String)>,
    /// What is set of the requests beside what was set before.
    pub requests: RequestSettings,
    /// The port for the redirect; none takes a free one.
    pub callback_port: Option<u16>,
    /// How long to wait for the person.
    pub patience: Duration,
}

impl Again {
    /// The same way as the last time.
    pub fn new(patience: Duration) -> Self {
        Self {
            way: None,
            scope: None,
            extra: vec![],
            requests: RequestSettings::default(),
            callback_port: None,
            patience,
        }
    }
}

impl ConnectRequest {
    /// The connection as asked for, at this issuer and as this client.
    pub(super) fn connection(
        &self,
        (issuer, client_id): (Issuer, ClientId),
        created: Timestamp,
    ) -> Connection {
        Connection {
            name: self.name.clone(),
            principal: self.principal.clone(),
            url: self.url.as_str().to_owned(),
            resource: self.resource.clone(),
            issuer,
            issuer_given: self.issuer.is_some(),
            internal: false,
            client_id,
            scope: self.scope.clone(),
            provider: self.provider.clone(),
            presentation: self.presentation.clone(),
            check_url: self.check_url.as_ref().map(|url| url.as_str().to_owned()),
            grant: None,
            created,
        }
    }
}
