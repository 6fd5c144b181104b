//! The daemon's handle: made at its first start, in a file that only its owner can read.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use authkeeper::secret::SecretString;
use tempfile::NamedTempFile;

use crate::{exit::Exit, failure::Failure};

/// Shorter ones could be guessed.
const SHORTEST: usize = 32;
const LONGEST: u64 = 1024;

/// What a program shows to be let in.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) path: PathBuf,
    pub(crate) secret: SecretString,
}

impl Handle {
    /// The one beside this store; `fresh` becomes it where there is none yet.
    pub(crate) fn beside(
        store: &Path,
        fresh: impl FnOnce() -> SecretString,
    ) -> Result<Self, Failure> {
        let path = store.with_file_name("handle");
        if !path.exists() {
            keep(&path, &fresh()).map_err(|error| unwritten(&path, &error))?;
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

fn read(path: &Path) -> Result<SecretString, Failure> {
    let unread = |error: io::Error| {
        let what = format!("the handle in {} can't be read: {error}", path.display());
        Failure::new(Exit::Config, what, "check its owner and permissions")
    };
    let about = fs::metadata(path).map_err(unread)?;
    if about.mode() & 0o077 != 0 {
        let what = format!("others may read the handle in {}", path.display());
        let next = format!(
            "chmod 600 {0}, or remove it: a new one is made",
            path.display()
        );
        return Err(Failure::new(Exit::Config, what, next));
    }
    let text = if about.len() > LONGEST {
        String::new()
    } else {
        fs::read_to_string(path).map_err(unread)?
    };
    let handle = text.trim();
    if handle.len() < SHORTEST || !handle.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("{} does not hold a handle", path.display());
        let next = "remove it: a new one is made";
        return Err(Failure::new(Exit::Config, what, next));
    }
    Ok(handle.to_owned().into())
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let what = format!("the handle can't be kept in {}: {error}", path.display());
    Failure::new(
        Exit::Store,
        what,
        "check the folder's space and permissions",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const FRESH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

    fn beside(folder: &Path) -> Result<Handle, Failure> {
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
        assert!(open.next.contains("chmod 600"), "{}", open.next);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "short", &"é".repeat(40), &"a b".repeat(20)] {
            fs::write(&path, bad).unwrap();
            let refused = beside(folder.path()).unwrap_err();
            assert_eq!(refused.exit, Exit::Config, "{bad:?}");
            assert!(bad.is_empty() || !refused.what.contains(bad), "it is said");
        }
    }
}
