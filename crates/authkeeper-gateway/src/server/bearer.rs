//! The daemon's handle: a bearer secret, made at its first start, in a file that only its owner can read.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use authkeeper::secret::SecretString;
use tempfile::NamedTempFile;

/// Shorter ones could be guessed.
const SHORTEST: usize = 32;
const LONGEST: u64 = 1024;

/// The secret that a program shows to be let in.
#[derive(Debug)]
pub struct Handle {
    /// Its file.
    pub path: PathBuf,
    /// The secret.
    pub secret: SecretString,
}

/// Why there is no handle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// Its file can't be read.
    #[error("the handle in {} can't be read: {source}", path.display())]
    Unreadable {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Other users may read its file.
    #[error("others may read the handle in {}", path.display())]
    Exposed {
        /// Its file.
        path: PathBuf,
    },
    /// Its file holds something else.
    #[error("{} does not hold a handle", path.display())]
    Unusable {
        /// Its file.
        path: PathBuf,
    },
    /// Its file can't be written.
    #[error("the handle can't be kept in {}: {source}", path.display())]
    Unwritten {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Handle {
    /// The one beside this store; `fresh` becomes it where there is none yet.
    pub fn beside(store: &Path, fresh: impl FnOnce() -> SecretString) -> Result<Self, HandleError> {
        let path = store.with_file_name("handle");
        if !path.exists() {
            keep(&path, &fresh()).map_err(|source| HandleError::Unwritten {
                path: path.clone(),
                source,
            })?;
        }
        let secret = read(&path)?;
        Ok(Self { path, secret })
    }
}

/// Whole or not at all; one that another process made meanwhile stays.
#[expect(clippy::disallowed_methods, reason = "it is kept in a file of its own")]
fn keep(path: &Path, handle: &SecretString) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", handle.expose())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(kept) if kept.error.kind() != io::ErrorKind::AlreadyExists => Err(kept.error),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<SecretString, HandleError> {
    let path = path.to_owned();
    let unread = |source: io::Error| HandleError::Unreadable {
        path: path.clone(),
        source,
    };
    let about = fs::metadata(&path).map_err(unread)?;
    if about.mode() & 0o077 != 0 {
        return Err(HandleError::Exposed { path });
    }
    let text = if about.len() > LONGEST {
        String::new()
    } else {
        fs::read_to_string(&path).map_err(unread)?
    };
    let handle = text.trim();
    if handle.len() < SHORTEST || !handle.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HandleError::Unusable { path });
    }
    Ok(handle.to_owned().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const FRESH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

    fn beside(folder: &Path) -> Result<Handle, HandleError> {
        Handle::beside(&folder.join("store.db"), || FRESH.to_owned().into())
    }

    #[expect(clippy::disallowed_methods, reason = "a test looks at it")]
    fn text(handle: &Handle) -> &str {
        handle.secret.expose()
    }

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = beside(folder.path()).unwrap();
        assert_eq!(text(&made), FRESH);
        let mode = fs::metadata(&made.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = || "x".repeat(64).into();
        let found = Handle::beside(&folder.path().join("store.db"), other).unwrap();
        assert_eq!(text(&found), FRESH);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_that_others_can_read_or_guess_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(folder.path()).unwrap().path;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = beside(folder.path()).unwrap_err();
        assert!(matches!(open, HandleError::Exposed { .. }), "{open}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "short", &"é".repeat(40), &"a b".repeat(20)] {
            fs::write(&path, bad).unwrap();
            let refused = beside(folder.path()).unwrap_err();
            assert!(matches!(refused, HandleError::Unusable { .. }), "{bad:?}");
            let said = refused.to_string();
            assert!(bad.is_empty() || !said.contains(bad), "it is said");
        }
    }
}
