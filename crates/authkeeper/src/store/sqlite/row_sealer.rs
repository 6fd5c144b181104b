//! Seals the secrets of rows, and marks refresh tokens.

use std::sync::Arc;

use crate::{
    secret::{Secret, SecretString},
    vault::seal::{self, AssociatedData, Sealed, Sealer},
};

/// Clones share the keys: the writing thread has one of its own.
#[derive(Clone)]
pub(super) struct RowSealer {
    pub(super) sealer: Sealer,
    mark_key: Arc<Secret<[u8; 32]>>,
}

impl RowSealer {
    pub(super) fn new(sealer: Sealer, mark_key: Secret<[u8; 32]>) -> Self {
        let mark_key = Arc::new(mark_key);
        Self { sealer, mark_key }
    }

    pub(super) fn seal(&self, belongs: AssociatedData<'_>, secret: &SecretString) -> Sealed {
        #[expect(clippy::disallowed_methods, reason = "the secret is sealed")]
        self.sealer.seal(belongs, secret.expose().as_bytes())
    }

    /// The fingerprint of a refresh token.
    #[expect(clippy::disallowed_methods, reason = "the store marks what it seals")]
    pub(super) fn mark(&self, refresh: &SecretString) -> Vec<u8> {
        let plain = refresh.expose().as_bytes();
        seal::mark(&self.mark_key, "refresh_token", plain).to_vec()
    }
}
