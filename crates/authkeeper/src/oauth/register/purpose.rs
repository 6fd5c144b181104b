//! The purpose of a client: which grant type it must serve.

use crate::model::{ClientRegistration, GrantRegistration, GrantType};

/// What a client is registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose<'a> {
    grant_type: GrantType,
    redirect_uri: Option<&'a str>,
}

impl<'a> Purpose<'a> {
    /// Grants of this type.
    pub const fn of(grant_type: GrantType) -> Self {
        Self {
            grant_type,
            redirect_uri: None,
        }
    }

    /// The same, with the redirect to this URI.
    #[must_use]
    pub const fn redirected_to(self, redirect_uri: &'a str) -> Self {
        Self {
            redirect_uri: Some(redirect_uri),
            ..self
        }
    }

    pub(super) fn redirect_uris(self) -> Vec<String> {
        self.redirect_uri.map(str::to_owned).into_iter().collect()
    }

    pub(super) fn registration(self) -> &'static GrantRegistration {
        self.grant_type.registration()
    }

    /// Whether a client that registered itself before serves this too.
    pub(super) fn is_served_by(self, known: &ClientRegistration) -> bool {
        known.redirect_uris == self.redirect_uris()
            && known.grant_types.contains(&self.registration().kept_as)
    }
}
