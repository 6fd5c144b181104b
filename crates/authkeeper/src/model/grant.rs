//! A grant: what the resource owner gave our client, one refresh-token family.

use jiff::Timestamp;

use super::{AccessToken, Claim, ClientId, Generation, GrantId, Issuer, Lineage, RefreshToken};

/// One refresh-token family. Lineage, generation, lifecycle and claim are four things, never one state word.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which grant.
    pub id: GrantId,
    /// Who issued it.
    pub issuer: Issuer,
    /// The client it was issued to: a refresh token is spent by this client or by none.
    pub client_id: ClientId,
    /// Changed only by a sign-in.
    pub lineage: Lineage,
    /// Raised by one with each accepted refresh and each sign-in, never restarted.
    pub generation: Generation,
    /// Whether it may be used.
    pub lifecycle: GrantLifecycle,
    /// Who is spending its current generation.
    pub claim: Option<Claim>,
    /// The current refresh token, if the provider gave one.
    pub refresh: Option<RefreshToken>,
    /// The current access token.
    pub access: Option<AccessToken>,
}

/// Whether a grant may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantLifecycle {
    /// Refresh it, hand out its tokens.
    Active,
    /// A person must sign in again.
    ReauthorizationRequired {
        /// Why.
        reason: ReauthorizeReason,
        /// Since when.
        since: Timestamp,
    },
    /// Authority is withdrawn for now; the tokens may be good, they are not handed out.
    Suspended {
        /// Why.
        reason: SuspendReason,
        /// Since when.
        since: Timestamp,
    },
    /// Disconnected. Never active again; a late answer is revoked, not adopted.
    Revoked {
        /// Since when.
        since: Timestamp,
    },
}

impl GrantLifecycle {
    /// The fixed word stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ReauthorizationRequired { .. } => "reauthorization_required",
            Self::Suspended { .. } => "suspended",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// Why a person must sign in again. Fixed words: they stand in records, audit and `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReauthorizeReason {
    /// The token endpoint said clearly that the refresh token is not good (`invalid_grant`).
    RefreshRefused,
    /// An answer was lost, and the one resend that the provider's rule allows was refused.
    UnknownOutcome,
    /// The access token ended and the provider never gave a refresh token.
    NoRefreshToken,
    /// The stored secret of this grant cannot be read any more (a damaged or repaired store).
    SecretLost,
}

impl ReauthorizeReason {
    const ALL: [Self; 4] = [
        Self::RefreshRefused,
        Self::UnknownOutcome,
        Self::NoRefreshToken,
        Self::SecretLost,
    ];

    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RefreshRefused => "refresh_refused",
            Self::UnknownOutcome => "unknown_outcome",
            Self::NoRefreshToken => "no_refresh_token",
            Self::SecretLost => "secret_lost",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::RefreshRefused => {
                "the provider refused the refresh token (expired, revoked or used elsewhere; it does not say which)"
            }
            Self::UnknownOutcome => {
                "an answer of the provider was lost, and resending the refresh token was refused"
            }
            Self::NoRefreshToken => "the access token ended and the provider gave no refresh token",
            Self::SecretLost => "the stored refresh token can't be read any more",
        }
    }
}

/// Why a grant is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuspendReason {
    /// A person suspended the principal.
    Manual,
}

impl SuspendReason {
    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        (text == Self::Manual.as_str()).then_some(Self::Manual)
    }
}
