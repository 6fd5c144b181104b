//! The request for an access token, and the token that answers it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    http::CertificateFiles,
    model::{ConnectionName, ExtraHeaders, Generation, Lineage, Presentation, Resource, Scope},
    oauth::dpop::Binding,
    refresh::decide::{Freshness, Shortfall},
    secret::SecretString,
};

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    connection: ConnectionName,
    min_ttl: Option<Duration>,
    rejected: Option<Generation>,
}

impl TokenRequest {
    /// A token for this connection.
    pub fn new(connection: ConnectionName) -> Self {
        Self {
            connection,
            min_ttl: None,
            rejected: None,
        }
    }

    pub(crate) fn connection(&self) -> &ConnectionName {
        &self.connection
    }

    pub(crate) fn ask(&self) -> Freshness {
        Freshness {
            min_ttl: self.min_ttl,
            rejected: self.rejected,
        }
    }

    /// One that lives at least this much longer, if the provider can give that.
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Option<Duration>) -> Self {
        self.min_ttl = min_ttl;
        self
    }

    /// One newer than this generation, which just got a 401.
    #[must_use]
    pub fn after_401(mut self, rejected: Option<Generation>) -> Self {
        self.rejected = rejected;
        self
    }
}

/// A token that may be presented now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The access token.
    pub secret: SecretString,
    /// Which generation it is: named when it gets a 401.
    pub generation: Generation,
    /// Which sign-in it stems from: named when it gets a 403 for lack of a scope.
    pub lineage: Lineage,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends; none if it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// What was granted, where known.
    pub scope: Option<Scope>,
    /// What it is for.
    pub resource: Option<Resource>,
    /// Where it may be sent: the connection's URL. A token goes to this origin and no other.
    pub url: String,
    /// How it is shown there.
    pub presentation: Presentation,
    /// What else each request there carries.
    pub headers: ExtraHeaders,
    /// The key that it is bound to; it is good only with a proof of that for each request (RFC 9449).
    pub binding: Option<Binding>,
    /// The client certificate that its server is shown (RFC 8705).
    pub certificate: Option<Arc<CertificateFiles>>,
    /// Why it lives shorter than was asked for, if it does.
    pub shortfall: Option<Box<Shortfall>>,
}

impl IssuedToken {
    /// Whether it lives as long as was asked for.
    pub fn min_ttl_met(&self) -> bool {
        self.shortfall.is_none()
    }
}
