//! Opens a runtime: its settings, its store and the folders beside it.

use std::{path::PathBuf, sync::Arc};

use crate::{
    http::Transport,
    platform::{
        clock::Seams,
        files::Folder,
        process_lease::{Owners, private_folder},
        tasks::TokioTasks,
    },
    refresh::{
        Context, RefreshRules, decision_log::DecisionLog, findings::Findings,
        reply_archive::ReplyArchive, unkept_replies::UnkeptReplies,
    },
    runtime::Runtime,
    store::{StoreError, location, sqlite::SqliteStore, unusable},
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

impl Runtime {
    /// Opens the store and its folder, making both where they are not.
    pub fn open(
        settings: &Settings,
        seams: Seams,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, StoreError> {
        Self::context(settings, seams, transport).map(Self::over)
    }

    /// What a runtime stands on, over the store and its folder.
    pub(crate) fn context(
        settings: &Settings,
        seams: Seams,
        transport: Arc<dyn Transport>,
    ) -> Result<Context, StoreError> {
        location::check(&settings.data)?;
        let folder = |name: &str| {
            let path = settings.data.join(name);
            private_folder(&path)
                .map_err(|error| unusable(&path, &error))
                .map(|()| path)
        };
        let (journals, owners, decisions) =
            (folder("spill")?, folder("owners")?, folder("decisions")?);
        let answers = folder("answers")?;
        let store = SqliteStore::open(&settings.store, &settings.key, &seams)?;
        Ok(Context {
            reply_archive: ReplyArchive::new(Folder::on_disk(answers), store.sealer().clone()),
            sealer: store.sealer().clone(),
            store: Arc::new(store),
            transport,
            seams,
            tasks: Arc::new(TokioTasks),
            owners: Owners::new(owners),
            journals: Folder::on_disk(journals),
            rules: settings.rules.clone(),
            log: DecisionLog::new(decisions),
            findings: Findings::default(),
            unkept_replies: UnkeptReplies::default(),
            heard: Arc::default(),
        })
    }
}
