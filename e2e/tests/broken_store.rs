//! A store that is damaged, sealed with another key, on a read-only or on a full file system: a
//! clear error, a hint, its exit code, and nothing spent.
//!
//! Root ignores mode bits, so read-only and full are mounts; where mounting is not permitted those
//! tests say that they are skipped.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::ground::{EARLIER, Ground};
use e2e::home::Home;
use e2e::wait::wait_until;

const REPAIR: &str = "authkeeper doctor --repair";

fn truncate(file: &Path, length: u64) {
    OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(length)
        .unwrap();
}

fn overwrite(file: &Path, offset: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

fn kept_copies(home: &Home) -> Vec<PathBuf> {
    let files = fs::read_dir(home.store_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.to_string_lossy().contains("damaged-"))
        .collect()
}

// ---- Damage -------------------------------------------------------------------------------------

/// The store's connections and grants lie in its first pages, so half a store is worth saving.
#[test]
fn half_a_store_is_told_and_repaired() {
    let ground = Ground::with_ttl(Home::new(), 10);
    let store = ground.home.settled_store();
    let length = fs::metadata(&store).unwrap().len();
    truncate(&store, length / 2);
    let damaged = fs::read(&store).unwrap();
    let words = ["store.db is damaged", REPAIR];
    ground.home.run(&["doctor"]).expect_failure(74, &words);
    let repaired = ground.home.run(&["doctor", "--repair"]).expect_code(0);
    for said in [
        "1 connection, 1 grant and",
        "damaged file is kept",
        "is sound",
    ] {
        assert!(repaired.stdout.contains(said), "{}", repaired.stdout);
    }
    let kept = kept_copies(&ground.home);
    assert_eq!(fs::read(&kept[0]).unwrap(), damaged, "kept as it was");
    ground.await_end(EARLIER);
    let (token, again) = (ground.token(EARLIER), ground.token(EARLIER));
    assert_eq!(token, again);
    assert_eq!(ground.exchanges("good"), 2, "the code, and one refresh");
    ground.expect_no_leak();
}

/// Every page but the first is overwritten in turn (`a_lost_header…` and `a_file_that_is_no_database…` break that one): each
/// is called damaged and repaired, what was lost is not said to be there, and never is a refresh token spent twice.
#[test]
fn damage_in_any_page_is_told() {
    let ground = Ground::new();
    let store = ground.home.settled_store();
    let sound = fs::read(&store).unwrap();
    for page in 1..sound.len() / 4096 {
        for beside in ["db-wal", "db-shm"] {
            let _ = fs::remove_file(store.with_extension(beside));
        }
        fs::write(&store, &sound).unwrap();
        overwrite(&store, page as u64 * 4096, &[0xa5; 4096]);
        let doctor = ground.home.run(&["doctor"]);
        assert_eq!(doctor.code(), Some(74), "page {page}: {}", doctor.stderr);
        let newer = ground.exchanges("good") > 1;
        let repaired = ground.home.run(&["doctor", "--repair"]);
        let said = repaired.stdout.as_str();
        assert!(said.contains("the damaged file is kept"), "page {page}");
        let lost = said.contains("0 connections") || said.contains("0 grants");
        // A refresh made a generation that this round's store and a store without its grant do not know.
        let old = newer || said.contains("0 grants");
        let code = if old { 74 } else { 0 };
        assert_eq!(repaired.code(), Some(code), "page {page}: {said}");
        assert_eq!(said.contains("is an old copy"), old, "page {page}: {said}");
        let token = ground.home.run(&["token", EARLIER]);
        let code = if lost { 66 } else { 0 };
        assert_eq!(token.code(), Some(code), "page {page}: {}", token.stderr);
        assert!(ground.exchanges("good") <= 2, "page {page}");
        // Where a store is at home is told by its inode: the next round damages the same file.
        fs::rename(&kept_copies(&ground.home)[0], &store).unwrap();
    }
    ground.expect_no_leak();
}

#[test]
fn a_lost_header_is_told_and_repaired() {
    let ground = Ground::new();
    let store = ground.home.settled_store();
    overwrite(&store, 0, &[0x5a; 100]);
    let words = ["store.db is damaged", REPAIR];
    ground
        .home
        .run(&["token", EARLIER])
        .expect_failure(74, &words);
    let repaired = ground.home.run(&["doctor", "--repair"]).expect_code(0);
    assert!(repaired.stdout.contains("1 connection, 1 grant and"));
    ground.expect_unharmed();
}

#[test]
fn a_hundred_bytes_are_beyond_repair_and_that_is_said() {
    let ground = Ground::new();
    let store = ground.home.settled_store();
    truncate(&store, 100);
    beyond_repair(&ground, &store);
}

#[test]
fn a_file_that_is_no_database_is_beyond_repair_and_that_is_said() {
    let ground = Ground::new();
    let store = ground.home.settled_store();
    overwrite(&store, 0, &[0x5a; 4096]);
    beyond_repair(&ground, &store);
}

fn beyond_repair(ground: &Ground, store: &Path) {
    let damaged = fs::read(store).unwrap();
    for command in [&["token", EARLIER][..], &["status"], &["doctor"]] {
        let words = ["store.db is damaged", REPAIR];
        ground.home.run(command).expect_failure(74, &words);
    }
    let words = [
        "nothing could be saved",
        "left as it was",
        "restore it from a backup",
    ];
    let repair = ground.home.run(&["doctor", "--repair"]);
    assert!(!repair.stderr.contains(REPAIR), "that was tried just now");
    repair.expect_failure(74, &words);
    assert_eq!(fs::read(store).unwrap(), damaged);
    assert_eq!(ground.exchanges("good"), 1);
    ground.expect_no_leak();
}

/// Another process may be writing to it.
#[test]
fn a_sound_store_is_not_repaired() {
    let ground = Ground::new();
    let output = ground.home.run(&["doctor", "--repair"]).expect_code(0);
    assert!(
        output.stderr.contains("Nothing to repair"),
        "{}",
        output.stderr
    );
    assert_eq!(kept_copies(&ground.home), [] as [PathBuf; 0]);
    let json = ground.home.run(&["doctor", "--repair", "--json"]).json();
    assert_eq!(
        (&json["ok"], &json["connections"]),
        (&true.into(), &1.into())
    );
    ground.expect_unharmed();
}

#[test]
fn there_is_no_store_to_repair() {
    let words = ["there is no store at", "authkeeper connect"];
    let home = Home::new();
    home.run(&["doctor", "--repair"]).expect_failure(74, &words);
    let json = home.run(&["doctor", "--repair", "--json"]);
    let json = json.expect_code(74).json();
    assert_eq!((&json["ok"], &json["exit"]), (&false.into(), &74.into()));
}

/// The key is gone too: what was saved is told all the same.
#[test]
fn a_repaired_store_that_can_not_be_opened_is_told_as_repaired() {
    let ground = Ground::new();
    let store = ground.home.settled_store();
    truncate(&store, fs::metadata(&store).unwrap().len() / 2);
    let key = ground.home.store_dir().join("key");
    let saved = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let repaired = ground.home.run(&["doctor", "--repair", "--json"]);
    let json = repaired.expect_code(78).json();
    assert_eq!(json["repaired"]["rows"]["connection"], 1, "{json}");
    fs::write(&key, saved).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    ground.token(EARLIER);
    ground.expect_no_leak();
}

/// What can't be read may hold a call that failed.
#[test]
fn a_store_that_breaks_during_a_run_is_not_hidden_by_the_command() {
    let ground = Ground::new();
    let wait = "touch begun; while ! [ -e go ]; do sleep 0.05; done";
    let command = ["run", "--with", EARLIER, "--", "sh", "-c", wait];
    let run = ground.home.authkeeper(&command).spawn();
    let begun = || ground.home.path().join("begun").exists();
    assert!(wait_until(Duration::from_secs(20), begun));
    let sql = rusqlite::Connection::open(ground.home.store_dir().join("store.db")).unwrap();
    sql.execute_batch("DROP TABLE failed_call").unwrap();
    drop(sql);
    fs::write(ground.home.path().join("go"), "").unwrap();
    let output = run.finish(Duration::from_secs(20));
    output.expect_failure(74, &["the command returned 0, but", "can't be read"]);
    ground.expect_no_leak();
}

// ---- The key ------------------------------------------------------------------------------------

/// With this done to the key, every command fails like this; with the key put back, all is well.
fn wrong_key(spoil: impl FnOnce(&Path), words: &[&str]) {
    let ground = Ground::new();
    let key = ground.home.store_dir().join("key");
    let saved = fs::read(&key).unwrap();
    spoil(&key);
    let spoiled = fs::read(&key).ok();
    let words = [words, &[key.to_str().unwrap()]].concat();
    let url = ground.url("good");
    for command in [
        &["token", EARLIER][..],
        &["status"],
        &["doctor"],
        &["doctor", "--repair"],
        &["connect", "x", &url],
        &["run", "--with", EARLIER, "--", "true"],
        &["mcp", EARLIER],
    ] {
        let output = ground.home.run(command);
        let stderr = output.stderr.clone();
        assert_eq!(output.code(), Some(78), "{command:?}: {stderr}");
        for word in &words {
            assert!(
                stderr.contains(word),
                "{command:?}: {word:?} is not said:\n{stderr}"
            );
        }
        assert!(stderr.contains("  next: "));
    }
    assert_eq!(fs::read(&key).ok(), spoiled, "the key is not touched");
    fs::write(&key, saved).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    ground.expect_unharmed();
}

#[test]
fn the_key_of_another_store() {
    let other = Home::new();
    let _ = other.run(&["status"]).expect_code(0);
    let other = other.store_dir().join("key");
    let words = ["is not the one that", "put back the key"];
    wrong_key(
        |key| fs::write(key, fs::read(other).unwrap()).unwrap(),
        &words,
    );
}

#[test]
fn a_missing_key_is_not_made_again() {
    let words = ["is missing", "from a backup"];
    wrong_key(|key| fs::remove_file(key).unwrap(), &words);
}

#[test]
fn a_key_that_others_may_read() {
    let open = |key: &Path| fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap();
    wrong_key(open, &["others may read it", "chmod 600"]);
}

#[test]
fn a_key_that_is_no_base64() {
    let words = ["it is not base64", "correct or restore"];
    wrong_key(|key| fs::write(key, "no key at all!\n").unwrap(), &words);
}

#[test]
fn a_key_that_is_too_short() {
    let words = ["does not hold 32 bytes", "correct or restore"];
    wrong_key(|key| fs::write(key, "dG9vIHNob3J0\n").unwrap(), &words);
}

// ---- The file system ----------------------------------------------------------------------------

/// A small file system of its own under the store.
struct Mounted(PathBuf);

impl Mounted {
    /// None where mounting is not permitted.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn under(home: &Home) -> Option<Self> {
        let folder = home.store_dir();
        fs::create_dir_all(&folder).unwrap();
        let options = "size=2m,mode=0700";
        if mount(&["-t", "tmpfs", "-o", options, "authkeeper-test"], &folder) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: mounting a file system is not permitted here (it takes root)");
        None
    }

    fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        assert!(mount(&["-o", &options], &self.0));
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("fill")).unwrap();
        for size in [4096, 512, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("fill")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(options: &[&str], at: &Path) -> bool {
    let done = Command::new("mount").args(options).arg(at).output();
    done.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_file_system() {
    let home = Home::new();
    let Some(mounted) = Mounted::under(&home) else {
        return;
    };
    let ground = Ground::with_ttl(home, 15);
    let first = ground.token(EARLIER);
    mounted.fill();
    assert_eq!(ground.token(EARLIER), first, "the living token is served");
    let _ = ground.home.run(&["status"]).expect_code(0);
    let url = ground.url("good");
    let words = ["no space left", "free some space"];
    let connect = ["connect", "x", &url];
    let due = || ground.seconds(EARLIER).1 == 0;
    assert!(wait_until(Duration::from_secs(15), due));
    assert_eq!(
        ground.token(EARLIER),
        first,
        "living, though a refresh is due"
    );
    ground.await_end(EARLIER);
    for _ in 0..2 {
        ground
            .home
            .run(&["token", EARLIER])
            .expect_failure(74, &words);
    }
    ground
        .home
        .run(&["run", "--with", EARLIER, "--", "true"])
        .expect_failure(74, &words);
    let connected = ground.home.run(&connect).expect_code(74).stderr;
    assert!(
        connected.contains("run the same command again"),
        "{connected}"
    );
    assert!(
        !connected.contains("Sign in at"),
        "nobody is sent away in vain: {connected}"
    );
    assert_eq!(ground.exchanges("good"), 1, "nothing was spent");
    mounted.free();
    assert_ne!(ground.token(EARLIER), first);
    assert_eq!(ground.exchanges("good"), 2);
    ground.expect_no_leak();
}

#[test]
fn a_read_only_file_system() {
    let home = Home::new();
    let Some(mounted) = Mounted::under(&home) else {
        return;
    };
    let ground = Ground::with_ttl(home, 10);
    let first = ground.token(EARLIER);
    mounted.remount("ro");
    assert_eq!(ground.token(EARLIER), first, "the living token is served");
    let _ = ground.home.run(&["status"]).expect_code(0);
    ground.await_end(EARLIER);
    let url = ground.url("good");
    for command in [
        &["token", EARLIER][..],
        &["connect", "x", &url],
        &["run", "--with", EARLIER, "--", "true"],
    ] {
        let words = ["is read-only", "make it writable", "AUTHKEEPER_STORE"];
        ground.home.run(command).expect_failure(74, &words);
    }
    assert_eq!(ground.exchanges("good"), 1, "nothing was spent");
    mounted.remount("rw");
    assert_ne!(ground.token(EARLIER), first);
    assert_eq!(ground.exchanges("good"), 2);
    ground.expect_no_leak();
}
