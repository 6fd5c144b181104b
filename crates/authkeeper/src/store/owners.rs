//! Each process that claims holds an operating-system lock under `owners/`. Whoever can take that lock has proved the
//! *sender* dead; its *request* may still be queued at the provider.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{clock::Seams, model::OwnerId, refresh::decide::OwnerState};

/// This machine's owners, and this process as one of them once it claims.
#[derive(Debug)]
pub struct Owners {
    folder: PathBuf,
    mine: Mutex<Option<Mine>>,
}

#[derive(Debug)]
struct Mine {
    id: OwnerId,
    path: PathBuf,
    /// The lock lives as long as this file is open.
    _lock: File,
}

impl Owners {
    /// The owners whose locks are in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            mine: Mutex::new(None),
        }
    }

    /// This process's id, its lock held from now until the process ends.
    pub fn mine(&self, seams: &Seams) -> io::Result<OwnerId> {
        let mut mine = self
            .mine
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(mine) = mine.as_ref() {
            return Ok(mine.id.clone());
        }
        let id = OwnerId::new(seams.random_id());
        let path = self.folder.join(id.as_str());
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        lock.lock()?;
        *mine = Some(Mine {
            id: id.clone(),
            path,
            _lock: lock,
        });
        Ok(id)
    }

    /// Whether an owner still lives. One that left no lock is gone.
    pub fn state(&self, owner: &OwnerId) -> OwnerState {
        if self.is_me(owner) {
            return OwnerState::Alive;
        }
        let path = self.folder.join(owner.as_str());
        match File::open(&path).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => {
                let _ = fs::remove_file(&path);
                OwnerState::Dead
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => OwnerState::Dead,
            // Without a proof of death the owner counts as living: waiting costs time, a second spender a grant.
            Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => {
                OwnerState::Alive
            }
        }
    }

    /// Whether any other process that keeps or refreshes connections is alive.
    pub fn others_live(&self) -> bool {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let ids = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(OwnerId::new);
        ids.filter(|id| !self.is_me(id))
            .any(|id| self.state(&id) == OwnerState::Alive)
    }

    /// How many other owners live, and how many files dead ones left. Sweeps nothing up.
    pub fn census(&self) -> (usize, usize) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let others = entries.filter(|entry| {
            let name = entry.file_name().into_string();
            name.is_ok_and(|name| !self.is_me(&OwnerId::new(name)))
        });
        let is_dead =
            |path: &Path| File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok());
        let (dead, live): (Vec<_>, Vec<_>) = others.partition(|entry| is_dead(&entry.path()));
        (live.len(), dead.len())
    }

    pub(crate) fn is_me(&self, owner: &OwnerId) -> bool {
        let mine = self
            .mine
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        mine.as_ref().is_some_and(|mine| mine.id == *owner)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a folder that only its owner may enter.
pub fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_lives_as_long_as_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let seams = Seams::system();
        let one = Owners::new(folder.path().to_owned());
        let other = Owners::new(folder.path().to_owned());
        let id = one.mine(&seams).unwrap();
        assert_eq!(one.mine(&seams).unwrap(), id);
        assert_eq!(one.state(&id), OwnerState::Alive);
        assert_eq!(other.state(&id), OwnerState::Alive);
        assert!(other.others_live() && !one.others_live());
        assert_eq!((other.census(), one.census()), ((1, 0), (0, 0)));
        // As a kill leaves it: the file stays, the lock goes.
        let path = folder.path().join(id.as_str());
        drop(one);
        fs::write(&path, "").unwrap();
        assert_eq!(other.census(), (0, 1));
        assert_eq!(other.state(&id), OwnerState::Dead);
        assert!(!path.exists(), "what a dead owner left is swept up");
        assert_eq!(other.state(&id), OwnerState::Dead);
        assert!(!other.others_live());
    }
}
