//! What is remembered as text. It lies in `meta`, each under a key of its own: a table more would not fit the first page
//! beside the others.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::{
    model::{ConnectionName, FailingOf, StepUps},
    store::{Remembered, RememberedChange, sqlite::incidents::keep_incident},
};

fn key(of: &Remembered) -> String {
    match of {
        Remembered::Failing(FailingOf::Client(issuer, client)) => {
            format!("failing\n{issuer}\n{client}")
        }
        Remembered::Failing(FailingOf::Grant(grant)) => format!("resting\n{grant}"),
        Remembered::Failing(FailingOf::Refusals(issuer, client)) => {
            format!("client refused\n{issuer}\n{client}")
        }
        Remembered::Failing(FailingOf::SignIns(issuer, client)) => {
            format!("unfinished\n{issuer}\n{client}")
        }
        Remembered::Validation(name) => format!("validation\n{name}"),
        Remembered::StepUps(name) => format!("step_ups\n{name}"),
        Remembered::Alerts => "alerts".to_owned(),
    }
}

pub(super) fn read(sql: &Sqlite, of: &Remembered) -> rusqlite::Result<Option<String>> {
    let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let kept: Option<Vec<u8>> = select.query_row([key(of)], |row| row.get(0)).optional()?;
    // What is no text is as good as no value, and can be replaced.
    Ok(kept.map(|kept| String::from_utf8(kept).unwrap_or_default()))
}

/// False if somebody else has changed it since it was seen.
pub(super) fn change(sql: &Sqlite, change: &RememberedChange) -> rusqlite::Result<bool> {
    if read(sql, &change.of)? != change.seen {
        return Ok(false);
    }
    match &change.new {
        None => forget(sql, &change.of)?,
        Some(new) => put(sql, &change.of, new)?,
    }
    if let Some(incident) = &change.incident {
        keep_incident(sql, incident)?;
    }
    Ok(true)
}

/// With the adoption of a sign-in, in the same step.
pub(super) fn step_ups_signed_in(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<()> {
    let of = Remembered::StepUps(name.clone());
    let Some(kept) = read(sql, &of)? else {
        return Ok(());
    };
    let kept: StepUps = serde_json::from_str(&kept).unwrap_or_default();
    match serde_json::to_string(&kept.signed_in()) {
        Ok(new) => put(sql, &of, &new),
        Err(_unwritable) => forget(sql, &of),
    }
}

fn put(sql: &Sqlite, of: &Remembered, new: &str) -> rusqlite::Result<()> {
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    let mut keep = sql.prepare_cached(keep)?;
    keep.execute(params![key(of), new.as_bytes()]).map(drop)
}

pub(super) fn forget(sql: &Sqlite, of: &Remembered) -> rusqlite::Result<()> {
    let mut delete = sql.prepare_cached("DELETE FROM meta WHERE key = ?1")?;
    delete.execute([key(of)]).map(drop)
}
