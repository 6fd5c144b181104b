//! Replies that could not be written to their journals. They live in memory until the store has taken them, so that a disk
//! that fails for a moment loses none.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    model::{AttemptId, Generation, Grant, GrantId, Lineage},
    refresh::journal::StoredReply,
};

/// The replies that only this process holds: the last one of each grant.
#[derive(Default)]
pub(crate) struct UnkeptReplies(Mutex<HashMap<GrantId, Unkept>>);

struct Unkept {
    attempt: AttemptId,
    /// The generation that the attempt spends.
    spends: (Lineage, Generation),
    stored: StoredReply,
}

impl UnkeptReplies {
    pub(super) fn put(&self, grant: &Grant, attempt: &AttemptId, stored: StoredReply) {
        let unkept = Unkept {
            attempt: attempt.clone(),
            spends: (grant.lineage, grant.generation),
            stored,
        };
        self.replies().insert(grant.id.clone(), unkept);
    }

    /// The reply to this attempt.
    pub(super) fn get(&self, grant: &GrantId, attempt: &AttemptId) -> Option<StoredReply> {
        let replies = self.replies();
        let unkept = replies.get(grant)?;
        (unkept.attempt == *attempt).then(|| unkept.stored.clone())
    }

    /// The journal or the store has taken the reply to this attempt.
    pub(super) fn remove(&self, grant: &GrantId, attempt: &AttemptId) {
        let mut replies = self.replies();
        if replies
            .get(grant)
            .is_some_and(|unkept| unkept.attempt == *attempt)
        {
            replies.remove(grant);
        }
    }

    /// Drops a reply of another generation than the current one: it can't be committed any more.
    pub(super) fn drop_outdated(&self, grant: &Grant) {
        let current = (grant.lineage, grant.generation);
        let mut replies = self.replies();
        if replies
            .get(&grant.id)
            .is_some_and(|unkept| unkept.spends != current)
        {
            replies.remove(&grant.id);
        }
    }

    fn replies(&self) -> MutexGuard<'_, HashMap<GrantId, Unkept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
