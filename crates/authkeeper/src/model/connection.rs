//! A connection: one authorized account at one provider for one resource, owned by a principal.

use jiff::Timestamp;

use super::{
    ClientId, ConnectionName, Grant, GrantId, GrantLifecycle, Issuer, PrincipalId,
    ReauthorizeReason, Resource, Scope, SuspendReason,
};

/// On whose authority a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Which principal.
    pub id: PrincipalId,
}

/// One authorized account at one provider for one resource.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What a person calls it.
    pub name: ConnectionName,
    /// On whose authority it is used.
    pub principal: PrincipalId,
    /// Where calls go: the MCP endpoint or the API's base, exactly as it was typed.
    pub url: String,
    /// The `resource` its tokens are for, exactly as the resource's metadata spells it.
    pub resource: Option<Resource>,
    /// Who issues its tokens.
    pub issuer: Issuer,
    /// Whether a person named the issuer; else the resource's metadata did.
    pub issuer_given: bool,
    /// Whether the host a person named is one of this machine or of an internal network, so that the URLs it leads to
    /// may be too.
    pub internal: bool,
    /// The client that signs in.
    pub client_id: ClientId,
    /// What is asked for at a sign-in; none leaves it to the server.
    pub scope: Option<Scope>,
    /// The grant it uses, once a sign-in is done.
    pub grant: Option<GrantId>,
    /// When it was first connected.
    pub created: Timestamp,
}

/// The life cycle of a connection. "Expired" is told by the clock and "refreshing" is a claim: neither is a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first sign-in is not done.
    Pending,
    /// Usable.
    Active,
    /// A person must sign in again.
    ReauthorizationRequired {
        /// Why.
        reason: ReauthorizeReason,
        /// Since when.
        since: Timestamp,
    },
    /// Authority is withdrawn for now.
    Suspended {
        /// Why.
        reason: SuspendReason,
        /// Since when.
        since: Timestamp,
    },
    /// Disconnected.
    Revoked,
}

impl ConnectionState {
    /// The state of a connection whose grant is this one.
    pub fn of(grant: Option<&Grant>) -> Self {
        match grant.map(|grant| &grant.lifecycle) {
            None => Self::Pending,
            Some(GrantLifecycle::Active) => Self::Active,
            Some(GrantLifecycle::ReauthorizationRequired { reason, since }) => {
                Self::ReauthorizationRequired {
                    reason: *reason,
                    since: *since,
                }
            }
            Some(GrantLifecycle::Suspended { reason, since }) => Self::Suspended {
                reason: *reason,
                since: *since,
            },
            Some(GrantLifecycle::Revoked { .. }) => Self::Revoked,
        }
    }

    /// The fixed word stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::ReauthorizationRequired { .. } => "reauthorization_required",
            Self::Suspended { .. } => "suspended",
            Self::Revoked => "revoked",
        }
    }
}
