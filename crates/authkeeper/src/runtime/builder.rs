//! Opens a runtime: where things are, and what it stands on.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    http::{NetTransport, Transport},
    platform::{
        clock::{Clock, Random, Seams},
        files::{DiskFiles, Files, Folder},
        process_lease::{Liveness, Owners, private_folder},
        tasks::{Tasks, TokioTasks},
    },
    refresh::{
        Context, RefreshRules, decision_log::DecisionLog, findings::Findings,
        reply_archive::ReplyArchive, unkept_replies::UnkeptReplies,
    },
    runtime::Runtime,
    store::{Store, StoreError, location, sqlite::SqliteStore, unusable},
    vault::seal::Sealer,
};

/// Where things are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The folder that holds the store and what lies beside it.
    pub data: PathBuf,
    /// The store's file; `store.db` in the folder if none is named.
    pub store: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// The waits of the refresh transaction and the providers' habits.
    pub rules: RefreshRules,
}

impl Settings {
    /// The usual places in one folder.
    pub fn in_folder(data: PathBuf) -> Self {
        let (store, key) = (data.join("store.db"), data.join("key"));
        Self {
            data,
            store,
            key,
            rules: RefreshRules::default(),
        }
    }
}

/// Puts a [`Runtime`] together. What is not named is what a single machine has: `SQLite` in the folder, the network, the
/// operating system's clocks, randomness, files and locks, and tokio's tasks.
///
/// ```no_run
/// # fn example() -> Result<(), authkeeper::StoreError> {
/// let runtime = authkeeper::Runtime::builder("/var/lib/my-agent").open()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is opened before `open`"]
pub struct RuntimeBuilder {
    settings: Settings,
    seams: Seams,
    store: Option<(Arc<dyn Store>, Sealer)>,
    transport: Option<Arc<dyn Transport>>,
    tasks: Arc<dyn Tasks>,
    files: Option<Arc<dyn Files>>,
    liveness: Option<Arc<dyn Liveness>>,
}

impl std::fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl RuntimeBuilder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            seams: Seams::system(),
            store: None,
            transport: None,
            tasks: Arc::new(TokioTasks),
            files: None,
            liveness: None,
        }
    }

    /// The waits of the refresh transaction and the providers' habits.
    pub fn rules(mut self, rules: RefreshRules) -> Self {
        self.settings.rules = rules;
        self
    }

    /// Where connections and grants are kept, in the place of the `SQLite` file. The sealer seals what lies beside the store:
    /// journals and kept replies.
    pub fn store(mut self, store: Arc<dyn Store>, sealer: Sealer) -> Self {
        self.store = Some((store, sealer));
        self
    }

    /// How servers are reached.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Where the time comes from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.seams.clock = clock;
        self
    }

    /// Where unguessable values and jitter come from.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.seams.random = random;
        self
    }

    /// Where detached work runs.
    pub fn tasks(mut self, tasks: Arc<dyn Tasks>) -> Self {
        self.tasks = tasks;
        self
    }

    /// Where the small files beside the store are: journals, kept replies, locks.
    pub fn files(mut self, files: Arc<dyn Files>) -> Self {
        self.files = Some(files);
        self
    }

    /// Who tells whether another process lives.
    pub fn liveness(mut self, liveness: Arc<dyn Liveness>) -> Self {
        self.liveness = Some(liveness);
        self
    }

    /// Opens the store and its folder, making both where they are not.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] that names the file or folder that can't be used.
    pub fn open(self) -> Result<Runtime, StoreError> {
        self.context().map(Runtime::over)
    }

    /// What a runtime stands on.
    pub(crate) fn context(self) -> Result<Context, StoreError> {
        let data = self.settings.data.clone();
        location::check(&data)?;
        let files = match self.files {
            Some(files) => files,
            None => files_on_disk(&data)?,
        };
        let (store, sealer) = match self.store {
            Some(store) => store,
            None => sqlite(&self.settings, &self.seams)?,
        };
        let folder = |name: &str| Folder::new(data.join(name), Arc::clone(&files));
        let liveness = self.liveness.unwrap_or_else(|| {
            let owners = Owners::over(data.join(OWNERS), Arc::clone(&files));
            Arc::new(owners)
        });
        Ok(Context {
            reply_archive: ReplyArchive::new(folder(ANSWERS), sealer.clone()),
            journals: folder(JOURNALS),
            log: DecisionLog::new(data.join(DECISIONS)),
            sealer,
            store,
            transport: match self.transport {
                Some(transport) => transport,
                None => Arc::new(NetTransport::new()),
            },
            seams: self.seams,
            tasks: self.tasks,
            liveness,
            rules: self.settings.rules,
            findings: Findings::default(),
            unkept_replies: UnkeptReplies::default(),
            heard: Arc::default(),
        })
    }
}

const ANSWERS: &str = "answers";
const DECISIONS: &str = "decisions";
const JOURNALS: &str = "spill";
const OWNERS: &str = "owners";

/// The operating system's files, with the folders beside the store, which only their owner may enter.
fn files_on_disk(data: &Path) -> Result<Arc<dyn Files>, StoreError> {
    for name in [JOURNALS, OWNERS, DECISIONS, ANSWERS] {
        let path = data.join(name);
        private_folder(&path).map_err(|error| unusable(&path, &error))?;
    }
    Ok(Arc::new(DiskFiles))
}

fn sqlite(settings: &Settings, seams: &Seams) -> Result<(Arc<dyn Store>, Sealer), StoreError> {
    let store = SqliteStore::open(&settings.store, &settings.key, seams)?;
    let sealer = store.sealer().clone();
    Ok((Arc::new(store), sealer))
}

impl Runtime {
    /// A runtime whose store and small files lie in this folder.
    pub fn builder(folder: impl Into<PathBuf>) -> RuntimeBuilder {
        RuntimeBuilder::new(Settings::in_folder(folder.into()))
    }

    /// A runtime in these places.
    pub fn with_settings(settings: Settings) -> RuntimeBuilder {
        RuntimeBuilder::new(settings)
    }
}
