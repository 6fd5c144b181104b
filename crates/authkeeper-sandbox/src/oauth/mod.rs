//! The authorization server.

pub(crate) mod assertion;
pub(crate) mod authorize;
pub(crate) mod client_auth;
pub(crate) mod device;
pub(crate) mod inspect;
pub(crate) mod metadata;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod token;

use crate::state::SCOPES;

/// RFC 8628 §3.4.
pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The granted scope: the requested words that exist; `read write` if none was requested.
pub(crate) fn granted_scope(asked: Option<Vec<String>>) -> Vec<String> {
    let Some(mut scope) = asked else {
        return vec!["read".to_owned(), "write".to_owned()];
    };
    scope.retain(|word| SCOPES.contains(&word.as_str()));
    scope
}
