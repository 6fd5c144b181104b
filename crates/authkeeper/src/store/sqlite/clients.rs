//! Our clients, and what each was told of its issuer.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use super::{
    SqliteStore,
    rows::{self, millis, stored},
};
use crate::{
    model::{ClientId, ClientRegistration, ClientSecret, GrantType, Issuer, Provider},
    store::Result,
    vault::seal::Sealed,
};

/// How many secrets of one client are kept beside what was refused: a provider lets two be good at once, seldom three.
const MOST_SECRETS: u64 = 4;

/// A client whose new secrets are sealed already.
pub(super) struct SealedClient {
    client: ClientRegistration,
    /// Those that are not kept yet, in the order in which they are tried, with their end.
    new_secrets: Vec<(Sealed, Option<i64>)>,
    private_key: Option<Sealed>,
}

impl SqliteStore {
    pub(super) fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>> {
        self.read(|sql| {
            let select = "SELECT * FROM registration WHERE issuer = ?1 AND client_id = ?2";
            let read = |row: &rusqlite::Row<'_>| rows::registration(sql, row, &self.sealer);
            sql.prepare_cached(select)?
                .query_row([issuer.as_str(), id.as_str()], read)
                .optional()
        })
    }

    pub(super) fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        self.read(|sql| {
            let select = "SELECT * FROM registration WHERE issuer = ?1 AND source = 'dynamic' AND refused IS NULL
                ORDER BY rowid DESC LIMIT 16";
            let read = |row: &rusqlite::Row<'_>| rows::registration(sql, row, &self.sealer);
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
        let (provider, id) = (provider.clone(), client.client_id.clone());
        let client = self.seal_client(client);
        self.write(move |sql| {
            put_provider(sql, &provider, &id)?;
            client.put(sql)
        })
        .await
    }

    pub(super) async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        let (provider, client) = (provider.clone(), client.clone());
        self.write(move |sql| put_provider(sql, &provider, &client))
            .await
    }

    pub(super) async fn refuse_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<()> {
        let (issuer, id) = (issuer.clone(), id.clone());
        self.write(move |sql| {
            let refuse =
                "UPDATE registration SET refused = ?3 WHERE issuer = ?1 AND client_id = ?2";
            sql.execute(refuse, params![issuer.as_str(), id.as_str(), millis(at)])
                .map(drop)
        })
        .await
    }

    pub(super) async fn refuse_secret(&self, secret: u64, at: Timestamp) -> Result<()> {
        self.write(move |sql| {
            let refuse = "UPDATE client_secret SET refused = ?2 WHERE id = ?1";
            sql.execute(refuse, params![stored(secret), millis(at)])
                .map(drop)
        })
        .await
    }

    pub(super) async fn accept_registration(&self, issuer: &Issuer, id: &ClientId) -> Result<()> {
        let (issuer, id) = (issuer.clone(), id.clone());
        self.write(move |sql| {
            let accept =
                "UPDATE registration SET refused = NULL WHERE issuer = ?1 AND client_id = ?2";
            sql.execute(accept, [issuer.as_str(), id.as_str()])
                .map(drop)
        })
        .await
    }

    pub(super) async fn accept_secret(&self, secret: u64) -> Result<()> {
        self.write(move |sql| {
            let accept = "UPDATE client_secret SET refused = NULL WHERE id = ?1";
            sql.execute(accept, [stored(secret)]).map(drop)
        })
        .await
    }

    pub(super) fn seal_client(&self, client: &ClientRegistration) -> SealedClient {
        let record = rows::registration_record(client.issuer.as_str(), client.client_id.as_str());
        let seal = |secret: &ClientSecret| {
            let belongs = rows::client_secret_belongs(&record);
            (
                self.seal(belongs, &secret.secret),
                secret.expires_at.map(millis),
            )
        };
        let new = client.secrets.iter().filter(|secret| secret.id.is_none());
        let key = client.private_key.as_ref();
        SealedClient {
            new_secrets: new.map(seal).collect(),
            private_key: key.map(|key| self.seal(rows::private_key_belongs(&record), key)),
            client: client.clone(),
        }
    }
}

impl SealedClient {
    /// Puts the client as it is now; its new secrets go in front of those that are kept.
    pub(super) fn put(&self, sql: &Sqlite) -> rusqlite::Result<()> {
        self.insert(sql, "INSERT OR REPLACE")?;
        self.add_secrets(sql)
    }

    /// Puts the client if there is none.
    pub(super) fn put_if_absent(&self, sql: &Sqlite) -> rusqlite::Result<()> {
        if self.insert(sql, "INSERT OR IGNORE")? {
            self.add_secrets(sql)?;
        }
        Ok(())
    }

    fn insert(&self, sql: &Sqlite, how: &str) -> rusqlite::Result<bool> {
        let client = &self.client;
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
                self.private_key,
                client.auth_method.as_str(),
                rows::Registered::of(client).to_json(),
                client.source.as_str(),
                client.key_id,
                grant_types.collect::<Vec<_>>().join(" "),
                // Nothing is known against a new secret.
                self.new_secrets.is_empty(),
            ],
        )?;
        Ok(put == 1)
    }

    /// The one that is inserted last is tried first.
    fn add_secrets(&self, sql: &Sqlite) -> rusqlite::Result<()> {
        let (issuer, id) = (self.client.issuer.as_str(), self.client.client_id.as_str());
        for (secret, expires) in self.new_secrets.iter().rev() {
            let add = "INSERT INTO client_secret (issuer, client_id, secret, expires) VALUES (?1, ?2, ?3, ?4)";
            sql.execute(add, params![issuer, id, secret, expires])?;
        }
        // What is too many goes from the end, and only what was refused.
        let drop_old = "DELETE FROM client_secret WHERE issuer = ?1 AND client_id = ?2 AND refused IS NOT NULL
            AND id NOT IN (SELECT id FROM client_secret WHERE issuer = ?1 AND client_id = ?2 ORDER BY id DESC LIMIT ?3)";
        sql.execute(drop_old, params![issuer, id, stored(MOST_SECRETS)])?;
        Ok(())
    }
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
