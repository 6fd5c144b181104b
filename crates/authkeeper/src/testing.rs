//! For tests and the simulation (feature `test-util`): the few private parts that they drive or look into.

use std::{path::Path, sync::Arc};

use crate::{
    model::{ConnectionName, Grant},
    oauth::classify::{Outcome, classify},
    platform::{
        clock::Seams,
        files::{Files, Folder},
    },
    refresh::{
        journal::{Journal, StoredReply},
        reply_archive::ReplyArchive,
        scheduler,
    },
    runtime::Runtime,
    secret::Secret,
    signin::ConnectError,
    store::SignedIn,
    vault::seal::Sealer,
};

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
    let (context, flights) = (&runtime.context, &runtime.flights);
    scheduler::keep_one(Arc::clone(context), Arc::clone(flights), name).await;
}
