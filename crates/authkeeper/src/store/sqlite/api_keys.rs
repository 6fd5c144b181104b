//! API keys: replaced by a person, with an overlap in which the one before may serve again.

use rusqlite::{Connection as Sqlite, params};

use crate::{
    model::{AccessToken, ENDLESS, Generation, Grant, GrantId, LifetimeSource, Moment},
    secret::SecretString,
    store::{
        NewKey, Result,
        sqlite::{
            SqliteStore,
            rows::{self, millis, stored},
            statement::audit,
            tokens::put_access,
        },
    },
    vault::seal::Sealed,
};

impl SqliteStore {
    pub(super) async fn put_new_key(
        &self,
        id: &GrantId,
        seen: Generation,
        key: &NewKey,
    ) -> Result<bool> {
        let grant = self.grant(id)?;
        let Some(grant) = grant.filter(|grant| grant.generation == seen) else {
            return Ok(false);
        };
        let next = self.succeed(&grant, key.secret.clone(), key.at);
        let before = grant.access.as_ref();
        let standby = before.map(|access| SealedStandby {
            secret: self.seal(rows::standby_belongs(id.as_str(), seen.0), &access.secret),
            generation: seen,
            until: millis(key.overlap_until),
            refused: None,
        });
        let rotate_by = key.rotate_by.map(millis);
        self.write(move |sql| {
            if !next.put(sql, seen)? {
                return Ok(false);
            }
            put_standby(sql, &next.grant, standby.as_ref())?;
            let by = "UPDATE grant_family SET rotate_by = ?2 WHERE id = ?1";
            sql.execute(by, params![next.grant.as_str(), rotate_by])?;
            next.tell(sql, "key_replaced")?;
            Ok(true)
        })
        .await
    }

    /// The two change places: the key that was refused now may only not be known everywhere yet.
    pub(super) async fn put_standby_back(
        &self,
        id: &GrantId,
        refused: Generation,
        at: Moment,
    ) -> Result<bool> {
        let grant = self.grant(id)?;
        let Some(grant) = grant.filter(|grant| grant.generation == refused) else {
            return Ok(false);
        };
        let standby = grant.standby.as_ref().filter(|key| key.may_serve(at.wall));
        let (Some(standby), Some(access)) = (standby, &grant.access) else {
            return Ok(false);
        };
        let next = self.succeed(&grant, standby.secret.clone(), at);
        let given_way = SealedStandby {
            secret: self.seal(
                rows::standby_belongs(id.as_str(), refused.0),
                &access.secret,
            ),
            generation: refused,
            until: millis(standby.until),
            refused: Some(millis(at.wall)),
        };
        self.write(move |sql| {
            if !next.put(sql, refused)? {
                return Ok(false);
            }
            put_standby(sql, &next.grant, Some(&given_way))?;
            next.tell(sql, "key_fell_back")?;
            Ok(true)
        })
        .await
    }

    /// The key of the generation after this one. What the one before it was for stays.
    fn succeed(&self, grant: &Grant, secret: SecretString, at: Moment) -> NextKey {
        let before = grant.access.as_ref();
        let access = AccessToken {
            secret,
            lineage: grant.lineage,
            generation: grant.generation.next(),
            issued: at,
            lifetime: ENDLESS,
            lifetime_source: LifetimeSource::Endless,
            refresh_in: None,
            scope: before.and_then(|access| access.scope.clone()),
            resource: before.and_then(|access| access.resource.clone()),
            after_rejection: false,
        };
        NextKey {
            sealed: self.seal_access(&grant.id, &access),
            grant: grant.id.clone(),
            access,
        }
    }
}

struct SealedStandby {
    secret: Sealed,
    generation: Generation,
    until: i64,
    refused: Option<i64>,
}

fn put_standby(
    sql: &Sqlite,
    grant: &GrantId,
    standby: Option<&SealedStandby>,
) -> rusqlite::Result<()> {
    let keep =
        "UPDATE grant_family SET standby_key = ?2, standby_generation = ?3, standby_until = ?4,
        standby_refused = ?5 WHERE id = ?1";
    let with = params![
        grant.as_str(),
        standby.map(|key| &key.secret),
        standby.map(|key| stored(key.generation.0)),
        standby.map(|key| key.until),
        standby.and_then(|key| key.refused),
    ];
    sql.execute(keep, with).map(drop)
}

struct NextKey {
    grant: GrantId,
    sealed: Sealed,
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
