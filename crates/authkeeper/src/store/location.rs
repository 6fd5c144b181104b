//! A store must lie on a file system of this machine.

use std::path::Path;

use crate::{
    platform::filesystem::{self, Locality},
    store::{Result, StoreError},
};

/// Refuses a network file system.
pub(crate) fn check(path: &Path) -> Result<()> {
    match filesystem::of(path) {
        Locality::Remote(kind) => Err(StoreError::Remote {
            place: path.display().to_string(),
            kind,
        }),
        Locality::Here | Locality::Unclear(_) => Ok(()),
    }
}
