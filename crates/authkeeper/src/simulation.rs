//! For `verify/simulation/`: a [`Runtime`] over a machine that is simulated as a whole, and the few private parts that the
//! simulation drives or looks into.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use crate::platform::{
    files::{Files, Lock, Opened},
    tasks::{Tasks, Work},
};
use crate::{
    http::Transport,
    model::{ConnectionName, Grant},
    oauth::classify::{Outcome, classify},
    platform::{clock::Seams, files::Folder, process_lease::Owners},
    refresh::{
        Context, RefreshRules,
        decision_log::DecisionLog,
        findings::Findings,
        journal::{Journal, StoredReply},
        reply_archive::ReplyArchive,
        scheduler,
        unkept_replies::UnkeptReplies,
    },
    runtime::Runtime,
    secret::Secret,
    signin::ConnectError,
    store::{SignedIn, Store},
    vault::seal::Sealer,
};

/// What one simulated process stands on.
#[expect(missing_debug_implementations, reason = "its parts have none")]
pub struct Machine {
    /// The store, shared by all processes.
    pub store: Arc<dyn Store>,
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Time and randomness.
    pub seams: Seams,
    /// Where detached work runs.
    pub tasks: Arc<dyn Tasks>,
    /// The small files.
    pub files: Arc<dyn Files>,
    /// The folder that holds what lies beside the store.
    pub folder: PathBuf,
    /// The key that seals it.
    pub key: [u8; 32],
    /// The waits of the refresh transaction.
    pub rules: RefreshRules,
}

impl Machine {
    /// A process on it.
    pub fn runtime(self) -> Runtime {
        let sealer = Sealer::new(Secret::new(self.key), self.seams.clone());
        let folder = |name: &str| Folder::new(self.folder.join(name), Arc::clone(&self.files));
        Runtime::over(Context {
            reply_archive: ReplyArchive::new(folder("answers"), sealer.clone()),
            journals: folder("spill"),
            sealer,
            store: self.store,
            transport: self.transport,
            seams: self.seams,
            tasks: self.tasks,
            owners: Owners::over(self.folder.join("owners"), Arc::clone(&self.files)),
            rules: self.rules,
            log: DecisionLog::new(self.folder.join("decisions")),
            heard: Arc::default(),
            findings: Findings::default(),
            unkept_replies: UnkeptReplies::default(),
        })
    }
}

/// Adopts a sign-in as each way of signing in does at its end.
pub async fn sign_in(runtime: &Runtime, signed_in: SignedIn) -> Result<Grant, ConnectError> {
    let after = runtime.newest_lineage(&signed_in.connection.name).await?;
    runtime
        .adopt_signed_in(SignedIn { after, ..signed_in })
        .await
}

/// The refresh tokens in the journals and kept answers of a machine.
pub fn refresh_tokens_in(files: &Arc<dyn Files>, folder: &Path, key: [u8; 32]) -> Vec<String> {
    let sealer = Sealer::new(Secret::new(key), Seams::system());
    let folder = |name: &str| Folder::new(folder.join(name), Arc::clone(files));
    let journals = Journal::all(&folder("spill")).into_iter();
    let journals = journals.filter_map(|journal| journal.reply(&sealer));
    let answers = journals.chain(ReplyArchive::new(folder("answers"), sealer.clone()).all());
    let tokens = answers.filter_map(|stored| refresh_token_of(&stored));
    tokens.collect()
}

fn refresh_token_of(stored: &StoredReply) -> Option<String> {
    let token = match classify(&stored.reply, stored.issued.wall) {
        Outcome::Accepted(answer) => answer.into_token_set(stored.issued, None).refresh_token?,
        Outcome::RefreshTokenAlone(token) => token,
        _ => return None,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the tokens are the simulation's own"
    )]
    let text = token.secret.expose().clone();
    Some(text)
}

/// Keeps one connection fresh for as long as it is polled.
pub async fn keep(runtime: &Runtime, name: ConnectionName) {
    let (context, flights) = runtime.parts();
    scheduler::keep_one(context, flights, name).await;
}
