//! One machine's store: an `SQLite` file in WAL mode with `synchronous=FULL`, so that what was answered is durable.
//!
//! Reads go straight to the file over a connection of their own (a few microseconds, never behind a writer); writes go
//! through one thread (`writer`). The same claim statements serve every SQL store.

mod api_keys;
mod clients;
mod copy_detection;
mod failing;
mod history;
mod observations;
mod refusals;
mod repair;
mod reseal;
mod rows;
mod sign_in;
mod step_ups;
mod token_fingerprint;
mod writer;

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, ErrorCode, OptionalExtension as _, params};

use self::copy_detection::Home;
pub use self::repair::{Salvaged, examine, salvage};
use self::{
    rows::{millis, stored},
    writer::Writer,
};
use super::{
    CarriedCall, Committed, Epoch, FailingChange, History, NewIncident, NewKey, PendingSignIn,
    Refreshed, Result, SignedIn, Spend, Store, StoreError, Use, location, unusable,
};
use crate::{
    model::{
        AccessToken, AttemptId, Claim, ClientId, ClientRegistration, Connection, ConnectionName,
        Event, FailedCall, Failing, FailingOf, Generation, Grant, GrantId, Incident, IncidentId,
        Issuer, Lineage, Moment, Observation, Provider, ProviderObservation, ReauthorizeReason,
        Record, RefreshToken, StepUps, TaskId, UnknownKind,
    },
    platform::clock::Seams,
    secret::{Secret, SecretString},
    vault::{
        ResealCount,
        seal::{Belongs, Sealed, Sealer},
    },
};

/// Today's format, as an empty file gets it.
const SCHEMA: &str = include_str!("schema.sql");
/// Its number, kept in `user_version`.
const VERSION: i64 = 2;
/// The steps from each older format to the one after it, from the first on.
const STEPS: &[&str] = &[include_str!("from-1.sql")];

/// What `SQLite` needs beside the file to read it, doubled.
const ROOM: usize = 64 * 1024;
/// `SQLite`'s code for an index that can't be made as large as it must be (`SQLITE_IOERR_SHMSIZE`).
const NO_ROOM_FOR_INDEX: i32 = 4874;

/// No `data_version` of `SQLite`'s.
const NOT_SEEN: i64 = i64::MIN;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const KEY_CHECK: Belongs<'static> = Belongs {
    record: "meta",
    field: "key_check",
    generation: 0,
};

const SELECT_GRANT: &str = "SELECT g.*, a.secret AS a_secret, a.lineage AS a_lineage,
    a.generation AS a_generation, a.issued AS a_issued, a.lifetime AS a_lifetime,
    a.lifetime_source AS a_lifetime_source, a.scope AS a_scope, a.resource AS a_resource,
    a.after_rejection AS a_after_rejection, a.refresh_in AS a_refresh_in
    FROM grant_family g LEFT JOIN access_token a
    ON a.grant_id = g.id AND a.scope_key = '' AND a.resource_key = '' WHERE g.id = ?1";

/// One machine's store.
pub struct SqliteStore {
    path: PathBuf,
    sealer: Sealer,
    mark_key: Secret<[u8; 32]>,
    reader: Mutex<Sqlite>,
    writer: OnceLock<Writer>,
    epoch: Arc<Epoch>,
    used: Arc<Use>,
    /// `SQLite`'s own number for what the reader saw last; none before the first look.
    seen: AtomicI64,
    /// It was copied here and nobody has said that the other copy is retired.
    copied: AtomicBool,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store, makes it where there is none, and checks that the key is the one that sealed it.
    pub fn open(path: &Path, key: &Path, seams: &Seams) -> Result<Self> {
        location::check(path)?;
        let sealed_before = path.exists();
        let sealer = Sealer::load(key, path, !sealed_before, seams)?;
        let place = path.display().to_string();
        let mut reader = open_connection(path)?;
        migrate(&mut reader, &place, &sealer)?;
        check_key(&reader, &place, key, &sealer)?;
        let mark_key = token_fingerprint::key(&reader, &sealer, seams);
        let mark_key = mark_key.map_err(|error| fault(&place, &error))?;
        let at_home = copy_detection::is_at_home(&reader, &Home::of(path));
        let at_home = at_home.map_err(|error| fault(&place, &error))?;
        let query_only = reader.pragma_update(None, "query_only", true);
        query_only.map_err(|error| fault(&place, &error))?;
        let reader = Mutex::new(reader);
        keep_room(path);
        Ok(Self {
            path: path.to_owned(),
            sealer,
            mark_key,
            reader,
            writer: OnceLock::new(),
            epoch: Arc::default(),
            used: Arc::default(),
            seen: AtomicI64::new(NOT_SEEN),
            copied: AtomicBool::new(!at_home),
        })
    }

    /// Seals and opens what belongs to this store but lies beside it.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn read<T>(&self, work: impl FnOnce(&Sqlite) -> rusqlite::Result<T>) -> Result<T> {
        self.used.count_read();
        work(&self.reader()).map_err(|error| fault(&self.place(), &error))
    }

    fn reader(&self) -> MutexGuard<'_, Sqlite> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The writing thread starts with the first write: most runs of the command line only read.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Sqlite) -> rusqlite::Result<T> + Send + 'static,
    {
        if self.writer.get().is_none() {
            let ticket = self.path.with_extension("turn");
            let told = (Arc::clone(&self.epoch), Arc::clone(&self.used));
            let writer = Writer::start(&self.path, ticket, told)?;
            let _ = self.writer.set(writer);
        }
        match self.writer.get() {
            Some(writer) => writer.run(work).await,
            None => Err(StoreError::Busy {
                place: self.place(),
            }),
        }
    }

    /// A copy spends nothing that the original may spend too. What is issued anew is spent by nobody.
    async fn check_home(&self, grant: &GrantId) -> Result<()> {
        if !self.is_copy() {
            return Ok(());
        }
        let grant = self.grant(grant).await?;
        if grant.is_some_and(|grant| grant.is_issued_again()) {
            return Ok(());
        }
        Err(StoreError::Copied {
            place: self.place(),
        })
    }

    fn seal(&self, belongs: Belongs<'_>, secret: &SecretString) -> Sealed {
        #[expect(clippy::disallowed_methods, reason = "the secret is sealed")]
        self.sealer.seal(belongs, secret.expose().as_bytes())
    }
}

fn open_connection(path: &Path) -> Result<Sqlite> {
    let place = path.display().to_string();
    // Made closed to others from the start: SQLite gives its log and index the mode that the file has.
    let mut options = File::options();
    let made = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    drop(made.map_err(|error| unusable(path, &error))?);
    let open = || {
        let connection = Sqlite::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        enter_wal(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    let connection =
        open()
            .map_err(|error| fault(&place, &error))
            .or_else(|error| match error {
                // Reading needs the index beside the file: on a full disk it is made in the room kept for it.
                StoreError::Full { .. } if std::fs::remove_file(room(path)).is_ok() => {
                    open().map_err(|error| fault(&place, &error))
                }
                // SQLite does not say why it can't make what it needs beside the file.
                StoreError::Unusable { .. } => Err(match File::options().append(true).open(path) {
                    Err(why) if why.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                        StoreError::ReadOnly { place }
                    }
                    _ => error,
                }),
                _ => Err(error),
            })?;
    restrict(path);
    Ok(connection)
}

/// The switch from a new file to WAL needs the file alone for a moment, and `SQLite` answers "busy" there without waiting
/// (processes that make the store together meet it): it is tried again for a while.
fn enter_wal(connection: &Sqlite) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let switched = connection.pragma_update(None, "journal_mode", "WAL");
        let code = switched
            .as_ref()
            .err()
            .and_then(rusqlite::Error::sqlite_error_code);
        let busy = matches!(
            code,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        );
        if !busy || tries == 100 {
            return switched;
        }
        tries += 1;
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A file that only takes up room, given back when the disk is full: a living token must be served then too.
fn room(path: &Path) -> PathBuf {
    path.with_extension("room")
}

fn keep_room(path: &Path) {
    let room = room(path);
    let make = || {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&room)?;
        file.write_all(&vec![1; ROOM])
    };
    let made: std::io::Result<()> = make();
    if made.is_err_and(|error| error.kind() != std::io::ErrorKind::AlreadyExists) {
        let _ = std::fs::remove_file(&room);
    }
}

/// The folder is closed to others already; the file too, in case it is moved.
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

fn migrate(connection: &mut Sqlite, place: &str, sealer: &Sealer) -> Result<()> {
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
fn compact(schema: &str) -> String {
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

fn check_key(connection: &Sqlite, place: &str, key: &Path, sealer: &Sealer) -> Result<()> {
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
fn opens_something(connection: &Sqlite, sealer: &Sealer) -> rusqlite::Result<bool> {
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

/// What an `SQLite` error means.
fn fault(place: &str, error: &rusqlite::Error) -> StoreError {
    let place = place.to_owned();
    let detail = error.to_string();
    if error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == NO_ROOM_FOR_INDEX)
    {
        return StoreError::Full { place };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { place },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { place },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { place },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { place, detail }
        }
        Some(_) if detail.contains("no such table") => StoreError::Damaged { place, detail },
        Some(_) => StoreError::Unusable { place, detail },
        // Not SQLite's error but a row's: what it holds can't be read as what it must be.
        None => StoreError::Damaged { place, detail },
    }
}

fn keep_incident(sql: &Sqlite, incident: &NewIncident) -> rusqlite::Result<(Incident, bool)> {
    let told = &incident.record;
    let record = serde_json::to_value(told).unwrap_or_default();
    let inserted = sql.execute(
        "INSERT OR IGNORE INTO trouble (id, connection, lineage, event, reason, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            incident.id.as_str(),
            told.connection,
            stored(incident.lineage.0),
            told.event.as_str(),
            told.reason,
            record.to_string(),
        ],
    )?;
    if inserted == 1 {
        audit(sql, told.ts, &record)?;
    }
    let kept = sql.query_row(
        "SELECT * FROM trouble WHERE connection = ?1 AND lineage = ?2 AND event = ?3 AND reason = ?4
            AND ended IS NULL",
        params![told.connection, stored(incident.lineage.0), told.event.as_str(), told.reason],
        rows::incident,
    )?;
    Ok((kept, inserted == 1))
}

/// One change that is made again and again: read and planned once.
fn run(sql: &Sqlite, change: &str, with: impl rusqlite::Params) -> rusqlite::Result<usize> {
    sql.prepare_cached(change)?.execute(with)
}

fn put_access(
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
struct SealedRefresh {
    sealed: Sealed,
    mark: Vec<u8>,
    generation: i64,
    expires: Option<i64>,
}

impl SqliteStore {
    fn seal_refresh(
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

    fn seal_access(&self, grant: &GrantId, token: &AccessToken) -> Sealed {
        self.seal(
            rows::access_belongs(grant.as_str(), token.generation.0),
            &token.secret,
        )
    }
}

fn audit(sql: &Sqlite, at: Timestamp, record: &serde_json::Value) -> rusqlite::Result<()> {
    let put = "INSERT INTO audit (at, record) VALUES (?1, ?2)";
    run(sql, put, params![millis(at), record.to_string()])?;
    Ok(())
}

/// From idle to spending, in one step.
fn put_claim(
    sql: &Sqlite,
    lifecycle: &str,
    spend: &Spend,
    claim: &Claim,
) -> rusqlite::Result<bool> {
    let claimed = run(
        sql,
        "UPDATE grant_family SET claim_attempt = ?4, claim_number = ?5, claim_owner = ?6, claim_since = ?7,
            claim_unknown = NULL, claim_unknown_since = NULL
         WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND lifecycle = ?8
            AND claim_attempt IS NULL
            AND (refresh_token IS NOT NULL OR grant_type IN ('client_credentials', 'jwt_bearer', 'id_jag'))",
        params![
            spend.grant.as_str(),
            stored(spend.lineage.0),
            stored(spend.generation.0),
            claim.attempt.as_str(),
            claim.number,
            claim.owner.as_str(),
            claim.since.to_string(),
            lifecycle,
        ],
    )?;
    Ok(claimed == 1)
}

fn drop_pending(sql: &Sqlite, name: &str) -> rusqlite::Result<()> {
    let drop_it = "DELETE FROM pending_sign_in WHERE name = ?1";
    sql.execute(drop_it, [name]).map(drop)
}

/// The connection itself, and those that live on its grant.
macro_rules! on_its_grant {
    () => {
        "(SELECT ?1 UNION SELECT o.name FROM connection c JOIN connection o ON o.grant_id = c.grant_id WHERE c.name = ?1)"
    };
}

/// What is over for a grant is over for all that live on it.
fn end_incidents_of_all(sql: &Sqlite, connection: &str, at: Timestamp) -> rusqlite::Result<()> {
    let end = concat!(
        "UPDATE trouble SET ended = ?2 WHERE ended IS NULL AND connection IN ",
        on_its_grant!()
    );
    sql.execute(end, params![connection, millis(at)]).map(drop)
}

fn end_incidents(sql: &Sqlite, connection: &str, at: Timestamp) -> rusqlite::Result<()> {
    let end = "UPDATE trouble SET ended = ?2 WHERE connection = ?1 AND ended IS NULL";
    sql.execute(end, params![connection, millis(at)])?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    fn used(&self) -> &Use {
        &self.used
    }

    fn look(&self) -> Result<()> {
        self.read(|sql| {
            // It changes with every commit that another connection than the reader made, in whatever process.
            let mut version = sql.prepare_cached("PRAGMA data_version")?;
            let version: i64 = version.query_row([], |row| row.get(0))?;
            if self.seen.swap(version, Ordering::AcqRel) != version {
                self.epoch.raise();
            }
            Ok(())
        })
    }

    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        self.read(|sql| {
            sql.prepare_cached("SELECT * FROM connection WHERE name = ?1")?
                .query_row([name.as_str()], rows::connection)
                .optional()
        })
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        self.read(|sql| {
            let mut all = sql.prepare("SELECT * FROM connection ORDER BY name")?;
            all.query_map([], rows::connection)?.collect()
        })
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        self.read(|sql| {
            sql.prepare_cached(SELECT_GRANT)?
                .query_row([id.as_str()], |row| rows::grant(row, &self.sealer))
                .optional()
        })
    }

    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>> {
        self.read(|sql| clients::provider(sql, issuer, client))
    }

    async fn registration(
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

    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>> {
        self.read(|sql| {
            let select = "SELECT * FROM registration WHERE issuer = ?1 AND source = 'dynamic' AND refused IS NULL
                ORDER BY rowid DESC LIMIT 16";
            let read = |row: &rusqlite::Row<'_>| rows::registration(sql, row, &self.sealer);
            sql.prepare(select)?
                .query_map([issuer.as_str()], read)?
                .collect()
        })
    }

    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()> {
        let (provider, id) = (provider.clone(), client.client_id.clone());
        let client = self.seal_client(client);
        self.write(move |sql| {
            clients::put_provider(sql, &provider, &id)?;
            client.put(sql)
        })
        .await
    }

    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()> {
        let (provider, client) = (provider.clone(), client.clone());
        self.write(move |sql| clients::put_provider(sql, &provider, &client))
            .await
    }

    async fn refuse_registration(
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

    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>> {
        let mark = self.mark(refresh);
        self.read(|sql| sign_in::holders(sql, (issuer, client), &mark))
    }

    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant> {
        self.adopt(signed_in).await
    }

    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>> {
        let Some(id) = self
            .connection(name)
            .await?
            .and_then(|connection| connection.grant)
        else {
            return Ok(None);
        };
        let (grant_id, connection) = (id.clone(), name.clone());
        let revoked = self
            .write(move |sql| {
                let event =
                    serde_json::json!({"event": "disconnected", "connection": connection.as_str()});
                audit(sql, at, &event)?;
                end_incidents(sql, connection.as_str(), at)?;
                drop_pending(sql, connection.as_str())?;
                step_ups::forget(sql, &connection)?;
                // Another connection lives on the same grant.
                let drop_sharing = "DELETE FROM connection WHERE name = ?1 AND EXISTS
                (SELECT 1 FROM connection o WHERE o.grant_id = ?2 AND o.name <> ?1)";
                if sql.execute(drop_sharing, [connection.as_str(), grant_id.as_str()])? == 1 {
                    return Ok(false);
                }
                let revoke =
                "UPDATE grant_family SET lifecycle = 'revoked', reason = NULL, lifecycle_since = ?2
                WHERE id = ?1 AND lifecycle <> 'revoked'";
                sql.execute(revoke, params![grant_id.as_str(), millis(at)])?;
                Ok(true)
            })
            .await?;
        if revoked {
            self.grant(&id).await
        } else {
            Ok(None)
        }
    }

    async fn forget(&self, name: &ConnectionName) -> Result<()> {
        let name = name.clone();
        self.write(move |sql| {
            let wipe = "UPDATE grant_family SET refresh_token = NULL, refresh_generation = NULL, refresh_mark = NULL,
                first_mark = NULL, standby_key = NULL, means = NULL WHERE id = (SELECT grant_id FROM connection WHERE name = ?1) AND lifecycle = 'revoked'";
            sql.execute(wipe, [name.as_str()])?;
            // A sign-in may have come while the provider was asked to revoke: what it brought is not forgotten.
            let drop_access = "DELETE FROM access_token WHERE grant_id = (SELECT g.id FROM connection c
                JOIN grant_family g ON g.id = c.grant_id WHERE c.name = ?1 AND g.lifecycle = 'revoked')";
            sql.execute(drop_access, [name.as_str()])?;
            let drop_rest = "DELETE FROM meta WHERE key = (SELECT 'resting' || char(10) || g.id FROM connection c
                JOIN grant_family g ON g.id = c.grant_id WHERE c.name = ?1 AND g.lifecycle = 'revoked')";
            sql.execute(drop_rest, [name.as_str()])?;
            let drop_connection = "DELETE FROM connection WHERE name = ?1 AND NOT EXISTS
                (SELECT 1 FROM grant_family g WHERE g.id = grant_id AND g.lifecycle <> 'revoked')";
            sql.execute(drop_connection, [name.as_str()])?;
            Ok(())
        })
        .await
    }

    fn is_copy(&self) -> bool {
        self.copied.load(Ordering::Relaxed)
    }

    async fn settle_here(&self, at: Timestamp) -> Result<()> {
        let here = Home::of(&self.path);
        self.write(move |sql| {
            copy_detection::settle(sql, &here)?;
            audit(sql, at, &serde_json::json!({"event": "copy_adopted"}))
        })
        .await?;
        self.copied.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn claim(&self, spend: &Spend, claim: &Claim) -> Result<bool> {
        self.check_home(&spend.grant).await?;
        let (spend, claim) = (spend.clone(), claim.clone());
        self.write(move |sql| put_claim(sql, "active", &spend, &claim))
            .await
    }

    async fn claim_probe(&self, spend: &Spend, claim: &Claim, at: Timestamp) -> Result<bool> {
        self.check_home(&spend.grant).await?;
        let (spend, claim) = (spend.clone(), claim.clone());
        self.write(move |sql| {
            let claimed = put_claim(sql, "reauthorization_required", &spend, &claim)?;
            if claimed {
                let probed = "UPDATE grant_family SET probed = ?2 WHERE id = ?1";
                sql.execute(probed, params![spend.grant.as_str(), millis(at)])?;
            }
            Ok(claimed)
        })
        .await
    }

    async fn count_suspect(&self, grant: &GrantId) -> Result<u32> {
        let grant = grant.clone();
        self.write(move |sql| {
            let count =
                "UPDATE grant_family SET suspects = suspects + 1 WHERE id = ?1 RETURNING suspects";
            let counted = sql.query_row(count, [grant.as_str()], |row| row.get(0));
            Ok(counted.optional()?.unwrap_or_default())
        })
        .await
    }

    async fn note_refusal(&self, grant: &GrantId, words: &str, now: Moment) -> Result<Moment> {
        let (grant, words) = (grant.clone(), words.to_owned());
        self.write(move |sql| refusals::note(sql, &grant, &words, now))
            .await
    }

    async fn take_over(&self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> Result<bool> {
        self.check_home(&spend.grant).await?;
        let (spend, seen, claim) = (spend.clone(), seen.clone(), claim.clone());
        self.write(move |sql| {
            let taken = run(
                sql,
                "UPDATE grant_family SET claim_attempt = ?5, claim_number = ?6, claim_owner = ?7, claim_since = ?8,
                    claim_unknown = NULL, claim_unknown_since = NULL
                 WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND lifecycle = 'active'
                    AND claim_attempt = ?4 AND claim_unknown IS NOT NULL",
                params![
                    spend.grant.as_str(),
                    stored(spend.lineage.0),
                    stored(spend.generation.0),
                    seen.as_str(),
                    claim.attempt.as_str(),
                    claim.number,
                    claim.owner.as_str(),
                    claim.since.to_string(),
                ],
            )?;
            Ok(taken == 1)
        })
        .await
    }

    async fn release(&self, grant: &GrantId, attempt: &AttemptId) -> Result<bool> {
        let (grant, attempt) = (grant.clone(), attempt.clone());
        self.write(move |sql| {
            let release = "UPDATE grant_family SET claim_attempt = NULL, claim_number = NULL, claim_owner = NULL,
                claim_since = NULL, claim_unknown = NULL, claim_unknown_since = NULL
                WHERE id = ?1 AND claim_attempt = ?2 AND claim_unknown IS NULL";
            Ok(run(sql, release, [grant.as_str(), attempt.as_str()])? == 1)
        })
        .await
    }

    async fn mark_unknown(
        &self,
        grant: &GrantId,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> Result<bool> {
        let (grant, attempt) = (grant.clone(), attempt.clone());
        self.write(move |sql| {
            let mark = "UPDATE grant_family SET claim_unknown = ?3, claim_unknown_since = ?4
                WHERE id = ?1 AND claim_attempt = ?2 AND claim_unknown IS NULL";
            let with = params![
                grant.as_str(),
                attempt.as_str(),
                kind.as_str(),
                since.to_string()
            ];
            Ok(run(sql, mark, with)? == 1)
        })
        .await
    }

    async fn keep_subject(
        &self,
        spend: &Spend,
        (attempt, shown): (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> Result<bool> {
        let (spend, attempt, shown) = (spend.clone(), attempt.clone(), self.mark(shown));
        let refresh = self.seal_refresh(&spend.grant, spend.generation, refresh);
        self.write(move |sql| {
            let kept = run(
                sql,
                "UPDATE grant_family SET refresh_token = ?5, refresh_generation = ?6, refresh_expires = ?7, refresh_mark = ?8,
                    claim_unknown = CASE WHEN claim_attempt = ?4 THEN NULL ELSE claim_unknown END,
                    claim_unknown_since = CASE WHEN claim_attempt = ?4 THEN NULL ELSE claim_unknown_since END
                 WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND (claim_attempt = ?4 OR refresh_mark = ?9)
                    AND lifecycle <> 'revoked'",
                params![
                    spend.grant.as_str(),
                    stored(spend.lineage.0),
                    stored(spend.generation.0),
                    attempt.as_str(),
                    refresh.sealed,
                    refresh.generation,
                    refresh.expires,
                    refresh.mark,
                    shown,
                ],
            )?;
            Ok(kept == 1)
        })
        .await
    }

    async fn commit_refresh(&self, refreshed: Refreshed) -> Result<Committed> {
        let Refreshed {
            spend,
            access,
            refresh,
            subject_binding,
            hold,
        } = refreshed;
        let next = access.generation;
        let sealed_access = self.seal_access(&spend.grant, &access);
        let refresh = refresh.map(|token| self.seal_refresh(&spend.grant, next, &token));
        self.write(move |sql| {
            let moved = run(
                sql,
                // It never leaves `suspended` or `revoked`, and it does leave `reauthorization_required`: a late answer
                // proves that the grant lives.
                "UPDATE grant_family SET generation = ?4, suspects = 0, probed = NULL,
                    refresh_token = COALESCE(?5, refresh_token),
                    refresh_mark = COALESCE(?8, refresh_mark),
                    refresh_generation = COALESCE(?6, refresh_generation),
                    refresh_expires = CASE WHEN ?5 IS NULL THEN refresh_expires ELSE ?7 END,
                    lifecycle_since = COALESCE(?11, CASE lifecycle WHEN 'suspended' THEN lifecycle_since END),
                    reason = COALESCE(?10, CASE lifecycle WHEN 'suspended' THEN reason END),
                    lifecycle = CASE WHEN ?10 IS NOT NULL OR lifecycle = 'suspended' THEN 'suspended' ELSE 'active' END,
                    mandate = ?9,
                    claim_attempt = NULL, claim_number = NULL, claim_owner = NULL, claim_since = NULL,
                    claim_unknown = NULL, claim_unknown_since = NULL
                 WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND lifecycle <> 'revoked'",
                params![
                    spend.grant.as_str(),
                    stored(spend.lineage.0),
                    stored(spend.generation.0),
                    stored(next.0),
                    refresh.as_ref().map(|refresh| &refresh.sealed),
                    refresh.as_ref().map(|refresh| refresh.generation),
                    refresh.as_ref().and_then(|refresh| refresh.expires),
                    refresh.as_ref().map(|refresh| &refresh.mark),
                    rows::subject_binding_text(&subject_binding),
                    hold.map(|(reason, _)| reason.as_str()),
                    hold.map(|(_, since)| millis(since)),
                ],
            )?;
            if moved == 1 {
                put_access(sql, &spend.grant, &sealed_access, &access)?;
                refusals::forget(sql, &spend.grant)?;
                return Ok(Committed::Yes);
            }
            let revoked = "SELECT lifecycle = 'revoked' FROM grant_family WHERE id = ?1";
            let revoked = sql.query_row(revoked, [spend.grant.as_str()], |row| row.get(0)).optional()?;
            Ok(if revoked == Some(true) { Committed::Revoked } else { Committed::Superseded })
        })
        .await
    }

    async fn require_sign_in(
        &self,
        grant: &GrantId,
        lineage: Lineage,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let grant = grant.clone();
        self.write(move |sql| {
            let require =
                "UPDATE grant_family SET lifecycle = 'reauthorization_required', reason = ?3,
                lifecycle_since = ?4
                WHERE id = ?1 AND lineage = ?2 AND claim_attempt IS NULL AND lifecycle = 'active'";
            let with = params![
                grant.as_str(),
                stored(lineage.0),
                reason.as_str(),
                millis(at)
            ];
            Ok(sql.execute(require, with)? == 1)
        })
        .await
    }

    async fn commit_refusal(
        &self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let (spend, attempt) = (spend.clone(), attempt.clone());
        self.write(move |sql| {
            let refuse =
                "UPDATE grant_family SET lifecycle = 'reauthorization_required', reason = ?5,
                lifecycle_since = ?6, claim_attempt = NULL, claim_number = NULL, claim_owner = NULL,
                claim_since = NULL, claim_unknown = NULL, claim_unknown_since = NULL
                WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND claim_attempt = ?4
                    AND lifecycle = 'active'";
            let with = params![
                spend.grant.as_str(),
                stored(spend.lineage.0),
                stored(spend.generation.0),
                attempt.as_str(),
                reason.as_str(),
                millis(at),
            ];
            Ok(sql.execute(refuse, with)? == 1)
        })
        .await
    }

    async fn refuse_secret(&self, secret: u64, at: Timestamp) -> Result<()> {
        self.write(move |sql| {
            let refuse = "UPDATE client_secret SET refused = ?2 WHERE id = ?1";
            sql.execute(refuse, params![stored(secret), millis(at)])
                .map(drop)
        })
        .await
    }

    async fn accept_registration(&self, issuer: &Issuer, id: &ClientId) -> Result<()> {
        let (issuer, id) = (issuer.clone(), id.clone());
        self.write(move |sql| {
            let accept =
                "UPDATE registration SET refused = NULL WHERE issuer = ?1 AND client_id = ?2";
            sql.execute(accept, [issuer.as_str(), id.as_str()])
                .map(drop)
        })
        .await
    }

    async fn accept_secret(&self, secret: u64) -> Result<()> {
        self.write(move |sql| {
            let accept = "UPDATE client_secret SET refused = NULL WHERE id = ?1";
            sql.execute(accept, [stored(secret)]).map(drop)
        })
        .await
    }

    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()> {
        let name = pending.name.clone();
        let sealed = self.seal(rows::pending_belongs(name.as_str()), &pending.memory);
        let ends = millis(pending.ends);
        self.write(move |sql| {
            let sweep = "DELETE FROM pending_sign_in WHERE ends <= ?1";
            sql.execute(sweep, [millis(at)])?;
            let keep =
                "INSERT OR REPLACE INTO pending_sign_in (name, sealed, ends) VALUES (?1, ?2, ?3)";
            sql.execute(keep, params![name.as_str(), sealed, ends])
                .map(drop)
        })
        .await
    }

    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>> {
        let found = self.read(|sql| {
            let select = "SELECT * FROM pending_sign_in WHERE name = ?1";
            sql.query_row(select, [name.as_str()], |row| {
                rows::pending(row, &self.sealer)
            })
            .optional()
        })?;
        Ok(found.flatten())
    }

    async fn drop_pending(&self, name: &ConnectionName) -> Result<()> {
        let name = name.clone();
        self.write(move |sql| drop_pending(sql, name.as_str()))
            .await
    }

    async fn confirm_sole_copy(&self, grant: &GrantId, at: Timestamp) -> Result<bool> {
        let grant = grant.clone();
        self.write(move |sql| sign_in::confirm_sole_copy(sql, &grant, at))
            .await
    }

    async fn replace_key(&self, grant: &GrantId, seen: Generation, key: &NewKey) -> Result<bool> {
        self.put_new_key(grant, seen, key).await
    }

    async fn fall_back(&self, grant: &GrantId, refused: Generation, at: Moment) -> Result<bool> {
        self.put_standby_back(grant, refused, at).await
    }

    async fn reseal(&self) -> Result<ResealCount> {
        self.reseal_rows().await
    }

    async fn retire_access(&self, grant: &GrantId, generation: Generation) -> Result<()> {
        let grant = grant.clone();
        self.write(move |sql| {
            let retire = "DELETE FROM access_token WHERE grant_id = ?1 AND generation = ?2";
            sql.execute(retire, params![grant.as_str(), stored(generation.0)])
                .map(drop)
        })
        .await
    }

    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        let observation = observation.clone();
        self.write(move |sql| observations::put(sql, &observation, at))
            .await
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        self.read(|sql| observations::all(sql, issuer))
    }

    async fn failing(&self, of: &FailingOf) -> Result<Option<Failing>> {
        self.read(|sql| failing::of(sql, of))
    }

    async fn put_failing(&self, change: FailingChange) -> Result<bool> {
        self.write(move |sql| {
            let put = failing::put(sql, &change)?;
            if let Some(incident) = change.incident.as_ref().filter(|_| put) {
                keep_incident(sql, incident)?;
            }
            Ok(put)
        })
        .await
    }

    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)> {
        self.write(move |sql| keep_incident(sql, &incident)).await
    }

    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        let (id, record) = (id.clone(), serde_json::to_value(record).unwrap_or_default());
        self.write(move |sql| {
            let amend = "UPDATE trouble SET record = ?2 WHERE id = ?1 AND ended IS NULL";
            sql.execute(amend, params![id.as_str(), record.to_string()])
                .map(drop)
        })
        .await
    }

    async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps> {
        self.read(|sql| step_ups::of(sql, name))
    }

    async fn put_step_ups(
        &self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> Result<bool> {
        let (name, seen, new) = (name.clone(), seen.clone(), new.clone());
        self.write(move |sql| step_ups::put(sql, &name, (&seen, &new)))
            .await
    }

    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool> {
        self.read(|sql| {
            let open = "SELECT EXISTS (SELECT 1 FROM trouble WHERE connection = ?1 AND event = ?2 AND ended IS NULL)";
            let of = [connection.as_str(), event.as_str()];
            sql.prepare_cached(open)?.query_row(of, |row| row.get(0))
        })
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        self.read(|sql| {
            let mut open =
                sql.prepare("SELECT * FROM trouble WHERE ended IS NULL ORDER BY rowid")?;
            open.query_map([], rows::incident)?.collect()
        })
    }

    async fn longest_run(&self) -> Result<Option<Duration>> {
        let longest: Option<i64> = self.read(|sql| {
            let select = "SELECT max(ended - began) FROM task WHERE ended IS NOT NULL";
            sql.query_row(select, [], |row| row.get(0))
        })?;
        let longest = longest.and_then(|millis| u64::try_from(millis).ok());
        Ok(longest.map(Duration::from_millis))
    }

    async fn history(&self, connection: &ConnectionName) -> Result<History> {
        self.read(|sql| history::of(sql, connection))
    }

    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        let id = id.clone();
        self.write(move |sql| {
            let end = "UPDATE trouble SET ended = ?2 WHERE id = ?1 AND ended IS NULL";
            sql.execute(end, params![id.as_str(), millis(at)]).map(drop)
        })
        .await
    }

    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()> {
        // Every accepted refresh ends them, and mostly there are none: that is no commit.
        let any: bool = self.read(|sql| {
            let any = concat!(
                "SELECT EXISTS (SELECT 1 FROM trouble WHERE ended IS NULL AND connection IN ",
                on_its_grant!(),
                ")"
            );
            let mut any = sql.prepare_cached(any)?;
            any.query_row([connection.as_str()], |row| row.get(0))
        })?;
        if !any {
            return Ok(());
        }
        let connection = connection.clone();
        self.write(move |sql| end_incidents_of_all(sql, connection.as_str(), at))
            .await
    }

    async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool> {
        let id = id.clone();
        self.write(move |sql| {
            let take = "UPDATE trouble SET notified = ?2 WHERE id = ?1 AND notified IS NULL AND ended IS NULL";
            Ok(sql.execute(take, params![id.as_str(), millis(at)])? == 1)
        })
        .await
    }

    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()> {
        let (task, process) = (task.clone(), process.to_owned());
        self.write(move |sql| {
            let begin = "INSERT INTO task (id, process, began) VALUES (?1, ?2, ?3)";
            sql.execute(begin, params![task.as_str(), process, millis(at)])
                .map(drop)
        })
        .await
    }

    async fn end_task(&self, task: &TaskId, code: i32, at: Timestamp) -> Result<()> {
        let task = task.clone();
        self.write(move |sql| {
            let end = "UPDATE task SET ended = ?2, code = ?3 WHERE id = ?1";
            sql.execute(end, params![task.as_str(), millis(at), code])
                .map(drop)
        })
        .await
    }

    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        self.read(|sql| {
            let select = "SELECT id FROM task WHERE process = ?1 AND ended IS NULL ORDER BY rowid DESC LIMIT 1";
            let mut find = sql.prepare_cached(select)?;
            for process in processes {
                let found: Option<String> = find.query_row([process], |row| row.get(0)).optional()?;
                if let Some(id) = found {
                    return Ok(Some(TaskId::new(id)));
                }
            }
            Ok(None)
        })
    }

    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()> {
        let (call, reason) = (call.clone(), reason.to_owned());
        self.write(move |sql| {
            let note =
                "INSERT INTO failed_call (task, connection, fingerprint, reason, times, first)
                VALUES (?1, ?2, ?3, ?4, 1, ?5)
                ON CONFLICT DO UPDATE SET times = times + 1, reason = ?4, recovered = NULL";
            let (task, connection) = (call.task.as_str(), call.connection.as_str());
            sql.execute(
                note,
                params![task, connection, call.fingerprint, reason, millis(at)],
            )
            .map(drop)
        })
        .await
    }

    async fn call_recovered(&self, call: &CarriedCall, at: Timestamp) -> Result<()> {
        let call = call.clone();
        self.write(move |sql| {
            let note = "UPDATE failed_call SET recovered = ?4
                WHERE task = ?1 AND connection = ?2 AND fingerprint = ?3 AND recovered IS NULL";
            let (task, connection) = (call.task.as_str(), call.connection.as_str());
            sql.execute(
                note,
                params![task, connection, call.fingerprint, millis(at)],
            )
            .map(drop)
        })
        .await
    }

    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        self.read(|sql| {
            let mut failed = sql.prepare(
                "SELECT connection, SUM(times), MIN(first), MIN(reason) FROM failed_call
                 WHERE task = ?1 AND recovered IS NULL GROUP BY connection ORDER BY connection",
            )?;
            let read = |row: &rusqlite::Row<'_>| {
                let name: String = row.get(0)?;
                Ok(FailedCall {
                    connection: ConnectionName::parse(&name)
                        .map_err(|_name| rows::impossible("connection"))?,
                    times: rows::number("times", row.get(1)?)?,
                    first: rows::timestamp("first", row.get(2)?)?,
                    reason: row.get(3)?,
                })
            };
            failed.query_map([task.as_str()], read)?.collect()
        })
    }
}

#[cfg(test)]
mod tests;
