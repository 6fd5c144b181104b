//! What a sign-in writes, in one step.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use super::{
    SqliteStore, clients,
    grants::{self, lifecycle_columns},
    incidents::end_incidents_of_all,
    pending::drop_pending,
    refusals, remembered,
    row_sealer::RowSealer,
    rows::{self, millis, stored},
    statement::audit,
    tokens::{drop_access, put_access, put_refresh},
};
use crate::{
    model::{
        ClientId, Connection, Grant, GrantChange, GrantId, GrantRecord, Issuer, Resource, Scope,
    },
    store::{
        Result, SignedIn,
        adoption::{Adoptable, AdoptedGrant, Adoption, adopt, joinable},
    },
};

impl SqliteStore {
    pub(super) async fn adopt(&self, signed_in: SignedIn) -> Result<Grant> {
        let seals = self.seals.clone();
        self.write(move |sql| {
            let adoption = adopt(&signed_in, &adoptable(sql, &seals, &signed_in)?);
            put(sql, &seals, &signed_in, &adoption)
        })
        .await
    }
}

fn adoptable(sql: &Sqlite, seals: &RowSealer, new: &SignedIn) -> rusqlite::Result<Adoptable> {
    let name = new.connection.name.as_str();
    let select = "SELECT * FROM connection WHERE name = ?1";
    let connection = sql.query_row(select, [name], rows::connection).optional()?;
    let grant = connection.as_ref().and_then(|known| known.grant.as_ref());
    let record = |id: Option<&GrantId>| match id {
        Some(id) => grants::record(sql, id, &seals.sealer),
        None => Ok(None),
    };
    let own = record(grant)?;
    let neighbours = match grant {
        Some(grant) => neighbours(sql, name, grant)?,
        None => Vec::new(),
    };
    let issuer = (&new.connection.issuer, &new.connection.client_id);
    let holders = match new.obtained.refresh() {
        Some(token) => holders(sql, issuer, &seals.mark(&token.secret))?,
        None => Vec::new(),
    };
    let held = record(joinable(new, &holders))?;
    Ok(Adoptable {
        connection,
        own,
        neighbours,
        held,
    })
}

/// The other connections on a grant.
fn neighbours(sql: &Sqlite, name: &str, grant: &GrantId) -> rusqlite::Result<Vec<Connection>> {
    let select = "SELECT * FROM connection WHERE grant_id = ?1 AND name <> ?2";
    let mut others = sql.prepare(select)?;
    let others = others.query_map([grant.as_str(), name], rows::connection)?;
    others.collect()
}

fn put(
    sql: &Sqlite,
    seals: &RowSealer,
    new: &SignedIn,
    adoption: &Adoption,
) -> rusqlite::Result<Grant> {
    let name = &new.connection.name;
    if let Some((provider, client)) = &new.client {
        if clients::provider(sql, &provider.issuer, &new.connection.client_id)?.is_none() {
            clients::put_provider(sql, provider, &new.connection.client_id)?;
        }
        clients::put_if_absent(sql, seals, client)?;
    }
    drop_pending(sql, name.as_str())?;
    remembered::step_ups_signed_in(sql, name)?;
    if let Some(replaced) = &adoption.replaced {
        grants::apply(sql, seals, replaced, &GrantChange::Revoke(new.at))?;
        wipe(sql, replaced.as_str())?;
    }
    put_connection(sql, &adoption.connection)?;
    end_incidents_of_all(sql, name.as_str(), new.at)?;
    audit(sql, new.at, &adoption.event)?;
    match &adoption.grant {
        AdoptedGrant::Joined { grant, confirmed } => {
            if *confirmed {
                let confirm = GrantChange::ConfirmSoleCopy(new.at);
                grants::apply(sql, seals, &grant.id, &confirm)?;
            }
            Ok((**grant).clone())
        }
        AdoptedGrant::AccessReplaced(record) => {
            put_access(sql, seals, &record.grant)?;
            Ok(record.grant.clone())
        }
        AdoptedGrant::Put {
            record,
            keeps_first,
        } => {
            put_record(sql, seals, record, *keeps_first)?;
            Ok(record.grant.clone())
        }
    }
}

/// The record in the place of the one of the same id. The token that a grant began with counts from the sign-in that brought
/// it.
fn put_record(
    sql: &Sqlite,
    seals: &RowSealer,
    record: &GrantRecord,
    keeps_first: bool,
) -> rusqlite::Result<()> {
    let grant = &record.grant;
    let mark = grant
        .refresh
        .as_ref()
        .map(|token| seals.mark(&token.secret));
    let (reason, since) = lifecycle_columns(&grant.lifecycle);
    let material = grant.grant_material.write();
    let belongs = rows::grant_material_belongs(grant.id.as_str(), grant.lineage.0);
    sql.execute(
        "INSERT OR REPLACE INTO grant_family (id, issuer, client_id, lineage, generation, lifecycle, grant_type, reason,
            lifecycle_since, rotate_by, mandate, means, first_mark)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
            COALESCE((SELECT first_mark FROM grant_family WHERE id = ?1 AND ?13), ?14))",
        params![
            grant.id.as_str(),
            grant.issuer.as_str(),
            grant.client_id.as_str(),
            stored(grant.lineage.0),
            stored(grant.generation.0),
            grant.lifecycle.as_str(),
            grant.grant_type.as_str(),
            reason,
            since,
            grant.rotate_by.map(millis),
            rows::subject_binding_text(&grant.subject_binding),
            material.map(|material| seals.seal(belongs, &material)),
            keeps_first,
            mark,
        ],
    )?;
    refusals::forget(sql, &grant.id)?;
    put_refresh(sql, seals, grant)?;
    put_access(sql, seals, grant)
}

/// Removes every secret of a grant, and what its tokens are known by.
pub(super) fn wipe(sql: &Sqlite, grant: &str) -> rusqlite::Result<()> {
    let wipe = "UPDATE grant_family SET refresh_token = NULL, refresh_generation = NULL, refresh_mark = NULL,
        first_mark = NULL, standby_key = NULL, means = NULL WHERE id = ?1";
    sql.execute(wipe, [grant])?;
    drop_access(sql, grant)
}

fn put_connection(sql: &Sqlite, connection: &Connection) -> rusqlite::Result<()> {
    sql.execute(
        "INSERT OR REPLACE INTO connection (name, principal, url, resource, issuer, client_id, scope, grant_id, created,
            issuer_given, internal, provider, presentation, check_url)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            connection.name.as_str(),
            connection.principal.as_str(),
            connection.url,
            connection.resource.as_ref().map(Resource::as_str),
            connection.issuer.as_str(),
            connection.client_id.as_str(),
            connection.scope.as_ref().map(Scope::as_str),
            connection.grant.as_ref().map(GrantId::as_str),
            millis(connection.created),
            connection.issuer_given,
            connection.internal,
            connection.provider,
            connection.presentation.to_string(),
            connection.check_url,
        ],
    )?;
    Ok(())
}

/// The connections over whose grants a refresh token is held, or which it began, by its mark: spent a second time it could
/// cost the grant that it began.
pub(super) fn holders(
    sql: &Sqlite,
    (issuer, client): (&Issuer, &ClientId),
    mark: &[u8],
) -> rusqlite::Result<Vec<Connection>> {
    let mut select = sql.prepare(
        "SELECT c.* FROM connection c JOIN grant_family g ON g.id = c.grant_id
         WHERE (g.refresh_mark = ?1 OR g.first_mark = ?1) AND g.issuer = ?2 AND g.client_id = ?3 AND g.lifecycle <> 'revoked' ORDER BY c.name",
    )?;
    let with = params![mark, issuer.as_str(), client.as_str()];
    select.query_map(with, rows::connection)?.collect()
}
