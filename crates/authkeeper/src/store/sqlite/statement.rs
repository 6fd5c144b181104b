//! Statements that are made again and again.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, params};

use crate::store::sqlite::rows::millis;

/// One change that is made again and again: read and planned once.
pub(super) fn run(
    sql: &Sqlite,
    change: &str,
    with: impl rusqlite::Params,
) -> rusqlite::Result<usize> {
    sql.prepare_cached(change)?.execute(with)
}

pub(super) fn audit(
    sql: &Sqlite,
    at: Timestamp,
    record: &serde_json::Value,
) -> rusqlite::Result<()> {
    let put = "INSERT INTO audit (at, record) VALUES (?1, ?2)";
    run(sql, put, params![millis(at), record.to_string()])?;
    Ok(())
}
