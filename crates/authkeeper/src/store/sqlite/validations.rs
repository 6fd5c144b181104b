//! How connections were validated last. It lies in `meta`, each connection's under a key of its own: a table more would not
//! fit the first page beside the others.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::model::{ConnectionName, Validation};

fn key(name: &ConnectionName) -> String {
    format!("validation\n{name}")
}

pub(super) fn of(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<Option<Validation>> {
    let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let kept: Option<Vec<u8>> = select.query_row([key(name)], |row| row.get(0)).optional()?;
    // What can't be read is proven again by the next check.
    Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
}

/// False if somebody else has changed it since it was seen.
pub(super) fn put(
    sql: &Sqlite,
    name: &ConnectionName,
    (seen, new): (Option<&Validation>, &Validation),
) -> rusqlite::Result<bool> {
    if of(sql, name)?.as_ref() != seen {
        return Ok(false);
    }
    let value = serde_json::to_vec(new).unwrap_or_default();
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    sql.execute(keep, params![key(name), value])?;
    Ok(true)
}

pub(super) fn forget(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<()> {
    let drop_it = "DELETE FROM meta WHERE key = ?1";
    sql.execute(drop_it, [key(name)]).map(drop)
}
