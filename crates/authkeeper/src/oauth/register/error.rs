//! Errors of client registration.

use crate::oauth::{PublishedUrl, WireError};

/// Why there is no client id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// Nobody gave one and the server registers none.
    #[error("{issuer} does not register clients by itself")]
    Impossible {
        /// The issuer.
        issuer: String,
    },
    /// The server refused to register us.
    #[error("{issuer} refused to register a client: {detail}")]
    Refused {
        /// The issuer.
        issuer: String,
        /// What it said.
        detail: String,
        /// Whether that is about the redirect URI.
        of_redirect_uri: bool,
    },
    /// No client id: it must be `https` and have a path (draft-ietf-oauth-client-id-metadata-document).
    #[error("{url} is no address of a client metadata document: {problem}")]
    Document {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server publishes a registration endpoint that can't be used.
    #[error(transparent)]
    Published(#[from] PublishedUrl),
    /// The server did not answer.
    #[error(transparent)]
    Wire(#[from] WireError),
}
