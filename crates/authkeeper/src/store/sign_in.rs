//! Records of a sign-in and of an API key.

use jiff::Timestamp;

use crate::{
    http::HttpUrl,
    model::{
        AccessToken, ClientRegistration, Connection, ConnectionName, Generation, Grant, GrantId,
        GrantLifecycle, GrantMaterial, GrantType, Lineage, Provider, RefreshToken, Resource,
        SubjectBinding, TokenSet,
    },
    secret::SecretString,
};

/// The outcome of a sign-in, to be adopted in one step.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The connection as it shall be; its `grant` is ignored.
    pub connection: Connection,
    /// Its provider's metadata and the client that signed in; none for an API key.
    pub client: Option<(Provider, ClientRegistration)>,
    /// How the grant was given.
    pub grant_type: GrantType,
    /// What came.
    pub obtained: Obtained,
    /// Whether it may be used at once.
    pub lifecycle: GrantLifecycle,
    /// When a person should replace what never ends by itself.
    pub rotate_by: Option<Timestamp>,
    /// What the grant needs beside its tokens.
    pub grant_material: GrantMaterial,
    /// The newest lineage that is known beside the store: one that went back in time gives no number out twice.
    pub after: Lineage,
    /// The id of the grant if a new one is needed.
    pub new_grant: GrantId,
    /// When it came.
    pub at: Timestamp,
}

impl SignedIn {
    /// The refresh token that a grant goes on with when this sign-in brings none: some providers give one at the first
    /// consent only. It is kept where client and account are the same.
    ///
    /// An account that either side does not show counts as the same: a provider that leaves the refresh token out has given
    /// one to this account and client before. A refresh that brings another account's tokens suspends the grant all the same.
    pub fn kept_refresh<'a>(&self, held: &'a Grant) -> Option<&'a RefreshToken> {
        let new = &self.connection;
        let usable = self.obtained.refresh().is_none()
            && self.grant_type.is_interactive()
            && held.grant_type.is_interactive()
            && self.lifecycle == GrantLifecycle::Active
            && held.lifecycle == GrantLifecycle::Active;
        let same_client = (&held.issuer, &held.client_id) == (&new.issuer, &new.client_id);
        // A public client's refresh token is bound to the key of its own sign-in (RFC 9449 §5).
        let bound = held.is_bound() || self.grant_material.proof_key.is_some();
        let same_account = held
            .subject_binding
            .is_same_account(&self.obtained.subject_binding());
        held.refresh.as_ref().filter(|token| {
            let lives = token.expires_at.is_none_or(|ends| ends > self.at);
            lives && usable && same_client && !bound && same_account
        })
    }

    /// What is known of the account and the authority after this sign-in; `held` is the grant whose refresh token is kept.
    pub fn subject_binding(&self, held: Option<&Grant>) -> SubjectBinding {
        let came = self.obtained.subject_binding();
        match held {
            Some(held) => came.learned(&held.subject_binding),
            None => came,
        }
    }
}

/// What a sign-in or an import brings.
#[derive(Clone, Debug)]
pub enum Obtained {
    /// An access token, and mostly a refresh token.
    Tokens(TokenSet),
    /// An imported refresh token alone.
    RefreshToken(RefreshToken),
}

impl Obtained {
    /// The refresh token, if one came.
    pub fn refresh(&self) -> Option<&RefreshToken> {
        match self {
            Self::Tokens(tokens) => tokens.refresh_token.as_ref(),
            Self::RefreshToken(token) => Some(token),
        }
    }

    /// What the tokens show of whose they are, and for what.
    pub fn subject_binding(&self) -> SubjectBinding {
        match self {
            Self::Tokens(tokens) => (*tokens.subject_binding).clone(),
            Self::RefreshToken(_) => SubjectBinding::default(),
        }
    }

    /// The access token as a child of one generation, if one came.
    pub fn access(
        &self,
        lineage: Lineage,
        generation: Generation,
        resource: Option<Resource>,
    ) -> Option<AccessToken> {
        match self {
            Self::Tokens(tokens) => Some(tokens.access(lineage, generation, resource)),
            Self::RefreshToken(_) => None,
        }
    }
}

/// A sign-in that a person is at.
#[derive(Clone, Debug)]
pub struct PendingSignIn {
    /// What is being connected.
    pub name: ConnectionName,
    /// What must be remembered until the person is done: it holds a code or a verifier.
    pub memory: SecretString,
    /// When the provider gives it up.
    pub ends: Timestamp,
}

/// Whether two connections may live on one grant: its access token goes where it was issued for, and nowhere else.
pub(crate) fn may_share(one: &Connection, other: &Connection) -> bool {
    let origin = |url: &str| HttpUrl::parse(url).map(|url| url.origin()).ok();
    one.principal == other.principal
        && one.resource == other.resource
        && origin(&one.url).is_some()
        && origin(&one.url) == origin(&other.url)
}
