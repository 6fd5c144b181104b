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
    platform::{
        clock::Seams,
        failpoint::{self, FaultPoint},
        files::sync_folder_of,
    },
    secret::Secret,
    vault::VaultError,
};

type Result<T> = std::result::Result<T, VaultError>;

const LONGEST: u64 = 4096;
const MOST_KEYS: usize = 2;
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

/// A key file as it was read. Whoever seals with its first key holds this until what was sealed is kept: only then may the
/// key be retired.
pub(crate) struct Loaded {
    /// The first seals. Behind those of the file stand those that were known before: what was read a moment ago may be
    /// sealed with one that is retired by now.
    pub(crate) keys: Vec<Key>,
    /// How many of them the file holds.
    pub(crate) in_file: usize,
    stamp: Option<Stamp>,
    /// Shared, for as long as this lives; none where the file system has no locks.
    _lock: Option<File>,
}

impl Loaded {
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
struct Stamp {
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
) -> Result<Loaded> {
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
fn load(path: &Path) -> Result<Loaded> {
    let failed = |error: io::Error| VaultError::file(path, error);
    for _ in 0..TRIES {
        let mut file = File::open(path).map_err(failed)?;
        let locked = file.try_lock_shared().is_ok();
        let opened = file.metadata().map_err(failed)?;
        let keys = read(path, &mut file, &opened);
        let stamp = Stamp::of(&opened);
        if fs::metadata(path).is_ok_and(|now| Stamp::of(&now) == stamp) {
            let keys = keys?;
            return Ok(Loaded {
                in_file: keys.len(),
                keys,
                stamp: Some(stamp),
                _lock: locked.then_some(file),
            });
        }
    }
    Err(bad(path, "it is replaced again and again"))
}

fn read(path: &Path, file: &mut File, opened: &fs::Metadata) -> Result<Vec<Key>> {
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

fn key(path: &Path, line: &str) -> Result<Key> {
    let decoded = STANDARD.decode(line.trim());
    let bytes = decoded.map_err(|_shows_the_key| bad(path, "it is not base64"))?;
    let bytes = Zeroizing::new(bytes);
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    key.map(|key| Key::new(Secret::new(key)))
        .map_err(|_length| bad(path, "it does not hold 32 bytes"))
}

fn bad(path: &Path, detail: &str) -> VaultError {
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

fn new_key(seams: &Seams) -> Key {
    let mut key = Zeroizing::new([0_u8; 32]);
    seams.random.fill(key.as_mut());
    Key::new(Secret::new(*key))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the key file is where the keys are kept"
)]
fn write_new(path: &Path, keys: &[&Key]) -> io::Result<()> {
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

/// The change from one key to the next, by one process at a time.
pub(crate) struct Change {
    /// The file itself, whatever links lead to it.
    path: PathBuf,
    /// Held until it is over.
    _turn: File,
}

impl Change {
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

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path) -> (PathBuf, Loaded) {
        let path = folder.join("key");
        let seams = Seams::system();
        let loaded = load_or_make(&path, &folder.join("store.db"), true, &seams).unwrap();
        (path, loaded)
    }

    fn ids(path: &Path) -> Vec<KeyId> {
        let loaded = load(path).unwrap();
        loaded.keys.iter().map(|key| key.id).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_key_is_made_once_and_only_where_nothing_was_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let (key, store) = (folder.path().join("key"), folder.path().join("store.db"));
        let seams = Seams::system();
        let missing = load_or_make(&key, &store, false, &seams);
        assert!(matches!(missing, Err(VaultError::KeyMissing { .. })));
        let (_, first) = made(folder.path());
        assert_eq!(ids(&key), [first.keys[0].id]);
        assert_eq!(made(folder.path()).1.keys[0].id, first.keys[0].id);
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = made(folder.path());
        let good = fs::read_to_string(&path).unwrap();
        for bad in [
            "bm90IGEga2V5\n".to_owned(),
            "no key at all!\n".to_owned(),
            String::new(),
            format!("{good}garbage\n"),
            good.repeat(3),
        ] {
            fs::write(&path, &bad).unwrap();
            assert!(
                matches!(load(&path), Err(VaultError::BadKey { .. })),
                "{bad}"
            );
        }
        fs::write(&path, good.repeat(2)).unwrap();
        assert_eq!(ids(&path).len(), 2);
    }

    #[test]
    fn a_key_gives_way_once_nobody_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, first) = made(folder.path());
        let old = first.keys[0].id;
        let change = Change::enter(&path).unwrap().unwrap();
        assert!(Change::enter(&path).unwrap().is_none(), "one at a time");
        assert!(change.begin(&Seams::system()).unwrap());
        let both = ids(&path);
        assert_eq!((both.len(), both[1]), (2, old));
        assert!(
            !change.begin(&Seams::system()).unwrap(),
            "it is gone on with"
        );
        assert_eq!(ids(&path), both);
        assert_eq!(change.old_key_is_free(), Some(false));
        let next = first.followed_by(&path).unwrap();
        assert_eq!(change.old_key_is_free(), Some(false));
        drop(first);
        assert_eq!(change.old_key_is_free(), Some(true));
        change.retire().unwrap();
        assert_eq!(ids(&path), both[..1]);
        change.tidy();
        assert_eq!(names(folder.path()), ["key", "key.before", "key.turn"]);
        assert_eq!(fs::read(beside(&path, "before")).unwrap(), b"");
        let last = next.followed_by(&path).unwrap();
        drop(next);
        change.tidy();
        assert_eq!(names(folder.path()), ["key", "key.turn"]);
        assert_eq!(
            (last.in_file, last.keys.len()),
            (1, 2),
            "known for what was read before"
        );
        drop(change);
        assert!(Change::enter(&path).unwrap().is_some());
    }

    /// It has seen nothing of the first change's end, and seals with the key that the second one retires.
    #[test]
    fn who_read_both_keys_is_waited_for_by_the_next_change_too() {
        let folder = tempfile::tempdir().unwrap();
        let (path, first) = made(folder.path());
        let change = Change::enter(&path).unwrap().unwrap();
        change.begin(&Seams::system()).unwrap();
        let both = first.followed_by(&path).unwrap();
        drop(first);
        change.retire().unwrap();
        change.tidy();
        assert!(change.begin(&Seams::system()).unwrap());
        assert_eq!(change.old_key_is_free(), Some(false));
        let next = both.followed_by(&path).unwrap();
        assert_eq!(change.old_key_is_free(), Some(false), "not written yet");
        drop(both);
        assert_eq!(change.old_key_is_free(), Some(true));
        change.retire().unwrap();
        drop(next);
        change.tidy();
        assert_eq!(names(folder.path()), ["key", "key.turn"]);
    }

    #[test]
    fn a_change_that_was_cut_off_before_its_last_step_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (path, first) = made(folder.path());
        let change = Change::enter(&path).unwrap().unwrap();
        change.begin(&Seams::system()).unwrap();
        let both = first.followed_by(&path).unwrap();
        drop(first);
        fs::hard_link(&path, beside(&path, "before")).unwrap();
        assert!(!change.begin(&Seams::system()).unwrap());
        assert_eq!(change.old_key_is_free(), Some(true));
        assert_eq!(ids(&path).len(), 2);
        change.retire().unwrap();
        drop(both);
        change.tidy();
        assert_eq!(names(folder.path()), ["key", "key.turn"]);
    }

    #[test]
    fn a_change_that_was_cut_off_before_the_new_key_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, first) = made(folder.path());
        fs::hard_link(&path, beside(&path, "retiring")).unwrap();
        fs::write(beside(&path, "next"), "half a k").unwrap();
        let change = Change::enter(&path).unwrap().unwrap();
        assert!(change.begin(&Seams::system()).unwrap());
        assert_eq!(change.old_key_is_free(), Some(false), "{:?}", first.in_file);
        assert_eq!(ids(&path).len(), 2);
    }

    #[test]
    fn a_link_to_the_key_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = made(folder.path());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let change = Change::enter(&link).unwrap().unwrap();
        change.begin(&Seams::system()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(ids(&link).len(), 2);
    }
}
