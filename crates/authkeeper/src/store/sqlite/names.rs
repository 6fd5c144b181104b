//! The names of the connections alone, for a shell that completes them.

use std::{path::Path, time::Duration};

use rusqlite::{Connection as Sqlite, OpenFlags};

use crate::store::{Result, sqlite::error::fault};

/// A person waits at the prompt.
const PATIENCE: Duration = Duration::from_millis(300);

/// The names of all connections of the store in this file, in order. Makes no store, and needs no seal key.
pub fn connection_names(path: &Path) -> Result<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || {
        let file = Sqlite::open_with_flags(path, flags)?;
        file.busy_timeout(PATIENCE)?;
        let mut names = file.prepare("SELECT name FROM connection ORDER BY name")?;
        let names = names.query_map([], |row| row.get(0))?;
        names.collect::<rusqlite::Result<Vec<String>>>()
    };
    read().map_err(|error| fault(&path.display().to_string(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_without_a_key_and_no_store_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        assert!(connection_names(&path).is_err());
        assert!(!path.exists());
        let file = Sqlite::open(&path).unwrap();
        file.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE connection (name TEXT); INSERT INTO connection VALUES ('b'), ('a')",
        )
        .unwrap();
        assert_eq!(connection_names(&path).unwrap(), ["a", "b"]);
    }
}
