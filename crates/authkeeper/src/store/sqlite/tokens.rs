//! Tokens of a grant, sealed.

use rusqlite::{Connection as Sqlite, params};

use crate::{
    model::{AccessToken, Generation, GrantId, RefreshToken},
    store::sqlite::{
        SqliteStore,
        rows::{self, millis, stored},
        statement::run,
    },
    vault::seal::Sealed,
};

pub(super) fn put_access(
    sql: &Sqlite,
    grant: &GrantId,
    sealed: &[u8],
    token: &AccessToken,
) -> rusqlite::Result<()> {
    run(
        sql,
        "INSERT OR REPLACE INTO access_token (grant_id, scope_key, resource_key, secret, lineage, generation,
            issued, lifetime, lifetime_source, scope, resource, after_rejection, refresh_in)
         VALUES (?1, '', '', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            grant.as_str(),
            sealed,
            stored(token.lineage.0),
            stored(token.generation.0),
            token.issued.to_string(),
            i64::try_from(token.lifetime.as_millis()).unwrap_or(i64::MAX),
            token.lifetime_source.as_str(),
            token.scope.as_ref().map(crate::model::Scope::as_str),
            token.resource.as_ref().map(crate::model::Resource::as_str),
            token.after_rejection,
            token.refresh_in.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
        ],
    )?;
    Ok(())
}

/// A new refresh token, sealed for the generation it came with; none leaves the old one.
pub(super) struct SealedRefresh {
    pub(super) sealed: Sealed,
    pub(super) mark: Vec<u8>,
    pub(super) generation: i64,
    pub(super) expires: Option<i64>,
}

impl SqliteStore {
    pub(super) fn seal_refresh(
        &self,
        grant: &GrantId,
        generation: Generation,
        token: &RefreshToken,
    ) -> SealedRefresh {
        let belongs = rows::refresh_belongs(grant.as_str(), generation.0);
        SealedRefresh {
            sealed: self.seal(belongs, &token.secret),
            mark: self.mark(&token.secret),
            generation: stored(generation.0),
            expires: token.expires_at.map(millis),
        }
    }

    pub(super) fn seal_access(&self, grant: &GrantId, token: &AccessToken) -> Sealed {
        self.seal(
            rows::access_belongs(grant.as_str(), token.generation.0),
            &token.secret,
        )
    }
}
