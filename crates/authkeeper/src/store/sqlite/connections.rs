//! Connections.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::{
    model::{Connection, ConnectionName, Grant},
    store::{
        Result,
        sqlite::{
            SqliteStore,
            incidents::end_incidents,
            pending::drop_pending,
            rows::{self, millis},
            statement::audit,
            step_ups, validations,
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
        let Some(id) = self
            .connection(name)?
            .and_then(|connection| connection.grant)
        else {
            return Ok(None);
        };
        let (grant_id, connection) = (id.clone(), name.clone());
        let revoked = self
            .write(move |sql| {
                let event =
                    serde_json::json!({"event": "disconnected", "connection": connection.as_str()});
                audit(sql, at, &event)?;
                end_incidents(sql, connection.as_str(), at)?;
                drop_pending(sql, connection.as_str())?;
                step_ups::forget(sql, &connection)?;
                validations::forget(sql, &connection)?;
                // Another connection lives on the same grant.
                let drop_sharing = "DELETE FROM connection WHERE name = ?1 AND EXISTS
                (SELECT 1 FROM connection o WHERE o.grant_id = ?2 AND o.name <> ?1)";
                if sql.execute(drop_sharing, [connection.as_str(), grant_id.as_str()])? == 1 {
                    return Ok(false);
                }
                let revoke =
                "UPDATE grant_family SET lifecycle = 'revoked', reason = NULL, lifecycle_since = ?2
                WHERE id = ?1 AND lifecycle <> 'revoked'";
                sql.execute(revoke, params![grant_id.as_str(), millis(at)])?;
                Ok(true)
            })
            .await?;
        if revoked { self.grant(&id) } else { Ok(None) }
    }

    pub(super) async fn forget(&self, name: &ConnectionName) -> Result<()> {
        let name = name.clone();
        self.write(move |sql| {
            let wipe = "UPDATE grant_family SET refresh_token = NULL, refresh_generation = NULL, refresh_mark = NULL,
                first_mark = NULL, standby_key = NULL, means = NULL WHERE id = (SELECT grant_id FROM connection WHERE name = ?1) AND lifecycle = 'revoked'";
            sql.execute(wipe, [name.as_str()])?;
            // A sign-in may have come while the provider was asked to revoke: what it brought is not forgotten.
            let drop_access = "DELETE FROM access_token WHERE grant_id = (SELECT g.id FROM connection c
                JOIN grant_family g ON g.id = c.grant_id WHERE c.name = ?1 AND g.lifecycle = 'revoked')";
            sql.execute(drop_access, [name.as_str()])?;
            let drop_rest = "DELETE FROM meta WHERE key = (SELECT 'resting' || char(10) || g.id FROM connection c
                JOIN grant_family g ON g.id = c.grant_id WHERE c.name = ?1 AND g.lifecycle = 'revoked')";
            sql.execute(drop_rest, [name.as_str()])?;
            let drop_connection = "DELETE FROM connection WHERE name = ?1 AND NOT EXISTS
                (SELECT 1 FROM grant_family g WHERE g.id = grant_id AND g.lifecycle <> 'revoked')";
            sql.execute(drop_connection, [name.as_str()])?;
            Ok(())
        })
        .await
    }
}
