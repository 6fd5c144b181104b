//! Fingerprints of refresh tokens: keyed hashes that recognize a token that was seen before. Their key is stored sealed. It
//! is not the seal key, because the fingerprint of a spent token can't be computed again and must outlive key rotations.

use rusqlite::{Connection as Sqlite, OptionalExtension as _};
use zeroize::Zeroizing;

use crate::{
    platform::clock::Seams,
    secret::Secret,
    vault::seal::{AssociatedData, Sealer},
};

pub(super) const MARK_KEY: AssociatedData<'static> = AssociatedData {
    record: "meta",
    field: "mark_key",
    generation: 0,
};

/// The store's key for marks; it is made where there is none. On a full or read-only disk it lasts for this process, which
/// can keep no mark there.
pub(super) fn key(
    sql: &Sqlite,
    sealer: &Sealer,
    seams: &Seams,
) -> rusqlite::Result<Secret<[u8; 32]>> {
    if let Some(key) = kept(sql, sealer)? {
        return Ok(key);
    }
    let mut key = Zeroizing::new([0_u8; 32]);
    seams.random.fill(key.as_mut());
    let sealed = sealer.seal(MARK_KEY, key.as_ref());
    // Another process may have made it meanwhile; one that nothing opens is of no use to anybody.
    let keep = "INSERT OR IGNORE INTO meta (key, value) VALUES ('mark_key', ?1)";
    let _ = sql.execute(keep, [&sealed]);
    if let Some(kept) = kept(sql, sealer)? {
        return Ok(kept);
    }
    let _ = sql.execute(
        "UPDATE meta SET value = ?1 WHERE key = 'mark_key'",
        [&sealed],
    );
    Ok(Secret::new(*key))
}

fn kept(sql: &Sqlite, sealer: &Sealer) -> rusqlite::Result<Option<Secret<[u8; 32]>>> {
    let select = "SELECT value FROM meta WHERE key = 'mark_key'";
    let sealed: Option<Vec<u8>> = sql.query_row(select, [], |row| row.get(0)).optional()?;
    let plain = sealed.and_then(|sealed| sealer.open(MARK_KEY, &sealed).ok());
    Ok(plain.and_then(|plain| <[u8; 32]>::try_from(plain.as_slice()).ok().map(Secret::new)))
}
