//! Repair: what can still be read of a damaged store is carried into a new one; the damaged file is kept beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection as Sqlite, OpenFlags, types::Value};

use super::{Result, StoreError, fault, open_connection};
use crate::store::seal::unusable;

const TABLES: &[&str] = &[
    "meta", "provider", "registration", "connection", "grant_family", "access_token", "trouble", "audit", "task",
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
        file.busy_timeout(super::BUSY_TIMEOUT)?;
        file.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
    };
    match examined().map_err(|error| fault(&place, &error))?.as_str() {
        "ok" => Ok(()),
        found => Err(StoreError::Damaged { place, detail: found.lines().collect::<Vec<_>>().join(" ") }),
    }
}

/// Moves the damaged store aside and carries every row that can still be read into a new one.
///
/// Nothing is deleted: the damaged file, its write-ahead log and its index stay beside the new store.
pub fn salvage(path: &Path, stamp: &str) -> Result<Salvaged> {
    let kept_at = path.with_extension(format!("db.damaged-{stamp}"));
    let fresh = path.with_extension("db.repaired");
    let _ = fs::remove_file(&fresh);
    move_aside(path, &kept_at).map_err(|error| unusable(path, &error))?;
    let carried = carry_all(&kept_at, &fresh);
    let rows = match carried {
        Ok(rows) => rows,
        Err(error) => {
            let _ = fs::remove_file(&fresh);
            let _ = move_aside(&kept_at, path);
            return Err(error);
        }
    };
    fs::rename(&fresh, path).map_err(|error| unusable(path, &error))?;
    Ok(Salvaged { kept_at, rows })
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
        to.execute_batch(super::MIGRATIONS[0])?;
        to.pragma_update(None, "user_version", super::stored(super::MIGRATIONS.len() as u64))
    };
    make().map_err(|error| fault(&place, &error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Sqlite::open_with_flags(damaged, flags)
        .map_err(|error| fault(&damaged.display().to_string(), &error))?;
    let mut rows = Vec::new();
    for table in TABLES {
        rows.push(((*table).to_owned(), carry(&from, &to, table).unwrap_or_default()));
    }
    if rows.iter().all(|(_, count)| *count == 0) {
        return Err(StoreError::Damaged {
            place: damaged.display().to_string(),
            detail: "nothing in it can be read any more".to_owned(),
        });
    }
    to.pragma_update(None, "journal_mode", "DELETE").map_err(|error| fault(&place, &error))?;
    Ok(rows)
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
        let columns = rows.column_count();
        let places = vec!["?"; columns].join(", ");
        let mut put = to.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES ({places})"))?;
        let mut rows = rows.query([])?;
        while let Ok(Some(row)) = rows.next() {
            let values: Vec<Value> = (0..columns).filter_map(|column| row.get(column).ok()).collect();
            if values.len() == columns {
                carried += u64::from(put.execute(rusqlite::params_from_iter(values)).unwrap_or(0) > 0);
            }
        }
    }
    Ok(carried)
}
