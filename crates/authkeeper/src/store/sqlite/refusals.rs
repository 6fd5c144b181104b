//! Since when a provider has refused a grant in the same words. It lies in `meta`, as step-ups do, and goes with the next
//! accepted refresh.

use rusqlite::{Connection as Sqlite, params};

use crate::{
    model::{GrantId, RepeatedRefusal},
    store::sqlite::statement::run,
};

fn key(grant: &GrantId) -> String {
    format!("refused\n{grant}")
}

pub(super) fn put(sql: &Sqlite, grant: &GrantId, said: &RepeatedRefusal) -> rusqlite::Result<()> {
    let value = format!("{}\n{}", said.since, said.words).into_bytes();
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    run(sql, keep, params![key(grant), value]).map(drop)
}

pub(super) fn forget(sql: &Sqlite, grant: &GrantId) -> rusqlite::Result<()> {
    run(sql, "DELETE FROM meta WHERE key = ?1", [key(grant)]).map(drop)
}
