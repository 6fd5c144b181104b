//! The schema: its steps from older formats, and the check of the seal key.

use std::path::Path;

use rusqlite::{Connection as Sqlite, OptionalExtension as _};

use crate::{
    store::{
        Result, StoreError,
        sqlite::{
            error::fault,
            rows::{self},
        },
    },
    vault::seal::{AssociatedData, Sealer},
};

/// Today's format, as an empty file gets it.
pub(super) const SCHEMA: &str = include_str!("schema.sql");

/// Its number, kept in `user_version`.
pub(super) const VERSION: i64 = 2;

/// The steps from each older format to the one after it, from the first on.
pub(super) const STEPS: &[&str] = &[include_str!("from-1.sql")];

pub(super) fn migrate(connection: &mut Sqlite, place: &str, sealer: &Sealer) -> Result<()> {
    let known = VERSION;
    let failed = |error: rusqlite::Error| fault(place, &error);
    let version = |connection: &Sqlite| {
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
    };
    let found = version(connection).map_err(failed)?;
    if found > known {
        return Err(StoreError::Newer {
            place: place.to_owned(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(());
    }
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let transaction = connection
        .transaction_with_behavior(behavior)
        .map_err(failed)?;
    // Another process may have done it while this one waited for the lock.
    match usize::try_from(version(&transaction).map_err(failed)?) {
        Ok(0) => transaction
            .execute_batch(&compact(SCHEMA))
            .map_err(failed)?,
        Ok(found) => {
            for step in STEPS.iter().skip(found - 1) {
                transaction.execute_batch(&compact(step)).map_err(failed)?;
            }
        }
        Err(_negative) => {}
    }
    let check = sealer.seal(KEY_CHECK, b"authkeeper");
    let keep = "INSERT OR IGNORE INTO meta (key, value) VALUES ('key_check', ?1)";
    transaction.execute(keep, [check]).map_err(failed)?;
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// `SQLite` keeps a schema as it was typed. Without comments and indentation ours fits the file's first page, and so half
/// a file is enough to know what the other half held.
pub(super) fn compact(schema: &str) -> String {
    let lines = schema
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default());
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let text = words.join(" ");
    text.replace(", ", ",")
        .replace(" (", "(")
        .replace("( ", "(")
        .replace(" )", ")")
}

pub(super) const KEY_CHECK: AssociatedData<'static> = AssociatedData {
    record: "meta",
    field: "key_check",
    generation: 0,
};

pub(super) fn check_key(
    connection: &Sqlite,
    place: &str,
    key: &Path,
    sealer: &Sealer,
) -> Result<()> {
    let check: Option<Vec<u8>> = connection
        .query_row(
            "SELECT value FROM meta WHERE key = 'key_check'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| fault(place, &error))?;
    match check {
        Some(check) if sealer.open(KEY_CHECK, &check).is_ok() => return Ok(()),
        // Lost by a repair: what the key still opens vouches for it.
        None if opens_something(connection, sealer).map_err(|error| fault(place, &error))? => {
            let check = sealer.seal(KEY_CHECK, b"authkeeper");
            let keep = "INSERT OR IGNORE INTO meta (key, value) VALUES ('key_check', ?1)";
            return connection
                .execute(keep, [check])
                .map(drop)
                .map_err(|error| fault(place, &error));
        }
        _ => {}
    }
    Err(StoreError::WrongKey {
        place: place.to_owned(),
        key: key.display().to_string(),
    })
}

/// Whether the key opens any of what is sealed; true where nothing is.
pub(super) fn opens_something(connection: &Sqlite, sealer: &Sealer) -> rusqlite::Result<bool> {
    let sealed = "SELECT id, 'refresh_token', refresh_generation, refresh_token FROM grant_family
        WHERE refresh_token IS NOT NULL
        UNION ALL SELECT grant_id, 'access_token', generation, secret FROM access_token";
    let mut sealed = connection.prepare(sealed)?;
    let mut sealed = sealed.query([])?;
    let mut none = true;
    while let Some(row) = sealed.next()? {
        none = false;
        let (record, field): (String, String) = (row.get(0)?, row.get(1)?);
        let generation = rows::number("generation", row.get(2)?)?;
        let belongs = match field.as_str() {
            "refresh_token" => rows::refresh_belongs(&record, generation),
            _ => rows::access_belongs(&record, generation),
        };
        if sealer.open(belongs, &row.get::<_, Vec<u8>>(3)?).is_ok() {
            return Ok(true);
        }
    }
    Ok(none)
}
