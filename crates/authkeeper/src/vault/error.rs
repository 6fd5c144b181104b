//! Errors of the seal key's file.

use std::{io, path::Path};

use crate::platform::files::FileError;

/// The key file, or a file that is sealed with its key, can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// An operation on a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is a store and no key.
    #[error("the key {key} is missing, and {store} can't be read without it")]
    KeyMissing {
        /// The path of the store.
        store: String,
        /// The path of the key file.
        key: String,
    },
    /// The content of the key file is not a key.
    #[error("{key} can't serve as the key: {detail}")]
    BadKey {
        /// The path of the key file.
        key: String,
        /// The reason.
        detail: String,
    },
}

impl VaultError {
    pub(super) fn file(path: &Path, error: io::Error) -> Self {
        FileError::new(path, error).into()
    }
}
