//! Why a sign-in did not come about.

use std::time::Duration;

use crate::{
    http::InvalidUrl,
    model::{ClientId, ConnectionName, Issuer, Scope},
    oauth::{
        GUESS, WireError,
        assertion::{AssertionError, GivenError},
        authorize::RedirectError,
        classify::Refused,
        device::DeviceError,
        discovery::{Discovered, DiscoveryError},
        dpop::UnusableKey,
        loopback::ListenError,
        register::RegistrationError,
    },
    store::StoreError,
    text::sanitize::printable,
};

/// Why a sign-in did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Another token endpoint than the one that this client's tokens are kept for.
    #[error(
        "{issuer} is known to exchange the tokens of client {client_id} at {known}, not at {given}"
    )]
    OtherEndpoint {
        /// The issuer.
        issuer: Issuer,
        /// Our client there.
        client_id: ClientId,
        /// Where they are exchanged.
        known: String,
        /// What was given.
        given: String,
    },
    /// There is a working grant under this name, and an import would take its place.
    #[error("{0} is connected and works; an import would take its place")]
    InUse(ConnectionName),
    /// The refresh token is held already, for something else.
    #[error("this refresh token is the one of {0} already, which is for something else")]
    HeldBy(ConnectionName),
    /// The name is taken by another URL.
    #[error("{name} is connected to {url} already")]
    NameTaken {
        /// The name.
        name: ConnectionName,
        /// Where it goes.
        url: String,
    },
    /// The resource names another authorization server than the one that the client was registered at by a person.
    #[error(
        "{url} names {now} as its authorization server now; it was {was}, and the client that was given is known there only"
    )]
    IssuerChanged {
        /// The connection.
        name: ConnectionName,
        /// The resource.
        url: String,
        /// Who it was.
        was: Issuer,
        /// Who it is said to be.
        now: Issuer,
    },
    /// Nothing is connected under this name.
    #[error("there is no connection named {0}")]
    NoSuchConnection(ConnectionName),
    /// The stored URL can't be used.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// No authorization server was found or believed.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// There is no client id.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The listener for the redirect can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The redirect brought no code.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// Nobody signed in.
    #[error("nobody signed in within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Nobody signed in yet; the code or the URL that a person has stays good.
    #[error("nobody signed in within {} s; the sign-in stays open", .0.as_secs())]
    StillOpen(Duration),
    /// The code could not be exchanged.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The token endpoint refused the code.
    #[error("{issuer} refused the sign-in; it said: {refused}")]
    CodeRefused {
        /// The provider.
        issuer: Issuer,
        /// What it said.
        refused: Refused,
    },
    /// The provider refuses our client: its id, its secret or its key.
    #[error("{issuer} refuses our client {client_id}; it said: {refused}")]
    ClientRefused {
        /// The provider.
        issuer: Issuer,
        /// Our client there.
        client_id: ClientId,
        /// What it said.
        refused: Refused,
    },
    /// The token endpoint answered with something else.
    #[error("{issuer} did not answer the sign-in with tokens ({why})")]
    NoTokens {
        /// The provider.
        issuer: Issuer,
        /// What came.
        why: String,
        /// Whether the error is temporary.
        passing: bool,
    },
    /// The provider refused and gave no reason.
    #[error("{issuer} refused the sign-in and did not say why ({why}); {GUESS}")]
    Unexplained {
        /// The provider.
        issuer: Issuer,
        /// What came.
        why: String,
    },
    /// The token endpoint has moved; the code was sent nowhere else.
    #[error("{issuer} {said}; the sign-in was sent nowhere else")]
    TokenEndpointMoved {
        /// The provider.
        issuer: Issuer,
        /// What its answer says.
        said: String,
    },
    /// The provider does not give what was asked for, and lists what it gives.
    #[error("{why}; it lists the scopes: {listed}")]
    ScopeRefused {
        /// What it said.
        why: Box<Self>,
        /// The scopes that it or the resource lists.
        listed: Scope,
    },
    /// The other device got nowhere.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Standard input ended before the final URL was pasted.
    #[error("nothing was pasted: the sign-in needs the URL that the browser ended at")]
    NothingPasted,
    /// Our client can't prove itself.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    /// The key that the tokens shall be bound to can't be made or read.
    #[error(transparent)]
    ProofKey(#[from] UnusableKey),
    /// A file does not hold the token that it should.
    #[error(transparent)]
    Given(#[from] GivenError),
    /// The identity provider gave no assertion.
    #[error("no assertion came ({why})")]
    NotVouched {
        /// What it said.
        why: String,
        /// Whether the error is temporary.
        passing: bool,
    },
    /// The authorization server does not take the assertion.
    #[error("{issuer} does not take the assertion; it said: {refused}")]
    AssertionRefused {
        /// The authorization server.
        issuer: Issuer,
        /// What it said.
        refused: Refused,
    },
    /// The identity provider's refresh token was read at an earlier sign-in and has been replaced since.
    #[error("{file} holds the refresh token that {name} began with, which has been replaced since")]
    SpentSubject {
        /// The file.
        file: String,
        /// Whose it is.
        name: ConnectionName,
    },
    /// Our client's own tokens need a client that can be told from others.
    #[error(
        "{issuer} gives client_credentials only to a client with a secret, a key or a client certificate"
    )]
    NoSecret {
        /// The provider.
        issuer: Issuer,
    },
    /// A key that can't stand in a header.
    #[error("the API key is empty or has characters that can't stand in a header")]
    BadKey,
    /// Nobody signs in to an API key.
    #[error("{0} is connected by an API key: there is nothing to sign in to")]
    NoSignIn(ConnectionName),
    /// Only an API key is replaced by a person.
    #[error("{name} is no API key but was given by {grant_type}")]
    NoKey {
        /// Which connection.
        name: ConnectionName,
        /// How its grant was given.
        grant_type: &'static str,
    },
    /// The new key is the one in use.
    #[error("that is the key that {0} uses already")]
    SameKey(ConnectionName),
    /// There is no client secret to replace.
    #[error("{0} has no client that shows a secret")]
    NoClientSecret(ConnectionName),
    /// Somebody else changed the connection at the same moment.
    #[error("{0} was changed by another process at the same moment")]
    Overtaken(ConnectionName),
    /// How it was signed in can't be read any more.
    #[error("how {0} was signed in can't be read any more")]
    GrantMaterialLost(ConnectionName),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ConnectError {
    /// Whether the authorization server does not give what was asked for (RFC 6749 §4.1.2.1, §5.2).
    pub(crate) fn is_about_scope(&self) -> bool {
        match self {
            Self::CodeRefused { refused, .. } => refused.code == "invalid_scope",
            Self::Redirect(RedirectError::Refused(said))
            | Self::Device(DeviceError::Refused(said)) => said.starts_with("invalid_scope"),
            Self::ScopeRefused { why, .. } => why.is_about_scope(),
            _ => false,
        }
    }

    /// Whether the provider speaks of scopes, in whatever words.
    fn speaks_of_scope(&self) -> bool {
        match self {
            Self::CodeRefused { refused, .. } => refused.to_string().contains("scope"),
            Self::Redirect(RedirectError::Refused(said))
            | Self::Device(DeviceError::Refused(said)) => said.contains("scope"),
            _ => false,
        }
    }

    /// The same with the scopes that a person may choose among, where it is about them.
    pub(super) fn with_scopes(self, listed: Option<Scope>) -> Self {
        match listed {
            Some(listed) if self.speaks_of_scope() => Self::ScopeRefused {
                why: Box::new(self),
                listed,
            },
            _ => self,
        }
    }

    /// Whether the sign-in itself may still be finished: the code or the URL that a person has is as good as before.
    pub(super) fn leaves_it_open(&self) -> bool {
        matches!(
            self,
            Self::StillOpen(_)
                | Self::NothingPasted
                | Self::NotVouched { .. }
                | Self::AssertionRefused { .. }
                | Self::Given(_)
                | Self::SpentSubject { .. }
                | Self::Wire(_)
                | Self::NoTokens { passing: true, .. }
                | Self::Unexplained { .. }
                | Self::Redirect(RedirectError::StateMismatch | RedirectError::NoCode)
        )
    }
}

/// How many characters of a list of scopes are shown.
const SHOWN_SCOPES: usize = 400;

/// The scopes that a resource lists, else its authorization server; of a long list the start.
pub(super) fn listed(found: &Discovered) -> Option<Scope> {
    let of_server = || Scope::new(found.provider.metadata.scopes_supported.join(" "));
    let all = found.listed.clone().unwrap_or_else(of_server);
    let mut shown = String::new();
    for word in all.iter() {
        if shown.len() + word.len() > SHOWN_SCOPES {
            shown.push_str(" …");
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.extend(printable(word));
    }
    Some(Scope::new(shown)).filter(|shown| !shown.is_empty())
}
