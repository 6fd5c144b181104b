//! What was noticed of providers: a count for each thing, and a bound on the things.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, Row, params};

use super::rows::{self, millis};
use crate::model::{Issuer, Notice, NoticeKind, Noticed};

/// So many things of one kind are kept of one provider, those that were noticed last.
const MOST: i64 = 16;

pub(super) fn put(sql: &Sqlite, notice: &Notice, at: Timestamp) -> rusqlite::Result<()> {
    let (issuer, kind) = (notice.issuer.as_str(), notice.kind.as_str());
    sql.execute(
        "INSERT INTO noticed (issuer, kind, detail, times, first, last) VALUES (?1, ?2, ?3, 1, ?4, ?4)
         ON CONFLICT DO UPDATE SET times = times + 1, last = ?4",
        params![issuer, kind, notice.detail, millis(at)],
    )?;
    sql.execute(
        "DELETE FROM noticed WHERE issuer = ?1 AND kind = ?2 AND detail NOT IN
            (SELECT detail FROM noticed WHERE issuer = ?1 AND kind = ?2 ORDER BY last DESC, detail = ?4 DESC LIMIT ?3)",
        params![issuer, kind, MOST, notice.detail],
    )?;
    Ok(())
}

pub(super) fn all(sql: &Sqlite, issuer: Option<&Issuer>) -> rusqlite::Result<Vec<Noticed>> {
    let select =
        "SELECT * FROM noticed WHERE ?1 IS NULL OR issuer = ?1 ORDER BY issuer, kind, last DESC";
    let mut all = sql.prepare_cached(select)?;
    let all = all.query_map([issuer.map(Issuer::as_str)], read)?;
    // A kind that a later version made is none of ours.
    all.filter_map(Result::transpose).collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Noticed>> {
    let Some(kind) = NoticeKind::parse(&row.get::<_, String>("kind")?) else {
        return Ok(None);
    };
    Ok(Some(Noticed {
        notice: Notice {
            issuer: Issuer::new(row.get::<_, String>("issuer")?),
            kind,
            detail: row.get("detail")?,
        },
        times: rows::number("times", row.get("times")?)?,
        first: rows::timestamp("first", row.get("first")?)?,
        last: rows::timestamp("last", row.get("last")?)?,
    }))
}
