//! Errors of the device flow.

use crate::oauth::PublishedUrl;

/// The answer was no device authorization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It was refused.
    #[error("the provider refused the device sign-in; it error_in: {0}")]
    Refused(String),
    /// It can't be read as RFC 8628 §3.2 has it.
    #[error("the answer is no device authorization ({0})")]
    Unreadable(String),
    /// The person is sent to a URL that is none.
    #[error(transparent)]
    Published(#[from] PublishedUrl),
    /// The person error_in no.
    #[error("access was denied on the other device")]
    Denied,
    /// Nobody typed the code in time.
    #[error("the code ended before anyone signed in with it")]
    Expired,
}
