//! Our clients, and what is known of their issuers.

use rusqlite::{Connection as Sqlite, params};

use super::{
    SqliteStore,
    rows::{self, millis, stored},
};
use crate::model::{ClientRegistration, ClientSecret, Issuer, Provider};

/// A client whose secrets are sealed already.
pub(super) struct SealedClient {
    client: ClientRegistration,
    secrets: Vec<Vec<u8>>,
    private_key: Option<Vec<u8>>,
}

impl SqliteStore {
    pub(super) fn seal_client(&self, client: &ClientRegistration) -> SealedClient {
        let record = rows::registration_record(client.issuer.as_str(), client.client_id.as_str());
        let seal = |(rank, secret): (usize, &ClientSecret)| {
            self.seal(
                rows::client_secret_belongs(&record, rank as u64),
                &secret.secret,
            )
        };
        let key = client.private_key.as_ref();
        SealedClient {
            secrets: client.secrets.iter().enumerate().map(seal).collect(),
            private_key: key.map(|key| self.seal(rows::private_key_belongs(&record), key)),
            client: client.clone(),
        }
    }
}

pub(super) fn put_provider(sql: &Sqlite, provider: &Provider) -> rusqlite::Result<()> {
    let metadata = serde_json::to_string(&provider.metadata)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let put = "INSERT OR REPLACE INTO provider (issuer, metadata) VALUES (?1, ?2)";
    sql.execute(put, params![provider.issuer.as_str(), metadata])?;
    Ok(())
}

pub(super) fn put_registration(sql: &Sqlite, sealed: &SealedClient) -> rusqlite::Result<()> {
    let client = &sealed.client;
    let uris = serde_json::json!(client.redirect_uris).to_string();
    let (issuer, client_id) = (client.issuer.as_str(), client.client_id.as_str());
    sql.execute(
        "INSERT OR REPLACE INTO registration (issuer, client_id, private_key, auth_method, redirect_uris, source,
            key_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            issuer,
            client_id,
            sealed.private_key,
            client.auth_method.as_str(),
            uris,
            client.source.as_str(),
            client.key_id,
        ],
    )?;
    let clear = "DELETE FROM client_secret WHERE issuer = ?1 AND client_id = ?2";
    sql.execute(clear, [issuer, client_id])?;
    for (rank, (secret, known)) in sealed.secrets.iter().zip(&client.secrets).enumerate() {
        sql.execute(
            "INSERT INTO client_secret (issuer, client_id, rank, secret, refused, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                issuer,
                client_id,
                stored(rank as u64),
                secret,
                known.refused.map(millis),
                known.expires_at.map(millis),
            ],
        )?;
    }
    Ok(())
}

pub(super) fn provider(sql: &Sqlite, issuer: &Issuer) -> rusqlite::Result<Option<Provider>> {
    let mut select = sql.prepare_cached("SELECT metadata FROM provider WHERE issuer = ?1")?;
    let mut found = select.query([issuer.as_str()])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let metadata = serde_json::from_str(&row.get::<_, String>(0)?);
    Ok(Some(Provider {
        issuer: issuer.clone(),
        metadata: metadata.map_err(|_json| rows::impossible("metadata"))?,
    }))
}
