//! What calls of a connection were refused for. It lies in `meta`, each connection's under a key of its own: a table more
//! would not fit the first page beside the others.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::model::{ConnectionName, StepUps};

fn key(name: &ConnectionName) -> String {
    format!("step_ups\n{name}")
}

pub(super) fn of(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<StepUps> {
    let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let kept: Option<Vec<u8>> = select.query_row([key(name)], |row| row.get(0)).optional()?;
    // What can't be read is asked for again by the next refusal.
    let read = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
    Ok(read.unwrap_or_default())
}

/// False if somebody else has changed it since it was seen.
pub(super) fn put(
    sql: &Sqlite,
    name: &ConnectionName,
    (seen, new): (&StepUps, &StepUps),
) -> rusqlite::Result<bool> {
    if of(sql, name)? != *seen {
        return Ok(false);
    }
    if new.is_empty() {
        return forget(sql, name).map(|()| true);
    }
    let value = serde_json::to_vec(new).unwrap_or_default();
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    sql.execute(keep, params![key(name), value])?;
    Ok(true)
}

/// With the adoption of a sign-in, in the same step.
pub(super) fn signed_in(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<()> {
    let seen = of(sql, name)?;
    if seen.is_empty() {
        return Ok(());
    }
    let new = seen.clone().signed_in();
    put(sql, name, (&seen, &new)).map(drop)
}

pub(super) fn forget(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<()> {
    let drop_it = "DELETE FROM meta WHERE key = ?1";
    sql.execute(drop_it, [key(name)]).map(drop)
}
