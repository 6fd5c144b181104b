//! Reseals the rows that another key sealed. Each batch is one transaction: nobody sees half a row, and the others
//! take their turns in between.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use super::{SqliteStore, rows, schema::KEY_CHECK};
use crate::{
    store::{Result, sqlite::token_fingerprint::MARK_KEY},
    vault::{
        ResealCount,
        seal::{AssociatedData, PREFIX, Sealer},
    },
};

/// How many rows one transaction reseals: the others wait no longer than that takes.
const BATCH: i64 = 256;

/// A column that holds sealed values, and what they belong to.
struct Column {
    table: &'static str,
    name: &'static str,
    record: &'static str,
    generation: &'static str,
    field: &'static str,
}

const COLUMNS: [Column; 7] = [
    Column {
        table: "client_secret",
        name: "secret",
        record: "issuer || ' ' || client_id",
        generation: "0",
        field: "client_secret",
    },
    Column {
        table: "registration",
        name: "private_key",
        record: "issuer || ' ' || client_id",
        generation: "0",
        field: "private_key",
    },
    Column {
        table: "grant_family",
        name: "refresh_token",
        record: "id",
        generation: "refresh_generation",
        field: "refresh_token",
    },
    Column {
        table: "grant_family",
        name: "standby_key",
        record: "id",
        generation: "standby_generation",
        field: "standby_key",
    },
    Column {
        table: "grant_family",
        name: "means",
        record: "id",
        generation: "lineage",
        field: "means",
    },
    Column {
        table: "access_token",
        name: "secret",
        record: "grant_id",
        generation: "generation",
        field: "access_token",
    },
    Column {
        table: "pending_sign_in",
        name: "sealed",
        record: "name",
        generation: "0",
        field: "pending_sign_in",
    },
];

/// What came of one batch.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    resealed: usize,
    broken: usize,
    /// The row that was looked at last; none if there are no more.
    last: Option<i64>,
}

impl SqliteStore {
    /// Reseals every value that is not sealed with the current key.
    pub(super) async fn reseal_rows(&self) -> Result<ResealCount> {
        let sealer = self.seals.sealer.clone();
        let mut all = ResealCount {
            resealed: self.write(move |sql| reseal_meta(sql, &sealer)).await?,
            ..ResealCount::default()
        };
        for column in &COLUMNS {
            let mut after = Some(0);
            while let Some(from) = after {
                let sealer = self.seals.sealer.clone();
                let batch = self.write(move |sql| column.reseal(sql, &sealer, from));
                let batch = batch.await?;
                all.resealed += batch.resealed;
                all.broken += batch.broken;
                after = batch.last;
            }
        }
        Ok(all)
    }
}

/// What belongs to the store as a whole: the value by which a key is known to be the right one, and the key for marks.
fn reseal_meta(sql: &Sqlite, sealer: &Sealer) -> rusqlite::Result<usize> {
    let mut resealed = 0;
    for belongs in [KEY_CHECK, MARK_KEY] {
        let select = "SELECT value FROM meta WHERE key = ?1";
        let found = sql.query_row(select, [belongs.field], |row| row.get(0));
        let found: Option<Vec<u8>> = found.optional()?;
        let found = found.filter(|sealed| !sealed.starts_with(&sealer.prefix()));
        if let Some(sealed) = found.and_then(|sealed| sealer.reseal(belongs, &sealed)) {
            let put = "UPDATE meta SET value = ?2 WHERE key = ?1";
            resealed += sql.execute(put, params![belongs.field, sealed])?;
        }
    }
    Ok(resealed)
}

impl Column {
    fn reseal(&self, sql: &Sqlite, sealer: &Sealer, after: i64) -> rusqlite::Result<Batch> {
        let Self {
            table,
            name,
            record,
            generation,
            field,
        } = self;
        let select = format!(
            "SELECT rowid, {record}, {generation}, {name} FROM {table}
             WHERE rowid > ?1 AND {name} IS NOT NULL AND substr({name}, 1, {PREFIX}) <> ?2
             ORDER BY rowid LIMIT {BATCH}"
        );
        let put = format!("UPDATE {table} SET {name} = ?2 WHERE rowid = ?1");
        let (mut select, mut put) = (sql.prepare(&select)?, sql.prepare(&put)?);
        let mut found = select.query(params![after, &sealer.prefix()[..]])?;
        let mut batch = Batch::default();
        while let Some(row) = found.next()? {
            let rowid: i64 = row.get(0)?;
            let record: String = row.get(1)?;
            // Without its generation a value belongs to none, and nothing opens it.
            let generation: Option<i64> = row.get(2)?;
            let belongs = AssociatedData {
                record: &record,
                field,
                generation: rows::number("generation", generation.unwrap_or_default())?,
            };
            match sealer.reseal(belongs, &row.get::<_, Vec<u8>>(3)?) {
                Some(sealed) => batch.resealed += put.execute(params![rowid, sealed])?,
                None => batch.broken += 1,
            }
            batch.last = Some(rowid);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        platform::clock::Seams,
        vault::{key_change::KeyFileChange, seal::Sealer},
    };

    /// A column that holds what is sealed and is not looked at would be lost with its key.
    #[test]
    fn every_sealed_column_is_resealed() {
        let mut table = "";
        let mut sealed = Vec::new();
        for line in crate::store::sqlite::schema::SCHEMA.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("CREATE"), Some("TABLE")) => table = words.next().unwrap(),
                // Marks are hashes, and there is no token left to hash again.
                (Some(column), Some("BLOB" | "BLOB,")) if !column.ends_with("_mark") => {
                    sealed.push((table, column));
                }
                _ => {}
            }
        }
        let mut known: Vec<_> = COLUMNS.map(|one| (one.table, one.name)).to_vec();
        sealed.sort_unstable();
        known.sort_unstable();
        // What meta holds is seen to apart.
        assert_eq!(sealed, known);
    }

    /// A store with one value in each sealed column and many pending sign-ins, and the sealer that sealed them.
    fn full(folder: &std::path::Path) -> (SqliteStore, usize) {
        let (path, key) = (folder.join("store.db"), folder.join("key"));
        let store = SqliteStore::open(&path, &key, &Seams::system()).unwrap();
        let seal = |record: &str, field: &'static str, generation| {
            let belongs = AssociatedData {
                record,
                field,
                generation,
            };
            store.seals.sealer.seal(belongs, field.as_bytes())
        };
        let sql = Sqlite::open(&path).unwrap();
        let put = |statement: &str, sealed: &[&dyn rusqlite::ToSql]| {
            sql.execute(statement, sealed).unwrap();
        };
        put(
            "INSERT INTO registration (issuer, client_id, private_key, auth_method, redirect_uris, source)
             VALUES ('i', 'c', ?1, 'none', '[]', 'given')",
            &[&seal("i c", "private_key", 0)],
        );
        put(
            "INSERT INTO client_secret (issuer, client_id, secret) VALUES ('i', 'c', ?1)",
            &[&seal("i c", "client_secret", 0)],
        );
        put(
            "INSERT INTO grant_family (id, issuer, client_id, lineage, generation, lifecycle, refresh_token,
                refresh_generation, standby_key, standby_generation, means)
                VALUES ('g', 'i', 'c', 1, 4, 'active', ?1, 3, ?2, 2, ?3)",
            &[&seal("g", "refresh_token", 3), &seal("g", "standby_key", 2), &seal("g", "means", 1)],
        );
        put(
            "INSERT INTO access_token (grant_id, scope_key, resource_key, secret, lineage, generation, issued, lifetime,
                lifetime_source, after_rejection) VALUES ('g', '', '', ?1, 1, 4, 'now', 1, 'x', 0)",
            &[&seal("g", "access_token", 4)],
        );
        let pending = 2 * usize::try_from(BATCH).unwrap() + 3;
        sql.execute_batch("BEGIN").unwrap();
        for number in 0..pending {
            let name = format!("p{number}");
            put(
                "INSERT INTO pending_sign_in VALUES (?1, ?2, 0)",
                &[&name, &seal(&name, "pending_sign_in", 0)],
            );
        }
        sql.execute_batch("COMMIT").unwrap();
        (store, 2 + 6 + pending)
    }

    #[tokio::test]
    async fn every_value_is_resealed_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let (store, values) = full(folder.path());
        let token = "a-token".to_owned().into();
        let mark = store.seals.mark(&token);
        assert_eq!(store.reseal_rows().await.unwrap(), ResealCount::default());
        let spoiled = "UPDATE pending_sign_in SET sealed = randomblob(80) WHERE name = 'p7'";
        let sql = Sqlite::open(folder.path().join("store.db")).unwrap();
        sql.execute(spoiled, []).unwrap();
        let change = KeyFileChange::enter(&folder.path().join("key"))
            .unwrap()
            .unwrap();
        change.begin(&Seams::system()).unwrap();
        let done = store.reseal_rows().await.unwrap();
        assert_eq!((done.resealed, done.broken), (values - 1, 1));
        assert_eq!(store.reseal_rows().await.unwrap().resealed, 0);
        assert_eq!(change.old_key_is_free(), Some(true));
        change.retire().unwrap();

        let key = folder.path().join("key");
        let fresh = Sealer::load(&key, &key, false, &Seams::system()).unwrap();
        for column in &COLUMNS {
            let Column {
                table,
                name,
                record,
                generation,
                field,
            } = column;
            let select = format!("SELECT {record}, {generation}, {name} FROM {table} LIMIT 1");
            let (record, generation, sealed): (String, u32, Vec<u8>) = sql
                .query_row(&select, [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .unwrap();
            let belongs = AssociatedData {
                record: &record,
                field,
                generation: generation.into(),
            };
            assert_eq!(&fresh.open(belongs, &sealed).unwrap()[..], field.as_bytes());
        }
        drop(store);
        let path = folder.path().join("store.db");
        let again = SqliteStore::open(&path, &key, &Seams::system()).unwrap();
        assert_eq!(
            again.seals.mark(&token),
            mark,
            "known again after the key that seals is gone"
        );
    }
}
