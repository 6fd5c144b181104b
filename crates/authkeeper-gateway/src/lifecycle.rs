//! The background tasks of a process, and how they are told to end.
//!
//! | | soft stop ([`Lifecycle::stop`]) | hard stop ([`Lifecycle::abort`]) |
//! |---|---|---|
//! | [`Lifecycle::spawn`] | goes on; [`Lifecycle::stopping`] tells it | dropped |
//! | [`Lifecycle::spawn_until_stop`] | dropped | dropped |
//!
//! [`Lifecycle::end`] does both and waits for all tasks, so no task outlives a stop.

use std::{ops::Deref, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How long a task may take to be dropped. None takes longer unless it blocks its thread.
const DROPPED: Duration = Duration::from_secs(1);

/// A group of background tasks that are stopped together. Clones are the same group.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    /// This group's last, after those of the groups around it: they wait for its tasks too.
    trackers: Arc<[TaskTracker]>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::within(CancellationToken::new(), CancellationToken::new(), &[])
    }
}

impl Lifecycle {
    fn within(soft: CancellationToken, hard: CancellationToken, around: &[TaskTracker]) -> Self {
        let own = TaskTracker::new();
        // Only a closed tracker can be waited for; tasks are still taken.
        own.close();
        let trackers = around.iter().cloned().chain([own]).collect();
        Self {
            soft,
            hard,
            trackers,
        }
    }

    /// A group within this one, which can be stopped before it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let (soft, hard) = (self.soft.child_token(), self.hard.child_token());
        Scope(Self::within(soft, hard, &self.trackers))
    }

    /// Starts a task that ends by itself after a soft stop.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn_under(self.hard.clone(), work);
    }

    /// Starts a task that can be dropped at any time.
    pub fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn_under(self.soft.clone(), work);
    }

    fn spawn_under(
        &self,
        ends: CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some((own, around)) = self.trackers.split_last() else {
            return;
        };
        let counted: Vec<TaskTrackerToken> = around.iter().map(TaskTracker::token).collect();
        // In a box: the task would keep room for it twice.
        let work = Box::pin(work);
        own.spawn(async move {
            tokio::select! {
                biased;
                () = ends.cancelled() => {}
                () = work => {}
            }
            drop(counted);
        });
    }

    /// Soft stop: no more work is taken, and what is under way is finished.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Hard stop: what is under way is dropped.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Resolves at the soft stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.soft.clone().cancelled_owned()
    }

    /// What comes of the work; none if the soft stop comes first.
    pub async fn until_stop<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// The tasks of this group that have not ended.
    pub fn tasks(&self) -> usize {
        self.trackers.last().map_or(0, TaskTracker::len)
    }

    /// Resolves when no task is left.
    pub async fn idle(&self) {
        if let Some(own) = self.trackers.last() {
            own.wait().await;
        }
    }

    /// Stops all tasks and waits for them; those that go on after `grace` are dropped. True if none had to be.
    pub async fn end(&self, grace: Duration) -> bool {
        self.stop();
        let finished = timeout(grace, self.idle()).await.is_ok();
        self.abort();
        if timeout(DROPPED, self.idle()).await.is_err() {
            tracing::warn!(tasks = self.tasks(), "background tasks don't end");
        }
        finished
    }
}

/// A group within another one; its tasks are dropped with it.
#[derive(Debug)]
pub struct Scope(Lifecycle);

impl Deref for Scope {
    type Target = Lifecycle;

    fn deref(&self) -> &Lifecycle {
        &self.0
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Says when it is dropped.
    struct Dropped(Arc<AtomicBool>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_soft_stop_waits_for_what_is_under_way() {
        let lifecycle = Lifecycle::default();
        let (finished, stopping) = (Arc::new(AtomicBool::new(false)), lifecycle.stopping());
        let done = Arc::clone(&finished);
        lifecycle.spawn(async move {
            stopping.await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            done.store(true, Ordering::SeqCst);
        });
        lifecycle.spawn_until_stop(pending());
        assert_eq!(lifecycle.tasks(), 2);
        assert!(lifecycle.end(LONG).await);
        assert!(finished.load(Ordering::SeqCst));
        assert_eq!(lifecycle.tasks(), 0);
    }

    #[tokio::test]
    async fn what_goes_on_is_dropped_before_the_end_returns() {
        let lifecycle = Lifecycle::default();
        let scope = lifecycle.scope();
        let dropped = Arc::new(AtomicBool::new(false));
        let held = Dropped(Arc::clone(&dropped));
        scope.spawn(async move {
            pending::<()>().await;
            drop(held);
        });
        assert_eq!((scope.tasks(), lifecycle.tasks()), (1, 1));
        assert!(!lifecycle.end(Duration::ZERO).await);
        assert!(dropped.load(Ordering::SeqCst), "in a scope as well");
        assert_eq!(lifecycle.tasks(), 0);
        let task = Arc::new(AtomicBool::new(false));
        let ran = Arc::clone(&task);
        lifecycle.spawn(async move { ran.store(true, Ordering::SeqCst) });
        lifecycle.idle().await;
        assert!(!task.load(Ordering::SeqCst), "nothing begins afterwards");
    }

    #[tokio::test]
    async fn a_scope_ends_alone() {
        let lifecycle = Lifecycle::default();
        let (first, second) = (lifecycle.scope(), lifecycle.scope());
        for group in [&lifecycle, &first, &second] {
            group.spawn(pending());
        }
        assert!(!first.end(Duration::ZERO).await);
        assert_eq!((second.tasks(), lifecycle.tasks()), (1, 2));
        drop(second);
        timeout(LONG, async {
            while lifecycle.tasks() > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("a scope that is dropped leaves its tasks");
        assert_eq!(lifecycle.until_stop(async { 7 }).await, Some(7));
        lifecycle.stop();
        assert_eq!(lifecycle.until_stop(async { 7 }).await, None);
    }
}
