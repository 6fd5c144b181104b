//! Requests that the server accepted (202) without answering them: older servers answer on the session's own stream.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::mcp::codec::message::{Id, IdKey};

/// Who waits for an answer on the session's stream, while there is one.
#[derive(Debug, Default)]
pub(in crate::mcp) struct LateAnswers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The stream was open at least once, and the server has not said that it has none.
    streams: bool,
    waiting: BTreeMap<IdKey, oneshot::Sender<()>>,
}

impl LateAnswers {
    /// Whether the session has a stream. Without one nobody can answer.
    pub(in crate::mcp) fn has_stream(&self, streams: bool) {
        let mut inner = self.inner();
        inner.streams = streams;
        if !streams {
            inner.waiting.clear();
        }
    }

    /// Waits for the answers to these requests; each ends when its answer came, or can't come any more.
    pub(in crate::mcp) fn of(&self, requests: &[Id]) -> Vec<oneshot::Receiver<()>> {
        let mut inner = self.inner();
        if !inner.streams {
            return Vec::new();
        }
        // Those that were answered otherwise.
        inner.waiting.retain(|_, waiting| !waiting.is_closed());
        let wait = |id: &Id| {
            let (came, waiting) = oneshot::channel();
            inner.waiting.insert(id.key().clone(), came);
            waiting
        };
        requests.iter().map(wait).collect()
    }

    /// The stream brought answers to these requests.
    pub(in crate::mcp) fn came(&self, answers: &[IdKey]) {
        let mut inner = self.inner();
        for answered in answers {
            if let Some(waiting) = inner.waiting.remove(answered) {
                // An error means that its request was given up.
                let _ = waiting.send(());
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
