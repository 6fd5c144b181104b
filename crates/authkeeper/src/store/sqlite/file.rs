//! Opens the database file: its mode, its journal, the room that is kept for a full disk.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection as Sqlite, ErrorCode, OpenFlags};

use crate::store::{Result, StoreError, sqlite::error::fault, unusable};

pub(super) fn open_connection(path: &Path) -> Result<Sqlite> {
    // A store that can't be written still holds a valid token, maybe.
    let connection = open_to_write(path).or_else(|error| match error {
        StoreError::ReadOnly { .. } | StoreError::Unusable { .. } if path.exists() => {
            open_to_read(path).map_err(|_unreadable| error)
        }
        _ => Err(error),
    })?;
    restrict(path);
    Ok(connection)
}

fn open_to_write(path: &Path) -> Result<Sqlite> {
    let place = path.display().to_string();
    // Made closed to others from the start: SQLite gives its log and index the mode that the file has.
    let mut options = File::options();
    let made = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    drop(made.map_err(|error| unusable(path, &error))?);
    let open = || {
        let connection = Sqlite::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        enter_wal(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    open()
        .map_err(|error| fault(&place, &error))
        .or_else(|error| match error {
            // Reading needs the index beside the file: on a full disk it is made in the room kept for it.
            StoreError::Full { .. } if std::fs::remove_file(room(path)).is_ok() => {
                open().map_err(|error| fault(&place, &error))
            }
            // SQLite does not say why it can't make what it needs beside the file.
            StoreError::Unusable { .. } => Err(match File::options().append(true).open(path) {
                Err(why) if why.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                    StoreError::ReadOnly { place }
                }
                _ => error,
            }),
            _ => Err(error),
        })
}

/// Opens a store that can't be written: each write to it fails. The index beside the file can't be made there; without a
/// log it is not needed.
fn open_to_read(path: &Path) -> rusqlite::Result<Sqlite> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let open = |parameters: &str| {
        let path = path.to_string_lossy();
        let path = path
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        let connection = Sqlite::open_with_flags(format!("file:{path}{parameters}"), flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // Opening reads nothing yet.
        connection.query_row("PRAGMA user_version", [], |_| Ok(()))?;
        Ok(connection)
    };
    let log = path.with_extension("db-wal");
    let logged = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    open("").or_else(|error| {
        if logged {
            Err(error)
        } else {
            open("?immutable=1")
        }
    })
}

/// The switch from a new file to WAL needs the file alone for a moment, and `SQLite` answers "busy" there without waiting
/// (processes that make the store together meet it): it is tried again for a while.
pub(super) fn enter_wal(connection: &Sqlite) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let switched = connection.pragma_update(None, "journal_mode", "WAL");
        let code = switched
            .as_ref()
            .err()
            .and_then(rusqlite::Error::sqlite_error_code);
        let busy = matches!(
            code,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        );
        if !busy || tries == 100 {
            return switched;
        }
        tries += 1;
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A file that only takes up room, given back when the disk is full: a living token must be served then too.
pub(super) fn room(path: &Path) -> PathBuf {
    path.with_extension("room")
}

pub(super) fn keep_room(path: &Path) {
    let room = room(path);
    let make = || {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&room)?;
        file.write_all(&vec![1; ROOM])
    };
    let made: std::io::Result<()> = make();
    if made.is_err_and(|error| error.kind() != std::io::ErrorKind::AlreadyExists) {
        let _ = std::fs::remove_file(&room);
    }
}

/// The folder is closed to others already; the file too, in case it is moved.
pub(super) fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What `SQLite` needs beside the file to read it, doubled.
pub(super) const ROOM: usize = 64 * 1024;
