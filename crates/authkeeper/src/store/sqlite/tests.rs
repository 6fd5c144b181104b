use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
};

use super::*;
use crate::store::suite::{self, Pair};

fn open(folder: &Path) -> Result<SqliteStore> {
    SqliteStore::open(
        &folder.join("store.db"),
        &folder.join("key"),
        &Seams::system(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let mut folders = Vec::new();
    suite::run(|| {
        let folder = tempfile::tempdir().unwrap();
        let pair: Pair = (
            Arc::new(open(folder.path()).unwrap()),
            Arc::new(open(folder.path()).unwrap()),
        );
        folders.push(folder);
        async move { pair }
    })
    .await;
}

#[test]
fn a_commit_is_durable_when_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let writing = open_connection(&store.path).unwrap();
    for connection in [&*store.reader(), &writing] {
        let ask = |pragma: &str| -> rusqlite::Result<rusqlite::types::Value> {
            connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
        };
        assert_eq!(
            ask("synchronous").unwrap(),
            rusqlite::types::Value::Integer(2)
        );
        assert_eq!(
            ask("journal_mode").unwrap(),
            rusqlite::types::Value::Text("wal".to_owned())
        );
    }
}

#[tokio::test]
async fn every_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    suite::claims(&store).await;
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?} has {mode:o}", entry.path());
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "key",
            "store.db",
            "store.db-shm",
            "store.db-wal",
            "store.room",
            "store.turn"
        ]
    );
}

#[test]
fn a_wrong_a_missing_and_a_newer_one_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let (key, aside) = (folder.path().join("key"), folder.path().join("aside"));
    fs::rename(&key, &aside).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(StoreError::KeyMissing { .. })
    ));
    assert!(!key.exists(), "no key is made for a store that has one");
    load_key(&key, Path::new("elsewhere"), true, &Seams::system()).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(StoreError::WrongKey { .. })
    ));
    fs::rename(&aside, &key).unwrap();
    drop(open(folder.path()).unwrap());
    let raw = Sqlite::open(folder.path().join("store.db")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let newer = open(folder.path());
    assert!(
        matches!(newer, Err(StoreError::Newer { found: 99, .. })),
        "{newer:?}"
    );
}

#[test]
fn what_is_no_database_is_damaged_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let path = folder.path().join("store.db");
    let noise = vec![0x5a_u8; 8192];
    fs::write(&path, &noise).unwrap();
    let opened = open(folder.path());
    assert!(
        matches!(opened, Err(StoreError::Damaged { .. })),
        "{opened:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), noise);
    assert!(salvage(&path, "now").is_err(), "nothing in it can be read");
    assert_eq!(
        fs::read(&path).unwrap(),
        noise,
        "and so it stays where it was"
    );
}

#[tokio::test]
async fn a_truncated_store_is_salvaged_and_its_secrets_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(folder.path()).unwrap();
    suite::claims(&store).await;
    let name = ConnectionName::parse("c").unwrap();
    let id = store
        .connection(&name)
        .await
        .unwrap()
        .unwrap()
        .grant
        .unwrap();
    for number in 0..2_000 {
        let event = serde_json::json!({"n": number, "text": "x".repeat(100)});
        store
            .write(move |sql| audit(sql, Timestamp::UNIX_EPOCH, &event))
            .await
            .unwrap();
    }
    store
        .reader()
        .pragma_update(None, "wal_checkpoint", "TRUNCATE")
        .unwrap();
    drop(store);
    // The last third of the file is gone, as after a broken copy; the log is gone too.
    let length = fs::metadata(&path).unwrap().len();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length / 3 * 2 / 4096 * 4096)
        .unwrap();
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", path.display()));
    }
    let opened = open(folder.path());
    assert!(
        matches!(opened, Err(StoreError::Damaged { .. })),
        "{opened:?}"
    );
    let torn = fs::read(&path).unwrap();
    let salvaged = salvage(&path, "now").unwrap();
    let rows = |table: &str| {
        salvaged
            .rows
            .iter()
            .find(|(name, _)| name == table)
            .unwrap()
            .1
    };
    assert!(rows("audit") > 100, "{salvaged:?}");
    assert_eq!(
        (rows("meta"), rows("grant_family"), rows("access_token")),
        (2, 1, 1)
    );
    assert_eq!(
        fs::read(&salvaged.kept_at).unwrap(),
        torn,
        "the damaged file is kept"
    );
    let store = open(folder.path()).unwrap();
    let grant = store.grant(&id).await.unwrap().unwrap();
    assert!(
        grant.refresh.is_some() && grant.access.is_some(),
        "their secrets open"
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    drop(store);
    without_the_keys_check(folder.path());
}

/// The page with the key's check may be among the lost: the secrets themselves tell.
fn without_the_keys_check(folder: &Path) {
    let path = folder.join("store.db");
    let raw = Sqlite::open(&path).unwrap();
    raw.execute("DELETE FROM meta", []).unwrap();
    drop(raw);
    drop(open(folder).unwrap());
    fs::rename(folder.join("key"), folder.join("aside")).unwrap();
    load_key(
        &folder.join("key"),
        Path::new("elsewhere"),
        true,
        &Seams::system(),
    )
    .unwrap();
    assert!(matches!(open(folder), Err(StoreError::WrongKey { .. })));
}

#[test]
fn many_processes_may_make_it_at_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    open(folder.path()).unwrap();
                });
            }
        });
    }
}

#[test]
fn the_schema_fits_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let texts = "SELECT sum(length(sql) + length(name) + length(tbl_name) + 24) FROM sqlite_schema";
    let bytes: i64 = store
        .read(|sql| sql.query_row(texts, [], |row| row.get(0)))
        .unwrap();
    assert!(
        bytes < 4_000,
        "{bytes} bytes: what half a file says could not be read"
    );
}
