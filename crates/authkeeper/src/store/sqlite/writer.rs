//! One thread writes. Jobs that wait together are committed together (group commit), and processes take turns: each
//! takes a file ticket before it asks `SQLite` for the write lock, because `SQLite`'s own waiting starves the unlucky.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};

use super::{error::fault, file::open_connection};
use crate::store::{Epoch, Result, StoreError, Use};

/// What a job leaves to be done once it is known whether the commit held.
type Finish = Box<dyn FnOnce(Result<()>) + Send>;
/// Given the batch's transaction, or the reason why there is none.
type Job = Box<dyn FnOnce(Result<&Connection>) -> Finish + Send>;

/// How many jobs one commit carries at most.
const BATCH: usize = 256;

/// How long to wait for the ticket. It spares waiting and is never what safety rests on: a stopped process that holds
/// it delays the others by this much and no more.
const TICKET_PATIENCE: Duration = Duration::from_secs(5);

/// The handle to the writing thread. Dropping it waits until the thread has written what was asked and closed the file:
/// the file is at rest afterwards.
pub(super) struct Writer {
    /// None only while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    place: String,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        path: &Path,
        ticket: PathBuf,
        (epoch, used): (Arc<Epoch>, Arc<Use>),
    ) -> Result<Self> {
        let place = path.display().to_string();
        let connection = open_connection(path)?;
        let (jobs, inbox) = channel();
        let mut work = WriterThread {
            connection,
            ticket,
            epoch,
            used,
            place: place.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("authkeeper-store".to_owned())
            .spawn(move || work.run(&inbox))
            .map_err(|error| StoreError::Unusable {
                place: place.clone(),
                detail: error.to_string(),
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            place,
        })
    }

    /// Runs one job in the next transaction and answers once it is durable.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let place = self.place.clone();
        let job: Job = Box::new(move |transaction| {
            let done = transaction.and_then(|connection| {
                in_savepoint(connection, work).map_err(|error| fault(&place, &error))
            });
            Box::new(move |commit| {
                let _ = answer.send(commit.and(done));
            })
        });
        let gone = || StoreError::Unusable {
            place: self.place.clone(),
            detail: "the writing thread ended".to_owned(),
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_returned| gone())?;
        answered.await.map_err(|_dropped| gone())?
    }
}

/// A job that fails takes back what it did and leaves the others of its batch alone.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // SQLite takes a whole transaction back when it runs out of room: then there is nothing to add to.
    if connection.is_autocommit() {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
            None,
        ));
    }
    connection.execute_batch("SAVEPOINT job")?;
    let done = work(connection);
    if done.is_ok() {
        connection.execute_batch("RELEASE job")?;
    } else if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO job; RELEASE job")?;
    }
    done
}

struct WriterThread {
    connection: Connection,
    ticket: PathBuf,
    epoch: Arc<Epoch>,
    used: Arc<Use>,
    place: String,
}

impl WriterThread {
    fn run(&mut self, inbox: &Receiver<Job>) {
        while let Ok(first) = inbox.recv() {
            let ticket = take_ticket(&self.ticket);
            let mut finishes = Vec::new();
            let committed = self.commit_batch(first, inbox, &mut finishes);
            drop(ticket);
            // Before the replies: a caller that is told of a write reads it.
            self.epoch.raise();
            self.used.count_commit();
            let mut results = repeat_result(&self.place, committed);
            for finish in finishes {
                finish(results());
            }
        }
    }

    fn commit_batch(
        &mut self,
        first: Job,
        inbox: &Receiver<Job>,
        finishes: &mut Vec<Finish>,
    ) -> rusqlite::Result<()> {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(BATCH - 1));
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = match transaction {
            Ok(transaction) => transaction,
            Err(error) => {
                // No write lock, no room: every job of the batch is told so.
                let refused = batch
                    .into_iter()
                    .map(|job| job(Err(fault(&self.place, &error))));
                finishes.extend(refused);
                return Ok(());
            }
        };
        finishes.extend(batch.into_iter().map(|job| job(Ok(&transaction))));
        transaction.commit()
    }
}

/// The batch's one result, for each of its jobs.
fn repeat_result(place: &str, committed: rusqlite::Result<()>) -> impl FnMut() -> Result<()> + '_ {
    move || match &committed {
        Ok(()) => Ok(()),
        Err(error) => Err(fault(place, error)),
    }
}

/// Waits in the kernel's queue for the ticket file's lock, in a thread of its own so that the wait can be bounded.
fn take_ticket(path: &Path) -> Option<File> {
    let open = || {
        File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
    };
    let file = open().ok()?;
    if file.try_lock().is_ok() {
        return Some(file);
    }
    let (taken, wait) = channel();
    let queued = std::thread::Builder::new()
        .name("authkeeper-ticket".to_owned())
        .spawn(move || {
            if file.lock().is_ok() {
                // If nobody waits any more the file closes here and the ticket is free again.
                let _ = taken.send(file);
            }
        });
    queued.ok()?;
    wait.recv_timeout(TICKET_PATIENCE).ok()
}
