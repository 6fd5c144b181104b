//! Our clients, and what each was told of its issuer.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use super::{
    SqliteStore,
    row_sealer::RowSealer,
    rows::{self, millis, stored},
};
use crate::{
    model::{
        ClientId, ClientRegistration, ClientSecret, GrantType, Issuer, MOST_SECRETS, Provider,
    },
    store::Result,
};

impl SqliteStore {
    pub(super) fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>> {
        self.read(|sql| {
            let select = "SELECT * FROM registration WHERE issuer = ?1 AND client_id = ?2";
            let read = |row: &rusqlite::Row<'_>| rows::registration(sql, row, &self.seals.sealer);
            sql.prepare_cached(select)?
                .query_row([issuer.as_str(), id.as_str()], read)
                .optional()
        })
    }

    pub(super) fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        self.read(|sql| {
            let select = "SELECT * FROM registration WHERE issuer = ?1 AND source = 'dynamic' AND refused IS NULL
                ORDER BY rowid DESC LIMIT 16";
            let read = |row: &rusqlite::Row<'_>| rows::registration(sql, row, &self.seals.sealer);
            sql.prepare(select)?
                .query_map([issuer.as_str()], read)?
                .collect()
        })
    }

    pub(super) async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()> {
        let (provider, client) = (provider.clone(), client.clone());
        let seals = self.seals.clone();
        self.write(move |sql| {
            put_provider(sql, &provider, &client.client_id)?;
            put(sql, &seals, &client)
        })
        .await
    }

    pub(super) async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        let (provider, client) = (provider.clone(), client.clone());
        self.write(move |sql| put_provider(sql, &provider, &client))
            .await
    }

    pub(super) async fn mark_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        refused: Option<Timestamp>,
    ) -> Result<()> {
        let (issuer, id) = (issuer.clone(), id.clone());
        let refused = refused.map(millis);
        self.write(move |sql| {
            let mark = "UPDATE registration SET refused = ?3 WHERE issuer = ?1 AND client_id = ?2";
            sql.execute(mark, params![issuer.as_str(), id.as_str(), refused])
                .map(drop)
        })
        .await
    }

    pub(super) async fn mark_secret(&self, secret: u64, refused: Option<Timestamp>) -> Result<()> {
        let refused = refused.map(millis);
        self.write(move |sql| {
            let mark = "UPDATE client_secret SET refused = ?2 WHERE id = ?1";
            sql.execute(mark, params![stored(secret), refused])
                .map(drop)
        })
        .await
    }
}

/// Puts the client as it is now; its new secrets go in front of those that are kept.
fn put(sql: &Sqlite, seals: &RowSealer, client: &ClientRegistration) -> rusqlite::Result<()> {
    insert(sql, seals, "INSERT OR REPLACE", client)?;
    add_secrets(sql, seals, client)
}

/// Puts the client if there is none.
pub(super) fn put_if_absent(
    sql: &Sqlite,
    seals: &RowSealer,
    client: &ClientRegistration,
) -> rusqlite::Result<()> {
    if insert(sql, seals, "INSERT OR IGNORE", client)? {
        add_secrets(sql, seals, client)?;
    }
    Ok(())
}

fn record_of(client: &ClientRegistration) -> String {
    rows::registration_record(client.issuer.as_str(), client.client_id.as_str())
}

/// Those that are not kept yet, in the order in which they are tried.
fn new_secrets(client: &ClientRegistration) -> impl DoubleEndedIterator<Item = &ClientSecret> {
    client.secrets.iter().filter(|secret| secret.id.is_none())
}

fn insert(
    sql: &Sqlite,
    seals: &RowSealer,
    how: &str,
    client: &ClientRegistration,
) -> rusqlite::Result<bool> {
    let record = record_of(client);
    let key = client.private_key.as_ref();
    let grant_types = client.grant_types.iter().copied().map(GrantType::as_str);
    let put = format!(
        "{how} INTO registration (issuer, client_id, private_key, auth_method, redirect_uris, source, key_id,
            grant_types, refused) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
            (SELECT refused FROM registration WHERE issuer = ?1 AND client_id = ?2 AND ?9))"
    );
    let put = sql.execute(
        &put,
        params![
            client.issuer.as_str(),
            client.client_id.as_str(),
            key.map(|key| seals.seal(rows::private_key_belongs(&record), key)),
            client.auth_method.as_str(),
            rows::Registered::of(client).to_json(),
            client.source.as_str(),
            client.key_id,
            grant_types.collect::<Vec<_>>().join(" "),
            // Nothing is known against a new secret.
            new_secrets(client).next().is_none(),
        ],
    )?;
    Ok(put == 1)
}

/// The one that is inserted last is tried first.
fn add_secrets(
    sql: &Sqlite,
    seals: &RowSealer,
    client: &ClientRegistration,
) -> rusqlite::Result<()> {
    let record = record_of(client);
    let (issuer, id) = (client.issuer.as_str(), client.client_id.as_str());
    for secret in new_secrets(client).rev() {
        let sealed = seals.seal(rows::client_secret_belongs(&record), &secret.secret);
        let expires = secret.expires_at.map(millis);
        let add = "INSERT INTO client_secret (issuer, client_id, secret, expires) VALUES (?1, ?2, ?3, ?4)";
        sql.execute(add, params![issuer, id, sealed, expires])?;
    }
    // What is too many goes from the end, and only what was refused.
    let drop_old = "DELETE FROM client_secret WHERE issuer = ?1 AND client_id = ?2 AND refused IS NOT NULL
        AND id NOT IN (SELECT id FROM client_secret WHERE issuer = ?1 AND client_id = ?2 ORDER BY id DESC LIMIT ?3)";
    sql.execute(
        drop_old,
        params![issuer, id, i64::try_from(MOST_SECRETS).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

pub(super) fn put_provider(
    sql: &Sqlite,
    provider: &Provider,
    client: &ClientId,
) -> rusqlite::Result<()> {
    let metadata = serde_json::to_string(&provider.metadata)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let put = "INSERT OR REPLACE INTO provider (issuer, client_id, metadata) VALUES (?1, ?2, ?3)";
    let with = params![provider.issuer.as_str(), client.as_str(), metadata];
    sql.execute(put, with)?;
    Ok(())
}

pub(super) fn provider(
    sql: &Sqlite,
    issuer: &Issuer,
    client: &ClientId,
) -> rusqlite::Result<Option<Provider>> {
    let select = "SELECT metadata FROM provider WHERE issuer = ?1 AND client_id = ?2";
    let mut select = sql.prepare_cached(select)?;
    let mut found = select.query([issuer.as_str(), client.as_str()])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let metadata = serde_json::from_str(&row.get::<_, String>(0)?);
    Ok(Some(Provider {
        issuer: issuer.clone(),
        metadata: metadata.map_err(|_json| rows::impossible("metadata"))?,
    }))
}
