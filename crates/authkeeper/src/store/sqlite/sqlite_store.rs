//! The store itself: one connection that reads, one thread that writes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64},
    },
};

use rusqlite::Connection as Sqlite;

use crate::{
    platform::clock::Seams,
    store::{
        Epoch, Result, StoreError, Use, location,
        sqlite::{
            copy_detection,
            copy_detection::Home,
            error::fault,
            file::{keep_room, open_connection},
            row_sealer::RowSealer,
            schema::{check_key, migrate},
            token_fingerprint,
            writer::Writer,
        },
    },
    vault::seal::Sealer,
};

/// No `data_version` of `SQLite`'s.
pub(super) const NOT_SEEN: i64 = i64::MIN;

/// One machine's store.
pub struct SqliteStore {
    pub(super) path: PathBuf,
    pub(super) seals: RowSealer,
    reader: Mutex<Sqlite>,
    writer: OnceLock<Writer>,
    pub(super) epoch: Arc<Epoch>,
    pub(super) used: Arc<Use>,
    /// `SQLite`'s own number for what the reader saw last; none before the first look.
    pub(super) seen: AtomicI64,
    /// It was copied here and nobody has said that the other copy is retired.
    pub(super) copied: AtomicBool,
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
            seals: RowSealer::new(sealer, mark_key),
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
        &self.seals.sealer
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Sqlite) -> rusqlite::Result<T>) -> Result<T> {
        self.used.count_read();
        work(&self.reader()).map_err(|error| fault(&self.place(), &error))
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Sqlite> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The writing thread starts with the first write: most runs of the command line only read.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
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
}
