//! The change from one seal key to the next, by one process at a time.

use std::{
    fs::{self, File},
    io::{self},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    platform::{
        clock::Seams,
        failpoint::{self, FaultPoint},
        files::sync_folder_of,
    },
    vault::{
        VaultError,
        key_file::{Key, MOST_KEYS, Result, beside, load, new_key, remove_if_there, write_new},
    },
};

/// The change from one key to the next, by one process at a time.
pub(crate) struct KeyFileChange {
    /// The file itself, whatever links lead to it.
    pub(super) path: PathBuf,
    /// Held until it is over.
    pub(super) _turn: File,
}

impl KeyFileChange {
    /// None if another process is at it.
    pub(crate) fn enter(path: &Path) -> Result<Option<Self>> {
        let path = fs::canonicalize(path).map_err(|error| VaultError::file(path, error))?;
        let turn = beside(&path, "turn");
        let mut options = fs::OpenOptions::new();
        let opened = options.create(true).append(true).mode(0o600).open(&turn);
        let turn = opened.map_err(|error| VaultError::file(&turn, error))?;
        match turn.try_lock() {
            Ok(()) => Ok(Some(Self { path, _turn: turn })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(VaultError::file(&path, error)),
        }
    }

    /// Puts a new key in front of the current one; false if that was done before, and the change was cut off.
    pub(crate) fn begin(&self, seams: &Seams) -> Result<bool> {
        let current = load(&self.path)?;
        self.empty_before()
            .map_err(|error| VaultError::file(&self.path, error))?;
        if current.in_file == MOST_KEYS {
            return Ok(false);
        }
        let added = self.add(&new_key(seams), &current.keys[0]);
        added.map_err(|error| VaultError::file(&self.path, error))?;
        Ok(true)
    }

    fn add(&self, new: &Key, old: &Key) -> io::Result<()> {
        // What an earlier change left at its very end, or before it had begun.
        remove_if_there(&self.retiring())?;
        fs::hard_link(&self.path, self.retiring())?;
        sync_folder_of(&self.path)?;
        failpoint::pass(FaultPoint::KeyLinked);
        self.replace(&[new, old])?;
        failpoint::pass(FaultPoint::KeyAdded);
        Ok(())
    }

    /// Whether no process can seal with the old key any more. Once that is so it stays so: the file that they held is not
    /// the key file any more, and nobody can come by it. None if the file is not there to be asked.
    pub(crate) fn old_key_is_free(&self) -> Option<bool> {
        let held = File::open(self.retiring()).ok()?;
        Some(held.try_lock().is_ok() && self.before_is_free())
    }

    /// Whether nobody holds the file that had the old key in front of the one before it.
    fn before_is_free(&self) -> bool {
        let before = File::open(self.before());
        before.is_ok_and(|before| before.try_lock().is_ok()) || !self.before().exists()
    }

    /// Drops the old key: nothing that is kept is sealed with it, and nobody seals with it.
    pub(crate) fn retire(&self) -> Result<()> {
        let current = load(&self.path)?;
        let retire = || {
            if current.in_file == MOST_KEYS {
                remove_if_there(&self.before())?;
                fs::hard_link(&self.path, self.before())?;
                self.replace(&[&current.keys[0]])?;
                failpoint::pass(FaultPoint::KeyRetired);
            }
            self.empty_before()?;
            remove_if_there(&self.retiring())?;
            sync_folder_of(&self.path)
        };
        let retired: io::Result<()> = retire();
        retired.map_err(|error| VaultError::file(&self.path, error))
    }

    /// Who holds it has read its keys; nobody else needs them. A change that was cut off may have left the name on the key
    /// file itself: there it means nothing.
    fn empty_before(&self) -> io::Result<()> {
        let before = match fs::OpenOptions::new().write(true).open(self.before()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let (mine, key) = (before.metadata()?, fs::metadata(&self.path)?);
        if (mine.dev(), mine.ino()) == (key.dev(), key.ino()) {
            return remove_if_there(&self.before());
        }
        before.set_len(0)?;
        before.sync_all()
    }

    /// Takes that file away, if nobody holds it any more.
    pub(crate) fn tidy(&self) {
        if self.before_is_free() {
            // What is left is asked, and tidied up, by the next change.
            let _ = fs::remove_file(self.before());
        }
    }

    fn replace(&self, keys: &[&Key]) -> io::Result<()> {
        let draft = self.draft();
        remove_if_there(&draft)?;
        write_new(&draft, keys)?;
        fs::rename(&draft, &self.path)?;
        sync_folder_of(&self.path)
    }

    fn retiring(&self) -> PathBuf {
        beside(&self.path, "retiring")
    }

    fn before(&self) -> PathBuf {
        beside(&self.path, "before")
    }

    fn draft(&self) -> PathBuf {
        beside(&self.path, "next")
    }
}
