//! Errors say what to do: try later, have a person sign in again, change a setting, give up.

use std::{sync::Arc, time::Duration};

use crate::{
    model::{ClientId, ConnectionName, Issuer, Record, SuspendReason},
    oauth::classify::Refused,
    store::StoreError,
};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Try again later; nobody needs to change anything.
    Retry,
    /// A person must sign in again or decide.
    Reauthorize,
    /// Nobody can without changing policy, scope or account.
    Permission,
    /// A setting of ours is wrong.
    Config,
    /// There is no such thing.
    NotFound,
    /// The store can't be read or written.
    Store,
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing is connected under this name.
    #[error("there is no connection named {name}")]
    NoSuchConnection {
        /// The name.
        name: ConnectionName,
    },
    /// A person must sign in again.
    #[error("{} needs a person to sign in again: {}", record.connection, record.detail)]
    ReauthorizationRequired {
        /// The whole record.
        record: Box<Record>,
    },
    /// Authority is withdrawn for now.
    #[error("{} is suspended: {}", record.connection, record.detail)]
    Suspended {
        /// The whole record.
        record: Box<Record>,
        /// Why.
        reason: SuspendReason,
    },
    /// The resource refuses a fresh token.
    #[error("{}: {}", record.connection, record.detail)]
    Rejected {
        /// The whole record.
        record: Box<Record>,
    },
    /// A call was refused for lack of a scope, and a sign-in may bring it. Tokens are handed out all the same.
    #[error("{} needs a person to sign in again: {}", record.connection, record.detail)]
    ScopeMissing {
        /// The whole record.
        record: Box<Record>,
    },
    /// A call was refused for lack of a scope that sign-ins have not brought. Tokens are handed out all the same.
    #[error("{}: {}", record.connection, record.detail)]
    ScopeRefused {
        /// The whole record.
        record: Box<Record>,
    },
    /// An answer was lost and the access token has ended meanwhile.
    #[error("{}: {} ({})", record.connection, record.detail, record.reason)]
    Uncertain {
        /// The whole record.
        record: Box<Record>,
        /// When the provider may be asked again.
        retry_after: Duration,
    },
    /// The provider can't be asked right now.
    #[error("the provider can't be asked right now: {why}")]
    Unavailable {
        /// What happened.
        why: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The provider refuses our client; no token was harmed.
    #[error("{}", client_refused(issuer, client_id, refused))]
    ClientRefused {
        /// The provider.
        issuer: Issuer,
        /// Our client there.
        client_id: ClientId,
        /// What it said.
        refused: Refused,
    },
    /// The provider refuses what is asked for.
    #[error("{issuer} refuses the request; it said: {refused}")]
    RequestRefused {
        /// The provider.
        issuer: Issuer,
        /// What it said.
        refused: Refused,
    },
    /// The provider's token endpoint is not where it was; nothing was spent.
    #[error("{why}")]
    EndpointMoved {
        /// What the provider answered.
        why: String,
        /// What a person does about it.
        action: String,
    },
    /// No connection to the provider comes about before a person has set something (proxy, certificates); nothing was
    /// spent.
    #[error("the provider can't be asked: {why}")]
    NetworkSetting {
        /// What happened.
        why: String,
        /// What a person does about it.
        action: String,
    },
    /// The store can't be read or written; nothing was spent.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

fn is_of_ours(refused: &Refused) -> bool {
    let ours = ["proof_key_unusable", "private_key_unusable"];
    ours.contains(&refused.code.as_str())
}

/// A key of ours that can't be used is refused by nobody.
fn client_refused(issuer: &Issuer, client_id: &ClientId, refused: &Refused) -> String {
    match (is_of_ours(refused), &refused.description) {
        (true, Some(why)) => format!("nothing was sent to {issuer}: {why}"),
        _ => format!("{issuer} refuses our client {client_id}; it said: {refused}"),
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl TokenError {
    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoSuchConnection { .. } => Advice::NotFound,
            Self::ReauthorizationRequired { .. }
            | Self::ScopeMissing { .. }
            | Self::Suspended {
                reason: SuspendReason::SecondCopy | SuspendReason::OtherAccount,
                ..
            } => Advice::Reauthorize,
            Self::Suspended { .. }
            | Self::Rejected { .. }
            | Self::ScopeRefused { .. }
            | Self::RequestRefused { .. } => Advice::Permission,
            Self::Uncertain { .. } | Self::Unavailable { .. } => Advice::Retry,
            Self::ClientRefused { .. }
            | Self::EndpointMoved { .. }
            | Self::NetworkSetting { .. } => Advice::Config,
            Self::Store(_) => Advice::Store,
        }
    }

    /// The record it carries, if it carries one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::ReauthorizationRequired { record }
            | Self::Rejected { record }
            | Self::ScopeMissing { record }
            | Self::ScopeRefused { record }
            | Self::Suspended { record, .. }
            | Self::Uncertain { record, .. } => Some(record),
            _ => None,
        }
    }
}
