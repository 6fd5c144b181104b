//! Reseals the files beside the store. Other processes write, read and remove these files at the same time: a resealed file
//! replaces the one that was read, in one step. One that was removed does not come back (an answer that was
//! tried would be tried again), and one that was replaced meanwhile stays.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{
    http::REPLY_LIMIT,
    platform::{files::sync_folder_of, process_lease::private_folder},
    vault::{
        VaultError,
        seal::{AssociatedData, Sealer},
    },
};

/// None of these files is longer.
const LONGEST: u64 = REPLY_LIMIT as u64 * 2;

/// The result of a pass that seals values again with the current key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResealCount {
    /// Values sealed again.
    pub resealed: usize,
    /// Values sealed with another key that are still being written.
    pub in_use: usize,
    /// Damaged values: no key opens them.
    pub broken: usize,
}

/// The folder in which new content is made, beside those that it goes to.
pub(crate) struct StagingFolder(PathBuf);

/// A file as it was read.
pub(crate) struct SealedFile {
    path: PathBuf,
    pub(crate) content: Vec<u8>,
    /// Open, so that no other file gets its inode meanwhile.
    file: File,
}

impl StagingFolder {
    /// Empty, whatever an earlier change left.
    pub(crate) fn set_up(path: PathBuf) -> Result<Self, VaultError> {
        let make = || {
            clear(&path)?;
            private_folder(&path)
        };
        let made: io::Result<()> = make();
        made.map_err(|error| VaultError::file(&path, error))?;
        Ok(Self(path))
    }

    /// Puts new content where something was found; whether it is there now.
    pub(crate) fn put(&self, found: &SealedFile, content: &[u8]) -> Result<bool, VaultError> {
        let failed = |error: io::Error| VaultError::file(&found.path, error);
        let mine = self.0.join("new");
        let inode = write_durably(&mine, content).map_err(failed)?;
        let put = exchange(&mine, inode, found).map_err(failed);
        let _ = fs::remove_file(&mine);
        put
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        let _ = clear(&self.0);
    }
}

fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<u64> {
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    file.metadata().map(|metadata| metadata.ino())
}

fn exchange(mine: &Path, inode: u64, found: &SealedFile) -> io::Result<bool> {
    let was = found.file.metadata()?.ino();
    let mut expected = was;
    loop {
        match renameat_with(CWD, mine, CWD, &found.path, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            done => done?,
        }
        let came_out = fs::metadata(mine)?.ino();
        if came_out == expected {
            sync_folder_of(&found.path)?;
            return Ok(expected == was);
        }
        // Somebody was faster, and what came out is newer than what went in: it goes back.
        expected = inode;
    }
}

impl SealedFile {
    fn read(path: PathBuf) -> Option<Self> {
        let file = File::open(&path).ok()?;
        let mut content = Vec::new();
        (&file).take(LONGEST).read_to_end(&mut content).ok()?;
        Some(Self {
            path,
            content,
            file,
        })
    }
}

/// The files of a folder with their names.
pub(crate) fn files(folder: &Path) -> impl Iterator<Item = (String, SealedFile)> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name, SealedFile::read(entry.path())?))
    })
}

/// Reseals a part of a file, writes the file, and counts the result.
pub(crate) fn reseal(
    (bench, sealer): (&StagingFolder, &Sealer),
    found: &SealedFile,
    (sealed, belongs): (&[u8], AssociatedData<'_>),
    whole: impl FnOnce(&[u8]) -> Vec<u8>,
    count: &mut ResealCount,
) -> Result<(), VaultError> {
    if sealed.starts_with(&sealer.prefix()) {
        return Ok(());
    }
    match sealer.reseal(belongs, sealed) {
        None => count.broken += 1,
        // One that went or was replaced meanwhile is looked at again.
        Some(sealed) => count.resealed += usize::from(bench.put(found, &whole(&sealed))?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_read_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let bench = StagingFolder::set_up(folder.path().join("bench")).unwrap();
        let path = folder.path().join("file");
        let content = || fs::read_to_string(&path).unwrap();
        fs::write(&path, "old").unwrap();
        let found = SealedFile::read(path.clone()).unwrap();
        assert!(bench.put(&found, b"new").unwrap());
        assert_eq!(content(), "new");

        let found = SealedFile::read(path.clone()).unwrap();
        let newer = folder.path().join("newer");
        fs::write(&newer, "newer").unwrap();
        fs::rename(&newer, &path).unwrap();
        assert!(!bench.put(&found, b"new").unwrap());
        assert_eq!(content(), "newer", "what came in between stays");

        let found = SealedFile::read(path.clone()).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!bench.put(&found, b"new").unwrap());
        assert!(!path.exists(), "what went does not come back");
        drop(bench);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
