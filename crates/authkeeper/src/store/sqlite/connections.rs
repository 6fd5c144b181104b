//! Connections.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _};

use crate::{
    model::{Connection, ConnectionName, FailingOf, Grant, GrantChange, GrantId},
    store::{
        Remembered, Result,
        sqlite::{
            SqliteStore, grants, incidents::end_incidents, pending::drop_pending, remembered, rows,
            sign_in::wipe, statement::audit,
        },
    },
};

impl SqliteStore {
    pub(super) fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        self.read(|sql| {
            sql.prepare_cached("SELECT * FROM connection WHERE name = ?1")?
                .query_row([name.as_str()], rows::connection)
                .optional()
        })
    }

    pub(super) fn connections(&self) -> Result<Vec<Connection>> {
        self.read(|sql| {
            let mut all = sql.prepare("SELECT * FROM connection ORDER BY name")?;
            all.query_map([], rows::connection)?.collect()
        })
    }

    pub(super) async fn disconnect(
        &self,
        name: &ConnectionName,
        at: Timestamp,
    ) -> Result<Option<Grant>> {
        let (name, seals) = (name.clone(), self.seals.clone());
        self.write(move |sql| {
            let Some(grant) = grant_of(sql, &name)? else {
                return Ok(None);
            };
            let event = serde_json::json!({"event": "disconnected", "connection": name.as_str()});
            audit(sql, at, &event)?;
            end_incidents(sql, name.as_str(), at)?;
            drop_pending(sql, name.as_str())?;
            remembered::forget(sql, &Remembered::StepUps(name.clone()))?;
            remembered::forget(sql, &Remembered::Validation(name.clone()))?;
            // Another connection lives on the same grant.
            let drop_sharing = "DELETE FROM connection WHERE name = ?1 AND EXISTS
                (SELECT 1 FROM connection o WHERE o.grant_id = ?2 AND o.name <> ?1)";
            if sql.execute(drop_sharing, [name.as_str(), grant.as_str()])? == 1 {
                return Ok(None);
            }
            let revoked = grants::apply(sql, &seals, &grant, &GrantChange::Revoke(at))?;
            Ok(revoked.record.map(|record| record.grant))
        })
        .await
    }

    pub(super) async fn forget(&self, name: &ConnectionName) -> Result<()> {
        let (name, seals) = (name.clone(), self.seals.clone());
        self.write(move |sql| {
            // A sign-in may have come while the provider was asked to revoke: what it brought is not forgotten.
            if let Some(grant) = grant_of(sql, &name)?
                && let Some(record) = grants::record(sql, &grant, &seals.sealer)?
            {
                if !record.grant.is_revoked() {
                    return Ok(());
                }
                wipe(sql, grant.as_str())?;
                let failing = Remembered::Failing(FailingOf::Grant(grant));
                remembered::forget(sql, &failing)?;
            }
            sql.execute("DELETE FROM connection WHERE name = ?1", [name.as_str()])
                .map(drop)
        })
        .await
    }
}

fn grant_of(sql: &Sqlite, name: &ConnectionName) -> rusqlite::Result<Option<GrantId>> {
    let select = "SELECT grant_id FROM connection WHERE name = ?1";
    let grant = sql.query_row(select, [name.as_str()], |row| row.get(0));
    let grant: Option<Option<String>> = grant.optional()?;
    Ok(grant.flatten().map(GrantId::new))
}
