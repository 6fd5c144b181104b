//! What befell a connection: its troubles, those that are over too, and what the audit has of it.

use rusqlite::{Connection as Sqlite, Row};

use super::rows;
use crate::{model::ConnectionName, store::History};

/// How many of each are told at most, the newest: an audit has no end.
const NEWEST: i64 = 500;

pub(super) fn of(sql: &Sqlite, connection: &ConnectionName) -> rusqlite::Result<History> {
    let of = (connection.as_str(), NEWEST);
    let mut troubles =
        sql.prepare("SELECT * FROM trouble WHERE connection = ?1 ORDER BY rowid DESC LIMIT ?2")?;
    let trouble = |row: &Row<'_>| {
        let ended: Option<i64> = row.get("ended")?;
        let ended = ended.map(|at| rows::timestamp("ended", at)).transpose()?;
        Ok((rows::trouble(row)?, ended))
    };
    let troubles = troubles.query_map(of, trouble)?;
    let mut troubles = troubles.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut events = sql.prepare(
        "SELECT at, record FROM audit WHERE record ->> 'connection' = ?1 ORDER BY rowid DESC LIMIT ?2",
    )?;
    let event = |row: &Row<'_>| {
        let record: String = row.get("record")?;
        let record = serde_json::from_str(&record).map_err(|_json| rows::impossible("record"))?;
        Ok((rows::timestamp("at", row.get("at")?)?, record))
    };
    let mut events = events
        .query_map(of, event)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    troubles.reverse();
    events.reverse();
    Ok(History { troubles, events })
}
