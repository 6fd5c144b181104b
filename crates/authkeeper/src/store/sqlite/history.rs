//! What befell a connection: its incidents, those that are over too, and what the audit has of it.

use rusqlite::{Connection as Sqlite, Row};

use super::rows;
use crate::{model::ConnectionName, store::History};

/// How many of each are told at most, the newest: an audit has no end.
const NEWEST: i64 = 500;

pub(super) fn of(sql: &Sqlite, connection: &ConnectionName) -> rusqlite::Result<History> {
    let of = (connection.as_str(), NEWEST);
    let mut incidents =
        sql.prepare("SELECT * FROM trouble WHERE connection = ?1 ORDER BY rowid DESC LIMIT ?2")?;
    let incident = |row: &Row<'_>| {
        let ended: Option<i64> = row.get("ended")?;
        let ended = ended.map(|at| rows::timestamp("ended", at)).transpose()?;
        Ok((rows::incident(row)?, ended))
    };
    let incidents = incidents.query_map(of, incident)?;
    let mut incidents = incidents.collect::<rusqlite::Result<Vec<_>>>()?;
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
    incidents.reverse();
    events.reverse();
    Ok(History { incidents, events })
}
