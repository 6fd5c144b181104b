//! The one place where a task is detached from its caller, and where work that waits for the disk leaves the async threads.

use std::pin::Pin;

use tokio::task::JoinHandle;

/// What goes on by itself.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where detached work runs.
pub trait Tasks: Send + Sync + 'static {
    /// Starts what must go on though nobody waits for it (an exchange under way). Every caller says why that is so.
    fn spawn(&self, work: Work);
    /// Runs what waits for the disk, off the async threads.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
}

/// Tokio's tasks.
pub(crate) struct TokioTasks;

impl Tasks for TokioTasks {
    fn spawn(&self, work: Work) {
        drop(spawn(work));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(tokio::task::spawn_blocking(work));
    }
}

/// Starts a task whose owner keeps the handle, or whose work must go on though nobody waits for it (an exchange under
/// way). Every caller says in a comment which of the two it is.
pub(crate) fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    tokio::spawn(work)
}
