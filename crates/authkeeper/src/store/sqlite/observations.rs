//! What was noticed of providers: a count for each thing. They lie in `meta`, each under a key
//! of its own: a table more would not fit the first page beside the others.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, Row, params};
use serde::{Deserialize, Serialize};

use crate::{
    model::{Issuer, Observation, ObservationKind, ProviderObservation},
    store::sqlite::rows::impossible,
};

#[derive(Serialize, Deserialize)]
struct Count {
    times: u64,
    first: Timestamp,
    last: Timestamp,
}

pub(super) fn put(
    sql: &Sqlite,
    observation: &ProviderObservation,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let known = all(sql, Some(&observation.issuer))?;
    let (counted, gone) = observation.counted(&known, at);
    let count = Count {
        times: counted.times,
        first: counted.first,
        last: counted.last,
    };
    let value = serde_json::to_vec(&count).unwrap_or_default();
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    sql.execute(keep, params![key(observation), value])?;
    for gone in &gone {
        sql.execute("DELETE FROM meta WHERE key = ?1", [key(gone)])?;
    }
    Ok(())
}

fn key(observation: &ProviderObservation) -> String {
    let issuer = of_issuer(&observation.issuer);
    let kind = observation.kind.as_str();
    format!("{issuer}{kind}\n{}", observation.detail)
}

pub(super) fn all(sql: &Sqlite, issuer: Option<&Issuer>) -> rusqlite::Result<Vec<Observation>> {
    let start = issuer.map_or_else(|| "noticed\n".to_owned(), of_issuer);
    below(sql, &start)
}

/// No issuer has a line break in it.
fn of_issuer(issuer: &Issuer) -> String {
    format!("noticed\n{issuer}\n")
}

/// Everything whose key starts so, by issuer and kind.
fn below(sql: &Sqlite, start: &str) -> rusqlite::Result<Vec<Observation>> {
    let select = "SELECT key, value FROM meta WHERE key >= ?1 AND key < ?2 ORDER BY key";
    let end = format!("{}\u{b}", start.trim_end_matches('\n'));
    let mut all = sql.prepare_cached(select)?;
    let all = all.query_map([start, end.as_str()], read)?;
    // A kind that a later version made is none of ours.
    all.filter_map(Result::transpose).collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Observation>> {
    let (key, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
    let mut parts = key.splitn(4, '\n').skip(1);
    let mut part = || parts.next().ok_or_else(|| impossible("key"));
    let (issuer, kind, detail) = (part()?, part()?, part()?);
    let Some(kind) = ObservationKind::parse(kind) else {
        return Ok(None);
    };
    let count: Count = serde_json::from_slice(&value).map_err(|_json| impossible("value"))?;
    Ok(Some(Observation {
        observation: ProviderObservation {
            issuer: Issuer::new(issuer),
            kind,
            detail: detail.to_owned(),
        },
        times: count.times,
        first: count.first,
        last: count.last,
    }))
}
