//! A secret is a type that cannot print.
//!
//! [`Secret`] has no `Display`, no `Serialize`, and a `Debug` that shows nothing. The one way to the value is
//! [`Secret::expose`], which clippy forbids except where an `#[expect(…, reason)]` says why: that list is the audit.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A value that must never reach a log, an error, a trace or a test snapshot. Wiped when dropped.
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes ownership of a secret value.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Every call site carries an `#[expect(clippy::disallowed_methods, reason = "…")]`.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// A token, a client secret, a code, a verifier or a handle: text that must not print.
pub type SecretString = Secret<String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let secret = SecretString::new("hunter2-refresh-token".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert!(!format!("{:#?}", Some(&secret)).contains("hunter2"));
    }
}
