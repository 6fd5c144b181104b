//! Errors of the store.

use std::{io, path::Path};

use crate::{platform::files::FileError, vault::VaultError};

/// Why the store can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room left.
    #[error("no space left on the device that holds {place}")]
    Full {
        /// The store's place.
        place: String,
    },
    /// It can't be written.
    #[error("{place} is read-only")]
    ReadOnly {
        /// The store's place.
        place: String,
    },
    /// It can't be opened or read.
    #[error("{place} can't be opened: {detail}")]
    Unusable {
        /// The store's place.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// Its content is damaged.
    #[error("{place} is damaged: {detail}")]
    Damaged {
        /// The store's place.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// Other processes held it for too long.
    #[error("{place} was locked by another process for too long")]
    Busy {
        /// The store's place.
        place: String,
    },
    /// A newer authkeeper wrote it.
    #[error("{place} was written by a newer authkeeper (format {found}, this one knows {known})")]
    Newer {
        /// The store's place.
        place: String,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The key is not the one that sealed it.
    #[error("the key {key} is not the one that {place} was sealed with")]
    WrongKey {
        /// The store's place.
        place: String,
        /// The key's place.
        key: String,
    },
    /// It is a copy: the original may spend the same refresh tokens.
    #[error("{place} was copied here, and the other copy may spend the same refresh tokens")]
    Copied {
        /// The store's place.
        place: String,
    },
    /// Other machines may have it too, and no lock of ours is seen there.
    #[error("{place} lies on a network file system ({kind})")]
    Remote {
        /// The store's place.
        place: String,
        /// Which file system.
        kind: String,
    },
    /// There is a store and no key.
    #[error("the key {key} is missing, and {place} can't be read without it")]
    KeyMissing {
        /// The store's place.
        place: String,
        /// The key's place.
        key: String,
    },
    /// The key file is not a key.
    #[error("{key} can't serve as the key: {detail}")]
    BadKey {
        /// The key's place.
        key: String,
        /// What is wrong.
        detail: String,
    },
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A file or folder of the store can't be used.
pub(crate) fn unusable(path: &Path, error: &io::Error) -> StoreError {
    let place = path.display().to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { place },
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { place },
        _ => StoreError::Unusable {
            place,
            detail: error.to_string(),
        },
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        unusable(error.path.as_ref(), &error.source)
    }
}

impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::File(error) => error.into(),
            VaultError::KeyMissing { store, key } => Self::KeyMissing { place: store, key },
            VaultError::BadKey { key, detail } => Self::BadKey { key, detail },
        }
    }
}
