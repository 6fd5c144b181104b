//! Repair: what can still be read of a damaged store is carried into a new one; the damaged file is kept beside it.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection as Sqlite, OpenFlags, types::Value};

use crate::{
    platform::files::sync_folder_of,
    store::{
        Result, StoreError,
        sqlite::{
            copy_detection::{self, Home},
            error::fault,
            file::{self, open_connection},
            schema,
        },
        unusable,
    },
};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// What `SQLite` makes by default, and we with it.
const PAGE: u64 = 4096;
/// A damaged header must not fill the disk.
const MOST_PAGES: u64 = 1 << 18;
const TABLES: &[&str] = &[
    "meta",
    "provider",
    "registration",
    "client_secret",
    "connection",
    "grant_family",
    "access_token",
    "pending_sign_in",
    "trouble",
    "audit",
    "task",
    "failed_call",
];

/// What a repair found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Where the damaged file is kept.
    pub kept_at: PathBuf,
    /// Each table with how many of its rows could be read.
    pub rows: Vec<(String, u64)>,
}

/// Reads the whole file and says whether it is sound: damage in one page may be met only months later.
pub fn examine(path: &Path) -> Result<()> {
    let place = path.display().to_string();
    let examined = || {
        let file = Sqlite::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        file.busy_timeout(file::BUSY_TIMEOUT)?;
        file.query_row("PRAGMA integrity_check(1)", [], |row| {
            row.get::<_, String>(0)
        })
    };
    match examined().map_err(|error| fault(&place, &error))?.as_str() {
        "ok" => Ok(()),
        found => Err(StoreError::Damaged {
            place,
            detail: found.lines().collect::<Vec<_>>().join(" "),
        }),
    }
}

/// Moves the damaged store aside and carries every row that can still be read into a new one.
///
/// Nothing is deleted: the damaged file, its write-ahead log and its index stay beside the new store.
pub fn salvage(path: &Path, stamp: &str) -> Result<Salvaged> {
    let kept_at = path.with_extension(format!("db.damaged-{stamp}"));
    let fresh = path.with_extension("db.repaired");
    let _ = fs::remove_file(&fresh);
    let copy = made_readable(path)?;
    let carried = carry_all(&copy, &fresh);
    remove(&copy);
    let rows = carried.inspect_err(|_nothing_saved| remove(&fresh))?;
    settle_as(&fresh, path)?;
    // The new store is whole before the old one is moved: an interrupted repair leaves one of the two in place.
    let swapped = move_aside(path, &kept_at)
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| sync_folder_of(path));
    swapped.map_err(|error| unusable(path, &error))?;
    Ok(Salvaged { kept_at, rows })
}

/// A repaired store is no copy: it takes the place of the one it was made from, if that was at home.
fn settle_as(fresh: &Path, path: &Path) -> Result<()> {
    let place = fresh.display().to_string();
    let failed = |error| fault(&place, &error);
    let sql = Sqlite::open(fresh).map_err(failed)?;
    if copy_detection::is_at_home(&sql, &Home::of(path)).map_err(failed)? {
        copy_detection::settle(&sql, &Home::of(fresh)).map_err(failed)?;
    }
    Ok(())
}

/// A copy to read from: `SQLite` refuses a file that is shorter than its header says, and one whose header is lost. The
/// damaged file itself is not touched.
fn made_readable(damaged: &Path) -> Result<PathBuf> {
    let copy = damaged.with_extension("db.salvage");
    remove(&copy);
    let beside = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    let make = || {
        fs::copy(damaged, &copy)?;
        if beside(damaged).exists() {
            fs::copy(beside(damaged), beside(&copy))?;
        }
        let file = fs::OpenOptions::new().read(true).write(true).open(&copy)?;
        let length = file.metadata()?.len();
        let mut header = [0; 100];
        let read = file.read_at(&mut header, 0)?;
        if read == header.len() && !header.starts_with(MAGIC) {
            header = new_header(u32::try_from(length / PAGE).unwrap_or_default());
            file.write_all_at(&header, 0)?;
        }
        let [.., a, b, c, d] = header[..32] else {
            return Ok(());
        };
        file.set_len(length.max(u64::from(u32::from_be_bytes([a, b, c, d])).min(MOST_PAGES) * PAGE))
    };
    let made: io::Result<()> = make();
    made.map(|()| copy.clone()).map_err(|error| {
        remove(&copy);
        unusable(damaged, &error)
    })
}

/// The header that a new store of so many pages has (<https://sqlite.org/fileformat2.html#the_database_header>).
fn new_header(pages: u32) -> [u8; 100] {
    let mut header = [0; 100];
    for (at, bytes) in [
        (0, MAGIC),
        (16, &[16, 0, 2, 2, 0, 64, 32, 32, 0, 0, 0, 1]),
        (28, &pages.to_be_bytes()),
        (44, &[0, 0, 0, 4]),
        (56, &[0, 0, 0, 1]),
        (92, &[0, 0, 0, 1]),
    ] {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    header
}

fn remove(copy: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", copy.display()));
    }
}

fn move_aside(from: &Path, to: &Path) -> io::Result<()> {
    for ending in ["-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        match fs::rename(with(from), with(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(from, to)
}

fn carry_all(damaged: &Path, fresh: &Path) -> Result<Vec<(String, u64)>> {
    let place = fresh.display().to_string();
    let to = open_connection(fresh)?;
    let make = || {
        to.execute_batch(&schema::compact(schema::SCHEMA))?;
        to.pragma_update(None, "user_version", schema::VERSION)
    };
    make().map_err(|error| fault(&place, &error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Sqlite::open_with_flags(damaged, flags)
        .map_err(|error| fault(&damaged.display().to_string(), &error))?;
    // Without this SQLite refuses every page of a file that is shorter than its header says.
    from.pragma_update(None, "writable_schema", true)
        .map_err(|error| fault(&damaged.display().to_string(), &error))?;
    let mut rows = Vec::new();
    for table in TABLES {
        rows.push((
            (*table).to_owned(),
            carry(&from, &to, table).unwrap_or_default(),
        ));
    }
    if rows.iter().all(|(_, count)| *count == 0) {
        return Err(StoreError::Damaged {
            place: damaged.display().to_string(),
            detail: "nothing in it can be read any more".to_owned(),
        });
    }
    to.pragma_update(None, "journal_mode", "DELETE")
        .map_err(|error| fault(&place, &error))?;
    Ok(rows)
}

fn column_names(sql: &Sqlite, table: &str) -> rusqlite::Result<Vec<String>> {
    let all = sql.prepare(&format!("SELECT * FROM {table} LIMIT 0"))?;
    Ok(all.column_names().map(str::to_owned).collect())
}

/// Reads forwards until the damage, then backwards until the damage: both ends of what is left.
fn carry(from: &Sqlite, to: &Sqlite, table: &str) -> rusqlite::Result<u64> {
    let mut carried = 0;
    for order in ["ASC", "DESC"] {
        let select = if table == "meta" {
            format!("SELECT * FROM meta ORDER BY key {order}")
        } else {
            format!("SELECT * FROM {table} ORDER BY rowid {order}")
        };
        let mut rows = from.prepare(&select)?;
        // By name: an older format has fewer columns, and some that went.
        let known = column_names(to, table)?;
        let names: Vec<String> = rows.column_names().map(str::to_owned).collect();
        let kept: Vec<usize> = (0..names.len())
            .filter(|&at| known.contains(&names[at]))
            .collect();
        let into = kept
            .iter()
            .map(|&at| names[at].as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let places = vec!["?"; kept.len()].join(", ");
        let put = format!("INSERT OR IGNORE INTO {table} ({into}) VALUES ({places})");
        let mut put = to.prepare(&put)?;
        let mut rows = rows.query([])?;
        while let Ok(Some(row)) = rows.next() {
            let values: Vec<Value> = kept
                .iter()
                .filter_map(|&column| row.get(column).ok())
                .collect();
            if values.len() == kept.len() {
                carried +=
                    u64::from(put.execute(rusqlite::params_from_iter(values)).unwrap_or(0) > 0);
            }
        }
    }
    Ok(carried)
}
