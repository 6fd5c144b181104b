//! What was noticed of providers: a count for each thing, and a bound on the things. They lie in `meta`, each under a key
//! of its own: a table more would not fit the first page beside the others.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::{
    model::{Issuer, Observation, ObservationKind, ProviderObservation},
    store::sqlite::rows::impossible,
};

/// So many things of one kind are kept of one provider, those that were noticed last; of what is counted for each connection
/// by itself so many of one connection, for others' must not push out what is being learned of it.
const MOST: usize = 16;
/// So many things of such a kind are kept of one provider in all: each refresh there reads them.
const MOST_OF_ALL: usize = 128;

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
    let of_kind = format!(
        "{}{}\n",
        of_issuer(&observation.issuer),
        observation.kind.as_str()
    );
    let key = format!("{of_kind}{}", observation.detail);
    let select = "SELECT value FROM meta WHERE key = ?1";
    let known: Option<Vec<u8>> = sql.query_row(select, [&key], |row| row.get(0)).optional()?;
    let known: Option<Count> = known.and_then(|known| serde_json::from_slice(&known).ok());
    let count = Count {
        times: known.as_ref().map_or(0, |known| known.times) + 1,
        first: known.as_ref().map_or(at, |known| known.first),
        last: at,
    };
    let value = serde_json::to_vec(&count).unwrap_or_default();
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    sql.execute(keep, params![key, value])?;
    let mut others = below(sql, &of_kind)?;
    others.retain(|observed| observed.observation != *observation);
    others.sort_by_key(|observed| std::cmp::Reverse(observed.last));
    for one in too_many(&others, observation) {
        let key = format!("{of_kind}{}", one.observation.detail);
        sql.execute("DELETE FROM meta WHERE key = ?1", [key])?;
    }
    Ok(())
}

/// Which of the others, the newest first, have to go for this one.
fn too_many<'a>(others: &'a [Observation], new: &ProviderObservation) -> Vec<&'a Observation> {
    let Some(mine) = connection(new) else {
        return others.iter().skip(MOST - 1).collect();
    };
    let (mut of_mine, mut of_all) = (1, 1);
    let goes = |other: &&Observation| {
        let of_it = connection(&other.observation) == Some(mine);
        if of_all == MOST_OF_ALL || (of_it && of_mine == MOST) {
            return true;
        }
        of_all += 1;
        of_mine += usize::from(of_it);
        false
    };
    others.iter().filter(goes).collect()
}

/// Of what is counted for each connection by itself: whose it is.
fn connection(observation: &ProviderObservation) -> Option<&str> {
    match observation.kind {
        ObservationKind::EndedEarly => observation.detail.split(' ').next(),
        ObservationKind::OddAnswer
        | ObservationKind::ReplayRefused
        | ObservationKind::AccessTokenOmitted
        | ObservationKind::Introspects => None,
    }
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
