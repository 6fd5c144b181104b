//! What fails in a row. It lies in `meta`, each client's and each grant's under a key of its own: a table more would not fit
//! the first page beside the others.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::{
    model::{Failing, FailingOf},
    store::FailingChange,
};

fn key(of: &FailingOf) -> String {
    match of {
        FailingOf::Client(issuer, client) => format!("failing\n{issuer}\n{client}"),
        FailingOf::Grant(grant) => format!("resting\n{grant}"),
        FailingOf::Refusals(issuer, client) => format!("client refused\n{issuer}\n{client}"),
        FailingOf::SignIns(issuer, client) => format!("unfinished\n{issuer}\n{client}"),
    }
}

pub(super) fn of(sql: &Sqlite, of: &FailingOf) -> rusqlite::Result<Option<Failing>> {
    let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let kept: Option<Vec<u8>> = select.query_row([key(of)], |row| row.get(0)).optional()?;
    // What can't be read holds nobody up.
    Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
}

/// False if somebody else has changed it since it was seen.
pub(super) fn put(sql: &Sqlite, change: &FailingChange) -> rusqlite::Result<bool> {
    if of(sql, &change.of)? != change.seen {
        return Ok(false);
    }
    let key = key(&change.of);
    match &change.new {
        None => sql.execute("DELETE FROM meta WHERE key = ?1", [key])?,
        Some(new) => {
            let value = serde_json::to_vec(new).unwrap_or_default();
            let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
            sql.execute(keep, params![key, value])?
        }
    };
    Ok(true)
}
