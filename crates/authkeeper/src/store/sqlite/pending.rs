//! Sign-ins that are not finished.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::{
    model::ConnectionName,
    store::{
        PendingSignIn, Result,
        sqlite::{
            SqliteStore,
            rows::{self, millis},
        },
    },
};

pub(super) fn drop_pending(sql: &Sqlite, name: &str) -> rusqlite::Result<()> {
    let drop_it = "DELETE FROM pending_sign_in WHERE name = ?1";
    sql.execute(drop_it, [name]).map(drop)
}

impl SqliteStore {
    pub(super) async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()> {
        let name = pending.name.clone();
        let sealed = self
            .seals
            .seal(rows::pending_belongs(name.as_str()), &pending.memory);
        let ends = millis(pending.ends);
        self.write(move |sql| {
            let sweep = "DELETE FROM pending_sign_in WHERE ends <= ?1";
            sql.execute(sweep, [millis(at)])?;
            let keep =
                "INSERT OR REPLACE INTO pending_sign_in (name, sealed, ends) VALUES (?1, ?2, ?3)";
            sql.execute(keep, params![name.as_str(), sealed, ends])
                .map(drop)
        })
        .await
    }

    pub(super) fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>> {
        let found = self.read(|sql| {
            let select = "SELECT * FROM pending_sign_in WHERE name = ?1";
            sql.query_row(select, [name.as_str()], |row| {
                rows::pending(row, &self.seals.sealer)
            })
            .optional()
        })?;
        Ok(found.flatten())
    }
}
