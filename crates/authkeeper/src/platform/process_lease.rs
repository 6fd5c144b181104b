//! Process leases: each process that claims a grant holds a file lock under `owners/`. Another process that can take the
//! lock has proved the *sender* dead. The sender's *request* may still be queued at the provider.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::{
    model::{OwnerId, OwnerState},
    platform::{
        clock::Seams,
        files::{DiskFiles, Files, Lock},
    },
};

/// Who tells whether the process that holds a claim lives. An owner that can't be proved dead counts as living: waiting costs
/// time, a second spender a grant.
pub trait Liveness: Send + Sync + 'static {
    /// This process's id. From now until the process ends the others see that it lives.
    fn mine(&self, seams: &Seams) -> io::Result<OwnerId>;
    /// Whether an owner still lives.
    fn state(&self, owner: &OwnerId) -> OwnerState;
    /// Whether an owner is this process.
    fn is_me(&self, owner: &OwnerId) -> bool;
    /// Whether any other process that keeps or refreshes connections is alive.
    fn others_live(&self) -> bool;
}

/// This machine's owners, told by file locks, and this process as one of them once it claims.
#[derive(Debug)]
pub struct Owners {
    folder: PathBuf,
    files: Arc<dyn Files>,
    mine: Mutex<Option<OwnLease>>,
}

#[derive(Debug)]
struct OwnLease {
    id: OwnerId,
    path: PathBuf,
    files: Arc<dyn Files>,
    _lock: Lock,
}

impl Owners {
    /// The owners whose locks are in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self::over(folder, Arc::new(DiskFiles))
    }

    /// The owners whose locks are in this folder of these files.
    pub fn over(folder: PathBuf, files: Arc<dyn Files>) -> Self {
        Self {
            folder,
            files,
            mine: Mutex::new(None),
        }
    }

    /// How many other owners live, and how many files dead ones left. Sweeps nothing up: a file that is not locked may be
    /// one that its owner has just made, and is about to lock. Without it that owner would count as dead.
    pub fn census(&self) -> (usize, usize) {
        let names = self.files.names(&self.folder).into_iter();
        let others = names.filter(|name| !self.is_me(&OwnerId::new(name)));
        let is_dead = |name: &String| match self.files.is_locked(&self.folder.join(name)) {
            Ok(locked) => !locked,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let (dead, live): (Vec<_>, Vec<_>) = others.partition(is_dead);
        (live.len(), dead.len())
    }
}

impl Liveness for Owners {
    fn mine(&self, seams: &Seams) -> io::Result<OwnerId> {
        let mut mine = self
            .mine
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(mine) = mine.as_ref() {
            return Ok(mine.id.clone());
        }
        let id = OwnerId::new(seams.random_id());
        let path = self.folder.join(id.as_str());
        *mine = Some(OwnLease {
            id: id.clone(),
            _lock: self.files.lock(&path)?,
            files: Arc::clone(&self.files),
            path,
        });
        Ok(id)
    }

    fn state(&self, owner: &OwnerId) -> OwnerState {
        if self.is_me(owner) {
            return OwnerState::Alive;
        }
        let path = self.folder.join(owner.as_str());
        match self.files.is_locked(&path) {
            Ok(false) => {
                let _ = self.files.remove(&path);
                OwnerState::Dead
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => OwnerState::Dead,
            // Without a proof of death the owner counts as living: waiting costs time, a second spender a grant.
            Ok(true) | Err(_) => OwnerState::Alive,
        }
    }

    fn others_live(&self) -> bool {
        self.census().0 > 0
    }

    fn is_me(&self, owner: &OwnerId) -> bool {
        let mine = self
            .mine
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        mine.as_ref().is_some_and(|mine| mine.id == *owner)
    }
}

impl Drop for OwnLease {
    fn drop(&mut self) {
        let _ = self.files.remove(&self.path);
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
        assert!(!other.others_live() && path.exists(), "not swept up");
        assert_eq!(other.state(&id), OwnerState::Dead);
        assert!(!path.exists(), "what the owner of a claim left is swept up");
        assert_eq!(other.state(&id), OwnerState::Dead);
        assert!(!other.others_live());
    }
}
