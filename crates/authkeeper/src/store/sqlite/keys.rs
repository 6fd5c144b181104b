//! API keys: replaced by a person, with an overlap in which the one before may serve again.

use rusqlite::{Connection as Sqlite, params};

use super::{
    SqliteStore, audit, put_access,
    rows::{self, millis, stored},
};
use crate::{
    model::{AccessToken, Generation, Grant, GrantId, Moment},
    secret::SecretString,
    store::{NewKey, Result, Store as _},
};

impl SqliteStore {
    pub(super) async fn put_new_key(
        &self,
        id: &GrantId,
        seen: Generation,
        key: &NewKey,
    ) -> Result<bool> {
        let Some(grant) = self.grant(id).await? else {
            return Ok(false);
        };
        let next = self.succeed(&grant, key.secret.clone(), key.at);
        let standby = grant.access.filter(|access| access.generation == seen);
        let belongs = rows::standby_belongs(id.as_str(), seen.0);
        let standby = standby.map(|access| self.seal(belongs, &access.secret));
        let Some(next) = next.filter(|_| grant.generation == seen) else {
            return Ok(false);
        };
        let (until, rotate_by) = (millis(key.overlap_until), key.rotate_by.map(millis));
        self.write(move |sql| {
            if !next.put(sql, seen)? {
                return Ok(false);
            }
            let keep =
                "UPDATE grant_family SET standby_key = ?2, standby_generation = ?3, standby_until = ?4,
                rotate_by = ?5 WHERE id = ?1";
            let id = next.grant.as_str();
            sql.execute(
                keep,
                params![id, standby, stored(seen.0), until, rotate_by],
            )?;
            next.tell(sql, "key_replaced")?;
            Ok(true)
        })
        .await
    }

    pub(super) async fn put_standby_back(
        &self,
        id: &GrantId,
        refused: Generation,
        at: Moment,
    ) -> Result<bool> {
        let Some(grant) = self.grant(id).await? else {
            return Ok(false);
        };
        let standby = grant.standby.clone().filter(|key| at.wall < key.until);
        let next = standby.and_then(|key| self.succeed(&grant, key.secret, at));
        let Some(next) = next.filter(|_| grant.generation == refused) else {
            return Ok(false);
        };
        self.write(move |sql| {
            if !next.put(sql, refused)? {
                return Ok(false);
            }
            let spend = "UPDATE grant_family SET standby_key = NULL WHERE id = ?1";
            sql.execute(spend, [next.grant.as_str()])?;
            next.tell(sql, "key_fell_back")?;
            Ok(true)
        })
        .await
    }

    /// The key of the generation after this one. None where the grant holds no key to succeed.
    fn succeed(&self, grant: &Grant, secret: SecretString, at: Moment) -> Option<NextKey> {
        let access = AccessToken {
            secret,
            generation: grant.generation.next(),
            issued: at,
            after_rejection: false,
            ..grant.access.clone()?
        };
        Some(NextKey {
            sealed: self.seal_access(&grant.id, &access),
            grant: grant.id.clone(),
            access,
        })
    }
}

struct NextKey {
    grant: GrantId,
    sealed: Vec<u8>,
    access: AccessToken,
}

impl NextKey {
    /// False if another generation is current by now.
    fn put(&self, sql: &Sqlite, seen: Generation) -> rusqlite::Result<bool> {
        let step = "UPDATE grant_family SET generation = ?3, lifecycle = 'active', reason = NULL,
            lifecycle_since = NULL WHERE id = ?1 AND generation = ?2 AND grant_type = 'api_key'
            AND lifecycle IN ('active', 'reauthorization_required')";
        let with = params![
            self.grant.as_str(),
            stored(seen.0),
            stored(self.access.generation.0)
        ];
        if sql.execute(step, with)? != 1 {
            return Ok(false);
        }
        put_access(sql, &self.grant, &self.sealed, &self.access)?;
        Ok(true)
    }

    fn tell(&self, sql: &Sqlite, event: &str) -> rusqlite::Result<()> {
        let record = serde_json::json!({
            "event": event, "grant": self.grant.as_str(), "generation": self.access.generation.0,
        });
        audit(sql, self.access.issued.wall, &record)
    }
}
