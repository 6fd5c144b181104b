//! The purpose of a client: which flow it must serve.

use crate::model::{ClientRegistration, GrantType};

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
    pub(super) fn redirect_uris(self) -> Vec<String> {
        match self {
            Self::Code { redirect_uri } => vec![redirect_uri.to_owned()],
            Self::Device | Self::Own => vec![],
        }
    }

    pub(super) fn grant_type(self) -> GrantType {
        match self {
            Self::Code { .. } => GrantType::AuthorizationCode,
            Self::Device => GrantType::DeviceCode,
            Self::Own => GrantType::ClientCredentials,
        }
    }

    /// Whether a client that registered itself before serves this too.
    pub(super) fn is_served_by(self, known: &ClientRegistration) -> bool {
        known.redirect_uris == self.redirect_uris()
            && known.grant_types.contains(&self.grant_type())
    }
}
