//! Another key for all that is sealed, while other processes work. See `docs/decisions/010-rotate-key.md`.
//!
//! ```text
//! new key beside the old one ─▶ rows, replies and journals resealed ─▶ nobody holds the old key, nothing is left ─▶ old key gone
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    platform::failpoint::{self, FaultPoint},
    refresh::{Context, journal, steps::blocking},
    runtime::Runtime,
    store::StoreError,
    vault::{ResealCount, key_change::KeyFileChange, reseal_files::StagingFolder},
};

/// How often it is looked whether somebody still holds the old key.
const LOOK: Duration = Duration::from_millis(200);

/// What came of a change of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyChange {
    /// The store's values.
    pub rows: ResealCount,
    /// The answers that are kept beside it: the last one of each grant, and those that came late.
    pub answers: ResealCount,
    /// The journals of attempts that were answered.
    pub journals: ResealCount,
    /// Whether an earlier change was gone on with: the new key is the one that it had made.
    pub resumed: bool,
    /// Whether a process may still seal with the old key.
    pub held: bool,
    /// Whether the old key is gone.
    pub retired: bool,
}

impl KeyChange {
    /// Adds the values that a later pass resealed. Broken and in-use counts are those of the later pass.
    fn then(self, next: Self) -> Self {
        let sum = |before: ResealCount, now: ResealCount| ResealCount {
            resealed: before.resealed + now.resealed,
            ..now
        };
        Self {
            rows: sum(self.rows, next.rows),
            answers: sum(self.answers, next.answers),
            journals: sum(self.journals, next.journals),
            ..self
        }
    }

    /// Whether everything that a key opens is sealed with the new one.
    fn is_empty(&self) -> bool {
        let all = [self.rows, self.answers, self.journals];
        all.iter().all(|one| one.resealed + one.in_use == 0)
    }
}

impl Runtime {
    /// Makes a new key, reseals every value, and deletes the old key once nothing is sealed with it and no process uses
    /// it. Waits up to `patience` for processes that still use it. The next call resumes an unfinished change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if another process is at it, [`StoreError::Unusable`] and the like where the key's folder or the
    /// store can't be written.
    pub async fn change_seal_key(&self, patience: Duration) -> Result<KeyChange, StoreError> {
        let (change, begun) = self.enter_change().await?;
        let mut done = KeyChange {
            resumed: !begun,
            ..KeyChange::default()
        };
        let clock = &self.context.seams.clock;
        let began = clock.now();
        loop {
            done = done.then(self.reseal().await?);
            done.held = !self.is_free(&change);
            if !done.held {
                // What was being written with the old key is there by now; after this pass nothing can be.
                done = done.then(self.reseal().await?);
                if self.reseal().await?.is_empty() {
                    let retire = Arc::clone(&change);
                    blocking(&*self.context.tasks, move || Ok(retire.retire()?)).await?;
                    // This process has read both keys.
                    let _ = self.context.sealer.prefix();
                    change.tidy();
                    done.retired = true;
                    return Ok(done);
                }
            }
            if clock.now().since(began) >= patience {
                return Ok(done);
            }
            clock.sleep(LOOK).await;
        }
    }

    /// Whether a change of the key was begun and is not over.
    pub fn seal_key_is_changing(&self) -> bool {
        self.context.sealer.is_changing()
    }

    async fn enter_change(&self) -> Result<(Arc<KeyFileChange>, bool), StoreError> {
        let path = self.context.sealer.file().map(PathBuf::from);
        let path = path.unwrap_or_default();
        let seams = self.context.seams.clone();
        let begin = move || {
            let change = KeyFileChange::enter(&path)?.ok_or_else(|| StoreError::Busy {
                place: path.display().to_string(),
            })?;
            let begun = change.begin(&seams)?;
            Ok((Arc::new(change), begun))
        };
        blocking(&*self.context.tasks, begin).await
    }

    /// Where the old key's file is gone, nobody can be asked: then nobody else may be there at all.
    fn is_free(&self, change: &KeyFileChange) -> bool {
        // This process holds it too, until it has seen the new one.
        let _ = self.context.sealer.prefix();
        let known = change.old_key_is_free();
        known.unwrap_or_else(|| !self.context.liveness.others_live())
    }

    /// One pass over everything.
    async fn reseal(&self) -> Result<KeyChange, StoreError> {
        let rows = self.context.store.reseal().await?;
        failpoint::pass(FaultPoint::RowsResealed);
        let context = Arc::clone(&self.context);
        let (answers, journals) =
            blocking(&*self.context.tasks, move || reseal_files(&context)).await?;
        failpoint::pass(FaultPoint::FilesResealed);
        Ok(KeyChange {
            rows,
            answers,
            journals,
            ..KeyChange::default()
        })
    }
}

fn reseal_files(context: &Context) -> Result<(ResealCount, ResealCount), StoreError> {
    let bench = StagingFolder::set_up(context.journals.path().with_file_name("resealing"))?;
    let answers = context.reply_archive.reseal(&bench)?;
    let journals = journal::reseal(
        &context.journals,
        (&bench, &context.sealer),
        &*context.liveness,
    )?;
    Ok((answers, journals))
}
