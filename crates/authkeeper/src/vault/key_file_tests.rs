use std::{
    fs::{self},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    platform::clock::Seams,
    vault::{
        VaultError,
        key_change::KeyFileChange,
        key_file::{KeyId, LoadedKeys, beside, load, load_or_make},
    },
};

fn made(folder: &Path) -> (PathBuf, LoadedKeys) {
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
    let change = KeyFileChange::enter(&path).unwrap().unwrap();
    assert!(
        KeyFileChange::enter(&path).unwrap().is_none(),
        "one at a time"
    );
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
    assert!(KeyFileChange::enter(&path).unwrap().is_some());
}

/// It has seen nothing of the first change's end, and seals with the key that the second one retires.
#[test]
fn who_read_both_keys_is_waited_for_by_the_next_change_too() {
    let folder = tempfile::tempdir().unwrap();
    let (path, first) = made(folder.path());
    let change = KeyFileChange::enter(&path).unwrap().unwrap();
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
    let change = KeyFileChange::enter(&path).unwrap().unwrap();
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
    let change = KeyFileChange::enter(&path).unwrap().unwrap();
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
    let change = KeyFileChange::enter(&link).unwrap().unwrap();
    change.begin(&Seams::system()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ids(&link).len(), 2);
}
