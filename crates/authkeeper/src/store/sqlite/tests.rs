use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::Connection as Sqlite;

use super::{
    SqliteStore, file::open_connection, repair::salvage, rows, schema::KEY_CHECK, statement::audit,
};
use crate::{
    model::{ClientId, ConnectionName, Issuer},
    platform::clock::Seams,
    store::{
        Clients as _, Result, StoreError,
        conformance::{self, Pair},
    },
    vault::seal::Sealer,
};

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
    conformance::run(|| {
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
    conformance::claims::claims(&store).await;
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
    Sealer::load(&key, Path::new("elsewhere"), true, &Seams::system()).unwrap();
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
    conformance::claims::claims(&store).await;
    let name = ConnectionName::parse("c").unwrap();
    let id = store.connection(&name).unwrap().unwrap().grant.unwrap();
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
        (3, 1, 1)
    );
    assert_eq!(
        fs::read(&salvaged.kept_at).unwrap(),
        torn,
        "the damaged file is kept"
    );
    let store = open(folder.path()).unwrap();
    let grant = store.read_grant(&id).unwrap().unwrap();
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
    Sealer::load(
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
    let number = |select: &'static str| -> i64 {
        let read = |sql: &Sqlite| sql.query_row(select, [], |row| row.get(0));
        store.read(read).unwrap()
    };
    let pages = number("SELECT * FROM pragma_page_count");
    let roots = number("SELECT count(*) FROM sqlite_schema WHERE rootpage > 0");
    assert_eq!(pages, 1 + roots, "what half a file says could not be read");
}

/// A store as the first format had it, with a sealed client secret.
fn first_format(folder: &Path) -> Sealer {
    let seams = Seams::system();
    let sealer = Sealer::load(&folder.join("key"), &folder.join("store.db"), true, &seams).unwrap();
    let sql = Sqlite::open(folder.join("store.db")).unwrap();
    sql.execute_batch(include_str!("test-schema-1.sql"))
        .unwrap();
    sql.pragma_update(None, "user_version", 1).unwrap();
    let check = sealer.seal(KEY_CHECK, b"authkeeper");
    sql.execute("INSERT INTO meta VALUES ('key_check', ?1)", [check])
        .unwrap();
    let record = rows::registration_record("https://as.example", "c");
    let secret = sealer.seal(rows::client_secret_belongs(&record), b"its-secret");
    let put = "INSERT INTO registration VALUES ('https://as.example', 'c', ?1, 'client_secret_post', '[]', 'dynamic', NULL)";
    sql.execute(put, [secret]).unwrap();
    let refresh = sealer.seal(rows::refresh_belongs("g", 3), b"its-token");
    let put = "INSERT INTO grant_family (id, issuer, client_id, lineage, generation, lifecycle, refresh_token,
        refresh_generation) VALUES ('g', 'https://as.example', 'c', 1, 3, 'active', ?1, 3)";
    sql.execute(put, [refresh]).unwrap();
    sql.execute_batch(
        "INSERT INTO provider VALUES ('https://as.example', '{\"issuer\":\"https://as.example\"}');
         INSERT INTO connection (name, principal, url, issuer, issuer_given, internal, client_id, grant_id, created)
         VALUES ('n', 'local', 'https://api.example/', 'https://as.example', 0, 0, 'c', 'g', 0);",
    )
    .unwrap();
    sealer
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test compares secrets")]
async fn a_store_of_the_first_format_is_brought_to_todays_with_all_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    first_format(folder.path());
    for _ in 0..2 {
        let store = open(folder.path()).unwrap();
        let (issuer, id) = (Issuer::new("https://as.example"), ClientId::new("c"));
        let client = store.registration(&issuer, &id).unwrap().unwrap();
        assert_eq!(client.secrets[0].secret.expose(), "its-secret");
        assert_eq!(
            client.grant_types,
            [crate::model::GrantType::AuthorizationCode]
        );
        assert!(store.provider(&issuer, &id).await.unwrap().is_some());
        let name = ConnectionName::parse("n").unwrap();
        let connection = store.connection(&name).unwrap().unwrap();
        assert_eq!(connection.presentation.to_string(), "authorization: Bearer");
        let grant = store
            .read_grant(&connection.grant.unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(grant.refresh.unwrap().secret.expose(), "its-token");
        assert_eq!(
            (grant.generation.0, grant.grant_type),
            (3, crate::model::GrantType::AuthorizationCode)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_holder_of_the_ticket_stops_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    conformance::claims::claims(&store).await;
    let ticket = File::options()
        .append(true)
        .open(folder.path().join("store.turn"))
        .unwrap();
    ticket.lock().unwrap();
    let (bound, name) = (Duration::from_secs(20), ConnectionName::parse("c").unwrap());
    let written = store.end_incidents(&name, Timestamp::UNIX_EPOCH);
    tokio::time::timeout(bound, written).await.unwrap().unwrap();
}
