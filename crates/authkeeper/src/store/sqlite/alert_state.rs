//! What was told of the open incidents. It lies in `meta`: a table more would not fit the first page beside the others.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

const KEY: &str = "alerts";

pub(super) fn read(sql: &Sqlite) -> rusqlite::Result<Option<String>> {
    let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let kept: Option<Vec<u8>> = select.query_row([KEY], |row| row.get(0)).optional()?;
    // What can't be read is replaced by the next that is told.
    Ok(kept.map(|kept| String::from_utf8(kept).unwrap_or_default()))
}

/// False if somebody else has changed it since it was seen.
pub(super) fn put(sql: &Sqlite, seen: Option<&str>, new: Option<&str>) -> rusqlite::Result<bool> {
    if read(sql)?.as_deref() != seen {
        return Ok(false);
    }
    match new {
        None => sql.execute("DELETE FROM meta WHERE key = ?1", [KEY])?,
        Some(new) => {
            let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
            sql.execute(keep, params![KEY, new.as_bytes()])?
        }
    };
    Ok(true)
}
