//! Tokens and keys of a grant, sealed to the generation they came with.

use rusqlite::{Connection as Sqlite, params};

use crate::{
    model::{Grant, Resource, Scope},
    store::sqlite::{
        row_sealer::RowSealer,
        rows::{self, millis, stored},
        statement::run,
    },
};

/// Puts the grant's access token, or removes the one that is there.
pub(super) fn put_access(sql: &Sqlite, seals: &RowSealer, grant: &Grant) -> rusqlite::Result<()> {
    let Some(token) = &grant.access else {
        return drop_access(sql, grant.id.as_str());
    };
    let belongs = rows::access_belongs(grant.id.as_str(), token.generation.0);
    run(
        sql,
        "INSERT OR REPLACE INTO access_token (grant_id, scope_key, resource_key, secret, lineage, generation,
            issued, lifetime, lifetime_source, scope, resource, after_rejection, refresh_in)
         VALUES (?1, '', '', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            grant.id.as_str(),
            seals.seal(belongs, &token.secret),
            stored(token.lineage.0),
            stored(token.generation.0),
            token.issued.to_string(),
            i64::try_from(token.lifetime.as_millis()).unwrap_or(i64::MAX),
            token.lifetime_source.as_str(),
            token.scope.as_ref().map(Scope::as_str),
            token.resource.as_ref().map(Resource::as_str),
            token.after_rejection,
            token.refresh_in.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
        ],
    )?;
    Ok(())
}

pub(super) fn drop_access(sql: &Sqlite, grant: &str) -> rusqlite::Result<()> {
    run(sql, "DELETE FROM access_token WHERE grant_id = ?1", [grant]).map(drop)
}

/// Puts the grant's refresh token, if it has one.
pub(super) fn put_refresh(sql: &Sqlite, seals: &RowSealer, grant: &Grant) -> rusqlite::Result<()> {
    let refresh = grant.refresh.as_ref();
    let belongs = rows::refresh_belongs(grant.id.as_str(), grant.generation.0);
    let with = params![
        grant.id.as_str(),
        refresh.map(|token| seals.seal(belongs, &token.secret)),
        refresh.map(|_| stored(grant.generation.0)),
        refresh.and_then(|token| token.expires_at).map(millis),
        refresh.map(|token| seals.mark(&token.secret)),
    ];
    let put =
        "UPDATE grant_family SET refresh_token = ?2, refresh_generation = ?3, refresh_expires = ?4,
        refresh_mark = ?5 WHERE id = ?1";
    run(sql, put, with).map(drop)
}

/// Puts the API key before the current one, or removes it.
pub(super) fn put_standby(sql: &Sqlite, seals: &RowSealer, grant: &Grant) -> rusqlite::Result<()> {
    let id = grant.id.as_str();
    let standby = grant.standby.as_ref();
    let with = params![
        id,
        standby.map(|key| seals.seal(rows::standby_belongs(id, key.generation.0), &key.secret)),
        standby.map(|key| stored(key.generation.0)),
        standby.map(|key| millis(key.until)),
        standby.and_then(|key| key.refused).map(millis),
    ];
    let put =
        "UPDATE grant_family SET standby_key = ?2, standby_generation = ?3, standby_until = ?4,
        standby_refused = ?5 WHERE id = ?1";
    run(sql, put, with).map(drop)
}
