//! The key file: one key in base64, or two while one replaces the other. The first seals; each opens what it sealed.
//!
//! ```text
//! key: K0                     key.retiring
//! key: K0                     the same file as key, by a second name
//! key: K1 K0  (renamed over)  K0's file: a process that may still seal with K0 holds a shared lock on it
//! key: K1     (renamed over)  once nobody does, and nothing that is kept is sealed with K0
//! key: K1                     removed
//! ```
//!
//! Who read K1 and K0 together holds that file, and may seal with K1: it keeps a name, `key.before`, emptied, for the next
//! change to ask. Each step is one rename of a file that is durable: a crash leaves one of these lines, and each can be gone on from.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    platform::{clock::Seams, files::sync_folder_of},
    secret::Secret,
    vault::VaultError,
};

pub(super) type Result<T> = std::result::Result<T, VaultError>;

const LONGEST: u64 = 4096;

pub(super) const MOST_KEYS: usize = 2;

/// How often a file that is replaced while it is read is read again.
const TRIES: usize = 100;

/// Names a key without telling anything of it.
pub(crate) type KeyId = [u8; 8];

/// One key.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) secret: Secret<[u8; 32]>,
}

impl Key {
    #[expect(clippy::disallowed_methods, reason = "the key's name is its hash")]
    pub(crate) fn new(secret: Secret<[u8; 32]>) -> Self {
        let mut hash = Sha256::new_with_prefix(b"authkeeper seal key id");
        hash.update(secret.expose());
        let mut id = KeyId::default();
        id.copy_from_slice(&hash.finalize()[..size_of::<KeyId>()]);
        Self { id, secret }
    }
}

/// A key file as it was read. A caller that seals with its first key holds this until the sealed value is written: only then
/// may the key be retired.
pub(crate) struct LoadedKeys {
    /// The first seals. Behind those of the file stand those that were known before: what was read a moment ago may be
    /// sealed with one that is retired by now.
    pub(crate) keys: Vec<Key>,
    /// How many of them the file holds.
    pub(crate) in_file: usize,
    pub(super) stamp: Option<Stamp>,
    /// Shared, for as long as this lives; none where the file system has no locks.
    pub(super) _lock: Option<File>,
}

impl LoadedKeys {
    /// A key that is in no file.
    pub(crate) fn alone(key: Key) -> Self {
        Self {
            keys: vec![key],
            in_file: 1,
            stamp: None,
            _lock: None,
        }
    }

    /// Whether the file is another one by now.
    pub(crate) fn is_outdated(&self, path: &Path) -> bool {
        let now = fs::metadata(path).ok().map(|found| Stamp::of(&found));
        now.is_some() && now != self.stamp
    }

    /// The file as it is now, with what was known before. One that no longer holds the key that seals here is none of ours:
    /// what is sealed with that key would be lost.
    pub(crate) fn followed_by(&self, path: &Path) -> Result<Self> {
        let mut next = load(path)?;
        let mine = &self.keys[0];
        if !next.keys.iter().any(|key| key.id == mine.id) {
            return Err(bad(path, "it does not hold the key that was in use"));
        }
        let known = self.keys.iter();
        let gone: Vec<Key> = known
            .filter(|key| next.keys.iter().all(|new| new.id != key.id))
            .cloned()
            .collect();
        next.keys.extend(gone);
        Ok(next)
    }
}

/// Tells one file from the next under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &fs::Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            changed: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// Reads the key file, or makes one where there is none yet and nothing was sealed (`may_make`).
pub(crate) fn load_or_make(
    path: &Path,
    store: &Path,
    may_make: bool,
    seams: &Seams,
) -> Result<LoadedKeys> {
    match fs::metadata(path) {
        Ok(_) => load(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => {
            make(path, seams)?;
            load(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(VaultError::KeyMissing {
            store: store.display().to_string(),
            key: path.display().to_string(),
        }),
        Err(error) => Err(VaultError::file(path, error)),
    }
}

/// Locks the file before it is believed: one that was replaced meanwhile may have been found unused.
pub(super) fn load(path: &Path) -> Result<LoadedKeys> {
    let failed = |error: io::Error| VaultError::file(path, error);
    for _ in 0..TRIES {
        let mut file = File::open(path).map_err(failed)?;
        let locked = file.try_lock_shared().is_ok();
        let opened = file.metadata().map_err(failed)?;
        let keys = read(path, &mut file, &opened);
        let stamp = Stamp::of(&opened);
        if fs::metadata(path).is_ok_and(|now| Stamp::of(&now) == stamp) {
            let keys = keys?;
            return Ok(LoadedKeys {
                in_file: keys.len(),
                keys,
                stamp: Some(stamp),
                _lock: locked.then_some(file),
            });
        }
    }
    Err(bad(path, "it is replaced again and again"))
}

pub(super) fn read(path: &Path, file: &mut File, opened: &fs::Metadata) -> Result<Vec<Key>> {
    if opened.mode() & 0o077 != 0 {
        return Err(bad(path, "others may read it; run chmod 600 on it"));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| bad(path, &format!("it is not text ({error})")))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Vec<Key> = lines.map(|line| key(path, line)).collect::<Result<_>>()?;
    match keys.len() {
        0 => Err(bad(path, "it does not hold 32 bytes")),
        1..=MOST_KEYS => Ok(keys),
        _ => Err(bad(path, "it holds more than two keys")),
    }
}

pub(super) fn key(path: &Path, line: &str) -> Result<Key> {
    let decoded = STANDARD.decode(line.trim());
    let bytes = decoded.map_err(|_shows_the_key| bad(path, "it is not base64"))?;
    let bytes = Zeroizing::new(bytes);
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    key.map(|key| Key::new(Secret::new(key)))
        .map_err(|_length| bad(path, "it does not hold 32 bytes"))
}

pub(super) fn bad(path: &Path, detail: &str) -> VaultError {
    VaultError::BadKey {
        key: path.display().to_string(),
        detail: detail.to_owned(),
    }
}

/// Writes a new key where none is, durably, before anything is sealed with it. A race of two processes leaves one key.
fn make(path: &Path, seams: &Seams) -> Result<()> {
    let draft = beside(path, &format!("new-{}", seams.random_id()));
    let made = write_new(&draft, &[&new_key(seams)])
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        })
        .and_then(|()| sync_folder_of(path));
    let _ = fs::remove_file(&draft);
    made.map_err(|error| VaultError::file(path, error))
}

pub(super) fn new_key(seams: &Seams) -> Key {
    let mut key = Zeroizing::new([0_u8; 32]);
    seams.random.fill(key.as_mut());
    Key::new(Secret::new(*key))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the key file is where the keys are kept"
)]
pub(super) fn write_new(path: &Path, keys: &[&Key]) -> io::Result<()> {
    let mut text = Zeroizing::new(String::new());
    for key in keys {
        let line = Zeroizing::new(STANDARD.encode(key.secret.expose()));
        text.push_str(&line);
        text.push('\n');
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
