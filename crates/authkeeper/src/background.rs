//! The one place where a task is detached from its caller.

use tokio::task::JoinHandle;

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
