//! Since when a provider has refused a grant in the same words. It lies in `meta`, as step-ups do, and goes with the next
//! accepted refresh.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::model::{GrantId, Moment};

fn key(grant: &GrantId) -> String {
    format!("refused\n{grant}")
}

/// Notes a refusal; when the same was said first.
pub(super) fn note(
    sql: &Sqlite,
    grant: &GrantId,
    words: &str,
    now: Moment,
) -> rusqlite::Result<Moment> {
    let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let kept: Option<Vec<u8>> = select
        .query_row([key(grant)], |row| row.get(0))
        .optional()?;
    let since = kept.and_then(|kept| {
        let kept = String::from_utf8(kept).ok()?;
        let (since, said) = kept.split_once('\n')?;
        since.parse().ok().filter(|_: &Moment| said == words)
    });
    if let Some(since) = since {
        return Ok(since);
    }
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    sql.execute(
        keep,
        params![key(grant), format!("{now}\n{words}").into_bytes()],
    )?;
    Ok(now)
}

pub(super) fn forget(sql: &Sqlite, grant: &GrantId) -> rusqlite::Result<()> {
    let mut delete = sql.prepare_cached("DELETE FROM meta WHERE key = ?1")?;
    delete.execute([key(grant)]).map(drop)
}
