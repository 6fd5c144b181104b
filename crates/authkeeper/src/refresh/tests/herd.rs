//! Many processes at expiry: one refreshes, commits and exits, and none of the others takes it for dead.

use std::{io, path::Path};

use super::{
    crash::{good_answer, left, lose, stored},
    *,
};
use crate::{
    http::Reach,
    model::{AccessToken, AttemptId, Claim, UnknownKind},
    platform::{
        files::{DiskFiles, Files, Lock, Opened},
        process_lease::{Liveness as _, Owners},
    },
    refresh::{GrantContext, OnBehalfOf, incident, journal::StoredReply, steps::note_unknown},
    store::{Committed, Refreshed, Spend},
};

/// The disk, and something that happens just before the first look at an owner's lock.
struct Meanwhile {
    disk: DiskFiles,
    happens: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Files for Meanwhile {
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let happens = self.happens.lock().unwrap().take();
        if let Some(happens) = happens {
            tokio::task::block_in_place(happens);
        }
        self.disk.is_locked(path)
    }

    fn make(&self, path: &Path, room: u64, with: (&[u8], u64)) -> io::Result<Box<dyn Opened>> {
        self.disk.make(path, room, with)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        self.disk.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.disk.replace(path, bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        self.disk.names(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock(path)
    }
}

/// A process that has read a claim, and before whose look at the owner's lock this happens.
fn process_before_whose_look(
    bench: &Bench,
    happens: impl FnOnce() + Send + 'static,
) -> (Runtime, Arc<Meanwhile>) {
    let files = Arc::new(Meanwhile {
        disk: DiskFiles,
        happens: Mutex::new(Some(Box::new(happens))),
    });
    let folder = bench.folder.path().join("owners");
    let context = Context {
        liveness: Arc::new(Owners::over(folder, Arc::clone(&files) as Arc<dyn Files>)),
        ..bench.context()
    };
    (Runtime::over(context), files)
}

/// An owner that lives until it is dropped, an attempt of it, and its journal in which nothing is marked yet.
async fn living_owner(bench: &Bench, runtime: &Runtime) -> (Owners, (Spend, Claim), Journal) {
    let owners = Owners::new(bench.folder.path().join("owners"));
    let owner = owners.mine(&bench.seams()).unwrap();
    let (spend, claim) = left(bench, runtime, owner.as_str(), 1).await;
    let folder = bench.folder_of_journals();
    let journal = Journal::prepare(&folder, (&spend, &claim), Reach::Anywhere).unwrap();
    (owners, (spend, claim), journal)
}

/// How many incidents there ever were.
pub(super) async fn incidents(runtime: &Runtime) -> usize {
    let history = runtime.context.store.history(&name()).await.unwrap();
    history.incidents.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_commits_and_exits_before_the_look_at_its_lock_was_not_lost() {
    let (bench, one) = Bench::new().await;
    bench.clock.advance(secs(3600));
    bench.server.hold_after(true);
    let first = crate::platform::tasks::spawn(async move {
        let token = ask(&one).await.unwrap();
        assert!(one.drain(secs(20)).await);
        token
    });
    bench.server.saw(1).await;
    let (server, here) = (Arc::clone(&bench.server), tokio::runtime::Handle::current());
    let (two, files) = process_before_whose_look(&bench, move || {
        server.hold_after(false);
        assert_eq!(here.block_on(first).unwrap().generation, Generation(2));
    });
    assert_eq!(ask(&two).await.unwrap().generation, Generation(2));
    assert!(files.happens.lock().unwrap().is_none(), "it was raced");
    assert_in_step(&bench, &two).await;
    assert_eq!((bench.server.requests(), incidents(&two).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_has_moved_on_is_neither_marked_nor_told() {
    let (bench, runtime) = Bench::new().await;
    let before = grant(&runtime).await;
    assert!(after_401(&runtime, 1).await.is_ok());
    let on_behalf_of = OnBehalfOf::of(&status(&runtime).await.connection);
    let (gone, lost) = (
        AttemptId::new("gone"),
        (UnknownKind::Crash, bench.clock.now()),
    );
    let of = GrantContext {
        context: &runtime.context,
        on_behalf_of: &on_behalf_of,
        grant: &before,
    };
    let noted = note_unknown(of, &gone, lost);
    assert!(!noted.await.unwrap());
    assert_eq!(incidents(&runtime).await, 0);
}

/// As a process leaves it that is killed after its commit: what its answer shows of the provider has been counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_that_was_committed_before_the_look_is_not_drawn_from_again() {
    let (bench, one) = Bench::new().await;
    let (owners, (spend, claim), journal) = living_owner(&bench, &one).await;
    assert!(one.context.store.claim(&spend, &claim).await.unwrap());
    let answer = StoredReply {
        after_rejection: true,
        ..stored(&bench, (200, good_answer(&bench)))
    };
    journal.mark_sending().unwrap();
    journal.keep_reply(&one.context.sealer, &answer).unwrap();
    let (refreshed, here) = (next(&bench, &one).await, tokio::runtime::Handle::current());
    let (two, files) = process_before_whose_look(&bench, move || {
        let committed = here.block_on(one.context.store.commit_refresh(refreshed));
        assert_eq!(committed.unwrap(), Committed::Yes);
        drop(owners);
    });
    assert_eq!(after_401(&two, 1).await.unwrap().generation, Generation(2));
    assert!(files.happens.lock().unwrap().is_none(), "it was raced");
    assert_eq!(two.context.store.observed(None).await.unwrap(), []);
    assert_eq!((bench.server.requests(), incidents(&two).await), (0, 0));
}

/// What a refresh that was accepted commits.
async fn next(bench: &Bench, runtime: &Runtime) -> Refreshed {
    let held = grant(runtime).await;
    Refreshed {
        spend: left(bench, runtime, "dead", 1).await.0,
        access: AccessToken {
            generation: held.generation.next(),
            issued: bench.clock.now(),
            ..held.access.unwrap()
        },
        refresh: held.refresh,
        subject_binding: held.subject_binding,
        hold: None,
    }
}

/// Read the other way round, its journal says that nothing was sent, and its token is sent a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_sends_and_dies_before_the_look_at_its_lock_has_sent() {
    let (bench, one) = Bench::new().await;
    let (owners, (spend, claim), journal) = living_owner(&bench, &one).await;
    assert!(one.context.store.claim(&spend, &claim).await.unwrap());
    bench.clock.advance(secs(3600));
    let (two, files) = process_before_whose_look(&bench, move || {
        journal.mark_sending().unwrap();
        drop(owners);
    });
    let error = ask(&two).await.unwrap_err();
    assert!(matches!(error, TokenError::Uncertain { .. }), "{error:?}");
    assert!(files.happens.lock().unwrap().is_none(), "it was raced");
    assert_eq!((bench.server.requests(), incidents(&two).await), (0, 1));
}

/// The same of a claim that the store was made to forget: read the other way round, the answer is removed unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_forgotten_owner_that_is_answered_and_dies_before_the_look_leaves_its_answer() {
    let (bench, one) = Bench::new().await;
    let (owners, _, journal) = living_owner(&bench, &one).await;
    bench.clock.advance(secs(3600));
    let answer = stored(&bench, (200, good_answer(&bench)));
    let (two, files) = process_before_whose_look(&bench, move || {
        journal.mark_sending().unwrap();
        journal.keep_reply(&one.context.sealer, &answer).unwrap();
        drop(owners);
    });
    assert_eq!(text(&ask(&two).await.unwrap()), "adopted");
    assert!(files.happens.lock().unwrap().is_none(), "it was raced");
    assert_in_step(&bench, &two).await;
    assert_eq!((bench.server.requests(), incidents(&two).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_processes_at_expiry_cost_one_refresh_and_no_incident() {
    let (bench, scheduler) = Bench::new().await;
    for round in 1..=10_u32 {
        bench.clock.advance(secs(3600));
        let mut herd = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let process = bench.process();
            // It exits as soon as it has its token.
            herd.spawn(async move {
                let token = ask(&process).await;
                assert!(process.drain(secs(20)).await);
                token
            });
        }
        while let Some(token) = herd.join_next().await {
            let generation = token.unwrap().unwrap().generation;
            assert_eq!(generation, Generation(u64::from(round) + 1));
        }
        assert_eq!(bench.server.requests(), round);
    }
    assert_eq!(incidents(&scheduler).await, 0);
    assert_in_step(&bench, &scheduler).await;
}

/// A process had read the claim before another brought its outcome, and records the loss after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_is_recorded_too_late_is_over_at_once() {
    let (_bench, runtime) = Bench::new().await;
    let before = grant(&runtime).await;
    assert_eq!(
        after_401(&runtime, 1).await.unwrap().generation,
        Generation(2)
    );
    let on_behalf_of = OnBehalfOf::of(&status(&runtime).await.connection);
    let (context, lost) = (&runtime.context, AttemptId::new("lost"));
    incident::uncertain(context, &on_behalf_of, &before, &lost, UnknownKind::Crash)
        .await
        .unwrap();
    let history = runtime.context.store.history(&name()).await.unwrap();
    let ended: Vec<bool> = history.incidents.iter().map(|it| it.1.is_some()).collect();
    assert_eq!(ended, [true]);
}

/// Its process died after the commit and before it could end the incident.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolved_loss_is_ended_by_the_next_look() {
    let (bench, runtime) = Bench::new().await;
    lose(&bench, &runtime).await;
    let open = status(&runtime).await.incidents;
    assert_eq!(open.len(), 1);
    // As a resend's commit leaves it.
    let refreshed = next(&bench, &runtime).await;
    let store = &runtime.context.store;
    let committed = store.commit_refresh(refreshed).await.unwrap();
    assert_eq!(committed, Committed::Yes);
    assert_eq!(runtime.notify_in(&open[0]).await.unwrap(), None);
    assert_eq!(status(&runtime).await.incidents, []);
    assert!(
        !runtime.claim_notification(&open[0].id).await.unwrap(),
        "what is over is told nobody"
    );
}
